"""The judgement of the central system's ledger: truth against what arrived there. Pure.

    judge(truth, kept, gaps) -> CsmsVerdict

- A session, whose StartTransaction the charge point holds an acknowledgement for, is one transaction with
  exactly that start: none is `missing`, two are `doubled`, one alike but for a field `differs`.
- Its acknowledged StopTransaction is that transaction's: none is `unfinished`, another `differs`.
- Its acknowledged MeterValues are there (else `missing`), under that transaction (else `misfiled`).
- A start or stop that no charge point ever sent is `invented`.

Payloads are compared field by field but for the transaction id, which whoever stands between rewrites. What is
missing and was acknowledged inside a gap that the product names is listed apart, as in `judge.py`. What charge points
of 2.x said is judged by `csms_events.py`, and counted here too.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from holdfast_simulators.oracle import csms_events
from holdfast_simulators.oracle.account import NamedGap
from holdfast_simulators.oracle.csms_ledger import Fields, Kept, KeptTransaction, fields_of
from holdfast_simulators.oracle.ledger import Acknowledged, TrueSession, Truth

DIFFERENCES_MAX = 1_000
"""Of more the number is said; a verdict must stay readable."""
Key = tuple[str, str]
"""Charge point and content of a payload."""


@dataclass(slots=True, kw_only=True)
class CsmsVerdict:
    transactions: int = 0
    """Of the charge points whose truth is known."""
    oracle_transactions: int = 0
    differences: list[dict[str, Any]] = field(default_factory=list)
    in_named_gaps: list[dict[str, Any]] = field(default_factory=list)
    start_never_acknowledged: list[str] = field(default_factory=list)
    """Sessions of which the charge point itself gave up the start: nobody can be blamed."""
    meter_values: dict[str, int] = field(default_factory=dict)
    transaction_events: dict[str, int] = field(default_factory=dict)
    """Of 2.x."""
    doubled_connections: int = 0


def judge(
    truth: Truth,
    kept: Kept,
    gaps: tuple[NamedGap, ...],
    left_out: csms_events.LeftOut | None = None,
) -> CsmsVerdict:
    """`left_out`: what the product says it left out by rule, of 2.x."""
    judgement = _Judgement(truth, kept, gaps)
    verdict = judgement.run()
    events = csms_events.judge(truth, kept, gaps, left_out or {})
    verdict.transactions += events.transactions
    verdict.oracle_transactions += events.oracle_transactions
    verdict.differences += events.differences
    verdict.in_named_gaps += events.in_named_gaps
    verdict.transaction_events = events.counts
    if len(verdict.differences) > DIFFERENCES_MAX:
        more = len(verdict.differences) - DIFFERENCES_MAX
        verdict.differences = [*verdict.differences[:DIFFERENCES_MAX], {"kind": "more", "n": more}]
    return verdict


@dataclass(slots=True)
class _Told:
    """What the charge point holds acknowledgements for, of one session."""

    start: Acknowledged | None = None
    stop: Acknowledged | None = None
    readings: list[Acknowledged] = field(default_factory=list)
    is_of_events: bool = False
    """It is of 2.x, and judged elsewhere."""


class _Judgement:
    def __init__(self, truth: Truth, kept: Kept, gaps: tuple[NamedGap, ...]) -> None:
        known = set(truth.charge_points)
        self._truth = truth
        self._gaps = gaps
        self._kept = [one for one in kept.transactions if one.charge_point in known]
        self._readings = [one for one in kept.readings if one.charge_point in known]
        self._verdict = CsmsVerdict(
            transactions=len(self._kept),
            doubled_connections=sum(one in known for one in kept.doubled),
        )
        self._by_start: dict[Key, list[KeptTransaction]] = defaultdict(list)
        for one in self._kept:
            self._by_start[_key(one.charge_point, one.start)].append(one)
        self._filed: dict[Key, list[int]] = defaultdict(list)
        for reading in self._readings:
            key = _key(reading.charge_point, reading.fields)
            self._filed[key].append(reading.transaction_id)
        self._why = {_key(one.charge_point, one.fields): one.reason for one in kept.not_taken}
        self._sent: dict[str, set[Key]] = defaultdict(set)
        for charge_point, action, payload in truth.sent:
            if action != csms_events.ACTION:
                self._sent[action].add(_key(charge_point, fields_of(payload)))
        self._not_taken = [one for one in kept.not_taken if one.charge_point in known]
        self._taken: set[int] = set()
        self._counts = dict.fromkeys(("acknowledged", "received", "missing", "repeated"), 0)

    def run(self) -> CsmsVerdict:
        told = _told(self._truth.acknowledged)
        sessions = [(one, told[(one.charge_point, one.key)]) for one in self._truth.sessions]
        # Those with an exact match first: a start that differs may only claim what nobody else is.
        found = {one.name: self._exact(one, said) for one, said in sessions}
        for session, said in sessions:
            self._judge_session(session, said, found[session.name])
        self._judge_strangers()
        self._counts["received"] = len(self._readings)
        self._counts["repeated"] = sum(
            len(ids) - len(set(ids)) for ids in self._filed.values() if len(ids) > 1
        )
        self._verdict.meter_values = self._counts
        return self._verdict

    # --- sessions

    def _exact(self, session: TrueSession, said: _Told) -> list[KeptTransaction]:
        if said.start is None:
            return []
        key = _key(session.charge_point, fields_of(said.start.payload))
        found = [one for one in self._by_start.get(key, []) if one.id not in self._taken]
        self._taken |= {one.id for one in found}
        return found

    def _judge_session(
        self, session: TrueSession, said: _Told, found: list[KeptTransaction]
    ) -> None:
        if said.is_of_events:
            return
        if said.start is None:
            self._explain(session)
            return
        self._verdict.oracle_transactions += 1
        found = found or self._alike(session, said.start)
        if not found:
            self._judge_lost(session, said, said.start)
            return
        if len(found) > 1:
            ids = ", ".join(str(one.id) for one in found)
            self._differ("doubled", session, f"there are transactions {ids} of it")
        # Of two the one that was stopped: that there are two is said already.
        self._judge_stop(session, said, next((one for one in found if one.stop), found[0]))
        self._judge_readings(session, said, {one.id for one in found})

    def _judge_lost(self, session: TrueSession, said: _Told, start: Acknowledged) -> None:
        """Said once: its readings are only counted, its stop goes without saying."""
        counts = self._miss(session, start, "its transaction")
        for one in _distinct(said.readings):
            self._counts["acknowledged"] += 1
            self._counts["missing"] += counts and not self._filed_under(session, one)

    def _alike(self, session: TrueSession, start: Acknowledged) -> list[KeptTransaction]:
        """The transaction that must be this session's, though a field of it is another."""
        true = fields_of(start.payload)
        candidates = [
            one
            for one in self._kept
            if one.charge_point == session.charge_point
            and one.id not in self._taken
            and _key(one.charge_point, one.start) not in self._sent["StartTransaction"]
        ]
        best = max(candidates, key=lambda one: _agreeing(true, one.start), default=None)
        if best is None or _agreeing(true, best.start) < len(true) - 1:
            return []
        self._taken.add(best.id)
        self._compare(session, "start", true, best.start)
        return [best]

    def _judge_stop(self, session: TrueSession, said: _Told, transaction: KeptTransaction) -> None:
        if said.stop is not None and transaction.stop is None:
            self._miss(session, said.stop, f"the stop of transaction {transaction.id}")
        elif said.stop is not None and transaction.stop is not None:
            self._compare(session, "stop", fields_of(said.stop.payload), transaction.stop)
        elif transaction.stop is not None:
            key = _key(session.charge_point, transaction.stop)
            if key not in self._sent["StopTransaction"]:
                self._differ("invented", session, f"transaction {transaction.id} was stopped")

    def _explain(self, session: TrueSession) -> None:
        self._verdict.start_never_acknowledged.append(
            f"{session.name}: the charge point gave its StartTransaction up, or still has it"
        )

    def _judge_strangers(self) -> None:
        """What the charge points never sent."""
        for one in self._kept:
            key = _key(one.charge_point, one.start)
            if one.id in self._taken:
                continue
            if key not in self._sent["StartTransaction"]:
                self._invent(one.charge_point, f"transaction {one.id}: no charge point began it")
            elif one.id != self._by_start[key][0].id:
                entry = {"kind": "doubled", "charge_point": one.charge_point}
                what = f"{one.name} is transaction {self._by_start[key][0].id} once more"
                self._verdict.differences.append(entry | {"what": what})
        for reading in self._readings:
            if _key(reading.charge_point, reading.fields) not in self._sent["MeterValues"]:
                what = f"MeterValues of transaction {reading.transaction_id}: never sent"
                self._invent(reading.charge_point, what)
        for refused in self._not_taken:
            if refused.action == csms_events.ACTION:
                continue  # the events' own judgement says what is not there
            if _key(refused.charge_point, refused.fields) not in self._sent[refused.action]:
                what = f"{refused.action} ({refused.reason}): never sent"
                self._invent(refused.charge_point, what)

    def _invent(self, charge_point: str, what: str) -> None:
        entry = {"kind": "invented", "charge_point": charge_point}
        self._verdict.differences.append(entry | {"what": f"{charge_point} {what}"})

    # --- meter values

    def _judge_readings(self, session: TrueSession, said: _Told, own: set[int]) -> None:
        for one in _distinct(said.readings):
            self._counts["acknowledged"] += 1
            filed = self._filed_under(session, one)
            if not filed:
                self._counts["missing"] += self._miss(session, one, "MeterValues")
            elif not own & filed:
                what = f"MeterValues {one.message_id} are filed under {sorted(filed)}"
                self._differ("misfiled", session, what, message_id=one.message_id)

    def _filed_under(self, session: TrueSession, one: Acknowledged) -> set[int]:
        return set(self._filed.get(_key(session.charge_point, fields_of(one.payload)), ()))

    # --- what is said

    def _compare(self, session: TrueSession, what: str, true: Fields, kept: Fields) -> None:
        for name in sorted({*true, *kept}):
            if true.get(name) != kept.get(name):
                values = {"field": name, "true": true.get(name), "csms": kept.get(name)}
                sentence = f"{name} of its {what} is another at the central system"
                self._differ("differs", session, sentence, **values)

    def _miss(self, session: TrueSession, one: Acknowledged, what: str) -> bool:
        """Whether it counts: not in a gap that the product names."""
        kind = "unfinished" if one.action == "StopTransaction" else "missing"
        why = self._why.get(_key(one.charge_point, fields_of(one.payload)))
        told = "" if why is None else f"; acknowledged and not taken: {why}"
        entry = _entry(kind, session, f"{what} is missing{told}") | {
            "action": one.action,
            "message_id": one.message_id,
            "acked_at_ms": one.acked_at_ms,
        }
        gap = next((gap for gap in self._gaps if gap.covers_ms(one.acked_at_ms)), None)
        if gap is None:
            self._verdict.differences.append(entry)
        else:
            self._verdict.in_named_gaps.append(entry | {"cause": gap.cause})
        return gap is None

    def _differ(self, kind: str, session: TrueSession, what: str, **more: Any) -> None:
        self._verdict.differences.append(_entry(kind, session, what) | more)


def _entry(kind: str, session: TrueSession, what: str) -> dict[str, Any]:
    return {
        "kind": kind,
        "charge_point": session.charge_point,
        "session": session.key,
        "what": f"{session.name}: {what}",
    }


def _told(acknowledged: Iterable[Acknowledged]) -> dict[tuple[str, str], _Told]:
    """By charge point and session; of a message acknowledged twice the first."""
    told: dict[tuple[str, str], _Told] = defaultdict(_Told)
    for one in acknowledged:
        said = told[(one.charge_point, one.session)]
        match one.action:
            case "StartTransaction":
                said.start = said.start or one
            case "StopTransaction":
                said.stop = said.stop or one
            case csms_events.ACTION:
                said.is_of_events = True
            case _:
                said.readings.append(one)
    return told


def _distinct(readings: list[Acknowledged]) -> Iterable[Acknowledged]:
    return {one.payload: one for one in readings}.values()


def _agreeing(one: Fields, other: Fields) -> int:
    return sum(name in other and other[name] == value for name, value in one.items())


def _key(charge_point: str, fields: Fields) -> Key:
    return charge_point, json.dumps(fields, sort_keys=True)
