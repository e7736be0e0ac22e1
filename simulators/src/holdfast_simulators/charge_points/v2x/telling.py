"""TransactionEvents: each with the next seqNo of its transaction, none without a place in the queue. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from holdfast_simulators.charge_points.body.clock import Instant
from holdfast_simulators.charge_points.body.config import Behaviour
from holdfast_simulators.charge_points.body.device import with_connector
from holdfast_simulators.charge_points.body.events import Enqueue
from holdfast_simulators.charge_points.body.moments import timestamp
from holdfast_simulators.charge_points.body.outbox import Message
from holdfast_simulators.charge_points.v2x import messages
from holdfast_simulators.charge_points.v2x.device import Device


def told(
    behaviour: Behaviour,
    device: Device,
    number: int,
    kind: str,
    trigger: str,
    at: Instant,
    *,
    context: str | None = None,
    driver_token: str | None = None,
    more: dict[str, Any] | None = None,
    info: dict[str, Any] | None = None,
) -> tuple[Device, Enqueue]:
    """The device after it has told this, and the event. `context`: with a reading."""
    evse = device.connector(number)
    assert evse is not None, f"no EVSE {number}"
    assert evse.session is not None, f"no transaction on EVSE {number}"
    transaction, state = evse.session, evse.charging_state
    assert state is not None
    if kind == "Started":
        # Nothing flows before the transaction is there.
        state = transaction.said
    about: dict[str, Any] = {"transactionId": transaction.transaction_id, "chargingState": state}
    if transaction.remote_start_id is not None:
        about["remoteStartId"] = transaction.remote_start_id
    fields: dict[str, Any] = {
        "eventType": kind,
        "timestamp": timestamp(at.device_ms),
        "triggerReason": trigger,
        "seqNo": transaction.next_seq_no,
        "transactionInfo": about | (info or {}),
        "evse": {"id": number, "connectorId": 1},
    }
    if driver_token is not None:
        fields["idToken"] = messages.id_token(driver_token)
    if context is not None:
        fields["meterValue"] = messages.reading(
            evse.register_wh,
            device.power_w(behaviour, evse),
            at.device_ms,
            context,
            is_signed=behaviour.signed_values and context.startswith("Transaction."),
        )
    later = replace(transaction, next_seq_no=transaction.next_seq_no + 1, said=state)
    message = Message(
        action=messages.TRANSACTION_EVENT,
        session=transaction.key,
        fields=fields | (more or {}),
        # Updated may be left out when the queue is full (E04), but for the one that says who charges.
        is_reading=kind == "Updated" and driver_token is None,
    )
    return with_connector(device, replace(evse, session=later)), Enqueue(message=message)
