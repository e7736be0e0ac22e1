"""ocpp-edge's hot path beside the naive broker and a raw echo: CPU per message, rate, memory, a storm.

    python tests/bench/edge.py [--rounds 3] [--seconds 3] [--storm 2000] [--idle 1000] [--whole-site]
                               [--only rounds,idle,storm]

A provisioned site with a real nats-server; the charge points are in a process of their own (`edge_load.py`), the
other servers too (`edge_beside.py`). Measured is the MeterValues of a running transaction: stored, acknowledged by
the stream, then answered. The three take turns, several rounds, and medians count, with the server's default of
fsync and with fsync before every acknowledgement (as sites run). While it is measured the site's other services
stand still, for the naive broker has none: `--whole-site` adds a row in which they work. What counts are ratios and
CPU per message; wall rates move with the machine. The registry has quick password hashes: a reconnect is measured,
not the first visit.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from authorise import bus_of, mode_of
from children import process, say, script
from edge_profile import samples
from edge_report import CONNECTIONS, WHOLE_SITE, Measured, Profile, Row, report

from holdfast.bus import StreamSpec
from holdfast.contracts.driver_tokens import DriverTokenList, ListedToken
from holdfast.contracts.mode import Mode
from holdfast_cli.nats_server import find
from holdfast_cli.provision.layout import World
from holdfast_cli.provision.rules import default_rules_text
from holdfast_cli.provision.step import provision

SITE = "berlin01"
ROUNDS, IDLE, STORM = PARTS = ("rounds", "idle", "storm")
PASSWORD = "bench-password-of-all"
BESIDE = ("echo", "naive")
SUBJECT = "bench.naive"
HERE = Path(__file__).parent
LINE_BYTES_MAX = 1 << 24
ANSWER_WITHIN_S = 120
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PAGE_KB = os.sysconf("SC_PAGE_SIZE") // 1024
SETTLE_S = 1.0
TRIES = 3
IDLE_BEFORE = 200
"""Connected before one counts: what the first ones bring is not what one more costs."""
FRAMES_PER_S = 1_000_000
"""Of one charge point: a few that say as much as a thousand would are not to be slowed down."""


class Load:
    """The charge points of one server."""

    def __init__(self, child: Process, port: int, path: str) -> None:
        self._child = child
        self._to = {"port": port, "path": path, "password": PASSWORD}

    async def connect(self, names: Sequence[str], **how: Any) -> dict[str, Any]:
        return await self._ask(do="connect", names=names, **self._to, **how)

    async def drop(self) -> None:
        await self._ask(do="drop")

    async def run(self, connections: int, seconds: float, watched: Sequence[int]) -> dict[str, Any]:
        """With `cpu_us`: of each watched process while it was measured."""
        await self._ask(do="run", connections=connections, seconds=seconds)
        before = [_cpu_s(pid) for pid in watched]
        found = await self._answer()
        after = [_cpu_s(pid) for pid in watched]
        if found["lost"]:
            raise SystemExit(f"{self._to}: connections were lost: {found}")
        if not found["messages"]:
            return found
        spent = zip(before, after, strict=True)
        return found | {"cpu_us": [(b - a) * 1e6 / found["messages"] for a, b in spent]}

    async def _ask(self, **asked: Any) -> dict[str, Any]:
        assert self._child.stdin
        self._child.stdin.write(json.dumps(asked).encode() + b"\n")
        return await self._answer()

    async def _answer(self) -> dict[str, Any]:
        assert self._child.stdout
        async with asyncio.timeout(ANSWER_WITHIN_S):
            line = await self._child.stdout.readline()
        if not line:
            raise SystemExit("the load generator ended: see its log")
        answer: dict[str, Any] = json.loads(line)
        return answer


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def _rss_kb(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_KB


@dataclass(kw_only=True)
class Bench:
    """Three servers and the charge points of each."""

    fsync: bool
    loads: dict[str, Load]
    pids: dict[str, int]
    nats_pid: int
    names: list[str]
    profile: Path
    """A file for samples."""
    rest: AsyncExitStack
    """The site's services that stand still while it is measured."""


