"""The judgement: truth against account. Pure.

    judge(truth, account, what a central system kept) -> Verdict

What is compared, and by what key:

- an acknowledged transactional CALL with the product's facts: by (charge point, action, payload text);
  a retry under another message id is the same event, the same payload in two facts is a duplicate;
- a session with the product's sessions: by (charge point, transaction id); one that never got an id
  (errata 3.18: -1) by its connector and the readings it has;
- TransactionEvents (2.x) besides by seqNo: in `events.py`;
- what is guaranteed though of no session (security events, settlements): by payload, at least once;
- energy only for sessions whose start and stop the charge point holds acknowledgements for;
- a command that took effect, of whatever action, with `command.dispatched` and `command.settled`: by message id.

A loss inside a gap that the product names is listed apart and is no difference: it said so itself.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from holdfast_simulators.oracle import csms, csms_events, events
from holdfast_simulators.oracle.account import Account, NamedGap, RecordedFact, RecordedSession
from holdfast_simulators.oracle.csms_ledger import Kept
from holdfast_simulators.oracle.ledger import GUARANTEED, Acknowledged, TrueSession, Truth

TRANSACTIONAL = ("StartTransaction", "MeterValues", "StopTransaction", events.ACTION)
NOT_DELIVERED = ("refused", "expired", "superseded", "obsolete")
"""Dispositions that say the charge point never got the command."""
UNEXPLAINED_MAX = 1_000
"""Of more the number is said; a verdict must stay readable."""

PayloadKey = tuple[str, str, str]


@dataclass(slots=True, kw_only=True)
class Verdict:
    acknowledged_events: int = 0
    transaction_events: dict[str, int] = field(default_factory=dict)
    """Of 2.x: acknowledged, left out by rule, transactions whose seqNos are complete."""
    guaranteed_events: int = 0
    """Acknowledged ones of no session; those that are not recorded are `lost` like others."""
    lost: list[dict[str, Any]] = field(default_factory=list)
    lost_in_named_gaps: list[dict[str, Any]] = field(default_factory=list)
    duplicated_effects: list[str] = field(default_factory=list)
    sessions: dict[str, int] = field(default_factory=dict)
    charge_point_energy_wh: int = 0
    recorded_energy_wh: int = 0
    energy_differences: list[dict[str, Any]] = field(default_factory=list)
    discarded_by_charge_points: int = 0
    stale_commands_executed: int = 0
    stale_commands: list[str] = field(default_factory=list)
    unexplained: list[str] = field(default_factory=list)
    csms: csms.CsmsVerdict | None = None
    """None: no central system's ledger was given."""

    @property
    def is_clean(self) -> bool:
        differences = (
            self.lost,
            self.duplicated_effects,
            self.energy_differences,
            self.stale_commands,
            self.unexplained,
            self.csms is not None and self.csms.differences,
        )
        return not any(differences)


def judge(truth: Truth, account: Account, kept: Kept | None = None) -> Verdict:
    verdict = Verdict(discarded_by_charge_points=truth.discarded)
    if truth.queued:
        verdict.unexplained.append(
            f"{truth.queued} messages are still queued at charge points: quiesce before judging"
        )
    facts = _distinct(account.facts)
    recorded = _by_payload(facts)
    left_out = events.LeftOutBook(
        truth, csms_events.left_out_of(facts), csms_events.left_out_of(facts, "uncounted_seq")
    )
    wounded = _judge_events(verdict, truth, recorded, account.gaps, left_out)
    _judge_guaranteed(verdict, truth, facts, account.gaps)
    verdict.transaction_events, problems = events.completeness(truth, facts, left_out, account.gaps)
    verdict.unexplained += problems
    _judge_facts(verdict, truth, recorded)
    _judge_continuity(verdict, facts, account.gaps)
    _judge_sessions(verdict, truth, account, wounded)
    _judge_commands(verdict, truth, facts, account.gaps)
    if kept is not None:
        verdict.csms = csms.judge(truth, kept, account.gaps, left_out.ranges)
    if len(verdict.unexplained) > UNEXPLAINED_MAX:
        more = len(verdict.unexplained) - UNEXPLAINED_MAX
        verdict.unexplained = [*verdict.unexplained[:UNEXPLAINED_MAX], f"and {more} more"]
    return verdict


def _distinct(facts: Iterable[RecordedFact]) -> list[RecordedFact]:
    """The same place of the journal listed twice is paging, the same id at two places redelivery."""
    places = {(one.site, one.incarnation, one.seq): one for one in facts}
    return sorted(places.values(), key=lambda one: (one.site, one.incarnation, one.seq))


