"""What a charge point does when the central system tells it to.

    obey(device, call) -> Reply(payload or error, executed, what follows)

Pure. `executed` is what the ledger keeps: the instruction took effect, or will at the end of the session.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from holdfast_simulators.charge_point.config import Behaviour
from holdfast_simulators.charge_point.device import Connector, Device, Instant
from holdfast_simulators.charge_point.events import (
    AvailabilitySet,
    DeviceEvent,
    LimitSet,
    PluggedIn,
    ReadingDue,
    Stopped,
)

VOLTAGE_V = 230
TRIGGERABLE = ("BootNotification", "Heartbeat", "StatusNotification", "MeterValues")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    payload: dict[str, Any] | None
    """None: a CALLERROR with `code`."""
    code: str = ""
    executed: bool = False
    events: tuple[DeviceEvent, ...] = ()
    restart: str | None = None
    """`Soft` or `Hard`."""
    trigger: tuple[str, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    behaviour: Behaviour
    device: Device
    at: Instant
    has_room: bool


def obey(situation: Situation, action: str, payload: dict[str, Any]) -> Reply:
    command = COMMANDS.get(action)
    if command is None:
        return Reply(payload=None, code="NotImplemented")
    try:
        return command(situation, payload)
    except (KeyError, TypeError, ValueError, IndexError):
        return Reply(payload=None, code="FormationViolation")


def _status(status: str, *events: DeviceEvent) -> Reply:
    executed = status not in ("Rejected", "NotImplemented", "Unknown", "NotSupported")
    return Reply(payload={"status": status}, executed=executed, events=events)


def _remote_start(situation: Situation, payload: dict[str, Any]) -> Reply:
    driver_token = str(payload["idTag"])
    number = payload.get("connectorId")
    chosen = next(
        (
            one
            for one in situation.device.connectors
            if number in (None, one.number) and _is_free(one)
        ),
        None,
    )
    if chosen is None or not situation.has_room:
        return _status("Rejected")
    plugged = PluggedIn(
        at=situation.at,
        connector=chosen.number,
        driver_token=driver_token,
        is_authorised=not situation.behaviour.authorize_remote,
        has_room=situation.has_room,
    )
    return _status("Accepted", plugged)


def _is_free(connector: Connector) -> bool:
    return (
        connector.is_operative
        and connector.session is None
        and connector.awaiting is None
        and not connector.is_used
    )


def _remote_stop(situation: Situation, payload: dict[str, Any]) -> Reply:
    wanted = int(payload["transactionId"])
    for connector in situation.device.in_session:
        if connector.session is not None and connector.session.transaction_id == wanted:
            stopped = Stopped(
                at=situation.at, connector=connector.number, reason="Remote", is_unplugged=False
            )
            return _status("Accepted", stopped)
    return _status("Rejected")


def _reset(situation: Situation, payload: dict[str, Any]) -> Reply:
    kind = str(payload["type"])
    if kind not in ("Soft", "Hard"):
        raise ValueError(kind)
    return Reply(payload={"status": "Accepted"}, executed=True, restart=kind)


def _change_availability(situation: Situation, payload: dict[str, Any]) -> Reply:
    number = int(payload["connectorId"])
    is_operative = {"Operative": True, "Inoperative": False}[payload["type"]]
    chosen = [one for one in situation.device.connectors if number in (0, one.number)]
    if not chosen:
        return _status("Rejected")
    changed = AvailabilitySet(at=situation.at, connector=number, is_operative=is_operative)
    is_busy = not is_operative and any(one.session is not None for one in chosen)
    return _status("Scheduled" if is_busy else "Accepted", changed)


def _trigger_message(situation: Situation, payload: dict[str, Any]) -> Reply:
    wanted = str(payload["requestedMessage"])
    number = int(payload.get("connectorId", 0))
    if wanted not in TRIGGERABLE:
        return _status("NotImplemented")
    if number and situation.device.connector(number) is None:
        return _status("Rejected")
    chosen = [one for one in situation.device.in_session if number in (0, one.number)]
    if wanted == "MeterValues" and chosen:
        return _status("Accepted", ReadingDue(at=situation.at, asked_for=number))
    return Reply(payload={"status": "Accepted"}, executed=True, trigger=(wanted, number))


def _set_charging_profile(situation: Situation, payload: dict[str, Any]) -> Reply:
    """Only the first period of a schedule is followed."""
    number = int(payload["connectorId"])
    profile = payload["csChargingProfiles"]
    purpose = profile["chargingProfilePurpose"]
    limit_w = _limit_w(profile["chargingSchedule"], situation.behaviour.phases)
    connector = situation.device.connector(number)
    if number and connector is None:
        return _status("Rejected")
    # 1.6 5.16.1: no profile for a transaction where there is none, or where it is another one.
    if purpose == "TxProfile":
        session = None if connector is None else connector.session
        wanted = profile.get("transactionId")
        if session is None or wanted not in (None, session.transaction_id):
            return _status("Rejected")
    return _status(
        "Accepted",
        LimitSet(
            at=situation.at,
            connector=number,
            limit_w=limit_w,
            is_common=purpose == "ChargePointMaxProfile",
            is_of_session=purpose == "TxProfile",
        ),
    )


def _limit_w(schedule: dict[str, Any], phases: int) -> int:
    period = schedule["chargingSchedulePeriod"][0]
    limit = float(period["limit"])
    if not 0 <= limit < 1e7:
        raise ValueError(limit)
    if schedule["chargingRateUnit"] == "W":
        return int(limit)
    return int(limit * VOLTAGE_V * int(period.get("numberPhases", phases)))


def _clear_charging_profile(situation: Situation, payload: dict[str, Any]) -> Reply:
    """By connector only; ids, purposes and stack levels are not told apart."""
    number = int(payload.get("connectorId", 0))
    at = situation.at
    events = [LimitSet(at=at, connector=number, limit_w=None)]
    events.append(LimitSet(at=at, connector=number, limit_w=None, is_of_session=True))
    if number == 0:
        events.append(LimitSet(at=at, connector=0, limit_w=None, is_common=True))
    return _status("Accepted", *events)


COMMANDS: dict[str, Callable[[Situation, dict[str, Any]], Reply]] = {
    "RemoteStartTransaction": _remote_start,
    "RemoteStopTransaction": _remote_stop,
    "Reset": _reset,
    "ChangeAvailability": _change_availability,
    "TriggerMessage": _trigger_message,
    "SetChargingProfile": _set_charging_profile,
    "ClearChargingProfile": _clear_charging_profile,
}
