"""How long a driver waits at a site that is cut off: Authorize and StartTransaction, from frame to answer.

    python tests/bench/authorise.py [--charge-points 100] [--visits 2000] [--every 5] [--tokens 10000]

A provisioned site as it ships (real nats-server that fsyncs before it acknowledges, every service a process of its
own) and no cloud: autonomous. Each charge point has a socket of its own; a visit is Authorize, StartTransaction,
StopTransaction. Beside it, in the same seconds, one client appends to a stream of the same server and waits: the
bare round trip to the disk, without which no decision can be answered. What counts is the ratio of the two: wall
times move with the machine. Then all charge points ask in the same moment, as after a power cut.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import itertools
import json
import os
import platform
import random
import tempfile
import time
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from children import process, say, script
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from holdfast import rpc, subjects
from holdfast.bus import BusError, ServerBus, StreamSpec
from holdfast.contracts.driver_tokens import DriverTokenList, ListedToken
from holdfast.contracts.mode import Mode, ModeStatus
from holdfast.contracts.rpc import Empty
from holdfast.nats_bus import ServerUnusable, open_bus
from holdfast_cli.nats_server import find
from holdfast_cli.provision.layout import World
from holdfast_cli.provision.rules import default_rules_text
from holdfast_cli.provision.step import provision

SITE = "berlin01"
SEED = 4
REPORT = Path("build/bench/authorise.json")
UP_WITHIN_S = 60
ANSWER_WITHIN_S = 30
RAW_EVERY_S = 0.05
RAW_SUBJECT = "bench.raw"
RAW_BYTES = 1_000
"""About what a decision is."""
AT = "2026-09-21T14:00:00Z"
ACTIONS = ("Authorize", "StartTransaction")


@dataclass
class Measured:
    """Milliseconds, by what was waited for."""

    steady: dict[str, list[float]] = field(default_factory=lambda: {it: [] for it in ACTIONS})
    burst: list[float] = field(default_factory=list)
    raw: list[float] = field(default_factory=list)
    refused: int = 0


class ChargePoint:
    def __init__(self, identity: str, socket: ClientConnection) -> None:
        self.identity = identity
        self._socket = socket
        self._ids = itertools.count(1)

    async def call(self, action: str, **payload: Any) -> tuple[dict[str, Any], float]:
        """The answer, and how many milliseconds it took."""
        id = f"{self.identity}-{next(self._ids)}"
        frame = json.dumps([2, id, action, payload])
        begun = time.perf_counter()
        await self._socket.send(frame)
        async with asyncio.timeout(ANSWER_WITHIN_S):
            while True:
                kind, answered, *rest = json.loads(await self._socket.recv())
                took_ms = (time.perf_counter() - begun) * 1_000
                if kind == 3 and answered == id:
                    return rest[0], took_ms
                if kind == 2:  # the site asks something of its own: none of it is measured
                    await self._socket.send(json.dumps([3, answered, {"status": "Accepted"}]))
                else:
                    raise SystemExit(f"{self.identity}: {action} was answered {kind} {rest}")

    async def visit(self, token: str, meter_wh: int, measured: Measured) -> None:
        said, took_ms = await self.call("Authorize", idTag=token)
        measured.steady["Authorize"].append(took_ms)
        measured.refused += said["idTagInfo"]["status"] != "Accepted"
        said, took_ms = await self.call(
            "StartTransaction", connectorId=1, idTag=token, meterStart=meter_wh, timestamp=AT
        )
        measured.steady["StartTransaction"].append(took_ms)
        measured.refused += said["idTagInfo"]["status"] != "Accepted"
        stop = {"transactionId": said["transactionId"], "meterStop": meter_wh + 1, "timestamp": AT}
        await self.call("StopTransaction", **stop)


@asynccontextmanager
async def site_alone(root: Path, charge_points: int, tokens: int) -> AsyncIterator[World]:
    """Its server and every service of it; no cloud is there."""
    world, _ = provision(
        root, sites=(SITE,), charge_points=charge_points, rules_text=default_rules_text()
    )
    listed = tuple(ListedToken(driver_token=_token(number)) for number in range(tokens))
    path = world.conf / "driver-tokens.json"
    path.write_bytes(DriverTokenList(version=1, tokens=listed).to_bytes())
    logs = root / "logs"
    logs.mkdir(exist_ok=True)
    async with AsyncExitStack() as stack:

        async def start(name: str, *command: str | Path) -> None:
            child = process(*command, stdout=DEVNULL, log=logs / f"{name}.log")
            await stack.enter_async_context(child)

        await start("nats", find(), "-c", world.nats_conf(SITE))
        for service in world.services(SITE):
            await start(service, script(service), "--config", world.config(SITE, service))
        yield world


def _token(number: int) -> str:
    return f"TOKEN-{number:06d}"


@asynccontextmanager
async def bus_of(world: World) -> AsyncIterator[ServerBus]:
    password = (world.secrets / f"{SITE}.password").read_text().strip()
    give_up = time.perf_counter() + UP_WITHIN_S
    while True:
        try:
            async with open_bus(
                world.nats_url(SITE), user="site", password=password, name="bench"
            ) as bus:
                yield bus
                return
        except ServerUnusable:
            if time.perf_counter() > give_up:
                raise
            await asyncio.sleep(0.2)


async def mode_of(bus: ServerBus) -> Mode:
    subject = subjects.rpc(SITE, "mode")
    give_up = time.perf_counter() + UP_WITHIN_S
    while True:
        try:
            return (await rpc.call(bus, subject, Empty(), ModeStatus, timeout_ms=1_000)).mode
        except BusError:
            if time.perf_counter() > give_up:
                raise
            await asyncio.sleep(0.2)


async def plugged(world: World, identity: str, password: str) -> ChargePoint:
    """Connected, booted and served: tried until the site is up."""
    pair = base64.b64encode(f"{identity}:{password}".encode()).decode()
    give_up = time.perf_counter() + UP_WITHIN_S
    while True:
        try:
            socket = await connect(
                f"{world.ocpp_url(SITE)}/{identity}",
                subprotocols=[Subprotocol("ocpp1.6")],
                additional_headers={"Authorization": f"Basic {pair}"},
                compression=None,
                proxy=None,
                open_timeout=UP_WITHIN_S,
            )
            break
        except OSError:
            if time.perf_counter() > give_up:
                raise
            await asyncio.sleep(0.2)
    charge_point = ChargePoint(identity, socket)
    await charge_point.call("BootNotification", chargePointVendor="Holdfast", chargePointModel="B")
    await charge_point.call(
        "StatusNotification", connectorId=1, status="Available", errorCode="NoError"
    )
    return charge_point


async def steady(
    charge_points: Sequence[ChargePoint], visits: int, every_s: float, measured: Measured
) -> None:
    """Drivers come independently of each other, each charge point one every `every_s` on average."""
    each = max(1, visits // len(charge_points))

    async def drivers(number: int, charge_point: ChargePoint) -> None:
        rng = random.Random(f"{SEED} {charge_point.identity}")
        for visit in range(each):
            await asyncio.sleep(rng.expovariate(1 / every_s))
            token = _token(number + visit * len(charge_points))
            await charge_point.visit(token, visit, measured)

    async with asyncio.TaskGroup() as group:
        for number, charge_point in enumerate(charge_points):
            group.create_task(drivers(number, charge_point))


async def burst(charge_points: Sequence[ChargePoint], measured: Measured) -> None:
    """All in the same moment."""

    async def ask(number: int, charge_point: ChargePoint) -> None:
        _, took_ms = await charge_point.call("Authorize", idTag=_token(number))
        measured.burst.append(took_ms)

    async with asyncio.TaskGroup() as group:
        for number, charge_point in enumerate(charge_points):
            group.create_task(ask(number, charge_point))


async def append_raw(bus: ServerBus, measured: Measured) -> None:
    """For ever."""
    data = b"x" * RAW_BYTES
    for number in itertools.count():
        begun = time.perf_counter()
        await bus.append("BENCH", RAW_SUBJECT, data, id=f"raw-{number}")
        measured.raw.append((time.perf_counter() - begun) * 1_000)
        await asyncio.sleep(RAW_EVERY_S)


async def measure(root: Path, arguments: argparse.Namespace) -> Measured:
    measured = Measured()
    async with (
        site_alone(root, arguments.charge_points, arguments.tokens) as world,
        bus_of(world) as bus,
    ):
        await bus.ensure_stream(
            StreamSpec(
                name="BENCH", subjects=(RAW_SUBJECT,), bytes_max=1 << 28, when_full="drop-oldest"
            )
        )
        secrets = json.loads((world.secrets / f"{SITE}.charge-points.json").read_text())
        say(f"connecting {len(secrets)} charge points ...")
        charge_points = [await plugged(world, *pair) for pair in secrets.items()]
        # The first driver waits until the site is up; nobody measures that.
        await charge_points[0].call("Authorize", idTag=_token(0))
        if await mode_of(bus) is not Mode.AUTONOMOUS:
            raise SystemExit("the site is not autonomous: nothing that counts can be measured")
        say(f"{arguments.visits} visits ...")
        async with asyncio.TaskGroup() as group:
            beside = group.create_task(append_raw(bus, measured))
            await steady(charge_points, arguments.visits, arguments.every, measured)
            beside.cancel()
        await burst(charge_points, measured)
        if await mode_of(bus) is not Mode.AUTONOMOUS:
            raise SystemExit("the site did not stay autonomous: nothing that counts was measured")
    return measured


def figures(times_ms: Sequence[float]) -> dict[str, float]:
    ordered = sorted(times_ms)

    def at(share: float) -> float:
        return round(ordered[min(len(ordered) - 1, int(len(ordered) * share))], 1)

    return {"count": len(ordered), "p50": at(0.5), "p99": at(0.99), "max": round(ordered[-1], 1)}


def machine() -> str:
    model = ""
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = (line.partition(":") for line in info.read_text().splitlines())
        model = next(
            (value.strip() for name, _, value in lines if name.strip() == "model name"), ""
        )
    return f"{os.cpu_count()} cores {model or platform.machine()}, load {os.getloadavg()[0]:.1f}"


def report(measured: Measured, arguments: argparse.Namespace) -> None:
    rows = {
        **{action: figures(times) for action, times in measured.steady.items()},
        "all at once": figures(measured.burst),
        "bare append": figures(measured.raw),
    }
    bare = rows["bare append"]
    print(
        f"\nAutonomous site, {arguments.charge_points} charge points, {arguments.tokens} driver tokens listed, "
        f"a driver at each every {arguments.every:g} s\n{machine()}\n"
    )
    print(f"  {'milliseconds':<18}{'count':>8}{'p50':>8}{'p99':>8}{'max':>8}{'p50 to bare':>14}")
    for name, row in rows.items():
        ratio = row["p50"] / bare["p50"] if bare["p50"] else 0.0
        print(
            f"  {name:<18}{row['count']:>8.0f}{row['p50']:>8.1f}{row['p99']:>8.1f}{row['max']:>8.1f}{ratio:>14.1f}"
        )
    print(f"\n  target: Authorize p99 <= 100 ms; refused: {measured.refused} (expected none)")
    document = {
        "machine": machine(),
        "charge_points": arguments.charge_points,
        "driver_tokens": arguments.tokens,
        "every_s": arguments.every,
        "milliseconds": rows,
        "ratios_to_bare_append": {
            name: {of: round(row[of] / bare[of], 2) for of in ("p50", "p99") if bare[of]}
            for name, row in rows.items()
            if name != "bare append"
        },
        "refused": measured.refused,
        "target": {"Authorize_p99_ms": 100, "met": rows["Authorize"]["p99"] <= 100},
    }
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(json.dumps(document, indent=2) + "\n")
    print(f"\nreport: {REPORT}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--charge-points", type=int, default=100, metavar="N")
    parser.add_argument("--visits", type=int, default=2_000, metavar="N", help="of all together")
    parser.add_argument("--every", type=float, default=5.0, metavar="S")
    parser.add_argument("--tokens", type=int, default=10_000, metavar="N")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-") as folder:
        measured = asyncio.run(measure(Path(folder) / "world", arguments))
    report(measured, arguments)


if __name__ == "__main__":
    main()
