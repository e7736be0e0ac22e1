"""Goal: S11 to S17 and S19 at the wire: each hostile frame gets what is due to it, the connection stays, an honest
charge point beside it is served, and nothing that belongs to it is touched.

Method: the hostile charge point of `simulators/`, whose frames are data, against the whole service.
"""

from __future__ import annotations

import json
import logging

import pytest

from holdfast.contracts.command import Command, CommandReceipt, CommandSettled
from holdfast.contracts.session import (
    SessionMessageUnmatched,
    SessionMetered,
    SessionStarted,
    SessionStopped,
)
from holdfast.ocpp.versions import OcppVersion
from holdfast_simulators.hostile.frames import TIMES, TOKENS, attacks
from holdfast_simulators.hostile.player import Target, dialled
from holdfast_testkit.eventually import eventually

UNHURRIED = {"frames_per_s": 10_000, "authorize_per_min": 100_000}
"""How fast is another check, S18."""


async def plays(place, check, version, others=1):
    """Every attack of this check, as CP-2."""
    url = f"ws://127.0.0.1:{place.port}/ocpp"
    target = Target(url=url, identity="CP-2", password="secret", version=version)
    waiting = [one for one in attacks(version) if one.check == check]
    assert waiting
    outcomes = []
    while waiting:
        async with dialled(target) as player:
            player.others = others
            while waiting:
                outcomes.append(await player.plays(waiting.pop(0)))
                if outcomes[-1].closed is not None:
                    break
    return outcomes


async def all_end_as_due(opened, hard, check, version):
    """CP-1, which is honest, has a session beside it."""
    place = await opened(**UNHURRIED)
    async with hard.honest(place, version=version) as honest:
        transaction = await honest.start()
        outcomes = await plays(place, check, version, transaction)
        assert [one for one in outcomes if not one.as_due] == []
        assert await honest.is_served()
    return place


async def test_s11_sizes_depths_and_what_is_no_json(opened, hard, version):
    place = await all_end_as_due(opened, hard, "S11", version)
    for reason in ("too deep", "duplicate key", "not text", "not json"):
        assert hard.counted(place, "refused_frames", reason=reason) > 0, reason
    assert [one.charge_point for one in place.facts(SessionStarted)] == ["CP-1"]


async def test_s12_envelopes(opened, hard, version):
    place = await all_end_as_due(opened, hard, "S12", version)
    for reason in ("not a message", "wrong arity", "no message id", "message type"):
        assert hard.counted(place, "refused_frames", reason=reason) > 0, reason
    assert [one.charge_point for one in place.facts(SessionStarted)] == ["CP-1"]


async def test_s12_an_answer_to_another_charge_point_s_command_answers_nothing(
    opened, hard, version
):
    place = await opened(**UNHURRIED)
    async with (
        hard.honest(place, version=version) as honest,
        hard.honest(place, "CP-2", version=version) as hostile,
    ):
        assert await honest.is_served()
        now_ms = place.clock.now_ms()
        command = Command(
            id="c1", charge_point="CP-1", action="TriggerMessage",
            payload={"requestedMessage": "Heartbeat"}, issued_at_ms=now_ms,
            deadline_ms=now_ms + 60_000,
        )  # fmt: skip
        assert (await place.ask("command", CommandReceipt, command)).accepted
        _, id, action, _ = await honest.answer()
        assert action == "TriggerMessage"
        await hostile.client.send(json.dumps([3, id, {"status": "Accepted"}]))
        assert await hostile.is_served()  # by then that was looked at
        assert not place.facts(CommandSettled)
        await honest.client.send(json.dumps([3, id, {"status": "Rejected"}]))
        await eventually(lambda: place.facts(CommandSettled))
    (settled,) = place.facts(CommandSettled)
    assert json.loads(settled.answer) == {"status": "Rejected"}


async def test_s13_unknown_actions_and_bad_payloads(opened, hard, version):
    place = await all_end_as_due(opened, hard, "S13", version)
    assert hard.counted(place, "refused_frames", reason="unknown action") >= 8
    assert hard.counted(place, "refused_frames", reason="schema") >= 9
    assert [one.charge_point for one in place.facts(SessionStarted)] == ["CP-1"]


