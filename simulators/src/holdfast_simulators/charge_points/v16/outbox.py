"""Messages of a session in 1.6, and under which transaction id each is sent.

errata 3.18. Pure; what may enter the queue is in `body/queue_rules.py`, the rows in `body/outbox.py`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from holdfast_simulators.charge_points.body.outbox import Message

NO_TRANSACTION = -1
"""Errata 3.18: what later messages carry when no StartTransaction.conf was obtained."""


class Action(StrEnum):
    START = "StartTransaction"
    METER = "MeterValues"
    STOP = "StopTransaction"


def transactional(action: Action, session: str, fields: dict[str, Any]) -> Message:
    """`fields`: the payload without its transaction id, which may not be known yet."""
    return Message(action=action, session=session, fields=fields, is_reading=action is Action.METER)


def payload(message: Message, transaction_id: int | None) -> dict[str, Any]:
    """What is sent: under the real id when it was obtained by now, else under -1."""
    if message.action == Action.START:
        return message.fields
    known = NO_TRANSACTION if transaction_id is None else transaction_id
    return {"transactionId": known, **message.fields}
