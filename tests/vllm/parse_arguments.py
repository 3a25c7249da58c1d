"""Reads lists of arguments, as JSON on standard input, and says what the parser of `vllm serve` makes of each."""

import contextlib
import io
import json
import sys

with contextlib.redirect_stdout(sys.stderr):
    from vllm.entrypoints.cli.serve import cmd_init
    from vllm.utils.argparse_utils import FlexibleArgumentParser

parser = FlexibleArgumentParser(prog="vllm")
commands = parser.add_subparsers(dest="subparser")
for command in cmd_init():
    command.subparser_init(commands)


def parsed(argv):
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            return {"values": vars(parser.parse_args(argv))}
    except SystemExit:
        return {"error": said.getvalue()[-300:]}
    except Exception as error:
        return {"error": repr(error)}


print(json.dumps([parsed(argv) for argv in json.load(sys.stdin)], default=repr))
