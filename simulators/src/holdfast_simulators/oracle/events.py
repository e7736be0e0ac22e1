"""The judgement of TransactionEvents (2.x) by seqNo: what the product recorded, what it left out by its rule. Pure.

    completeness(truth, facts, left out, gaps) -> counts, problems

Of each transaction whose Ended is acknowledged every seqNo from 0 to the Ended's is recorded, or left out by rule, or
was never acknowledged to the station (it gave it up itself). Left out may be a plain periodic reading alone: no begin,
no end, no signed value, no driver token, no new charging state.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from holdfast_simulators.oracle.account import NamedGap, RecordedFact
from holdfast_simulators.oracle.csms_events import ACTION, LeftOut
from holdfast_simulators.oracle.ledger import Acknowledged, Truth

__all__ = ["ACTION", "LeftOutBook", "completeness"]

Transaction = tuple[str, str]
"""Charge point, transaction id."""
THINNED = ("MeterValuePeriodic", "MeterValueClock")
"""What triggers a reading that may be left out."""


class LeftOutBook:
    """What the account says was left out, and whether it may have been."""

    def __init__(self, truth: Truth, ranges: LeftOut, uncounted: LeftOut | None = None) -> None:
        self._ranges, self._uncounted = ranges, uncounted or {}
        self._is_plain = _plain(truth)

    @property
    def ranges(self) -> LeftOut:
        """What the central system may miss."""
        transactions = {*self._ranges, *self._uncounted}
        return {
            one: [*self._ranges.get(one, []), *self._uncounted.get(one, [])] for one in transactions
        }

    def is_said(self, transaction: Transaction, seq_no: int) -> bool:
        return _is_in(self._ranges.get(transaction, []), seq_no)

    def is_uncounted(self, transaction: Transaction, seq_no: int) -> bool:
        """The product says that it does not know: left out right before a restart, or never came."""
        return _is_in(self._uncounted.get(transaction, []), seq_no)

    def explains(self, one: Acknowledged) -> bool:
        if one.action != ACTION:
            return False
        transaction, seq_no, _ = _placed(one.charge_point, json.loads(one.payload))
        is_plain = self._is_plain.get((transaction, seq_no), False)
        is_told = self.is_said(transaction, seq_no) or self.is_uncounted(transaction, seq_no)
        return is_plain and is_told


def completeness(
    truth: Truth, facts: Iterable[RecordedFact], left_out: LeftOutBook, gaps: tuple[NamedGap, ...]
) -> tuple[dict[str, int], list[str]]:
    recorded: dict[Transaction, set[int]] = defaultdict(set)
    for fact in facts:
        seq_no = fact.body.get("seq_no")
        if isinstance(seq_no, int):
            key = (str(fact.body.get("charge_point")), str(fact.body.get("transaction_id")))
            recorded[key].add(seq_no)
    told: dict[Transaction, dict[int, str]] = defaultdict(dict)
    for one in truth.acknowledged:
        if one.action == ACTION:
            transaction, seq_no, kind = _placed(one.charge_point, json.loads(one.payload))
            told[transaction][seq_no] = kind
    counts = {"acknowledged": sum(map(len, told.values()))}
    counts |= dict.fromkeys(("left_out", "uncounted", "complete"), 0)
    problems: list[str] = []
    for transaction, said in told.items():
        there = recorded.get(transaction, set())
        thinned = {seq_no for seq_no in said if left_out.is_said(transaction, seq_no)}
        counts["left_out"] += len(thinned - there)
        unknown = {one for one in said if left_out.is_uncounted(transaction, one)} - there - thinned
        counts["uncounted"] += len(unknown)
        if both := thinned & there:
            problems.append(
                f"{_name(transaction)}: seqNo {min(both)} is recorded, and said left out"
            )
        ended = next((seq_no for seq_no, kind in said.items() if kind == "Ended"), None)
        if ended is None:
            continue
        holes = [
            seq_no
            for seq_no in range(ended + 1)
            if seq_no in said and seq_no not in there | thinned | unknown
        ]
        if not holes:
            counts["complete"] += 1
        elif not gaps:
            problems.append(
                f"{_name(transaction)}: seqNos {holes[:10]} are neither recorded nor left out by rule"
            )
    return counts, problems


def _is_in(ranges: list[tuple[int, int]], seq_no: int) -> bool:
    return any(first <= seq_no <= last for first, last in ranges)


def _plain(truth: Truth) -> dict[tuple[Transaction, int], bool]:
    """Whether an event may be left out at all; charging states are compared in the order of seqNo."""
    events: dict[Transaction, dict[int, dict[str, Any]]] = defaultdict(dict)
    for charge_point, action, payload in truth.sent:
        if action == ACTION:
            fields = json.loads(payload)
            transaction, seq_no, _ = _placed(charge_point, fields)
            events[transaction][seq_no] = fields
    plain = {}
    for transaction, told in events.items():
        state: Any = None
        for seq_no in sorted(told):
            fields = told[seq_no]
            now = fields["transactionInfo"].get("chargingState", state)
            plain[(transaction, seq_no)] = now == state and _is_reading(fields)
            state = now
    return plain


def _is_reading(fields: dict[str, Any]) -> bool:
    return (
        fields.get("eventType") == "Updated"
        and fields.get("triggerReason") in THINNED
        and "idToken" not in fields
        and "signedMeterValue" not in json.dumps(fields.get("meterValue"))
    )


def _placed(charge_point: str, fields: dict[str, Any]) -> tuple[Transaction, int, str]:
    transaction = (charge_point, str(fields["transactionInfo"]["transactionId"]))
    return transaction, int(fields["seqNo"]), str(fields.get("eventType"))


def _name(transaction: Transaction) -> str:
    return f"{transaction[0]} transaction {transaction[1]}"
