"""The parts of a run, each a function of the setting that gives its rows; their modules name them."""

import importlib
import pkgutil
from dataclasses import dataclass
from typing import Callable

import benchmarks

# In which order the modules' parts run and are reported; what is not named comes last.
ORDER = ["local", "instructions", "ssh", "memory", "start", "cold", "routes", "drivers", "vllm", "built"]


@dataclass(frozen=True)
class Part:
    name: str
    run: Callable
    # Runs only if `--only` names it.
    only_asked: bool
    # The first line of the function's documentation.
    says: str


PARTS: dict[str, Part] = {}


def part(name, only_asked=False):
    """Makes a function of the setting, which gives its rows, a part of that name."""

    def added(run):
        if name in PARTS:
            raise ValueError(f"two parts are called {name}")
        PARTS[name] = Part(name, run, only_asked, run.__doc__.strip().splitlines()[0])
        return run

    return added


def find_parts():
    """Those of all modules of this package."""
    names = [module.name for module in pkgutil.iter_modules(benchmarks.__path__) if not module.ispkg]
    for name in sorted(names, key=lambda name: ORDER.index(name) if name in ORDER else len(ORDER)):
        if name != "main":
            importlib.import_module(f"benchmarks.{name}")
    return PARTS
