"""What the CSMS behind the site has at the end, held against what it should have: its part of the report. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import BaseModel

from holdfast_cli.drill.scenario import Expect


class CallEnd(BaseModel):
    """A CALL of the CSMS, and what it was answered with."""

    id: str
    action: str
    charge_point: str
    answer: str
    """The status, or the code of a CALLERROR."""
    after_ms: int


class CsmsAccount(BaseModel):
    transactions: int
    """In the CSMS's own ledger."""
    oracle_transactions: int
    """That there must be, by what the charge points know."""
    differences: list[dict[str, Any]]
    in_named_gaps: int
    """Missing there, and acknowledged in a gap that the product names."""
    start_never_acknowledged: list[str]
    meter_values: dict[str, int]
    transaction_events: dict[str, int]
    """Of 2.x."""
    doubled_connections: int
    """How often a charge point had two connections at once."""
    calls: list[CallEnd]


def account(verdict: dict[str, Any], answered: Iterable[dict[str, Any]]) -> CsmsAccount:
    """Of the oracle's verdict, and the `answered` lines of the simulated CSMS."""
    return CsmsAccount(
        transactions=verdict["transactions"],
        oracle_transactions=verdict["oracle_transactions"],
        differences=verdict["differences"],
        in_named_gaps=len(verdict["in_named_gaps"]),
        start_never_acknowledged=verdict["start_never_acknowledged"],
        meter_values=verdict["meter_values"],
        transaction_events=verdict["transaction_events"],
        doubled_connections=verdict["doubled_connections"],
        calls=[_call(line) for line in answered if line["id"] is not None],
    )


def _call(line: dict[str, Any]) -> CallEnd:
    return CallEnd(
        id=line["id"],
        action=line["action"],
        charge_point=line["charge_point"],
        answer=answer_of(line),
        after_ms=line["after_ms"],
    )


def answer_of(line: dict[str, Any]) -> str:
    """Of an `answered` line: the status, or the error code. Where 2.x has one for each thing, the first one's."""
    if line["error"]:
        return str(line["error"]["code"])
    result = dict(line["result"])
    each: Any = next(
        (value[0] for value in result.values() if isinstance(value, list) and value), {}
    )
    for said in (result, each):
        for name in ("status", "attributeStatus"):
            if isinstance(said, dict) and name in said:
                return str(said[name])
    return "no status"


def problems(csms: CsmsAccount, expect: Expect) -> Iterator[str]:
    if csms.doubled_connections:
        yield f"csms: {csms.doubled_connections} times two connections of one charge point at once"
    if expect.csms_differences and not csms.differences:
        yield "csms: no differences, expected some"
    if not expect.csms_differences:
        yield from (f"csms {one['kind']}: {one.get('what', one)}" for one in csms.differences)
    answers = {call.id: call.answer for call in csms.calls}
    for call, answer in expect.csms_answers.items():
        if answers.get(call) != answer:
            yield f"csms: call {call} was answered {answers.get(call)!r}, expected {answer!r}"


def sentence(csms: CsmsAccount) -> str:
    count = len(csms.differences)
    differences = "no differences" if not count else f"{count} differences"
    gaps = f", {csms.in_named_gaps} messages lost in named gaps" if csms.in_named_gaps else ""
    return (
        f"{csms.transactions} transactions, oracle {csms.oracle_transactions}, {differences}{gaps}"
    )
