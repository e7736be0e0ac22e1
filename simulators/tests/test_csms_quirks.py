"""Goal: each quirk of the simulated central system does what its name says, and calm ends it.

Method: the shipped process, a real websockets client as the station, and the ledger read beside it.
"""

from __future__ import annotations

import asyncio
import time

import pytest
from websockets.exceptions import InvalidStatus

SILENCE_S = 0.3
PATIENCE_S = 60
FIRST_ID = 1_000_001
BOOT = {"chargePointVendor": "Holdfast", "chargePointModel": "Simulated"}
START = {"connectorId": 1, "idTag": "GOOD", "meterStart": 7, "timestamp": "2026-01-01T00:00:00Z"}
METER = {"connectorId": 1, "transactionId": FIRST_ID, "meterValue": []}
STOP = {"transactionId": FIRST_ID, "meterStop": 9, "timestamp": "2026-01-01T01:00:00Z"}


async def test_an_answer_is_delayed_for_one_action_only(central, plugged):
    async with central() as (program, port), plugged(port) as cp:
        await program.quirk("answer_delay_s", value=3, action="Heartbeat")
        begun_s = time.monotonic()
        slow = await cp.send("Heartbeat", {})
        assert "idTagInfo" in await cp.call("Authorize", {"idTag": "GOOD"}), "it overtakes"
        assert await cp.answer_to(slow)
        assert time.monotonic() - begun_s >= 3
        await program.quirk("answer_delay_s", value=0, action="Heartbeat")
        assert (await program.ask("status", "status"))["quirks"] == {}


async def test_a_lost_answer_leaves_the_transaction_there(central, kept, plugged):
    async with central() as (program, port), plugged(port) as cp, plugged(port, "CP-2") as other:
        await program.quirk("lose_answer", action="StartTransaction", charge_point="CP-1")
        assert (await other.call("StartTransaction", START))["transactionId"] == FIRST_ID
        await cp.hears_nothing("StartTransaction", START)
        await program.event("quirk", did="happened", name="lose_answer", charge_point="CP-1")
        async with asyncio.timeout(PATIENCE_S):
            while len(kept("SELECT * FROM transactions")) < 2:
                await asyncio.sleep(0.01)
        assert (await cp.call("StartTransaction", START))["transactionId"] == FIRST_ID + 1
        assert len(kept("SELECT * FROM transactions")) == 2


async def test_a_crash_tears_the_socket_after_the_commit(central, kept, plugged):
    async with central() as (program, port):
        await program.quirk("crash_on", action="StartTransaction", count=1)
        async with plugged(port) as cp:
            await cp.send("StartTransaction", START)
            await cp.ends()
        assert len(kept("SELECT * FROM transactions")) == 1
        async with plugged(port) as cp:
            assert (await cp.call("StartTransaction", START))["transactionId"] == FIRST_ID


async def test_a_callerror_is_answered_as_often_as_said_and_nothing_is_kept(central, kept, plugged):
    quirks = {"callerror": [{"action": "StartTransaction", "count": 2, "code": "GenericError"}]}
    async with central(quirks=quirks) as (program, port), plugged(port) as cp:
        assert await cp.call("StartTransaction", START) == "GenericError"
        assert await cp.call("StartTransaction", START) == "GenericError"
        assert kept("SELECT * FROM transactions") == []
        await program.quirk("callerror", count="always", containing='"POISON"')
        assert "transactionId" in await cp.call("StartTransaction", START)
        for _ in range(3):
            assert await cp.call("Authorize", {"idTag": "POISON"}) == "InternalError"
        await program.quirk("callerror", count=0, containing='"POISON"')
        assert "idTagInfo" in await cp.call("Authorize", {"idTag": "POISON"})


async def test_an_ignored_call_is_neither_kept_nor_answered(central, kept, plugged):
    async with central() as (program, port), plugged(port) as cp:
        await program.quirk("ignore", action="StartTransaction")
        await cp.hears_nothing("StartTransaction", START)
        assert kept("SELECT * FROM transactions") == []
        assert "transactionId" in await cp.call("StartTransaction", START)


async def test_in_a_black_hole_sockets_stay_open_and_nothing_is_answered(central, plugged, station):
    async with central() as (program, port), plugged(port) as cp:
        await cp.call("Heartbeat", {})
        await program.quirk("black_hole")
        asked = await cp.send("Heartbeat", {})
        ponged = await cp.socket.ping()
        with pytest.raises(TimeoutError):
            await cp.answer_to(asked, SILENCE_S)
        assert not ponged.done()
        with pytest.raises(TimeoutError):
            await station(port, "CP-2", open_timeout=SILENCE_S)
        await program.ask("calm", "quirk", did="calm")
        assert await cp.answer_to(asked)
        await ponged
        async with plugged(port, "CP-2") as other:
            assert await other.call("Heartbeat", {})


async def test_it_may_begin_as_a_black_hole(central, station, plugged):
    async with central(quirks={"black_hole": True}) as (program, port):
        with pytest.raises(TimeoutError):
            await station(port, open_timeout=SILENCE_S)
        await program.quirk("black_hole", value=False)
        async with plugged(port) as cp:
            assert await cp.call("Heartbeat", {})


