"""A driver comes, is authorised, and leaves: the life of a transaction. Pure."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Any

from holdfast_simulators.charge_points.body.clock import Instant
from holdfast_simulators.charge_points.body.config import Behaviour
from holdfast_simulators.charge_points.body.device import interval_ms, with_connector
from holdfast_simulators.charge_points.body.events import (
    AskAuthorisation,
    Authorised,
    BeginSession,
    Effect,
    EndSession,
    Enqueue,
    PluggedIn,
    Refuse,
    authorised_already,
)
from holdfast_simulators.charge_points.body.keeping import listed_group, with_profile_of
from holdfast_simulators.charge_points.body.outbox import Message
from holdfast_simulators.charge_points.v2x import messages, profiles
from holdfast_simulators.charge_points.v2x.device import Device, Evse, Transaction
from holdfast_simulators.charge_points.v2x.telling import told

RESERVED = "reserved for another driver token"
TRIGGERS = {
    "EVDisconnected": "EVDeparted",
    "DeAuthorized": "Deauthorized",
    "ImmediateReset": "ResetCommand",
    "PowerLoss": "AbnormalCondition",
    "Reboot": "ResetCommand",
    "Remote": "RemoteStop",
    "Other": "UnlockCommand",
}
"""What an Ended says triggered it, by its reason; else StopAuthorized."""


def plugged_in(
    behaviour: Behaviour, device: Device, event: PluggedIn
) -> tuple[Device, list[Effect]]:
    evse = device.connector(event.connector)
    obstacle = _obstacle(evse, event)
    if evse is None or obstacle:
        return device, [Refuse(connector=event.connector, reason=obstacle)]
    token = event.driver_token
    evse = replace(evse, is_plugged=True, awaiting=token, remote_start_id=event.remote_start_id)
    device = with_profile_of(with_connector(device, evse), event)
    effects: list[Effect] = []
    if behaviour.transaction_begins == "cable":
        trigger, more = "CablePluggedIn", dict[str, Any]()
        device, effects = _begun(behaviour, device, evse, trigger, None, event.at, False, more)
    if not event.is_authorised:
        return device, [*effects, AskAuthorisation(connector=evse.number, driver_token=token)]
    device, more_effects = authorised(behaviour, device, authorised_already(event))
    return device, effects + more_effects


def _obstacle(evse: Evse | None, event: PluggedIn) -> str:
    if evse is None:
        return "no such EVSE"
    if evse.session is not None or evse.awaiting is not None:
        return "EVSE in use"
    if not evse.is_operative:
        return "EVSE unavailable"
    if not event.has_room:
        return "queue full"
    reservation = evse.reservation
    if reservation is not None and reservation.keeps_out(event.driver_token):
        return RESERVED
    return ""


def authorised(
    behaviour: Behaviour, device: Device, event: Authorised
) -> tuple[Device, list[Effect]]:
    evse = device.connector(event.connector)
    # Unplugged, rebooted or shown another token while the answer was on its way.
    if evse is None or evse.awaiting != event.driver_token:
        return device, []
    token = event.driver_token
    reservation = evse.reservation
    group = event.group or listed_group(device, token)
    refusal = ""
    if not event.is_accepted:
        refusal = "driver token not accepted"
    elif evse.session is None and not event.has_room:
        refusal = "queue full"
    elif reservation is not None and not reservation.is_for(token, group):
        refusal = RESERVED
    remote = evse.remote_start_id
    evse = replace(evse, awaiting=None, remote_start_id=None)
    if refusal:
        device = with_connector(device, evse)
        refuse = Refuse(connector=evse.number, reason=refusal)
        if evse.session is None:
            return device, [refuse]
        # The driver who is turned away takes the car elsewhere.
        device, effects = stopped(
            behaviour, device, evse.number, "EVDisconnected", event.at, is_unplugged=True
        )
        return device, [refuse, *effects]
    evse = replace(evse, reservation=None)
    trigger = "Authorized" if remote is None else "RemoteStart"
    more = {} if reservation is None else {"reservationId": reservation.id}
    if evse.session is None:
        return _begun(
            behaviour, device, evse, trigger, token, event.at, event.is_online, more, remote
        )
    known = replace(evse.session, driver_token=token, is_authorised=True, remote_start_id=remote)
    device = profiles.limited(
        behaviour, with_connector(device, replace(evse, session=known)), event.at
    )
    device, update = told(
        behaviour,
        device,
        evse.number,
        "Updated",
        trigger,
        event.at,
        driver_token=token,
        more=more,
    )
    return device, [update]


def _begun(
    behaviour: Behaviour,
    device: Device,
    evse: Evse,
    trigger: str,
    driver_token: str | None,
    at: Instant,
    is_online: bool,
    more: dict[str, Any],
    remote_start_id: int | None = None,
) -> tuple[Device, list[Effect]]:
    number = device.sessions_begun + 1
    transaction = Transaction(
        key=f"{evse.number}-{number}",
        transaction_id=str(uuid.uuid5(uuid.NAMESPACE_URL, f"{device.id}/{number}/{at.device_ms}")),
        driver_token=driver_token,
        meter_start_wh=evse.register_wh,
        started_ms=at.device_ms,
        next_reading_ms=at.monotonic_ms + interval_ms(behaviour),
        is_authorised=driver_token is not None,
        remote_start_id=remote_start_id,
    )
    device = replace(
        with_connector(device, replace(evse, session=transaction)), sessions_begun=number
    )
    begin = BeginSession(connector=evse.number, session=transaction, is_online=is_online, at=at)
    device, started = told(
        behaviour,
        device,
        evse.number,
        "Started",
        trigger,
        at,
        context="Transaction.Begin",
        driver_token=driver_token,
        more=more,
    )
    return device, [begin, started]


def stopped(
    behaviour: Behaviour,
    device: Device,
    number: int,
    reason: str,
    at: Instant,
    *,
    is_unplugged: bool,
) -> tuple[Device, list[Effect]]:
    evse = device.connector(number)
    if evse is None:
        return device, [Refuse(connector=number, reason="no such EVSE")]
    transaction = evse.session
    effects: list[Effect] = []
    if transaction is not None:
        trigger = TRIGGERS.get(reason, "StopAuthorized")
        device, ended = told(
            behaviour,
            device,
            number,
            "Ended",
            trigger,
            at,
            context="Transaction.End",
            driver_token=transaction.driver_token if trigger == "StopAuthorized" else None,
            info={"stoppedReason": reason},
        )
        end = EndSession(
            connector=number,
            session=transaction,
            meter_stop_wh=evse.register_wh,
            reason=reason,
            at=at,
        )
        effects = [end, ended]
        energy_wh = evse.register_wh - transaction.meter_start_wh
        if behaviour.settles and energy_wh > 0:
            fields = messages.settlement(transaction.transaction_id, energy_wh, at.device_ms)
            effects.append(Enqueue(message=Message(action=messages.SETTLEMENT, fields=fields)))
    evse = device.connector(number)
    assert evse is not None
    free = replace(
        evse,
        session=None,
        awaiting=None,
        is_plugged=evse.is_plugged and not is_unplugged,
    )
    return with_connector(device, free), effects
