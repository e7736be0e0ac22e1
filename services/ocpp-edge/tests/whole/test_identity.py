"""Goal: an id names one command of the site; commands to nobody end at once, and lock nobody out."""

from __future__ import annotations

import json

import pytest

from holdfast import subjects
from holdfast.contracts.command import (
    Command,
    CommandReceipt,
    CommandReceived,
    CommandSettled,
    CommandWord,
    CommandWorded,
    Disposition,
    Word,
)
from holdfast.contracts.decision import AdmitVerdict, WaitsFor
from holdfast.contracts.journal import MessageQuarantined
from holdfast_testkit.eventually import eventually
from holdfast_testkit.sim_clock import virtual_time
from ocpp_edge import edge

SITE = "berlin01"
USED = "id 'c1' was used for another command: choose a new one"


def command(place, id="c1", charge_point="CP-1", **changes):
    now_ms = place.clock.now_ms()
    fields = {
        "action": "UnlockConnector",
        "payload": {"connectorId": 1},
        "issued_at_ms": now_ms,
        "deadline_ms": now_ms + 60_000,
        **changes,
    }
    return Command(id=id, charge_point=charge_point, **fields)


async def a_place(new_place):
    place = await new_place()
    await place.make_downlink()
    place.begin()
    await place.ready()
    return place


async def given(place, one):
    return await place.ask("command", CommandReceipt, one)


STOP = {"action": "RemoteStopTransaction", "payload": {"transactionId": 7}}


@virtual_time
async def test_at_the_site_a_second_command_with_the_id_is_refused_and_a_repeat_is_not(new_place):
    place = await a_place(new_place)
    assert (await given(place, command(place))).accepted
    await place.kill()
    place.begin()
    await place.ready()
    for other in (command(place, **STOP), command(place, charge_point="CP-2")):
        receipt = await given(place, other)
        assert (receipt.accepted, receipt.reason) == (False, USED)
    assert (await given(place, command(place))).accepted
    assert len(place.facts(CommandReceived)) == 1
    await place.clock.sleep_ms(62_000)
    ended = await given(place, command(place))
    assert (ended.accepted, "has ended: expired" in ended.reason) == (True, True)
    await place.kill()


@virtual_time
async def test_from_the_cloud_a_second_command_with_the_id_is_kept_with_its_reason(new_place):
    place = await a_place(new_place)
    assert (await given(place, command(place))).accepted
    wrong = (
        command(place, **STOP),
        command(place, charge_point="CP-2"),
        command(place, charge_point="CP-99"),
        command(place, "cap-1"),
    )
    for number, one in enumerate(wrong, 1):
        await place.clock.sleep_ms(10)
        await place.send_down(one)
        await eventually(lambda number=number: len(place.facts(MessageQuarantined)) == number)
    await place.send_down(command(place, "c2"))
    await eventually(lambda: len(place.facts(CommandReceived)) == 2)
    reasons = [fact.reason for fact in place.facts(MessageQuarantined)]
    assert reasons[:3] == [USED] * 3
    assert "the site's own" in reasons[3]
    assert [fact.command.id for fact in place.facts(CommandReceived)] == ["c1", "c2"]
    await place.kill()


@virtual_time
async def test_nobody_takes_the_id_of_an_energy_cap(new_place):
    place = await a_place(new_place)
    receipt = await given(place, command(place, "cap-0123"))
    assert (receipt.accepted, "the site's own" in receipt.reason) == (False, True)
    await place.kill()


@virtual_time
async def test_a_word_goes_to_the_command_that_waits(new_place):
    place = await a_place(new_place)
    place.verdict = lambda _: AdmitVerdict(
        admitted=False, disposition=None, reason="always", waits_for=WaitsFor.WORD
    )
    assert (await given(place, command(place, charge_point="CP-2"))).accepted
    assert not (await given(place, command(place))).accepted
    word = CommandWord(id="c1", word=Word.CANCEL, by="Ada", at_ms=place.clock.now_ms())
    assert (await place.ask("command-word", CommandReceipt, word)).accepted
    await eventually(lambda: place.facts(CommandSettled))
    assert [fact.charge_point for fact in place.facts(CommandWorded)] == ["CP-2"]
    await place.kill()


@virtual_time
async def test_commands_to_nobody_end_with_their_reason_and_lock_no_charge_point_out(
    new_place, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(edge, "CHARGE_POINTS_MAX", 3)
    place = await a_place(new_place)
    for number in range(8):
        await place.send_down(command(place, f"made-up-{number}", f"NOBODY-{number}"))
    await eventually(lambda: len(place.facts(CommandSettled)) == 8)
    ends = place.facts(CommandSettled)
    assert {fact.disposition for fact in ends} == {Disposition.REFUSED}
    assert ends[0].reason == "no charge point 'NOBODY-0' is registered at this site"
    assert len(place.facts(CommandReceived)) == 8
    assert not place.facts(MessageQuarantined)
    for _ in range(2):
        charger = await place.connect()
        assert "currentTime" in await charger.call("Heartbeat", {})
        shown = await place.bus.request(
            subjects.rpc(SITE, "charge-points"), b"{}", timeout_ms=5_000
        )
        assert b"NOBODY" not in shown
        await place.kill()
        place.begin()
        await place.ready()
    await place.clock.sleep_ms(5_000)
    await place.kill()
    place.begin()  # from a snapshot that has what the journal would tell
    await place.ready()
    again = await given(place, command(place, "made-up-0"))
    assert (again.accepted, "another command" in again.reason) == (False, True)
    word = CommandWord(id="made-up-1", word=Word.CANCEL, by="Ada", at_ms=place.clock.now_ms())
    told = await place.ask("command-word", CommandReceipt, word)
    assert (told.accepted, "not registered" in told.reason) == (False, True)
    await place.kill()


@virtual_time
async def test_a_charge_point_that_was_registered_just_now_gets_its_command(new_place):
    place = await a_place(new_place)
    place.register("CP-1", "CP-new")
    await place.send_down(command(place, "c1", "CP-new"))
    await eventually(lambda: place.admits)
    charger = await place.connect("CP-new")
    assert json.loads(await charger.end.receive())[2] == "UnlockConnector"
    await place.kill()


@virtual_time
async def test_what_waits_for_a_charge_point_that_is_registered_no_more_ends_all_the_same(
    new_place,
):
    place = await a_place(new_place)
    await place.send_down(command(place, "c1", "CP-2"))
    await eventually(lambda: place.facts(CommandReceived))
    await place.kill()
    place.register("CP-1")
    place.begin()
    await eventually(lambda: place.facts(CommandSettled))
    (end,) = place.facts(CommandSettled)
    assert (end.command.id, end.disposition) == ("c1", Disposition.REFUSED)
    await place.kill()
