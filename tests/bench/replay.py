"""How fast a backlog goes up: the shipped csms-bridge, a real nats-server, a simulated CSMS, each a process.

    python tests/bench/replay.py [--events 100000] [--charge-points 50] [--rounds 1]

A day of 50 charge points lies in CLOUD_JOURNAL. Measured: from the moment the bridge has claimed the site until
it answers that the CSMS has everything; and, before and after in the same run, one client that reads the same
stream and throws it away. What counts is the ratio of the two and the CPU per message: wall rates move with
the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sqlite3
import statistics
import tempfile
import time
from asyncio.subprocess import PIPE
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

from children import process, say, script

from holdfast import rpc, subjects
from holdfast.bus import RequestFailed, ServerBus
from holdfast.contracts.charge_point import ChargePointBooted, ChargePointConnected
from holdfast.contracts.csms import CaughtUp, CaughtUpRequest
from holdfast.contracts.decision import Basis
from holdfast.contracts.driver_tokens import TokenStatus
from holdfast.contracts.envelope import Envelope, Fact, body_of
from holdfast.contracts.session import (
    Reading,
    SessionMetered,
    SessionStarted,
    SessionStopped,
    session_key,
)
from holdfast_cli.provision.streams import CLOUD_STREAMS
from holdfast_testkit.nats_server import SECRET, single_server

SITE, LIFE = "berlin01", "aaaaaaaa"
METERS = 18
"""Per session: twenty messages each, a quarter of an hour apart they are a night's charging."""
AT_MS = 1_790_000_000_000
IN_FLIGHT = 256
REPORT = Path("build/bench/replay.json")
CLAIMED_WITHIN_S = 60
CAUGHT_UP_WITHIN_S = 1_800
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Round:
    events: int
    replay_s: float
    raw_s: float
    bridge_cpu_us: float
    """Per message, user and system."""
    delivered: int

    @property
    def rate(self) -> float:
        return self.events / self.replay_s

    @property
    def raw_rate(self) -> float:
        return self.events / self.raw_s


def backlog(charge_points: int, events: int) -> Iterator[Fact]:
    """Sessions of all charge points, interleaved as they would be."""
    names = [f"CP-{number:03d}" for number in range(1, charge_points + 1)]
    for name in names:
        yield ChargePointConnected(
            charge_point=name, connection=name, protocol="ocpp1.6", remote="10.0.0.1:1"
        )
        yield ChargePointBooted(
            charge_point=name,
            message_id="b",
            vendor="Holdfast",
            model="Bench",
            serial=None,
            firmware=None,
            status="Accepted",
            raw='{"chargePointVendor":"Holdfast","chargePointModel":"Bench"}',
        )
    local, made = 0, 2 * charge_points
    while made < events:
        first = local + 1
        local += charge_points
        for step in range(METERS + 2):
            for index, name in enumerate(names):
                if made >= events and step == 0:
                    return
                yield _of_session(name, first + index, step)
                made += 1


def _of_session(charge_point: str, local: int, step: int) -> Fact:
    at, key = f"2026-09-21T14:{step:02d}:00Z", session_key(charge_point, local)
    if step == 0:
        return SessionStarted(
            charge_point=charge_point,
            connector=1,
            session=key,
            transaction_id=local,
            driver_token="DRIVER-01",
            meter_start_wh=local,
            at=at,
            status=TokenStatus.ACCEPTED,
            basis=Basis.LIST,
            flagged=False,
            decision="d",
            message_id="m",
            raw=f'{{"connectorId":1,"idTag":"DRIVER-01","meterStart":{local},"timestamp":"{at}"}}',
        )
    if step == METERS + 1:
        return SessionStopped(
            charge_point=charge_point,
            session=key,
            transaction_id=local,
            meter_stop_wh=local + step,
            at=at,
            reason="Local",
            message_id="m",
            raw=f'{{"transactionId":{local},"meterStop":{local + step},"timestamp":"{at}","reason":"Local"}}',
        )
    value = f'{{"value":"{local + step}","measurand":"Energy.Active.Import.Register","unit":"Wh"}}'
    return SessionMetered(
        charge_point=charge_point,
        connector=1,
        session=key,
        transaction_id=local,
        readings=(Reading(at=at, energy_wh=local + step),),
        message_id="m",
        raw=f'{{"connectorId":1,"transactionId":{local},"meterValue":[{{"timestamp":"{at}","sampledValue":[{value}]}}]}}',
    )


