"""Goal: S11 to S17 and S19 at the wire: each hostile frame gets what is due to it, the connection stays, an honest
charge point beside it is served, and nothing that belongs to it is touched.

Method: the hostile charge point of `simulators/`, whose frames are data, against the whole service.
"""

from __future__ import annotations

import json
import logging

import pytest

from holdfast.contracts.session import (
    SessionMessageUnmatched,
    SessionMetered,
    SessionStarted,
    SessionStopped,
)
from holdfast_simulators.hostile.frames import ATTACKS, TIMES, TOKENS
from holdfast_simulators.hostile.player import Target, dialled

UNHURRIED = {"frames_per_s": 10_000, "authorize_per_min": 100_000}
"""How fast is another check, S18."""


async def plays(place, check, others=1):
    """Every attack of this check, as CP-2."""
    target = Target(url=f"ws://127.0.0.1:{place.port}/ocpp", identity="CP-2", password="secret")
    waiting = [one for one in ATTACKS if one.check == check]
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


async def all_end_as_due(opened, hard, check):
    place = await opened(**UNHURRIED)
    async with hard.honest(place) as honest:
        transaction = await honest.start()
        outcomes = await plays(place, check, transaction)
        assert [one for one in outcomes if not one.as_due] == []
        assert await honest.is_served()
    return place


async def test_s11_sizes_depths_and_what_is_no_json(opened, hard):
    place = await all_end_as_due(opened, hard, "S11")
    for reason in ("too deep", "duplicate key", "not text", "not json"):
        assert hard.counted(place, "refused_frames", reason=reason) > 0, reason


async def test_s12_envelopes(opened, hard):
    place = await all_end_as_due(opened, hard, "S12")
    for reason in ("not a message", "wrong arity", "no message id"):
        assert hard.counted(place, "refused_frames", reason=reason) > 0, reason


async def test_s13_unknown_actions_and_bad_payloads(opened, hard):
    place = await all_end_as_due(opened, hard, "S13")
    assert hard.counted(place, "refused_frames", reason="unknown action") >= 7
    assert hard.counted(place, "refused_frames", reason="schema") >= 9
    assert [one.charge_point for one in place.facts(SessionStarted)] == ["CP-1"]


async def test_s14_times_that_are_none_are_recorded_as_said(opened, hard):
    place = await all_end_as_due(opened, hard, "S14")
    hostile = [one for one in place.facts(SessionStarted) if one.charge_point == "CP-2"]
    assert [one.at for one in hostile] == list(TIMES)
    stops = [one for one in place.facts(SessionStopped) if one.charge_point == "CP-2"]
    assert [one.at for one in stops] == list(TIMES)


async def test_s15_figures_that_can_not_be_are_recorded_as_said(opened, hard):
    place = await all_end_as_due(opened, hard, "S15")
    stops = [one.meter_stop_wh for one in place.facts(SessionStopped)]
    assert {10, -5, 2_000_000_000, 6} <= set(stops)


async def test_s16_nobody_touches_another_ones_transaction(opened, hard):
    place = await all_end_as_due(opened, hard, "S16")
    assert not [one for one in place.facts(SessionStopped) if one.charge_point == "CP-1"]
    assert not [one for one in place.facts(SessionMetered) if one.charge_point == "CP-1"]
    reasons = [one.reason for one in place.facts(SessionMessageUnmatched)]
    assert reasons.count("the transaction is another charge point's") == 2
    assert len(reasons) == 5


async def test_s17_connectors_that_are_none(opened, hard):
    place = await all_end_as_due(opened, hard, "S17")
    started = [one.connector for one in place.facts(SessionStarted)]
    assert {42, 0} <= set(started)  # as said: who bills them is told, see the reconciler's doubts


async def test_s19_driver_tokens_of_any_characters_are_taken_as_they_are(opened, hard):
    place = await all_end_as_due(opened, hard, "S19")
    started = [one.driver_token for one in place.facts(SessionStarted)]
    plain = [token.replace("\x00", "\N{REPLACEMENT CHARACTER}") for token in TOKENS]
    assert started[1:] == plain


@pytest.mark.parametrize("check", ["S11", "S12", "S13", "S16", "S17", "S19"])
async def test_s31_no_driver_token_nor_secret_is_in_a_log_or_a_metric(opened, hard, caplog, check):
    from prometheus_client import generate_latest

    caplog.set_level(logging.DEBUG)
    place = await opened(**UNHURRIED)
    secret_token = "TAG-NOBODY-MAY-SEE"
    async with hard.honest(place) as honest:
        await honest.call("Authorize", {"idTag": secret_token})
        await honest.start(idTag=secret_token)
        await honest.said(json.dumps([2, "m", "Authorize", {"idTag": secret_token, "x": 1}]))
        await honest.said(json.dumps([2, "m", "Authorize", {"idTag": secret_token * 2}]))
        await honest.said(
            f'[2,"m","Authorize",{{"idTag":"{secret_token}","idTag":"{secret_token}"}}]'
        )
        await honest.said(f'[2,"m","Authorize",{{"idTag":"{secret_token}"')
        await honest.call("DataTransfer", {"vendorId": "V", "data": secret_token})
        await plays(place, check)
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