@asynccontextmanager
async def standing(root: Path, *, fsync: bool, charge_points: int) -> AsyncIterator[Bench]:
    rules = default_rules_text().replace(
        "journal_bytes_max: 1073741824", f"journal_bytes_max: {1 << 32}"
    )
    world, _ = provision(root, sites=(SITE,), charge_points=1, rules_text=rules)
    names = [f"CP-{number:04d}" for number in range(charge_points)]
    _registered(world, names)
    config = world.config(SITE, "ocpp-edge")
    config.write_text(f"{config.read_text()}frames_per_s = {FRAMES_PER_S}\n")
    tokens = DriverTokenList(
        version=1, tokens=tuple(ListedToken(driver_token=name) for name in names)
    )
    (world.conf / "driver-tokens.json").write_bytes(tokens.to_bytes())
    if not fsync:
        conf = world.nats_conf(SITE)
        conf.write_text(conf.read_text().replace(", sync_interval: always", ""))
    logs = root / "logs"
    logs.mkdir(exist_ok=True)
    async with AsyncExitStack() as stack:
        rest = await stack.enter_async_context(AsyncExitStack())

        async def start(name: str, *command: str | Path, on: AsyncExitStack = stack) -> Process:
            child = process(*command, stdin=PIPE, stdout=PIPE, log=logs / f"{name}.log")
            return await on.enter_async_context(child)

        nats = await start("nats", find(), "-c", world.nats_conf(SITE))
        for service in ("journal", "mode-manager", "rule-service"):
            command = (script(service), "--config", world.config(SITE, service))
            await start(service, *command, on=rest)
        edge = await start(
            "ocpp-edge", script("ocpp-edge"), "--config", world.config(SITE, "ocpp-edge")
        )
        pids = {"ocpp-edge": edge.pid}
        ports = {"ocpp-edge": world.port(f"{SITE}.ocpp")}
        async with bus_of(world) as bus:
            stream = StreamSpec(
                name="NAIVE", subjects=(f"{SUBJECT}.>",), bytes_max=1 << 30, when_full="drop-oldest"
            )
            await bus.ensure_stream(stream)
            while await mode_of(bus) is not Mode.AUTONOMOUS:
                await asyncio.sleep(0.2)
        secret = (world.secrets / f"{SITE}.password").read_text().strip()
        further = {"naive": (world.nats_url(SITE), "site", secret, SUBJECT, PASSWORD), "echo": ()}
        python = script("python")
        for name in BESIDE:
            child = await start(name, python, HERE / "edge_beside.py", name, *further[name])
            assert child.stdout
            pids[name] = child.pid
            ports[name] = json.loads(await child.stdout.readline())["port"]
        loads = {}
        for name, port in ports.items():
            child = await start(f"load-{name}", python, HERE / "edge_load.py")
            child.stdout._limit = LINE_BYTES_MAX  # type: ignore[union-attr]  2,000 times in one line
            loads[name] = Load(child, port, "/ocpp")
        yield Bench(
            fsync=fsync,
            loads=loads,
            pids=pids,
            nats_pid=nats.pid,
            names=names,
            rest=rest,
            profile=root / "profile.raw",
        )


def _registered(world: World, names: Sequence[str]) -> None:
    salt = b"bench-salt-16byt"
    key = hashlib.scrypt(PASSWORD.encode(), salt=salt, n=2, r=1, p=1)
    stands = {"password_scrypt": f"scrypt$2$1$1${salt.hex()}${key.hex()}"}
    path = world.conf / SITE / "charge-points.json"
    path.write_text(json.dumps(dict.fromkeys(names, stands)))


async def rounds(bench: Bench, arguments: argparse.Namespace, measured: Measured) -> None:
    """The three in turn."""
    servers = ["naive", "ocpp-edge", *([] if bench.fsync else ["echo"])]
    for name in servers:
        how = {} if name == "echo" else {"boot": True, "start": name == "ocpp-edge"}
        await bench.loads[name].connect(bench.names[: max(CONNECTIONS)], at_once=20, **how)
    if arguments.whole_site and bench.fsync:
        for connections in CONNECTIONS:
            await _round(bench, "ocpp-edge", connections, arguments.seconds, measured, WHOLE_SITE)
    await bench.rest.aclose()
    await asyncio.sleep(SETTLE_S)
    for number in range(arguments.rounds):
        for connections in CONNECTIONS:
            for name in servers:
                await _round(bench, name, connections, arguments.seconds, measured)
        say(f"  round {number + 1} of {arguments.rounds}, fsync {'on' if bench.fsync else 'off'}")
    if not bench.fsync:
        for connections in CONNECTIONS:
            measured.profiles.append(await _profile(bench, connections, arguments.seconds))
    for name in servers:
        await bench.loads[name].drop()


async def _profile(bench: Bench, connections: int, seconds: float) -> Profile:
    """A round of its own, that counts for nothing else."""
    pid = bench.pids["ocpp-edge"]
    async with asyncio.TaskGroup() as group:
        looking = group.create_task(samples(pid, seconds, bench.profile))
        found = await bench.loads["ocpp-edge"].run(connections, seconds + 1, (pid,))
    return Profile(connections=connections, cpu_us=found["cpu_us"][0], samples=looking.result())


