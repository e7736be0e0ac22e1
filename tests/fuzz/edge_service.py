"""The frames of `edge_frames.py` against the shipped process on a real nats-server, an honest charge point beside.

    python tests/fuzz/edge_service.py [--frames 1000000 | --seconds S] [--seed N] [--p99-ms 250] [--as-shipped]

Goal G16: no crash, RSS of ocpp-edge grows by less than 20 MB, the honest one's p99 stays below 250 ms. Hostile are six
charge points, two of each version, without a bound on their rate (`--as-shipped`: with it). Each sends a few frames
and then a Heartbeat, whose answer says that the frames before it were dealt with. A provisioned site as it ships, but
for fsync.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from asyncio.subprocess import Process
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import CloseCode
from websockets.typing import Subprotocol

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a program, too
sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))

from authorise import bus_of, mode_of
from children import process, script

from fuzz.edge_frames import Maker
from fuzz.memory import Memory
from holdfast.contracts.mode import Mode
from holdfast.ocpp.versions import OcppVersion
from holdfast.passwords import hash_password
from holdfast_cli.nats_server import find
from holdfast_cli.provision.layout import World
from holdfast_cli.provision.rules import default_rules_text
from holdfast_cli.provision.step import provision

SITE = "berlin01"
PASSWORD = "fuzz-password-of-all"
ROUND = 50
WARM_AFTER = 100_000
"""Frames: by then what is remembered per charge point is full, and every schema compiled."""
TOLD_EVERY = 100_000
WITHIN_S = 120
HONEST_EVERY_S = 0.05


@dataclass
class Run:
    memory: Memory
    frames_max: int
    until_s: float
    frames: int = 0
    sent_away: int = 0
    waited_ms: list[float] = field(default_factory=list)

    @property
    def is_over(self) -> bool:
        return self.frames >= self.frames_max or time.monotonic() >= self.until_s

    def dealt_with(self, count: int) -> None:
        """Raise Grew."""
        self.frames += count
        if self.frames >= WARM_AFTER:
            self.memory.look()
        if self.frames % TOLD_EVERY < count:
            print(f"{self.frames} frames; {self.memory}", file=sys.stderr, flush=True)


@asynccontextmanager
async def standing(
    root: Path, names: list[str], *, as_shipped: bool
) -> AsyncIterator[tuple[World, Process]]:
    world, _ = provision(root, sites=(SITE,), charge_points=1, rules_text=default_rules_text())
    entry = {"password_scrypt": hash_password(PASSWORD), "password_random": True}
    registry = world.conf / SITE / "charge-points.json"
    registry.write_text(json.dumps(dict.fromkeys(names, entry)))
    config = world.config(SITE, "ocpp-edge")
    if not as_shipped:
        unbounded = "frames_per_s = 1000000\nauthorize_per_min = 1000000\n"
        config.write_text(config.read_text() + unbounded)
    conf = world.nats_conf(SITE)
    conf.write_text(conf.read_text().replace(", sync_interval: always", ""))
    logs = root / "logs"
    logs.mkdir(exist_ok=True)
    async with AsyncExitStack() as stack:

        async def start(name: str, *command: str | Path) -> Process:
            return await stack.enter_async_context(process(*command, log=logs / f"{name}.log"))

        await start("nats", find(), "-c", world.nats_conf(SITE))
        for service in ("journal", "mode-manager", "rule-service"):
            await start(service, script(service), "--config", world.config(SITE, service))
        edge = await start("ocpp-edge", script("ocpp-edge"), "--config", config)
        async with bus_of(world) as bus, asyncio.timeout(WITHIN_S):
            while await mode_of(bus) is not Mode.AUTONOMOUS:
                await asyncio.sleep(0.2)
            while not await is_listening(world):
                await asyncio.sleep(0.2)
        yield world, edge


async def is_listening(world: World) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", world.port(f"{SITE}.ocpp"))
    except OSError:
        return False
    writer.close()
    return True


def dial(world: World, name: str, version: OcppVersion) -> connect:
    credentials = b64encode(f"{name}:{PASSWORD}".encode()).decode()
    return connect(
        f"ws://127.0.0.1:{world.port(f'{SITE}.ocpp')}/ocpp/{name}",
        subprotocols=[Subprotocol(version.subprotocol)],
        additional_headers={"Authorization": f"Basic {credentials}"},
        compression=None,
        max_size=None,
        proxy=None,
    )


async def asked(client: ClientConnection, id: str) -> None:
    """Whatever else is answered before."""
    await client.send(f'[2,"{id}","Heartbeat",{{}}]')
    async with asyncio.timeout(WITHIN_S):
        while True:
            answer = json.loads(await client.recv())
            if answer[1] == id and answer[0] == 3:
                return


async def hostile(world: World, name: str, version: OcppVersion, seed: int, run: Run) -> None:
    """Over as many connections as it takes: one is closed where the journal takes too long, and for nothing else."""
    maker, number = Maker(version, seed), 0
    while not run.is_over:
        try:
            async with dial(world, name, version) as client:
                while not run.is_over:
                    for _ in range(ROUND):
                        await client.send(maker.frame(number))
                        number += 1
                    await asked(client, f"alive-{number}")
                    run.dealt_with(ROUND)
        except ConnectionClosed as closed:
            if closed.rcvd is None or closed.rcvd.code != CloseCode.GOING_AWAY:
                raise
            run.sent_away += 1
        except InvalidStatus as refused:
            if refused.response.status_code != HTTPStatus.SERVICE_UNAVAILABLE:
                raise
            await asyncio.sleep(1)


async def honest(world: World, run: Run) -> None:
    async with dial(world, "honest", OcppVersion.V16) as client:
        number = 0
        while not run.is_over:
            number += 1
            begun_s = time.perf_counter()
            await asked(client, f"h{number}")
            run.waited_ms.append((time.perf_counter() - begun_s) * 1_000)
            await asyncio.sleep(HONEST_EVERY_S)


async def play(root: Path, run_of: argparse.Namespace, seed: int) -> Run:
    versions = [version for version in OcppVersion for _ in range(2)]
    names = [f"hostile-{number}" for number in range(len(versions))]
    async with standing(root, [*names, "honest"], as_shipped=run_of.as_shipped) as (world, edge):
        seconds = run_of.seconds or float("inf")
        run = Run(Memory(edge.pid), run_of.frames, time.monotonic() + seconds)
        async with asyncio.TaskGroup() as group:
            group.create_task(honest(world, run))
            for number, (name, version) in enumerate(zip(names, versions, strict=True)):
                group.create_task(hostile(world, name, version, seed + number, run))
        assert edge.returncode is None, "ocpp-edge has ended"
    log = (root / "logs" / "ocpp-edge.log").read_text()
    assert "a fault of ours" not in log, "see the log: a fault of ours"
    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=1_000_000, metavar="N")
    parser.add_argument("--seconds", type=float, default=None)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--p99-ms", type=float, default=250, help="of the honest one")
    parser.add_argument("--as-shipped", action="store_true", help="with the bounds on rates")
    arguments = parser.parse_args()
    seed = random.randrange(1 << 32) if arguments.seed is None else arguments.seed
    print(f"seed {seed}", flush=True)
    begun_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="holdfast-fuzz-") as folder:
        run = asyncio.run(play(Path(folder), arguments, seed))
    waited = sorted(run.waited_ms)
    p50, p99 = (waited[int(len(waited) * share)] for share in (0.5, 0.99))
    print(
        f"{run.frames} frames in {time.monotonic() - begun_s:.0f} s, no crash, "
        f"sent away {run.sent_away} times for the journal's sake; "
        f"ocpp-edge: {run.memory}; "
        f"honest: {len(waited)} answers, p50 {p50:.1f} ms, p99 {p99:.1f} ms"
    )
    if p99 > arguments.p99_ms:
        sys.exit(f"p99 is above {arguments.p99_ms:g} ms")


if __name__ == "__main__":
    main()
