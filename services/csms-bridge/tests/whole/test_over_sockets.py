"""Goal: over real sockets, at a CSMS with habits, charge points of 2.x are delivered whole, in order and once.

The simulated CSMS as a process, the bridge's own WebSockets, and the CSMS's ledger read at the end.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from csms_bridge.adapters.upstream_websocket import WebSocketDial
from csms_bridge.config import Config
from holdfast.clock import SystemClock
from holdfast.contracts.command import CommandSettled, Disposition
from holdfast.ocpp.versions import OcppVersion
from holdfast_testkit import facts_2x

V16, V201, V21 = OcppVersion
PATIENCE_S = 30
QUICK = {"retry_ms_min": 20, "retry_ms_max": 200, "give_up_ms": 1_500, "answer_ms": 500}


class Csms:
    """The simulated CSMS, from outside."""

    def __init__(self, process: asyncio.subprocess.Process, ledger: Path) -> None:
        self._process = process
        self._ledger = ledger
        self.events: list[dict[str, Any]] = []

    async def event(self, name: str) -> dict[str, Any]:
        """The next of that name."""
        assert self._process.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            while True:
                said = json.loads(await self._process.stdout.readline())
                self.events.append(said)
                if said["event"] == name:
                    return dict(said)

    def rows(self, statement: str) -> list[dict[str, Any]]:
        with closing(sqlite3.connect(self._ledger)) as db:
            db.row_factory = sqlite3.Row
            return [dict(row) for row in db.execute(statement)]

    def seq_nos(self) -> list[int]:
        rows = self.rows("SELECT seq_no FROM transaction_event ORDER BY n")
        return [row["seq_no"] for row in rows]


@pytest.fixture
def simulated(tmp_path: Path):
    """A function from a configuration to a running CSMS and its port."""

    @asynccontextmanager
    async def starting(**config: Any) -> AsyncIterator[tuple[Csms, int]]:
        file, ledger = tmp_path / "csms.json", tmp_path / "csms.db"
        file.write_text(json.dumps({"tokens": {"D": "Accepted"}} | config))
        words = ("csms", "--listen", "127.0.0.1:0", "--state", str(ledger), "--config", str(file))
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "holdfast_simulators.main",
            *words,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            csms = Csms(process, ledger)
            door = await csms.event("listening")
            yield csms, door["port"]
        finally:
            process.kill()
            await process.wait()

    return starting


@pytest.fixture
def bridged(new_place, tmp_path: Path):
    """A function from the CSMS's port to a place whose bridge speaks to it over WebSockets."""

    @asynccontextmanager
    async def bridging(port: int) -> AsyncIterator[Any]:
        place = await new_place()
        place.clock = SystemClock()
        backend = {"name": "main", "url": f"ws://127.0.0.1:{port}/ocpp"}
        route = {"site": "berlin01", "primary": "main"}
        text = yaml.safe_dump({"backends": [backend], "routes": [route]})
        (tmp_path / "backends.yaml").write_text(text)
        place.dial = WebSocketDial(
            Config(
                scope="cloud",
                nats_url="nats://unused",
                nats_user="unused",
                nats_password_file=tmp_path / "unused",
                data_dir=tmp_path,
                instance="bridge-1",
                backends_file=tmp_path / "backends.yaml",
            )
        )
        place.begin(**QUICK)
        try:
            yield place
        finally:
            await place.kill()

    return bridging


async def until(look: Any) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not look():
            await asyncio.sleep(0.02)


def transaction(version: OcppVersion, last: int) -> list[Any]:
    events = [facts_2x.started(version=version), *map(facts_2x.metered, range(1, last))]
    events.append(facts_2x.stopped(last))
    return [one.model_copy(update={"version": version}) for one in events]


HABITS = {
    "plain": {},
    "slow": {"quirks": {"answer_delay_s": [{"value": 0.1}]}},
    "crashing in the middle of a CALL": {
        "quirks": {"crash_on": [{"action": "TransactionEvent", "count": 3}]}
    },
    "losing answers, and refusing repeated ids": {
        "kind": "steve",
        "quirks": {"lose_answer": [{"action": "TransactionEvent", "count": 1}]},
    },
    "like CitrineOS": {"kind": "citrineos"},
}


@pytest.mark.parametrize("version", [V201, V21])
@pytest.mark.parametrize("habit", list(HABITS))
async def test_a_transaction_is_there_whole_in_order_and_once(simulated, bridged, version, habit):
    async with simulated(**HABITS[habit]) as (csms, port), bridged(port) as place:
        security = facts_2x.said("SecurityEventNotification", version=version)
        security = security.model_copy(update={"raw": '{"type":"X","timestamp":"t"}'})
        await place.record(facts_2x.connected(version), facts_2x.booted(version))
        events = transaction(version, 6)
        await place.record(*events, security)
        await until(lambda: csms.rows("SELECT * FROM said"))
        assert csms.seq_nos() == list(range(7))
        payloads = csms.rows("SELECT payload, version FROM transaction_event ORDER BY n")
        assert [one["payload"] for one in payloads] == [one.raw for one in events]
        assert {one["version"] for one in payloads} == {version.value}
        assert csms.rows("SELECT * FROM failed") == []
        assert csms.rows("SELECT * FROM doubled") == []


async def test_the_csms_s_own_calls_after_a_boot_are_commands_of_the_site(simulated, bridged):
    async with simulated(kind="citrineos") as (csms, port), bridged(port) as place:
        await place.record(facts_2x.connected(), facts_2x.booted(), facts_2x.started())
        for action in ("GetBaseReport", "SetVariables"):
            await until(lambda action=action: any(one.action == action for one in place.commands))
            command = place.commands[-1]
            answer = '{"status":"Accepted"}'
            fact = CommandSettled(
                charge_point=command.charge_point,
                command=command,
                disposition=Disposition.DELIVERED,
                answer=answer,
            )
            await place.record(fact)
            told = await csms.event("answered")
            assert (told["action"], told["result"]) == (action, {"status": "Accepted"})
        await until(lambda: csms.seq_nos() == [0])
