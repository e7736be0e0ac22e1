"""`state` and `changes`: for people, for programs, and where nothing is known."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from holdfast.contracts.charge_point import ChargePointConnected
from holdfast.contracts.command import Command, CommandSettled, Disposition


async def closed(world: Any) -> None:
    now_ms = world.clock.now_ms()
    connected = ChargePointConnected(
        charge_point="CP-01", connection="x", protocol="ocpp1.6", remote="a"
    )
    await world.tell(connected, at_ms=now_ms - 7_200_000)
    for availability, ago_ms in (("Operative", 7_200_000), ("Inoperative", 1_800_000)):
        command = Command(
            id=availability, charge_point="CP-01", action="ChangeAvailability",
            payload={"connectorId": 1, "type": availability}, issued_at_ms=now_ms - ago_ms,
            deadline_ms=now_ms,
        )  # fmt: skip
        fact = CommandSettled(
            charge_point="CP-01", command=command, disposition=Disposition.DELIVERED,
            answer='{"status":"Accepted"}',
        )  # fmt: skip
        await world.tell(fact, at_ms=now_ms - ago_ms)


def at(world: Any, ago_ms: int) -> str:
    """As an argument: virtual time is not the shell's, so an age would be another moment."""
    at_s = (world.clock.now_ms() - ago_ms) // 1000
    return datetime.fromtimestamp(at_s, UTC).isoformat()


async def test_what_stands_at_a_charge_point_and_what_stood(a_monitor):
    async with a_monitor("cloud", closed) as world:
        now = await world.ask("state", "CP-01")
        assert "availability/1" in now.out
        assert "Inoperative" in now.out
        then = await world.ask("state", "CP-01", "--then", at(world, 3_600_000), "--json")
        stood = {one["key"]: one["value"] for one in json.loads(then.out)["state"]}
        assert stood["availability/1"] == "Operative"
        missing = await world.ask("state", "CP-99")
        assert missing.code == 2
        assert "says nothing of charge point 'CP-99'" in missing.err


async def test_which_local_states_changed(a_monitor):
    async with a_monitor("site", closed) as world:
        begin = ("--from", at(world, 3_600_000))
        told = await world.ask("changes", *begin)
        assert told.out.count("availability/1") == 1
        assert "Operative" in told.out
        rows = json.loads((await world.ask("changes", *begin, "--json")).out)["changes"]
        assert [(row["before"], row["after"]) for row in rows] == [("Operative", "Inoperative")]
        none = await world.ask("changes", "--from", at(world, 600_000))
        assert "no local state changed" in none.out
        everything = await world.ask("changes", "--from", at(world, 10_800_000), "--all")
        assert "connection/state" in everything.out
        undisturbed = await world.ask("changes")
        assert "there was none: give ?from= and ?to=" in undisturbed.err