async def _round(
    bench: Bench, server: str, connections: int, seconds: float, measured: Measured, name: str = ""
) -> None:
    watched = (bench.pids[server], bench.nats_pid)
    for _ in range(TRIES):
        found = await bench.loads[server].run(connections, seconds, watched)
        if found["messages"]:
            break
        say(f"    {server} {connections}: nothing was answered in {seconds:g} s, once more")
    else:
        raise SystemExit(
            f"{server} answers nothing: the disk of this machine is too busy to measure"
        )
    row = Row(
        server=name or server,
        fsync=bench.fsync,
        connections=connections,
        rate=found["messages"] / found["seconds"],
        cpu_us=found["cpu_us"][0],
        nats_cpu_us=found["cpu_us"][1],
        p50_ms=found["p50_ms"],
        p99_ms=found["p99_ms"],
    )
    measured.rounds.append(row)
    say(f"    {row.server} {connections}: {row.rate:.0f}/s, {row.cpu_us:.0f} us")


async def idle(bench: Bench, arguments: argparse.Namespace, measured: Measured) -> None:
    """Connected and booted, and silent: what one more of them costs."""
    load, pid = bench.loads["ocpp-edge"], bench.pids["ocpp-edge"]
    known, more = bench.names[:IDLE_BEFORE], bench.names[IDLE_BEFORE : IDLE_BEFORE + arguments.idle]
    await load.connect(known, boot=True, at_once=20)
    await asyncio.sleep(SETTLE_S)
    before = _rss_kb(pid)
    await load.connect(more, boot=True, at_once=20)
    await asyncio.sleep(SETTLE_S)
    measured.idle, measured.idle_kb = len(more), (_rss_kb(pid) - before) / len(more)
    await load.drop()
    say(f"  idle: {measured.idle_kb:.1f} KB for each of {len(more)}")


async def storms(bench: Bench, arguments: argparse.Namespace, measured: Measured) -> None:
    """All come back in the same moment. Each has been here before: nobody measures the first visit."""
    await bench.rest.aclose()
    names = bench.names[: arguments.storm]
    for server in ("naive", "ocpp-edge"):
        await bench.loads[server].connect(names, boot=True, at_once=50)
        await bench.loads[server].drop()
    for _ in range(arguments.storms):
        for server in ("naive", "ocpp-edge"):
            await asyncio.sleep(SETTLE_S)
            found = await bench.loads[server].connect(names, boot=True)
            times = found["accepted_ms"]
            p50, p99 = (times[int(len(times) * share)] for share in (0.5, 0.99))
            storm = {"accepted": found["connected"], "tries": found["tries"], "p50_ms": p50}
            say(f"    storm {server}: {found['tries']} tries, p50 {p50:.0f} ms, p99 {p99:.0f} ms")
            measured.storms.setdefault(server, []).append(storm | {"p99_ms": p99})
            await bench.loads[server].drop()


async def measure(root: Path, arguments: argparse.Namespace) -> Measured:
    measured = Measured()
    charge_points = max(arguments.storm, IDLE_BEFORE + arguments.idle, *CONNECTIONS)
    only = arguments.only
    for fsync in (False, True) if ROUNDS in only else (False,):
        async with standing(
            root / ("fsync" if fsync else "default"), fsync=fsync, charge_points=charge_points
        ) as bench:
            if IDLE in only and not fsync:
                await idle(bench, arguments, measured)
            if ROUNDS in only:
                await rounds(bench, arguments, measured)
            if STORM in only and not fsync:
                await storms(bench, arguments, measured)
    return measured


def _parts(text: str) -> tuple[str, ...]:
    parts = tuple(text.split(","))
    if not set(parts) <= set(PARTS):
        raise argparse.ArgumentTypeError(f"{text!r}: names of {', '.join(PARTS)}")
    return parts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    parser.add_argument("--seconds", type=float, default=3.0, metavar="S", help="of one of a round")
    parser.add_argument("--storm", type=int, default=2_000, metavar="N", help="charge points")
    parser.add_argument("--storms", type=int, default=2, metavar="N")
    parser.add_argument("--idle", type=int, default=1_000, metavar="N")
    parser.add_argument("--whole-site", action="store_true")
    parser.add_argument(
        "--only", type=_parts, default=PARTS, metavar="PARTS", help=f"of {','.join(PARTS)}"
    )
    parser.add_argument("--world", type=Path, metavar="DIR", help="a new folder that is kept")
    arguments = parser.parse_args()
    if arguments.world:
        arguments.world.mkdir(parents=True)
        measured = asyncio.run(measure(arguments.world, arguments))
        report(measured, arguments)
        return
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-") as folder:
        measured = asyncio.run(measure(Path(folder), arguments))
    report(measured, arguments)


if __name__ == "__main__":
    main()