def _by_payload(facts: Iterable[RecordedFact]) -> dict[PayloadKey, list[RecordedFact]]:
    recorded: dict[PayloadKey, list[RecordedFact]] = defaultdict(list)
    for fact in facts:
        raw, action = fact.body.get("raw"), fact.body.get("action")
        if isinstance(raw, str) and action in TRANSACTIONAL:
            recorded[(str(fact.body.get("charge_point")), str(action), raw.strip())].append(fact)
    return recorded


# --- events


def _judge_events(
    verdict: Verdict,
    truth: Truth,
    recorded: dict[PayloadKey, list[RecordedFact]],
    gaps: tuple[NamedGap, ...],
    left_out: events.LeftOutBook,
) -> set[tuple[str, str]]:
    """Sessions, as (charge point, key), whose begin or end was lost: their sum is not judged again."""
    distinct: dict[PayloadKey, Acknowledged] = {}
    for one in truth.acknowledged:
        distinct.setdefault((one.charge_point, one.action, one.payload), one)
    verdict.acknowledged_events = len(distinct)
    wounded = set()
    for key, one in distinct.items():
        if key in recorded or left_out.explains(one):
            continue
        if one.action != "MeterValues":
            wounded.add((one.charge_point, one.session))
        _lose(verdict, one, gaps)
    return wounded


def _lose(verdict: Verdict, one: Acknowledged, gaps: tuple[NamedGap, ...]) -> None:
    gap = next((gap for gap in gaps if gap.covers_ms(one.acked_at_ms)), None)
    entry = {
        "charge_point": one.charge_point,
        "session": one.session,
        "action": one.action,
        "message_id": one.message_id,
        "acked_at_ms": one.acked_at_ms,
    }
    if gap is None:
        verdict.lost.append(entry)
    else:
        verdict.lost_in_named_gaps.append(entry | {"cause": gap.cause})


def _judge_guaranteed(
    verdict: Verdict, truth: Truth, facts: list[RecordedFact], gaps: tuple[NamedGap, ...]
) -> None:
    there = {
        (fact.body.get("charge_point"), fact.body.get("action"), str(fact.body.get("raw")).strip())
        for fact in facts
        if fact.body.get("action") in GUARANTEED
    }
    distinct = {(one.charge_point, one.action, one.payload): one for one in truth.guaranteed}
    verdict.guaranteed_events = len(distinct)
    for key, one in distinct.items():
        if key not in there:
            _lose(verdict, one, gaps)


def _judge_facts(
    verdict: Verdict, truth: Truth, recorded: dict[PayloadKey, list[RecordedFact]]
) -> None:
    known = set(truth.charge_points)
    for key, facts in recorded.items():
        charge_point, action, _ = key
        # MeterValues outside a session are no transactional message and not in the ledger's list.
        if action == "MeterValues" and '"transactionId"' not in key[2]:
            continue
        if len({fact.id for fact in facts}) > 1:
            places = ", ".join(fact.name for fact in facts)
            verdict.duplicated_effects.append(f"{charge_point}: one {action} in facts {places}")
        if charge_point in known and key not in truth.sent:
            verdict.unexplained.append(f"{facts[0].name}: {charge_point} never sent this {action}")


def _judge_continuity(
    verdict: Verdict, facts: list[RecordedFact], gaps: tuple[NamedGap, ...]
) -> None:
    """(incarnation, seq) has no hole but the named ones."""
    last: dict[tuple[str, str], int] = {}
    for fact in facts:
        stream = (fact.site, fact.incarnation)
        expected = last.get(stream, 0) + 1
        last[stream] = fact.seq
        holes = [
            seq
            for seq in range(expected, min(fact.seq, expected + UNEXPLAINED_MAX))
            if not any(gap.covers_seq(fact.incarnation, seq) for gap in gaps)
        ]
        if holes:
            verdict.unexplained.append(
                f"journal {fact.site}/{fact.incarnation}: "
                f"{len(holes)} missing from {holes[0]} to {holes[-1]}, in no named gap"
            )


# --- sessions


