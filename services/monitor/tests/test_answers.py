"""The four answers: each from its readings, and never a good one from a reading that is not fresh.

Method: one site that is well, spoilt one thing at a time; and Hypothesis staling any of its readings.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.contracts.command import Command, Disposition
from holdfast.contracts.csms import OpenDelivery, Trouble, UpstreamStatus
from holdfast.contracts.journal import CopyStatus, Gap, GapCause, StorageLevel
from holdfast.contracts.mode import CsmsState, Mode, ModeChanged, Reason
from holdfast.contracts.recovery import OpenPoint, Step
from holdfast.contracts.registry import EntryProblem, EntryRefused
from holdfast.contracts.rules import Desired
from monitor.domain.answers import Tone, Verdict, answers
from monitor.domain.readings import Reading, never
from monitor.domain.rows import (
    ChargePointRow,
    CommandRow,
    ConnectorRow,
    Life,
    ModeRow,
    Note,
    Place,
    RulesRow,
    SiteState,
)
from monitor.domain.status import (
    ModeNow,
    RulesNow,
    SiteStatus,
    StorageNow,
    Sync,
    Uplink,
    in_cloud,
)
from monitor.domain.upstream import CsmsNow

NOW = 1_750_000_000_000
HERE = Place("aaaaaaaa", 1)


def fresh(value: Any, source: str = "somebody") -> Reading[Any]:
    return Reading(last=value, as_of_ms=NOW - 1000, source=source, fresh=True)


def mode_now(mode: Mode, since_ms: int = NOW - 60_000) -> ModeNow:
    return ModeNow(mode=mode, reasons=("pulse lost",), since_ms=since_ms, disruption="D1")


def charge_point(
    name: str = "CP-01", *, connected: bool = True, status: str = "Available"
) -> ChargePointRow:
    return ChargePointRow(
        charge_point=name,
        connected=connected,
        since_ms=NOW - 600_000,
        connectors={1: ConnectorRow(status=status, error_code="GroundFailure")},
    )


WELL = SiteStatus(
    scope="site",
    site="berlin01",
    now_ms=NOW,
    state=SiteState(
        site="berlin01", lives=(Life(incarnation="aaaaaaaa", opened_at_ms=0, cause=""),)
    ),
    mode=fresh(mode_now(Mode.CONNECTED)),
    uplink=fresh(Uplink(pulse_answered_at_ms=NOW - 500, stable=True)),
    sync=fresh(Sync(head_seq=10, watermark=10)),
    rules=fresh(RulesNow(version=1, hash="h", desired_version=1)),
    storage=fresh(StorageNow(level=StorageLevel.OK)),
    charge_points=fresh((charge_point(),)),
    sessions=fresh({"running": 1}),
    gaps=never("the cloud"),
    chain_verified=fresh(True),
    open_points=fresh(()),
    waiting_commands=fresh(()),
    csms=fresh(CsmsNow(state=CsmsState.UP)),
)


def verdicts(status: SiteStatus) -> list[str]:
    return [answer.verdict.value for answer in answers(status)]


def with_state(**changes: Any) -> SiteStatus:
    return replace(WELL, state=replace(WELL.state, **changes))


def test_a_site_that_is_well_needs_nobody() -> None:
    assert verdicts(WELL) == ["yes", "yes", "no", "no"]
    assert all(answer.tone is Tone.GOOD for answer in answers(WELL))
    assert all(answer.as_of_ms == NOW - 1000 for answer in answers(WELL))


def test_an_autonomous_site_charges_is_safe_and_needs_nobody_but_something_is_open() -> None:
    cut = replace(
        WELL, mode=fresh(mode_now(Mode.AUTONOMOUS)), sync=fresh(Sync(head_seq=2204, watermark=1000))
    )
    charge, safe, _, still_open = answers(cut)
    assert verdicts(cut) == ["yes", "yes", "no", "yes"]
    assert "decides alone" in charge.reason
    assert "1\u202f204 of them are not yet in the cloud" in safe.reason
    assert any("1\u202f204 records" in point for point in still_open.points)


uncertain = CommandRow(
    place=HERE,
    charge_point="CP-01",
    command=Command(
        id="c1", charge_point="CP-01", action="Reset", payload={}, issued_at_ms=0, deadline_ms=1
    ),
    disposition=Disposition.UNCERTAIN,
)


@pytest.mark.parametrize(
    ("spoilt", "which", "verdict", "words"),
    [
        ({"storage": fresh(StorageNow(level=StorageLevel.SOFT))}, 0, "no", "no new session"),
        ({"storage": fresh(StorageNow(level=StorageLevel.SOFT))}, 2, "yes", "make room"),
        ({"storage": fresh(StorageNow(level=StorageLevel.HARD))}, 1, "no", "disk refuses"),
        ({"charge_points": fresh((charge_point(connected=False),))}, 0, "no", "None of 1"),
        ({"charge_points": fresh((charge_point(connected=False),))}, 2, "yes", "disconnected for"),
        ({"charge_points": fresh(())}, 0, "unknown", "ever connected"),
        ({"charge_points": fresh((charge_point(status="Faulted"),))}, 1, "no", "GroundFailure"),
        ({"charge_points": fresh((charge_point(status="Faulted"),))}, 2, "yes", "send somebody"),
        ({"chain_verified": fresh(False)}, 1, "no", "hash chain"),
        (
            {"mode": fresh(mode_now(Mode.AUTONOMOUS, NOW - 18_000_000))},
            2,
            "yes",
            "check the uplink",
        ),
        ({"rules": fresh(RulesNow(version=1, hash="", valid_until_ms=NOW))}, 2, "yes", "expired"),
        ({"rules": fresh(RulesNow(version=1, hash="", refused="bad"))}, 2, "yes", "refused (bad)"),
        ({"silent": ("ocpp-edge",)}, 2, "yes", "no answer from ocpp-edge"),
        ({"waiting_commands": fresh(("c1", "c2"))}, 3, "yes", "2 commands without"),
        ({"sessions": fresh({"fragment": 1})}, 3, "yes", "1 session known"),
        (
            {"open_points": fresh((OpenPoint(step=Step.DIGESTS_AGREE, what="differ"),))},
            3,
            "yes",
            "digests agree: differ",
        ),
    ],
)
def test_each_thing_that_is_wrong_is_said_where_it_belongs(
    spoilt: dict[str, Any], which: int, verdict: str, words: str
) -> None:
    answer = answers(replace(WELL, **spoilt))[which]
    assert answer.verdict == verdict
    assert words in " ".join((answer.reason, *answer.points))


def test_a_damaged_journal_is_not_safe_and_asks_for_a_new_disk() -> None:
    damaged = with_state(damaged=(Note(place=HERE, at_ms=1, what="entries 1 to 2 missing"),))
    assert verdicts(damaged)[1:3] == ["no", "yes"]


def test_what_happened_at_the_door_asks_for_attention_for_a_day() -> None:
    fact = EntryRefused(
        problem=EntryProblem.DUPLICATE_IDENTITY,
        claimed="CP-02",
        address="10.0.0.9",
        detail="refused",
    )
    for age_ms, said in ((1_000, True), (86_400_001, False)):
        key = (EntryProblem.DUPLICATE_IDENTITY, "CP-02", "10.0.0.9")
        entries = {key: (NOW - age_ms, fact)}
        status = with_state(entries_refused=entries)
        must = answers(status)[2]
        assert ("two devices use one identity" in str(must) and "CP-02" in str(must)) is said


def test_of_one_problem_at_the_door_the_newest_few_are_named_and_the_rest_is_counted() -> None:
    entries = {
        (fact.problem, fact.claimed, fact.address): (NOW - 1_000, fact)
        for number in range(8)
        for fact in [
            EntryRefused(
                problem=EntryProblem.PENDING, claimed=f"CP-{number}", address=f"10.0.0.{number}"
            )
        ]
    }
    must = answers(with_state(entries_refused=entries))[2]
    assert [f"CP-{number}," in str(must) for number in range(8)] == [False] * 3 + [True] * 5
    assert "(3 more: look at the events)" in str(must)


def test_an_uncertain_command_stays_open_until_it_is_observed() -> None:
    assert verdicts(with_state(commands={"c1": uncertain}))[3] == "yes"
    seen = replace(uncertain, took_effect=True)
    assert verdicts(with_state(commands={"c1": seen}))[3] == "no"


def test_a_named_gap_asks_for_attention_for_a_week_and_is_then_history() -> None:
    def status(to_ms: int) -> SiteStatus:
        gap = Gap(
            site="berlin01",
            incarnation="aaaaaaaa",
            from_seq=5,
            to_seq=None,
            from_ms=to_ms - 1,
            to_ms=to_ms,
            cause=GapCause.DISK_LOST,
        )
        return replace(WELL, gaps=fresh((gap,)))

    assert verdicts(status(NOW - 86_400_000))[1:3] == ["no", "yes"]
    assert verdicts(status(NOW - 8 * 86_400_000))[1:3] == ["yes", "no"]


READINGS = [
    field.name for field in fields(SiteStatus) if isinstance(getattr(WELL, field.name), Reading)
]


@given(st.sets(st.sampled_from(READINGS), min_size=1))
def test_no_good_answer_rests_on_a_reading_that_is_not_fresh(stale: set[str]) -> None:
    spoilt = {name: replace(getattr(WELL, name), fresh=False) for name in stale}
    charge, safe, act, still_open = answers(replace(WELL, **spoilt))
    for answer, rests_on in (
        (charge, {"mode", "storage", "charge_points", "rules"}),
        (safe, {"sync", "chain_verified", "storage", "charge_points"}),
        (act, {"mode", "storage", "charge_points", "rules"}),
        (still_open, {"mode", "sync", "open_points", "waiting_commands", "sessions"}),
    ):
        assert (answer.tone is Tone.GOOD) == (not rests_on & stale)
        if rests_on & stale:
            assert answer.verdict is Verdict.UNKNOWN


# --- seen from the cloud ---


def seen_from_cloud(
    pulse_age_ms: int | None,
    *,
    copies_fresh: bool = True,
    upstream: Reading[UpstreamStatus] | None = None,
    rules_refused: tuple[Note, ...] = (),
) -> SiteStatus:
    copy = CopyStatus(
        site="berlin01",
        incarnation="aaaaaaaa",
        committed_seq=9,
        watermark=9,
        head_seq=9,
        chain_verified=True,
        retired=False,
        pulse_at_ms=None if pulse_age_ms is None else NOW - pulse_age_ms,
    )
    fact = ModeChanged(
        previous=None, mode=Mode.CONNECTED, reasons=(Reason.RECOVERED,), since_ms=1, disruption=None
    )
    state = replace(
        WELL.state,
        modes=(ModeRow(place=HERE, at_ms=1, fact=fact),),
        charge_points={"CP-01": charge_point()},
        rules=(RulesRow(place=HERE, at_ms=1, version=1, hash="h"),),
        rules_refused=rules_refused,
    )
    copies = replace(fresh((copy,)), fresh=copies_fresh)
    return in_cloud(
        "berlin01",
        NOW,
        state,
        journal=fresh(True),
        copies=copies,
        gaps=fresh(()),
        sessions=fresh({}),
        upstream=upstream or never("csms-bridge", "nobody answers"),
        desired=fresh(Desired(rules_version=5, driver_tokens_version=1, limit_id=None)),
        pulse_fresh_ms=30_000,
    )


def test_the_cloud_knows_which_rules_it_wants_and_what_a_site_refused_since() -> None:
    wanted = seen_from_cloud(1000).rules.value
    assert wanted is not None
    assert (wanted.version, wanted.desired_version, wanted.refused) == (1, 5, None)
    for seq, refused in ((HERE.seq - 1, None), (HERE.seq + 1, "version 3: it was altered")):
        note = Note(place=Place(HERE.incarnation, seq), at_ms=1, what="version 3: it was altered")
        status = seen_from_cloud(1000, rules_refused=(note,))
        assert status.rules.value is not None
        assert status.rules.value.refused == refused
        act = answers(status)[2]
        assert any("it was altered" in point for point in act.points) is (refused is not None)


def test_a_site_heard_now_is_known() -> None:
    assert verdicts(seen_from_cloud(1000))[:2] == ["yes", "yes"]


@pytest.mark.parametrize(
    ("connected", "verdict", "tone", "words"),
    [
        ((True, True), "yes", Tone.GOOD, "2 of 2 charge points seen so far connected; "),
        ((True, False), "yes", Tone.ATTENTION, "1 of 2 charge points seen so far connected; "),
        ((False, False), "no", Tone.BAD, "None of 2 charge points seen so far is connected."),
    ],
)
def test_the_cloud_says_that_it_counts_those_it_has_seen_and_is_well_only_with_all_of_them(
    connected: tuple[bool, ...], verdict: str, tone: Tone, words: str
) -> None:
    rows = tuple(charge_point(f"CP-{n}", connected=one) for n, one in enumerate(connected))
    charge = answers(replace(seen_from_cloud(1000), charge_points=fresh(rows)))[0]
    assert (charge.verdict, charge.tone) == (verdict, tone)
    assert charge.reason.startswith(words)
    at_the_site = answers(replace(WELL, charge_points=fresh(rows)))[0]
    assert (at_the_site.verdict, at_the_site.tone) == (verdict, tone)
    assert at_the_site.reason.startswith(words.replace(" seen so far", ""))


def test_a_session_without_its_beginning_is_open_in_both_scopes() -> None:
    for status in (WELL, seen_from_cloud(1000)):
        assert answers(status)[3].verdict is Verdict.NO
        answer = answers(replace(status, sessions=fresh({"stopped": 4, "fragment": 2})))[3]
        assert answer.verdict is Verdict.YES
        assert answer.points == ("2 sessions known without the beginning",)


# --- the CSMS behind it ---


def upstream(
    *whats: str, csms: CsmsState = CsmsState.UP, is_fresh: bool = True
) -> Reading[UpstreamStatus]:
    deliveries = tuple(
        OpenDelivery(backend="main", charge_point="CP-02", trouble=Trouble.QUARANTINED, what=what)
        for what in whats
    )
    told = UpstreamStatus(
        at_ms=NOW, csms=csms, instance="b1", charge_points=(), open_deliveries=deliveries
    )
    return replace(fresh(told, "csms-bridge"), fresh=is_fresh)


def test_without_a_bridge_no_csms_is_known_and_nothing_is_wrong() -> None:
    status = seen_from_cloud(1000)
    assert status.csms.value is None
    assert "no CSMS is known" in status.csms.problem
    assert verdicts(status) == ["yes", "yes", "no", "no"]
    assert all(answer.tone is Tone.GOOD for answer in answers(status))


def test_what_the_csms_refuses_is_open_and_asks_somebody_to_look_there() -> None:
    status = seen_from_cloud(1000, upstream=upstream("a start", "its stop"))
    assert verdicts(status) == ["yes", "yes", "yes", "yes"]
    (act,) = answers(status)[2].points
    assert act == "the CSMS does not take everything of 1 charge point: look there"
    assert answers(status)[3].points == (
        "csms caught up: CP-02 at main, quarantined: a start",
        "csms caught up: CP-02 at main, quarantined: its stop",
    )


def test_a_bridge_that_fell_silent_leaves_open_what_may_be_open() -> None:
    told = upstream(is_fresh=False)
    assert verdicts(seen_from_cloud(1000, upstream=told)) == ["yes", "yes", "no", "unknown"]
    told = upstream("a start", is_fresh=False)
    assert verdicts(seen_from_cloud(1000, upstream=told))[3] == "yes"
    told = upstream(csms=CsmsState.NONE, is_fresh=False)
    assert verdicts(seen_from_cloud(1000, upstream=told)) == ["yes", "yes", "no", "no"]


def test_a_site_that_is_degraded_for_its_csms_returns_when_that_does() -> None:
    mode = ModeNow(mode=Mode.DEGRADED, reasons=("csms",), since_ms=NOW, disruption="D1")
    act = answers(replace(WELL, mode=fresh(mode)))[2]
    assert act.verdict is Verdict.NO
    assert "when the CSMS is back" in act.reason


def test_a_site_not_heard_is_unknown_whatever_it_last_said() -> None:
    status = seen_from_cloud(60_000)
    assert status.mode.value is None
    assert status.mode.last is not None
    assert verdicts(status) == ["unknown", "unknown", "yes", "yes"]
    assert "connected when last heard" in answers(status)[0].reason


def test_a_site_never_heard_is_called_so() -> None:
    assert "Nothing has been heard" in answers(seen_from_cloud(None))[0].reason


def test_when_the_clouds_own_services_are_silent_the_site_is_not_blamed() -> None:
    status = seen_from_cloud(60_000, copies_fresh=False)
    assert "nothing can be said of the site" in answers(status)[0].reason
    assert any("not at the site" in point for point in answers(status)[2].points)
