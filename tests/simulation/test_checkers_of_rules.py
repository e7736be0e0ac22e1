"""Goal: the checkers of I5 to I7 see each violation about rules, words, caps, overrides and hostile commands.

A journal is written here entry by entry: right, then with one thing wrong.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from holdfast.contracts.command import (
    Command,
    CommandDispatched,
    CommandHeld,
    CommandSettled,
    CommandWorded,
    Disposition,
    Issuer,
    Word,
)
from holdfast.contracts.decision import (
    AdmitInputs,
    AdmitVerdict,
    Basis,
    ConnectorState,
    DecisionMade,
)
from holdfast.contracts.driver_tokens import TokenStatus
from holdfast.contracts.envelope import Envelope, Fact, body_of
from holdfast.contracts.mode import (
    Mode,
    ModeChanged,
    Override,
    OverrideBegun,
    OverrideEnded,
    OverrideKind,
    Reason,
)
from holdfast.contracts.rules import RulesActivated
from holdfast.contracts.session import Reading, SessionMetered, SessionStarted, session_key
from holdfast.standing import parse_rules
from rule_service.domain.reevaluate import reevaluate
from simulation.checkers import (
    commands_are_admitted,
    decisions_reevaluate,
    modes_have_no_holes,
    rules_take_over_in_order,
)
from simulation.evidence import Evidence, Written
from simulation.provisioning import rules_text
from simulation.publishing import hash_of

LIFE = "aaaaaaaa"
STEP_MS = 1_000
AUTONOMOUS, RECOVERY, CONNECTED, DEGRADED = (
    Mode.AUTONOMOUS, Mode.RECOVERY, Mode.CONNECTED, Mode.DEGRADED,
)  # fmt: skip


def journal(*facts: Fact | tuple[Fact, str], every_ms: int = STEP_MS) -> Evidence:
    """A fact, or a fact with its cause; a second apart."""
    written = []
    for seq, given in enumerate(facts, start=1):
        fact, cause = given if isinstance(given, tuple) else (given, None)
        envelope = Envelope(
            id=f"e{seq}", type=fact.TYPE, at_ms=seq * every_ms, site="berlin01", incarnation=LIFE, source="s",
            cause=cause, body=body_of(fact),
        )  # fmt: skip
        subject = f"hf.berlin01.journal.{fact.TYPE}"
        written.append(Written(LIFE, seq, subject, envelope.id, envelope.to_bytes()))
    good = frozenset(hash_of(rules_text(version)) for version in range(1, 9))
    return Evidence(site="berlin01", site_key="", written=tuple(written), good_rules=good)


# --- rules ---


def activated(version: int, previous: int) -> RulesActivated:
    text = rules_text(version)
    return RulesActivated(version=version, hash=hash_of(text), text=text, previous_version=previous)


def mode(now: Mode, previous: Mode | None, *reasons: Reason, since_ms: int = 0) -> ModeChanged:
    return ModeChanged(
        previous=previous, mode=now, reasons=reasons or (Reason.STARTED,), since_ms=since_ms, disruption="d",
    )  # fmt: skip


RIGHT = (
    mode(AUTONOMOUS, None), activated(1, 0), mode(RECOVERY, AUTONOMOUS), activated(2, 1), activated(4, 2),
)  # fmt: skip


def test_rules_that_take_over_in_order_break_nothing() -> None:
    assert rules_take_over_in_order.check(journal(*RIGHT)) == []


@pytest.mark.parametrize(
    ("facts", "word"),
    [
        ((*RIGHT, activated(3, 4)), "replace the newer 4"),
        ((*RIGHT, activated(5, 1)), "replace 1, and 4 stood"),
        ((*RIGHT, activated(4, 4)), "activated 2 times"),
        ((*RIGHT, activated(9, 4)), "nobody who may has signed"),
        ((*RIGHT, activated(5, 4).model_copy(update={"hash": hash_of("x")})), "the hash they are"),
    ],
)
def test_rules_that_take_over_otherwise_are_found(facts: tuple[Fact, ...], word: str) -> None:
    found = rules_take_over_in_order.check(journal(*facts))
    assert any(word in one for one in found), found


def test_rules_replaced_in_autonomous_are_found_but_for_a_moment_after_the_mode_changed() -> None:
    facts = (*RIGHT, mode(AUTONOMOUS, RECOVERY), activated(5, 4))
    assert rules_take_over_in_order.check(journal(*facts)) == []
    found = rules_take_over_in_order.check(journal(*facts, every_ms=10_000))
    assert found == [f"{LIFE}:7: 5 replaces 4 in autonomous"]


# --- decisions ---


def command(id: str = "c1", **more: object) -> Command:
    given = {
        "id": id, "charge_point": "CP-01", "action": "ChangeAvailability", "issued_at_ms": 0, "deadline_ms": 60_000,
        "payload": {"connectorId": 1, "type": "Operative"}, **more,
    }  # fmt: skip
    return Command.model_validate(given)


def decided(
    of: Command, now: Mode = CONNECTED, at_ms: int = 5_000, version: int = 1
) -> DecisionMade:
    """As the rules of that version decide."""
    inputs = AdmitInputs(
        at_ms=at_ms, mode=now, command=of,
        target=ConnectorState(
            connected=True, status="Available", transaction_id=of.payload.get("transactionId"), booted_at_ms=None
        ),
    )  # fmt: skip
    empty = DecisionMade(
        decision=f"d-{of.id}", charge_point="CP-01", rules_version=version, clause="", inputs=inputs,
        verdict=AdmitVerdict(admitted=True, disposition=None), explanation="",
    )  # fmt: skip
    ruling = reevaluate(parse_rules(rules_text(version)), empty)
    return empty.model_copy(
        update={
            "clause": ruling.clause, "verdict": ruling.verdict, "explanation": ruling.explanation,
            "considered": ruling.considered,
        }
    )  # fmt: skip


def test_decisions_under_way_may_end_by_the_rules_before() -> None:
    one, two = decided(command("c1")), decided(command("c2"), version=2)
    assert decisions_reevaluate.check(journal(activated(1, 0), activated(2, 1), one, two)) == []


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"considered": ()}, "it says it looked at"),
        ({"explanation": ""}, "no explanation"),
        ({"rules_version": 2}, "which the journal does not have"),
    ],
)
def test_a_decision_that_is_not_explained_is_found(changes: dict[str, object], word: str) -> None:
    made = decided(command()).model_copy(update=changes)
    found = decisions_reevaluate.check(journal(activated(1, 0), made, activated(2, 1)))
    assert any(word in one for one in found), found


def test_a_decision_by_rules_of_long_ago_is_found() -> None:
    facts = (activated(1, 0), activated(2, 1), activated(3, 2), decided(command()))
    assert any("long after" in one for one in decisions_reevaluate.check(journal(*facts)))


# --- modes ---


def maintenance(**changes: object) -> Override:
    given = {
        "id": "o1", "kind": OverrideKind.MAINTENANCE, "from_ms": 2_000, "until_ms": 60_000, "by": "p", "why": "w",
        **changes,
    }  # fmt: skip
    return Override.model_validate(given)


BEGUN = OverrideBegun(override=maintenance(), standing=(maintenance(),))
ENDED = OverrideEnded(override=maintenance(), by="p", why="w", ended_at_ms=9_000, standing=())
STARTED = (mode(AUTONOMOUS, None), mode(RECOVERY, AUTONOMOUS))
KEPT = (*STARTED, BEGUN, mode(AUTONOMOUS, RECOVERY, Reason.MAINTENANCE, since_ms=3_000))


def test_a_site_in_maintenance_is_autonomous_until_it_ends() -> None:
    facts = (*KEPT, ENDED, mode(RECOVERY, AUTONOMOUS, since_ms=9_500))
    assert modes_have_no_holes.check(journal(*facts)) == []


@pytest.mark.parametrize(
    ("facts", "word"),
    [
        ((*KEPT, mode(RECOVERY, AUTONOMOUS, since_ms=30_000)), "in the middle of the maintenance"),
        ((*STARTED, mode(AUTONOMOUS, RECOVERY, Reason.MAINTENANCE)), "that nobody began"),
        ((*KEPT, ENDED, ENDED), "has 2 ends"),
        ((*STARTED, ENDED), "did not stand"),
        ((*STARTED, decided(command(), DEGRADED)), "decided in degraded"),
        (
            (*STARTED, decided(command(), AUTONOMOUS, at_ms=30_000)),
            "decided in autonomous, 28000 ms",
        ),
    ],
)
def test_a_mode_that_is_not_what_people_or_decisions_say_is_found(
    facts: tuple[Fact, ...], word: str
) -> None:
    found = modes_have_no_holes.check(journal(*facts))
    assert any(word in one for one in found), found


def test_a_decision_a_moment_after_the_mode_changed_may_not_know_it_yet() -> None:
    assert modes_have_no_holes.check(journal(*STARTED, decided(command(), AUTONOMOUS))) == []


# --- commands ---


def sent(of: Command) -> tuple[Fact, str]:
    fact = CommandDispatched(charge_point="CP-01", command=of, message_id=f"m-{of.id}")
    return fact, f"d-{of.id}"


def held(of: Command) -> CommandHeld:
    return CommandHeld(charge_point="CP-01", command=of, reason="", decision=f"d-{of.id}")


def word(of: Command, said: Word, *, taken: bool = True) -> CommandWorded:
    return CommandWorded(charge_point="CP-01", command_id=of.id, word=said, by="p", taken=taken)


def settled(of: Command, disposition: Disposition) -> CommandSettled:
    return CommandSettled(charge_point="CP-01", command=of, disposition=disposition)


def started(*, cap_wh: int | None = None) -> SessionStarted:
    return SessionStarted(
        charge_point="CP-01", connector=1, session=session_key("CP-01", 7), transaction_id=7, driver_token="D",
        meter_start_wh=100, at="", status=TokenStatus.ACCEPTED, basis=Basis.UNKNOWN_POLICY, flagged=cap_wh is not None,
        energy_wh_max=cap_wh, decision="d", message_id="m", raw="",
    )  # fmt: skip


def metered(wh: int) -> SessionMetered:
    return SessionMetered(
        charge_point="CP-01", connector=1, session=session_key("CP-01", 7), transaction_id=7,
        readings=(Reading(at="", energy_wh=wh),), message_id="m", raw="",
    )  # fmt: skip


ONE = command()
STOP = {"action": "RemoteStopTransaction", "payload": {"transactionId": 7}}
CAP = command("cap-1", **STOP, issuer=Issuer.SITE, by_rule="authorise.unknown_energy_wh_max")
YES = decided(ONE)
NO = YES.model_copy(update={"verdict": AdmitVerdict(admitted=False, disposition=None)})
LATER = CAP.model_copy(update={"id": "cap-1-2", "issued_at_ms": CAP.issued_at_ms + 60_000})
SOON = LATER.model_copy(update={"issued_at_ms": CAP.issued_at_ms + 59_999})
CAPPED = (started(cap_wh=50), metered(150), decided(CAP))


MANY = tuple(
    fact
    for number in range(6)
    for of in [LATER.model_copy(update={"id": f"cap-{number}", "issued_at_ms": 100_000 * number})]
    for fact in (decided(of), sent(of))
)


def test_commands_that_were_admitted_worded_and_capped_break_nothing() -> None:
    other = command("c2")
    facts = (
        YES, held(ONE), word(ONE, Word.CONFIRM), sent(ONE), settled(ONE, Disposition.DELIVERED),
        decided(other), word(other, Word.CANCEL), settled(other, Disposition.SUPERSEDED), *CAPPED, sent(CAP),
        decided(LATER), sent(LATER),
    )  # fmt: skip
    assert commands_are_admitted.check(journal(*facts)) == []


HOSTILE = [
    command("c1", action="Reset", payload={"type": "Soft"}),
    command("c1", action="UnlockConnector", payload={"connectorId": 1}),
    command("c1", payload={"connectorId": 0, "type": "Inoperative"}),
    command("c1", **STOP),
]


@pytest.mark.parametrize("of", HOSTILE, ids=lambda of: of.action)
@pytest.mark.parametrize("now", [DEGRADED, AUTONOMOUS, RECOVERY])
def test_a_remote_command_that_ends_a_session_of_a_site_on_its_own_is_found(
    of: Command, now: Mode
) -> None:
    admitted = {"admitted": True, "disposition": None, "waits_for": None}
    made = decided(of, now)
    made = made.model_copy(update={"verdict": made.verdict.model_copy(update=admitted)})
    found = commands_are_admitted.check(journal(started(), made, sent(of)))
    assert any("would end session 7, which ran" in one for one in found), found
    at_once = made.inputs.model_copy(update={"at_ms": 2_000})
    fresh = made.model_copy(update={"inputs": at_once})
    assert commands_are_admitted.check(journal(started(), fresh, sent(of))) == []


@pytest.mark.parametrize(
    ("facts", "word"),
    [
        ((sent(ONE),), "that the journal does not have"),
        ((NO, sent(ONE)), "did not admit"),
        ((YES, (sent(command("c2"))[0], "d-c1")), "did not admit it"),
        ((YES, held(ONE), sent(ONE)), "without the word"),
        ((YES, held(ONE), word(ONE, Word.CONFIRM, taken=False), sent(ONE)), "without the word"),
        ((YES, word(ONE, Word.CANCEL), sent(ONE)), "after it was cancelled"),
        ((YES, word(ONE, Word.CANCEL), settled(ONE, Disposition.DELIVERED)), "and ended delivered"),
        ((*CAPPED, sent(CAP), sent(CAP)), "a second time"),
        ((*CAPPED, sent(CAP), decided(SOON), sent(SOON)), "59999 ms after the stop before it"),
        ((*CAPPED, *MANY), "is stop 6 of its session"),
        ((started(cap_wh=50), metered(149), decided(CAP), sent(CAP)), "at 49 Wh of 50"),
        ((started(), metered(150), decided(CAP), sent(CAP)), "has no cap"),
        ((decided(command("c1", issuer=Issuer.SITE)), sent(command("c1", issuer=Issuer.SITE))), "by no rule"),
    ],
)  # fmt: skip
def test_a_command_sent_without_right_is_found(
    facts: tuple[Fact | tuple[Fact, str], ...], word: str
) -> None:
    found = commands_are_admitted.check(journal(*facts))
    assert any(word in one for one in found), found


def test_with_a_stepped_clock_sessions_are_not_told_by_it() -> None:
    of = HOSTILE[0]
    made = decided(of, DEGRADED).model_copy(
        update={"verdict": AdmitVerdict(admitted=True, disposition=None)}
    )
    evidence = replace(journal(started(), made, sent(of)), clock_stepped=True)
    assert commands_are_admitted.check(evidence) == []