async def fill(bus: ServerBus, charge_points: int, events: int) -> int:
    """The last sequence."""
    room = asyncio.Semaphore(IN_FLIGHT)
    seq = 0

    async def append(seq: int, fact: Fact) -> None:
        envelope = Envelope(
            id=f"e{seq}",
            type=fact.TYPE,
            at_ms=AT_MS + seq,
            site=SITE,
            incarnation=LIFE,
            source="bench",
            body=body_of(fact),
        )
        subject = subjects.cloud_journal(SITE, subjects.journal(SITE, *fact.topic()))
        headers = {"Hf-Site": SITE, "Hf-Incarnation": LIFE, "Hf-Seq": str(seq)}
        try:
            await bus.append(
                subjects.CLOUD_JOURNAL,
                subject,
                envelope.to_bytes(),
                id=f"{SITE}.{LIFE}.{seq}",
                headers=headers,
            )
        finally:
            room.release()

    async with asyncio.TaskGroup() as group:
        for fact in backlog(charge_points, events):
            seq += 1
            await room.acquire()
            group.create_task(append(seq, fact))
            if seq % 10_000 == 0:
                say(f"  {seq} of {events} events stored")
    return seq


async def read_raw(bus: ServerBus, last_seq: int) -> float:
    """Seconds to read the stream once, and do nothing with it."""
    begun = time.perf_counter()
    async with aclosing(bus.follow(subjects.CLOUD_JOURNAL)) as messages:
        async for message in messages:
            if message.seq >= last_seq:
                break
    return time.perf_counter() - begun


async def one_round(folder: Path, charge_points: int, events: int) -> Round:
    async with single_server(folder) as server, server.connect() as bus:
        for spec in CLOUD_STREAMS:
            await bus.ensure_stream(spec)
        say("filling CLOUD_JOURNAL ...")
        last_seq = await fill(bus, charge_points, events)
        raw = [await read_raw(bus, last_seq)]
        ledger = folder / "csms.sqlite"
        (folder / "csms.json").write_text(json.dumps({"unknown_token": "Accepted"}))
        csms = process(
            script("holdfast-sim"), "csms", "--listen", "127.0.0.1:0", "--state", ledger,
            "--config", folder / "csms.json", "--no-wire-log", "--quiet",
            stdin=PIPE, log=folder / "csms.log",
        )  # fmt: skip
        async with csms as peer:
            assert peer.stdout is not None
            port = json.loads(await peer.stdout.readline())["port"]
            bridge = process(
                script("csms-bridge"), "--config", _config(folder, server.url, port),
                log=folder / "bridge.log",
            )  # fmt: skip
            async with bridge as child:
                replay_s = await _until_caught_up(bus, last_seq)
                cpu_s = _cpu_s(child.pid)
        raw.append(await read_raw(bus, last_seq))
    with sqlite3.connect(ledger) as db:
        (whole,) = db.execute(
            "select count(*) from transactions where meter_stop is not null"
        ).fetchone()
        (meters,) = db.execute("select count(*) from meter_value").fetchone()
    delivered = 2 * whole + meters
    return Round(last_seq, replay_s, statistics.median(raw), cpu_s / last_seq * 1e6, delivered)


