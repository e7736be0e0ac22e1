"""The judgement of what the central system kept of OCPP 2.x: TransactionEvents, one by one. Pure.

    judge(truth, kept, gaps, left_out) -> EventsVerdict

The station chose the transaction's id and numbered its events, so they are compared as they are: an acknowledged event
is there once (else `missing`, `unfinished` for an Ended, `doubled`), with the same content (else `differs`), after
those that the station sent before it (else `disordered`); and none is `invented`. What the product's account says was
left out by rule is no difference, if it is an Updated.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from holdfast_simulators.oracle.account import NamedGap, RecordedFact
from holdfast_simulators.oracle.csms_ledger import Kept, KeptEvent
from holdfast_simulators.oracle.ledger import Acknowledged, Truth

ACTION = "TransactionEvent"
LeftOut = Mapping[tuple[str, str], list[tuple[int, int]]]
"""(charge point, transaction id) to ranges of seqNo, both ends included."""
Place = tuple[str, str, int]
"""Charge point, transaction id, seqNo."""


@dataclass(slots=True, kw_only=True)
class EventsVerdict:
    transactions: int = 0
    """With a Started at the central system."""
    oracle_transactions: int = 0
    differences: list[dict[str, Any]] = field(default_factory=list)
    in_named_gaps: list[dict[str, Any]] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)


def left_out_of(facts: Iterable[RecordedFact], field: str = "left_out_seq") -> LeftOut:
    """What the account says was left out by rule; or (`uncounted_seq`) that it does not know of."""
    found: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
    for fact in facts:
        for one in fact.body.get(field) or ():
            key = (str(fact.body.get("charge_point")), str(fact.body.get("transaction_id")))
            found[key].append((int(one[0]), int(one[1])))
    return found


def judge(truth: Truth, kept: Kept, gaps: tuple[NamedGap, ...], left_out: LeftOut) -> EventsVerdict:
    verdict = EventsVerdict()
    true = _true_events(truth)
    mine = [one for one in kept.events if one.charge_point in truth.charge_points]
    there: dict[Place, list[KeptEvent]] = defaultdict(list)
    for event in mine:
        there[_place(event.charge_point, event.fields)].append(event)
    counts = dict.fromkeys(("acknowledged", "received", "missing", "repeated", "left_out"), 0)
    counts |= {"acknowledged": len(true), "received": len(mine)}
    for place, one in true.items():
        found = there.get(place, [])
        if found:
            _judge_found(verdict, counts, place, one, found)
        elif _is_left_out(place, one, left_out):
            counts["left_out"] += 1
        else:
            counts["missing"] += _miss(verdict, place, one, gaps, kept)
    _judge_strangers(verdict, truth, there)
    _judge_order(verdict, true, mine)
    verdict.transactions = len(
        {place[:2] for place, found in there.items() if _kind(found[0].fields) == "Started"}
    )
    verdict.oracle_transactions = len(
        {place[:2] for place, one in true.items() if _kind(json.loads(one.payload)) == "Started"}
    )
    verdict.counts = counts
    return verdict


def _judge_found(
    verdict: EventsVerdict,
    counts: dict[str, int],
    place: Place,
    one: Acknowledged,
    found: list[KeptEvent],
) -> None:
    fields = json.loads(one.payload)
    if len(found) > 1:
        counts["repeated"] += len(found) - 1
        if _kind(fields) != "Updated":
            _differ(verdict, "doubled", place, f"its {_kind(fields)} is there {len(found)} times")
    for name in sorted({*fields, *found[0].fields}):
        if fields.get(name) != found[0].fields.get(name):
            values = {"field": name, "true": fields.get(name), "csms": found[0].fields.get(name)}
            what = f"{name} of its event is another at the central system"
            _differ(verdict, "differs", place, what, **values)


def _is_left_out(place: Place, one: Acknowledged, left_out: LeftOut) -> bool:
    ranges = left_out.get(place[:2], [])
    is_said = any(first <= place[2] <= last for first, last in ranges)
    return is_said and _kind(json.loads(one.payload)) == "Updated"


def _miss(
    verdict: EventsVerdict,
    place: Place,
    one: Acknowledged,
    gaps: tuple[NamedGap, ...],
    kept: Kept,
) -> bool:
    fields = json.loads(one.payload)
    kind = "unfinished" if _kind(fields) == "Ended" else "missing"
    reasons = (
        told.reason
        for told in kept.not_taken
        if told.charge_point == one.charge_point and told.fields == fields
    )
    why = next(reasons, None)
    told = "" if why is None else f"; acknowledged and not taken: {why}"
    entry = _entry(kind, place, f"its {_kind(fields)} is missing{told}") | {
        "action": ACTION,
        "message_id": one.message_id,
        "acked_at_ms": one.acked_at_ms,
    }
    gap = next((gap for gap in gaps if gap.covers_ms(one.acked_at_ms)), None)
    if gap is None:
        verdict.differences.append(entry)
        return True
    verdict.in_named_gaps.append(entry | {"cause": gap.cause})
    return False


def _judge_strangers(
    verdict: EventsVerdict, truth: Truth, there: Mapping[Place, list[KeptEvent]]
) -> None:
    sent = {
        _place(charge_point, json.loads(payload))
        for charge_point, action, payload in truth.sent
        if action == ACTION
    }
    for place, found in there.items():
        if place not in sent:
            _differ(verdict, "invented", place, f"a {_kind(found[0].fields)} that was never sent")


def _judge_order(
    verdict: EventsVerdict, true: Mapping[Place, Acknowledged], mine: list[KeptEvent]
) -> None:
    """Of each transaction as the station sent it."""
    rank = {place: number for number, place in enumerate(true)}
    last: dict[tuple[str, str], int] = {}
    seen: set[Place] = set()
    for one in mine:
        place = _place(one.charge_point, one.fields)
        if place in seen or place not in rank:
            continue
        seen.add(place)
        if rank[place] < last.get(place[:2], -1):
            _differ(verdict, "disordered", place, "it came after a later one of its transaction")
        last[place[:2]] = max(rank[place], last.get(place[:2], -1))


def _true_events(truth: Truth) -> dict[Place, Acknowledged]:
    """In the order in which they were acknowledged; of one acknowledged twice the first."""
    found: dict[Place, Acknowledged] = {}
    for one in truth.acknowledged:
        if one.action == ACTION:
            found.setdefault(_place(one.charge_point, json.loads(one.payload)), one)
    return found


def _place(charge_point: str, fields: dict[str, Any]) -> Place:
    return charge_point, str(fields["transactionInfo"]["transactionId"]), int(fields["seqNo"])


def _kind(fields: dict[str, Any]) -> str:
    return str(fields.get("eventType"))


def _differ(verdict: EventsVerdict, kind: str, place: Place, what: str, **more: Any) -> None:
    verdict.differences.append(_entry(kind, place, what) | more)


def _entry(kind: str, place: Place, what: str) -> dict[str, Any]:
    charge_point, transaction, seq_no = place
    named = f"{charge_point} transaction {transaction} seqNo {seq_no}"
    return {
        "kind": kind,
        "charge_point": charge_point,
        "session": transaction,
        "what": f"{named}: {what}",
    }
