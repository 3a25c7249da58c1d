"""Over SSH, from the cluster's laptop: beside OpenSSH's `ssh -L`, which leads to the very same engine."""

import json
import time
from functools import partial

from benchmarks import usage
from benchmarks.far import Laptop
from benchmarks.local import ADDED, MICRO, column, in_turn, none_failed
from benchmarks.paired import OURS, Row, at_least, at_most
from benchmarks.parts import part

SSH_L = "ssh -L"
GIB = 1 << 30
MIB = 1 << 20

# How many at once, microseconds between the tokens of each, tokens of each, and with --quick; and the target beside ssh -L.
STREAMS = [(1, 1000, 1500, 500, 1.0), (100, 20_000, 100, 40, 0.7), (450, 100_000, 20, 10, 0.7)]
OPENED = 450
# Idle connections to an engine are kept for less than this; then every stream needs a channel of its own again.
POOL_IS_EMPTY_S = 5


@part("ssh-tokens")
def tokens(setting):
    """the time that a streamed token takes more than straight at the engine, to the login host and on to a node"""
    rows = []
    for place, node in (("login host", None), ("node", "node1")):
        with Laptop(setting) as laptop:
            _, _, way = laptop.proxy(laptop.configuration(), node)
            for load in STREAMS:
                rows.extend(token_rows(laptop, way, place, load))
    return rows


def token_rows(laptop, way, place, load):
    streams, pause_us, whole, quick, limit = load
    words = ["--streams", streams, "--tokens", laptop.setting.amount(whole, quick), "--pause-us", pause_us]
    halves, tails = [], []
    for number in range(laptop.setting.rounds):
        delays = {}
        sides = [("ours", way.ours, "laptop"), (SSH_L, way.theirs, "laptop"), ("straight", way.straight, "login")]
        for name, url, host in in_turn(sides, number):
            (one,) = none_failed(laptop.drive("streams", "--url", url, *words, host=host), "ssh-tokens")
            delays[name] = one["delay_ns"]
        for share, rounds in (("p50", halves), ("p99", tails)):
            rounds.append({name: (delays[name][share] - delays["straight"][share]) / MICRO for name in ("ours", SSH_L)})
    rows = []
    for share, rounds, target in (("p50", halves, at_most(limit)), ("p99", tails, None)):
        name = f"added to a token, to the {place}, {streams} stream{'s' if streams > 1 else ''}, {share}"
        note = f"{ADDED} from the login host; {pause_us / 1000:g} ms between the tokens of each stream"
        rows.append(Row("ssh-tokens", name, SSH_L, "µs", column(rounds, "ours"), column(rounds, SSH_L), target, note, paired=True))
    return rows


@part("ssh-open")
def opening(setting):
    """the time until the last of many streams that are opened at once has its first token"""
    ours, theirs = [], []
    with Laptop(setting) as laptop:
        _, _, way = laptop.proxy(laptop.configuration())
        words = ["--streams", OPENED, "--tokens", 5, "--pause-us", 200_000]
        for number in range(setting.rounds):
            for url, times in in_turn([(way.ours, ours), (way.theirs, theirs)], number):
                time.sleep(POOL_IS_EMPTY_S)
                (one,) = none_failed(laptop.drive("streams", "--url", url, *words), "ssh-open")
                times.append(one["open_ns"] / 1e6)
    note = ("each by a new connection of the client and a new channel of SSH; to the login host. Of ssh -L, clients wait a second "
            "to knock again: it has 128 places for those that it has not accepted yet")
    return [Row("ssh-open", f"time to open {OPENED} streams", SSH_L, "ms", ours, theirs, at_most(0.3), note)]


# Round trips, and how many MiB a stream carries: of one alone, and of each of fifty; and the same with --quick.
BULK = [(0, (1024, 16), (128, 2)), (20, (128, 16), (16, 2)), (80, (64, 8), (8, 1))]


@part("ssh-bulk")
def bulk(setting):
    """MiB/s up and down, with one stream and with fifty, at round trips of 0, 20 and 80 ms"""
    rows = []
    for round_trip, whole, quick in BULK:
        with Laptop(setting) as laptop:
            _, _, way = laptop.proxy(laptop.delayed(round_trip))
            for streams, mib, limit in zip((1, 50), setting.amount(whole, quick), (1.0, 2.0)):
                for direction in ("up", "down"):
                    words = ["--direction", direction, "--streams", streams, "--bytes", mib * MIB]
                    name = f"bulk {direction}, {streams} stream{'s' if streams > 1 else ''}, round trip {round_trip} ms"
                    rows.append(bulk_row(laptop, way, name, words, at_least(limit)))
    return rows