def _config(folder: Path, url: str, csms_port: int) -> Path:
    (folder / "password").write_text(SECRET)
    (folder / "backends.yaml").write_text(
        f"backends:\n  - {{name: main, url: 'ws://127.0.0.1:{csms_port}/ocpp', deduplicates_starts: true}}\n"
        f"routes:\n  - {{site: {SITE}, primary: main}}\n"
    )
    path = folder / "bridge.toml"
    path.write_text(
        f'scope = "cloud"\nnats_url = "{url}"\nnats_user = "cloud"\n'
        f'nats_password_file = "{folder / "password"}"\ndata_dir = "{folder}"\n'
        f'instance = "bench"\nbackends_file = "{folder / "backends.yaml"}"\n'
    )
    return path


async def _until_caught_up(bus: ServerBus, last_seq: int) -> float:
    """From the claim of the site on; what comes before is start-up and lease."""
    asked = CaughtUpRequest(incarnation=LIFE, seq=last_seq)
    begun: float | None = None
    ends = time.perf_counter() + CLAIMED_WITHIN_S
    told = time.perf_counter()
    while True:
        try:
            said = await rpc.call(bus, subjects.up(SITE, "csms"), asked, CaughtUp, timeout_ms=5_000)
        except RequestFailed as error:
            if time.perf_counter() > ends:
                raise SystemExit(f"the bridge did not claim its site: {error}") from error
        else:
            if begun is None:
                begun = time.perf_counter()
                ends = begun + CAUGHT_UP_WITHIN_S
            if said.read and said.behind_count == 0:
                return time.perf_counter() - begun
            if time.perf_counter() - told > 5:
                told = time.perf_counter()
                say(
                    f"  {said.behind_count} charge points behind, {said.waiting} messages in memory"
                )
            if time.perf_counter() > ends:
                raise SystemExit(f"not caught up within {CAUGHT_UP_WITHIN_S} s: {said}")
        await asyncio.sleep(0.05)


def _cpu_s(pid: int) -> float:
    """User and system time of the process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=100_000, metavar="N")
    parser.add_argument("--charge-points", type=int, default=50, metavar="N")
    parser.add_argument("--rounds", type=int, default=1, metavar="N")
    arguments = parser.parse_args()
    rounds = []
    for number in range(1, arguments.rounds + 1):
        say(f"round {number} of {arguments.rounds}")
        with tempfile.TemporaryDirectory(prefix="holdfast-bench-") as folder:
            rounds.append(
                asyncio.run(one_round(Path(folder), arguments.charge_points, arguments.events))
            )
    report(rounds, arguments.charge_points)


def report(rounds: list[Round], charge_points: int) -> None:
    middle = sorted(rounds, key=lambda one: one.replay_s)[len(rounds) // 2]
    ratio = middle.rate / middle.raw_rate
    print(f"\nReplay of {middle.events} events of {charge_points} charge points to one CSMS\n")
    print(f"  delivered and answered   {middle.delivered} transactional messages")
    print(f"  until the CSMS has all   {middle.replay_s:8.1f} s  {middle.rate:8.0f} events/s")
    print(f"  reading the stream raw   {middle.raw_s:8.1f} s  {middle.raw_rate:8.0f} events/s")
    print(f"  ratio replay to raw      {ratio:8.3f}")
    print(f"  CPU of the bridge        {middle.bridge_cpu_us:8.0f} us per event")
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    document = {
        "rounds": [
            {
                "events": one.events,
                "charge_points": charge_points,
                "delivered": one.delivered,
                "replay_s": round(one.replay_s, 3),
                "raw_s": round(one.raw_s, 3),
                "bridge_cpu_us_per_event": round(one.bridge_cpu_us, 1),
            }
            for one in rounds
        ],
        "ratios": {"replay_to_raw": round(ratio, 4)},
    }
    REPORT.write_text(json.dumps(document, indent=2) + "\n")
    print(f"\nreport: {REPORT}")


if __name__ == "__main__":
    main()