def _judge_sessions(
    verdict: Verdict, truth: Truth, account: Account, wounded: set[tuple[str, str]]
) -> None:
    by_id: dict[tuple[str, int | str], list[RecordedSession]] = defaultdict(list)
    for one in account.sessions:
        if one.transaction_id is not None:
            by_id[(one.charge_point, one.transaction_id)].append(one)
    taken: set[str] = set()
    matched = 0
    for session in truth.sessions:
        found = _found(session, by_id, account.sessions, taken)
        taken |= {one.name for one in found}
        matched += bool(found)
        if len(found) > 1:
            names = ", ".join(one.name for one in found)
            verdict.duplicated_effects.append(f"{session.name} is recorded as {names}")
        if (session.charge_point, session.key) not in wounded:
            _judge_energy(verdict, session, found)
    _judge_strangers(verdict, truth, [one for one in account.sessions if one.name not in taken])
    verdict.sessions = {
        "started": len(truth.sessions),
        "stopped": sum(one.meter_stop_wh is not None for one in truth.sessions),
        "matched": matched,
    }


def _found(
    session: TrueSession,
    by_id: dict[tuple[str, int | str], list[RecordedSession]],
    recorded: tuple[RecordedSession, ...],
    taken: set[str],
) -> list[RecordedSession]:
    if session.transaction_id is not None:
        same = by_id.get((session.charge_point, session.transaction_id), [])
        return [one for one in same if one.name not in taken]
    # Never given an id: its Start may be recorded unheard, its Stop came with -1.
    alike = [
        one
        for one in recorded
        if one.charge_point == session.charge_point
        and one.name not in taken
        and one.connector in (None, session.connector)
        and (
            one.meter_start_wh == session.meter_start_wh
            or (one.meter_start_wh is None and one.meter_stop_wh == session.meter_stop_wh)
        )
    ]
    return alike[:1]


def _judge_energy(verdict: Verdict, session: TrueSession, found: list[RecordedSession]) -> None:
    true_wh = session.energy_wh
    if true_wh is None or not (session.is_start_acked and session.is_stop_acked):
        return
    verdict.charge_point_energy_wh += true_wh
    recorded_wh = found[0].energy_wh if found else None
    verdict.recorded_energy_wh += recorded_wh or 0
    if recorded_wh != true_wh:
        verdict.energy_differences.append(
            {
                "charge_point": session.charge_point,
                "transaction_id": session.transaction_id,
                "true_wh": true_wh,
                "recorded_wh": recorded_wh,
            }
        )
    if not found:
        verdict.unexplained.append(f"{session.name}: acknowledged in full, not recorded")


def _judge_strangers(verdict: Verdict, truth: Truth, strangers: list[RecordedSession]) -> None:
    """Recorded sessions that no charge point had, or had once."""
    real = Counter(_likeness(one) for one in truth.sessions)
    for stranger in strangers:
        if stranger.charge_point not in truth.charge_points:
            continue
        if real[(stranger.charge_point, stranger.connector, stranger.meter_start_wh)]:
            verdict.duplicated_effects.append(f"{stranger.name} is another session once more")
        else:
            verdict.unexplained.append(f"{stranger.name}: no charge point had this session")


def _likeness(session: TrueSession) -> tuple[str, int | None, int | None]:
    return session.charge_point, session.connector, session.meter_start_wh


# --- commands


def _judge_commands(
    verdict: Verdict, truth: Truth, facts: list[RecordedFact], gaps: tuple[NamedGap, ...]
) -> None:
    """Executed past its deadline, or although the product says it was not delivered, or does not know of it."""
    dispatched: dict[tuple[str, str], dict[str, Any]] = {}
    dispositions: dict[str, str] = {}
    for fact in facts:
        command = fact.body.get("command")
        if not isinstance(command, dict):
            continue
        if fact.type == "command.dispatched":
            key = (str(fact.body.get("charge_point")), str(fact.body.get("message_id")))
            dispatched[key] = command
        elif fact.type == "command.settled":
            dispositions[str(command.get("id"))] = str(fact.body.get("disposition"))
    for one in truth.executed:
        command = dispatched.get((one.charge_point, one.message_id))
        if command is None:
            if not any(gap.covers_ms(one.at_ms) for gap in gaps):
                verdict.stale_commands.append(
                    f"{one.charge_point}: {one.action} was executed, no fact says that it was sent"
                )
            continue
        deadline_ms = command.get("deadline_ms")
        disposition = dispositions.get(str(command.get("id")), "")
        name = f"{one.charge_point}: {one.action} {command.get('id')}"
        if isinstance(deadline_ms, int) and one.at_ms > deadline_ms:
            late_ms = one.at_ms - deadline_ms
            verdict.stale_commands.append(f"{name} was executed {late_ms} ms past its deadline")
        elif disposition in NOT_DELIVERED:
            verdict.stale_commands.append(f"{name} was executed, the product says {disposition}")
    verdict.stale_commands_executed = len(verdict.stale_commands)
