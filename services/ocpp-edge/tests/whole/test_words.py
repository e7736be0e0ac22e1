"""Goal: an operator's word reaches the lane of its command from the site and from the cloud, and outlives SIGKILL."""

from __future__ import annotations

import json

from holdfast import subjects
from holdfast.contracts.command import (
    Command,
    CommandHeld,
    CommandLanes,
    CommandReceipt,
    CommandSettled,
    CommandWord,
    CommandWorded,
    Disposition,
    Issuer,
    Word,
)
from holdfast.contracts.decision import AdmitVerdict, WaitsFor
from holdfast.contracts.journal import MessageQuarantined
from holdfast_testkit.eventually import eventually
from holdfast_testkit.sim_clock import virtual_time

SITE = "berlin01"


def reset(place, id="c1"):
    return Command(
        id=id,
        charge_point="CP-1",
        action="Reset",
        payload={"type": "Hard"},
        issued_at_ms=place.clock.now_ms(),
        deadline_ms=place.clock.now_ms() + 60_000,
        issuer=Issuer.CSMS,
    )


def said(place, word, id="c1"):
    return CommandWord(id=id, word=word, by="Ada", at_ms=place.clock.now_ms())


async def say_down(place, word, id="c1"):
    subject = subjects.down_command_word(SITE, id, word)
    data = said(place, word, id).to_bytes()
    await place.bus.append(subjects.DOWNLINK, subject, data, id=f"{id}.{word}")


async def say_here(place, word, id="c1"):
    return await place.ask("command-word", CommandReceipt, said(place, word, id))


def wary(place):
    """The rules want a word."""

    def verdict(asked):
        if asked.confirmed_by:
            return AdmitVerdict(admitted=True, disposition=None)
        return AdmitVerdict(
            admitted=False, disposition=None, reason="always", waits_for=WaitsFor.WORD
        )

    place.verdict = verdict


async def a_held_command(new_place):
    place = await new_place()
    wary(place)
    await place.make_downlink()
    place.begin()
    charger = await place.connect()
    await place.send_down(reset(place))
    await eventually(lambda: place.facts(CommandHeld))
    return place, charger


@virtual_time
async def test_a_word_from_the_cloud_confirms_a_command_that_a_kill_did_not_forget(new_place):
    place, _ = await a_held_command(new_place)
    lanes = await place.ask("lanes", CommandLanes)
    assert (lanes.pending, lanes.waiting) == ((), ("c1",))
    await place.kill()
    place.begin()
    charger = await place.connect()
    await say_down(place, Word.CONFIRM)
    _, message_id, action, payload = json.loads(await charger.end.receive())
    assert (action, payload) == ("Reset", {"type": "Hard"})
    assert place.admits[-1].confirmed_by == "Ada"
    await charger.end.send(f'[3,"{message_id}",{{"status":"Accepted"}}]')
    await eventually(lambda: place.facts(CommandSettled))
    await place.kill()


@virtual_time
async def test_at_the_site_it_is_cancelled_and_a_second_thought_is_told_the_truth(new_place):
    place, _ = await a_held_command(new_place)
    assert await say_here(place, Word.CANCEL) == CommandReceipt(id="c1", accepted=True)
    await eventually(lambda: place.facts(CommandSettled))
    (end,) = place.facts(CommandSettled)
    assert (end.disposition, end.reason) == (Disposition.SUPERSEDED, "cancelled by Ada")
    late = await say_here(place, Word.CONFIRM)
    assert (late.accepted, late.reason) == (False, "the command has ended: superseded")
    assert [fact.taken for fact in place.facts(CommandWorded)] == [True, False]
    await place.kill()


@virtual_time
async def test_a_word_about_no_command_is_refused_here_and_quarantined_from_above(new_place):
    place, _ = await a_held_command(new_place)
    unknown = await say_here(place, Word.CONFIRM, "c9")
    assert (unknown.accepted, "known" in unknown.reason) == (False, True)
    await say_down(place, Word.CONFIRM, "c9")
    await eventually(lambda: place.facts(MessageQuarantined))
    await say_down(place, Word.CANCEL)
    await eventually(lambda: place.facts(CommandSettled))
    await place.kill()


@virtual_time
async def test_nobody_in_the_cloud_is_the_site_or_its_operator(new_place):
    place = await new_place()
    await place.make_downlink()
    place.begin()
    await place.connect()
    for id, issuer in (("c1", Issuer.SITE), ("c2", Issuer.OPERATOR_AT_SITE)):
        hostile = reset(place, id).model_copy(
            update={"issuer": issuer, "by_rule": "upstream.refused_start"}
        )
        await place.send_down(hostile)
    await eventually(lambda: place.admits)
    await place.clock.sleep_ms(1_000)
    assert {(one.command.issuer, one.command.by_rule) for one in place.admits} == {
        (Issuer.CLOUD, "")
    }
    await place.kill()
