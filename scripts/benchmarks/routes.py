"""Through a ready engine by each route, side by side."""

from benchmarks.asked import curl
from benchmarks.paired import Row
from benchmarks.parts import part
from benchmarks.proxy import Proxy

# What it is called, where the proxy and its client run, and by which route.
ROUTES = [
    ("direct", "laptop", "direct"),
    ("nested", "laptop", "nested"),
    ("reverse, to the login host's sshd", "laptop", "reverse"),
    ("relay", "laptop", "relay"),
    ("direct, from the login host", "login", "direct"),
    ("reverse, to the proxy on the login host", "login", "reverse"),
]
SMALL = 50
BULK_MIB = 64

# On one connection, as a client keeps it: prints the median of small requests in seconds, then MiB/s down and up.
ROUND = f"""
import http.client, statistics, sys, time
connection = http.client.HTTPConnection(sys.argv[1], timeout=120)
def ask(method, path, body=None):
    started = time.monotonic()
    connection.request(method, path, body)
    answer = connection.getresponse()
    length = len(answer.read())
    if answer.status != 200:
        sys.exit(f"{{path}}: {{answer.status}}")
    return time.monotonic() - started, length
ask("GET", "/bytes?n=1")
print(statistics.median(ask("GET", "/bytes?n=1")[0] for _ in range({SMALL})))
took, length = ask("GET", "/bytes?n={BULK_MIB << 20}")
assert length == {BULK_MIB << 20}, length
print({BULK_MIB} / took)
took, _ = ask("PUT", "/upload", bytes({BULK_MIB << 20}))
print({BULK_MIB} / took)
"""

COLUMNS = [("round trip", "ms", 1000), ("down", "MiB/s", 1), ("up", "MiB/s", 1)]


@part("routes")
def routes(setting):
    """by each route: a small request's round trip, and MiB/s down and up, beside the first route from the same host"""
    rows = []
    # One machine after the other: the cluster has room for four jobs at once.
    for place in dict.fromkeys(place for _, place, _ in ROUTES):
        ways = [(name, route) for name, at, route in ROUTES if at == place]
        rows.extend(rows_of(routes_from(setting, place, ways)))
    return rows


def routes_from(setting, place, ways):
    """For each way its rounds, in which the ways take turns: of each the round trip in seconds, MiB/s down, MiB/s up."""
    cluster, proxies = setting.cluster, {}
    engine = cluster.share(setting.program("test-engine"))

    def one_round(name):
        said = cluster.run(place, "python3", "-c", ROUND, proxies[name].address)
        return [float(word) for word in said.split()]

    for number, (name, route) in enumerate(ways):
        # Without a GPU, so that all their jobs run at once.
        options = ["--route", route, "--srun-args=--mem=1G", "--name", f"route-{place}-{number}"]
        proxies[name] = Proxy.on_slurm(setting, cluster, [engine, "--model", "tiny"], options, place)
        curl(proxies[name])
        # Once for what is only slow the first time.
        one_round(name)
    rounds = [{name: one_round(name) for name, _ in ways} for _ in range(setting.rounds)]
    for name, proxy in proxies.items():
        proxy.end(last=name == ways[-1][0])
    return {name: [one[name] for one in rounds] for name, _ in ways}


def rows_of(measured):
    first = next(iter(measured))
    note = f"{SMALL} small requests and {BULK_MIB} MiB each way, on one connection; the routes take turns"
    rows = []
    for name, rounds in measured.items():
        for at, (what, unit, times) in enumerate(COLUMNS):
            ours = [one[at] * times for one in rounds]
            theirs = [one[at] * times for one in measured[first]] if name != first else []
            rows.append(Row("routes", f"{name}: {what}", first if theirs else None, unit, ours, theirs, None, note))
    return rows