async def test_s14_times_that_are_none_are_recorded_as_said(opened, hard, version):
    place = await all_end_as_due(opened, hard, "S14", version)
    hostile = [one for one in place.facts(SessionStarted) if one.charge_point == "CP-2"]
    assert [one.at for one in hostile] == list(TIMES)
    stops = [one for one in place.facts(SessionStopped) if one.charge_point == "CP-2"]
    assert [one.at for one in stops] == list(TIMES)


async def test_s15_figures_that_can_not_be_are_recorded_as_said(opened, hard, version):
    place = await all_end_as_due(opened, hard, "S15", version)
    stops = [one.meter_stop_wh for one in place.facts(SessionStopped)]
    assert {10, -5, 2_000_000_000, 6} <= set(stops)


async def test_s16_nobody_touches_another_ones_transaction(opened, hard, version):
    place = await all_end_as_due(opened, hard, "S16", version)
    assert not [one for one in place.facts(SessionStopped) if one.charge_point == "CP-1"]
    assert not [one for one in place.facts(SessionMetered) if one.charge_point == "CP-1"]
    (running,) = place.facts(SessionStarted)
    assert running.charge_point == "CP-1"
    unmatched = [one.reason for one in place.facts(SessionMessageUnmatched)]
    if version is OcppVersion.V16:
        assert unmatched.count("the transaction is another charge point's") == 2
        assert len(unmatched) == 5
    else:
        # Ids are the station's own: whoever says another's has a transaction of that name, without a start.
        ended = {one.transaction_id for one in place.facts(SessionStopped)}
        assert ended == {running.transaction_id, "2000000000", "-1", "0"}
    async with hard.honest(place, version=version) as honest:
        assert await honest.stop(running.transaction_id) == 3
    (stopped,) = [one for one in place.facts(SessionStopped) if one.charge_point == "CP-1"]
    assert stopped.transaction_id == running.transaction_id


async def test_s17_connectors_that_are_none(opened, hard, version):
    place = await all_end_as_due(opened, hard, "S17", version)
    started = [one.connector for one in place.facts(SessionStarted)]
    assert {42, 0} <= set(started)  # as said: who bills them is told, see the reconciler's doubts


async def test_s19_driver_tokens_of_any_characters_are_taken_as_they_are(opened, hard, version):
    place = await all_end_as_due(opened, hard, "S19", version)
    started = [one.driver_token for one in place.facts(SessionStarted)]
    plain = [token.replace("\x00", "\N{REPLACEMENT CHARACTER}") for token in TOKENS]
    assert started[1:] == plain


@pytest.mark.parametrize("check", ["S11", "S12", "S13", "S16", "S17", "S19"])
async def test_s31_no_driver_token_nor_secret_is_in_a_log_or_a_metric(
    opened, hard, caplog, check, version
):
    from prometheus_client import generate_latest

    caplog.set_level(logging.DEBUG)
    place = await opened(**UNHURRIED)
    secret_token = "TAG-NOBODY-MAY-SEE"
    async with hard.honest(place, version=version) as honest:
        taken = honest.form.token(json.dumps(secret_token))
        twice = honest.form.token_twice(escaped=False).replace('"A"', f'"{secret_token}"')
        assert (await honest.authorize(secret_token))[0] == 3
        await honest.start(secret_token)
        for payload in (
            taken[:-1] + ',"x":1}',
            honest.form.token(json.dumps(secret_token * 20)),
            twice.replace('"B"', f'"{secret_token}"'),
            taken[:-1],
        ):
            assert (await honest.said(f'[2,"m","Authorize",{payload}]'))[0] == 4
        await honest.call("DataTransfer", {"vendorId": "V", "data": secret_token})
        await plays(place, check, version)
    logged = [
        str(value)
        for record in caplog.records
        if record.name.startswith(("ocpp_edge", "holdfast"))
        for value in (record.getMessage(), *record.__dict__.values())
    ]
    counted = generate_latest(place.health.registry).decode()
    for hidden in (secret_token, "GUESS", "secret", "scrypt", hard.authorization("CP-1")[6:]):
        assert not [text for text in logged if hidden in text], hidden
        assert hidden not in counted
    for token in TOKENS:
        assert token not in counted
        assert not [text for text in logged if token == text]
