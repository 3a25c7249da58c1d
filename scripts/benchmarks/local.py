"""Without Slurm, on this machine: what the proxy adds to a request and to a token, and what they cost it."""

from benchmarks import usage
from benchmarks.paired import Row, at_least, at_most
from benchmarks.parts import part

MICRO = 1000
CONNECTIONS = 16

# How many at once, microseconds between the tokens of each, tokens of each, and with --quick: 1000 or more a second each
# time, and few enough that the machine is not the limit.
STREAMS = [(1, 1000, 3000, 500), (100, 20_000, 150, 50), (1000, 200_000, 20, 8)]

ADDED = "what it adds: through it less straight at the engine"


def in_turn(candidates, number):
    """The order is swapped each round, so that nobody always comes first."""
    return candidates if number % 2 == 0 else candidates[::-1]


def none_failed(told, what):
    """A figure of which a part failed is none."""
    for url in told["urls"]:
        failed = url.get("errors", 0) + url.get("broken", 0)
        if failed:
            raise SystemExit(f"{what}, {url['url']}: {failed} failed: {url.get('faults')}")
    return told["urls"]


def column(rounds, name):
    return [one[name] for one in rounds]


@part("requests")
def requests(setting):
    """the time that a small request takes more than straight at the engine, one after the other on one connection"""
    stage = setting.stage
    through = [stage.ours, stage.nginx, stage.haproxy]
    halves, tails = [], []
    for number in range(setting.rounds):
        asked = in_turn(through, number)
        urls = [word for url in [stage.straight, *(one.url for one in asked)] for word in ("--url", url)]
        told = setting.drive("requests", *urls, "--connections", 1, "--count", setting.amount(5000, 1000))
        straight, *others = none_failed(told, "requests")
        halves.append({one.name: url["difference_ns"]["p50"] / MICRO for one, url in zip(asked, others)})
        least = straight["latency_ns"]["p99"]
        tails.append({one.name: (url["latency_ns"]["p99"] - least) / MICRO for one, url in zip(asked, others)})
    rows = []
    for peer in (stage.nginx.name, stage.haproxy.name):
        target = at_most(1.0) if peer == stage.nginx.name else None
        pair = [column(halves, stage.ours.name), column(halves, peer)]
        rows.append(Row("requests", "added to a small request, p50", peer, "µs", *pair, target,
                        f"{ADDED}, the median of the differences of requests in turn", paired=True))
        pair = [column(tails, stage.ours.name), column(tails, peer)]
        rows.append(Row("requests", "added to a small request, p99", peer, "µs", *pair, None, f"{ADDED}, of the p99", paired=True))
    return rows


@part("rate")
def rate(setting):
    """requests a second, and requests a second of CPU time, of small requests on 16 connections"""
    stage = setting.stage
    candidates = [stage.ours, stage.nginx, stage.haproxy, stage.litellm, stage.fastapi]
    rates, per_core = [], []
    for number in range(setting.rounds):
        rates.append({})
        per_core.append({})
        for one in in_turn(candidates, number):
            before = usage.cpu_seconds(one.pids())
            words = ["--url", one.url, "--connections", CONNECTIONS, "--seconds", setting.amount(5, 2)]
            (url,) = none_failed(setting.drive("requests", *words), "rate")
            rates[-1][one.name] = url["rate"]
            per_core[-1][one.name] = url["count"] / (usage.cpu_seconds(one.pids()) - before)
    targets = {"nginx": at_least(0.8), "LiteLLM": at_least(20), "FastAPI": at_least(10)}
    note = "by the CPU time of the proxy's own processes, user and system"
    own = stage.ours.name
    peers = [one.name for one in candidates[1:]]
    return [
        *(Row("rate", "requests per second and core", peer, "/s", column(per_core, own), column(per_core, peer),
              targets.get(peer), note) for peer in peers),
        *(Row("rate", "requests per second", peer, "/s", column(rates, own), column(rates, peer), None,
              f"{CONNECTIONS} connections; the driver and the engine share the machine") for peer in peers),
    ]


@part("tokens")
def tokens(setting):
    """the time that a streamed token takes more than straight from the engine, with 1, 100 and 1000 streams"""
    stage = setting.stage
    rows = []
    for streams, pause_us, whole, quick in STREAMS:
        halves, tails = [], []
        for number in range(setting.rounds):
            asked = in_turn([None, stage.ours, stage.nginx], number)
            urls = [word for one in asked for word in ("--url", one.url if one else stage.straight)]
            words = ["--streams", streams, "--tokens", setting.amount(whole, quick), "--pause-us", pause_us]
            told = none_failed(setting.drive("streams", *urls, *words), "tokens")
            delays = {one and one.name: url["delay_ns"] for one, url in zip(asked, told)}
            straight = delays.pop(None)
            halves.append({name: (delay["p50"] - straight["p50"]) / MICRO for name, delay in delays.items()})
            tails.append({name: (delay["p99"] - straight["p99"]) / MICRO for name, delay in delays.items()})
        # The p99 of two shared cores is printed and not judged.
        for share, rounds, target in (("p50", halves, at_most(1.0)), ("p99", tails, None)):
            pair = [column(rounds, stage.ours.name), column(rounds, stage.nginx.name)]
            name = f"added to a token, {streams} stream{'s' if streams > 1 else ''}, {share}"
            note = f"{ADDED}; {pause_us / 1000:g} ms between the tokens of each stream"
            rows.append(Row("tokens", name, stage.nginx.name, "µs", *pair, target, note, paired=True))
    return rows


@part("token-cpu")
def token_cpu(setting):
    """CPU time per million streamed tokens, of 100 streams"""
    stage = setting.stage
    streams, pause_us, count = 100, 10_000, setting.amount(1000, 300)
    rounds = []
    for number in range(setting.rounds):
        rounds.append({})
        for one in in_turn([stage.ours, stage.nginx], number):
            before = usage.cpu_seconds(one.pids())
            words = ["--url", one.url, "--streams", streams, "--tokens", count, "--pause-us", pause_us]
            none_failed(setting.drive("streams", *words), "token-cpu")
            rounds[-1][one.name] = (usage.cpu_seconds(one.pids()) - before) / (streams * count) * 1e6
    pair = [column(rounds, stage.ours.name), column(rounds, stage.nginx.name)]
    note = f"{pause_us / 1000:g} ms between the tokens of each of {streams} streams; user and system"
    return [Row("token-cpu", "CPU per million tokens", stage.nginx.name, "s", *pair, at_most(1.0), note)]