async def test_boot_is_answered_by_charge_point(central, plugged):
    async with central() as (program, port), plugged(port) as cp, plugged(port, "CP-2") as other:
        await program.quirk("boot_status", charge_point="CP-1", status="Pending", interval_s=7)
        said = await cp.call("BootNotification", BOOT)
        assert (said["status"], said["interval"]) == ("Pending", 7)
        assert (await other.call("BootNotification", BOOT))["status"] == "Accepted"
        await program.quirk("boot_status", status="Rejected")
        assert (await cp.call("BootNotification", BOOT))["status"] == "Rejected"


@pytest.mark.parametrize("code", [401, 404])
async def test_a_handshake_is_refused_by_charge_point(central, code, plugged, station):
    async with central() as (program, port):
        await program.quirk("refuse_handshake", charge_point="CP-1", code=code)
        with pytest.raises(InvalidStatus, match=str(code)):
            await station(port)
        async with plugged(port, "CP-2") as other:
            assert await other.call("Heartbeat", {})
        await program.quirk("refuse_handshake", charge_point="CP-1", code=None)
        async with plugged(port) as cp:
            assert await cp.call("Heartbeat", {})


async def test_citrineos_asks_right_after_boot_and_takes_one_call_at_a_time(central, plugged):
    async with central(kind="citrineos") as (program, port), plugged(port) as cp:
        boot = await cp.send("BootNotification", BOOT)
        second = await cp.send("Heartbeat", {})
        assert await cp.answer_to(boot)
        assert (await cp.is_asked())[2:] == ["GetConfiguration", {}]
        assert await cp.answer_to(second)
        assert await cp.call("Invented", {}) == "InternalError"
        await program.quirk("answer_delay_s", value=3)
        slow = await cp.send("Heartbeat", {})
        assert await cp.call("Authorize", {"idTag": "GOOD"}) == "RpcFrameworkError"
        assert await cp.answer_to(slow)
        async with plugged(port, "CP-2", subprotocols=None) as loose:
            assert loose.socket.subprotocol is None
            assert await loose.call("Heartbeat", {})


async def test_steve_refuses_a_repeated_id_drops_strange_readings_and_early_stops(
    central, kept, plugged
):
    async with central(kind="steve") as (_, port):
        async with plugged(port) as cp:
            await cp.call("StartTransaction", START, "1")
            assert await cp.call("Heartbeat", {}, "1") == "GenericError"
            assert await cp.call("MeterValues", METER | {"transactionId": 5}) == {}
            assert (
                await cp.call("StopTransaction", STOP | {"timestamp": "2999-01-01T00:00:00Z"}) == {}
            )
            assert await cp.call("StopTransaction", STOP) == {}
            assert await cp.call("MeterValues", METER) == {}
        async with plugged(port) as cp:
            assert "currentTime" in await cp.call("Heartbeat", {}, "1"), "another socket"
        assert kept("SELECT * FROM meter_value") == []
        assert [one["reason"] for one in kept("SELECT * FROM failed ORDER BY n")] == [
            "meter values of an unknown or ended transaction",
            "stop in the future",
            "meter values of an unknown or ended transaction",
        ]


async def test_a_token_is_refused_from_now_on_and_one_in_use_concurrently(central, plugged):
    async with central() as (program, port), plugged(port) as cp:
        await program.quirk("concurrent_tx_check")
        assert (await cp.call("StartTransaction", START))["idTagInfo"]["status"] == "Accepted"
        said = await cp.call("StartTransaction", START | {"connectorId": 2})
        assert said["idTagInfo"]["status"] == "ConcurrentTx"
        await program.quirk("refuse_token", id_tag="GOOD", status="Blocked")
        assert (await cp.call("Authorize", {"idTag": "GOOD"}))["idTagInfo"]["status"] == "Blocked"


async def test_calm_is_the_configuration_without_what_was_counted(central):
    quirks = {"dedupe": "none", "lose_answer": [{"count": 5}], "ignore": {"count": "always"}}
    async with central(quirks=quirks) as (program, _):
        await program.quirk("black_hole", value=True)
        said = (await program.ask("calm", "quirk", did="calm"))["quirks"]
        assert said["dedupe"] == "none"
        assert [(one["deed"], one["count"]) for one in said["rules"]] == [("ignore", None)]
        assert "black_hole" not in said


async def test_a_wrong_quirk_names_its_field_and_changes_nothing(central):
    async with central() as (program, _):
        for name, values, named in (
            ("levitate", {}, "levitate"),
            ("dedupe", {"value": "maybe"}, "value"),
            ("dedupe", {}, "value"),
            ("lose_answer", {"count": -1}, "count"),
            ("lose_answer", {"code": "x"}, "code"),
            ("refuse_handshake", {"code": 500}, "code"),
            ("calls_after_boot", {"value": [{"payload": {}}]}, "value"),
        ):
            said = await program.ask("quirk", "error", name=name, **values)
            assert named in said["error"]
        assert (await program.ask("status", "status"))["quirks"] == {}