def bulk_row(laptop, way, name, words, target):
    ours, theirs = [], []
    for number in range(laptop.setting.rounds):
        for url, rates in in_turn([(way.ours, ours), (way.theirs, theirs)], number):
            (one,) = none_failed(laptop.drive("bulk", "--url", url, *words), name)
            rates.append(one["mib_per_s"])
    note = "both through the same relay, which delays each piece and limits nothing" if "trip 0" not in name else ""
    return Row("ssh-bulk", name, SSH_L, "MiB/s", ours, theirs, target, note)


@part("ssh-cpu")
def cpu(setting):
    """CPU time of the client's side per GiB and per million tokens"""
    rows = []
    with Laptop(setting) as laptop:
        configuration = laptop.configuration()
        proxy, ssh, way = laptop.proxy(configuration)
        # OpenSSH prefers ChaCha20 where it is not told otherwise; this program prefers AES-GCM.
        gcm, gcm_url = laptop.forward(configuration, way.straight.removeprefix("http://"), ["-c", "aes128-gcm@openssh.com"])
        sides = [("ours", way.ours, proxy.pid), (SSH_L, way.theirs, ssh.pid), (f"{SSH_L}, AES-GCM", gcm_url, gcm.pid)]
        amount = setting.amount(GIB, GIB // 8)
        for direction in ("up", "down"):
            words = ["bulk", "--direction", direction, "--streams", 1, "--bytes", amount]
            rows.extend(cpu_rows(laptop, sides, f"CPU per GiB {direction}", words, amount / GIB, at_most(1.25)))
        count = setting.amount(400, 200)
        words = ["streams", "--streams", 100, "--tokens", count, "--pause-us", 10_000]
        rows.extend(cpu_rows(laptop, sides, "CPU per million tokens over SSH", words, 100 * count / 1e6, None))
    return rows


def cpu_rows(laptop, sides, name, words, amount, target):
    rounds = []
    for number in range(laptop.setting.rounds):
        rounds.append({})
        for side, url, pid in in_turn(sides, number):
            before = usage.cpu_seconds([pid])
            none_failed(laptop.drive(*words, "--url", url), name)
            rounds[-1][side] = (usage.cpu_seconds([pid]) - before) / amount
    note = "user and system, of the one process on the laptop"
    return [Row("ssh-cpu", name, peer, "s", column(rounds, "ours"), column(rounds, peer), target if peer == SSH_L else None, note)
            for peer, *_ in sides[1:]]


OTHERS = 100


class Others:
    """A hundred streams, and what goes on beside them in the same SSH connection; each call gives the p99 of their tokens in ms."""

    def __init__(self, laptop):
        self.laptop = laptop
        _, _, self.way = laptop.proxy(laptop.configuration())
        configuration, self.exchanges = laptop.rekeying(seconds=1)
        _, _, self.rekeyed = laptop.proxy(configuration, theirs=False)

    def tail(self, url, *more):
        words = ["--streams", OTHERS, "--tokens", self.laptop.setting.amount(250, 100), "--pause-us", 20_000]
        (one,) = none_failed(self.laptop.drive("streams", "--url", url, *words, *more), "ssh-others")
        return one["delay_ns"]["p99"] / 1e6

    def one_stalled(self, url):
        return self.tail(url, "--stalled", 1)

    def beside_an_upload(self, url):
        # One after the other, more than there is time for.
        uploads = [word for _ in range(100) for word in ("--url", url)]
        upload = self.laptop.in_background("bulk", *uploads, "--direction", "up", "--streams", 1, "--bytes", GIB)
        try:
            tail = self.tail(url)
            if upload.poll() is not None:
                raise SystemExit("ssh-others: the uploads were over before the streams")
            return tail
        finally:
            upload.terminate()
            upload.wait()

    def rekeying(self):
        before = self.exchanges()
        tail = self.tail(self.rekeyed.ours)
        if self.exchanges() == before:
            raise SystemExit("ssh-others: no key exchange took place")
        return tail


@part("ssh-others")
def others(setting):
    """the p99 of a hundred streams beside a reader that stalls, a large upload, or key exchanges; beside themselves without"""
    with Laptop(setting) as laptop:
        them = Others(laptop)
        ours, theirs = them.way.ours, them.way.theirs
        by_both = {"one stalled reader": them.one_stalled, "a 1 GiB upload": them.beside_an_upload}
        measured = [("without", lambda: them.tail(ours)), ("a key exchange each second", them.rekeying)]
        for name, tail in by_both.items():
            measured += [(name, partial(tail, ours)), (f"{name}, by ssh -L", partial(tail, theirs))]
        rounds = []
        for number in range(setting.rounds):
            rounds.append({name: call() for name, call in in_turn(measured, number)})
    note = f"{OTHERS} streams to the login host, 20 ms between the tokens of each; all in one SSH connection"
    rows = [Row("ssh-others", f"p99 of a token's delay, beside {name}", "themselves without", "ms", column(rounds, name),
                column(rounds, "without"), at_most(1.2), note) for name in (*by_both, "a key exchange each second")]
    # All of it shares its cores with sshd, the engine and the driver: what another client's streams suffer there says how much
    # of it is the machine's.
    return rows + [Row("ssh-others", f"p99 of a token's delay, beside {name}", "the same by ssh -L", "ms", column(rounds, name),
                       column(rounds, f"{name}, by ssh -L"), None, note) for name in by_both]


MANY = (4000, 500)


@part("ssh-many")
def many(setting):
    """thousands of streams at once over one login host, for a minute"""
    streams = setting.amount(*MANY)
    pause_us, count = 250_000, setting.amount(240, 20)
    with Laptop(setting) as laptop:
        _, _, way = laptop.proxy(laptop.configuration(), theirs=False)
        words = ["--streams", streams, "--tokens", count, "--pause-us", pause_us]
        (one,) = laptop.drive("streams", "--url", way.ours, *words)["urls"]
    if one["broken"]:
        print(f"ssh-many: {one['broken']} broken: {one['faults']}", flush=True)
    seconds = count * pause_us / 1e6
    note = f"{count} tokens each, {pause_us / 1000:g} ms between them: {seconds:g} s if nothing is late"
    delay = {name: (value or 0) / 1e6 for name, value in one["delay_ns"].items()}
    return [
        Row("ssh-many", f"{streams} streams at once: whole", None, "streams", [one["finished"]], [], at_least(streams, OURS), note),
        Row("ssh-many", f"{streams} streams at once: all over after", None, "s", [one["seconds"]], [], None),
        Row("ssh-many", f"{streams} streams at once: opened in", None, "s", [(one["open_ns"] or 0) / 1e9], [], None),
        Row("ssh-many", f"{streams} streams at once: the slowest one's median delay", None, "ms",
            [(one["slowest_stream_ns"] or 0) / 1e6], [], at_most(1000, OURS), "none starves if it is no more than a second"),
        *(Row("ssh-many", f"{streams} streams at once: a token's delay, {name}", None, "ms", [value], [], None)
          for name, value in delay.items()),
    ]


HEALTH = "GET /health HTTP/1.1\r\nHost: engine\r\nConnection: close\r\n\r\n"

# On the laptop itself, so that the way there is not measured: for each command of the round its time in ms.
TIMED = f"""
import json, subprocess, sys, time
for words in json.loads(sys.argv[1]):
    started = time.monotonic()
    said = subprocess.run(words, input={HEALTH.encode()!r}, stdout=subprocess.PIPE, check=True).stdout
    took = time.monotonic() - started
    assert said.startswith(b"HTTP/1.1 200"), said
    print(took * 1000)
"""


@part("ssh-connect")
def connect(setting):
    """from nothing to authenticated, with a channel open through which an answer came"""
    with Laptop(setting) as laptop:
        configuration = laptop.configuration()
        _, _, way = laptop.proxy(configuration, theirs=False)
        host, _, port = way.straight.removeprefix("http://").partition(":")
        sides = [
            ("ours", [setting.program("bench-driver"), "channel", "--login", "login", "--ssh-config", configuration,
                      "--to-host", host, "--to-port", port]),
            ("ssh -W", ["ssh", "-F", configuration, "-W", f"{host}:{port}", "login"]),
        ]
        rounds = []
        for number in range(setting.rounds * setting.amount(5, 3)):
            turns = in_turn(sides, number)
            words = json.dumps([[str(word) for word in words] for _, words in turns])
            times = laptop.cluster.run("laptop", "python3", "-c", TIMED, words).split()
            rounds.append({name: float(took) for (name, _), took in zip(turns, times)})
    note = ("a program started, the SSH configuration read, connected, authenticated by a key, a channel opened to the engine, a small "
            "request answered, the program ended; ours is a small program that does what `ssh -W` does with this program's library")
    return [Row("ssh-connect", "from nothing to a channel by SSH", "ssh -W", "ms", column(rounds, "ours"), column(rounds, "ssh -W"),
                at_most(1.0), note, paired=True)]
