"""SetChargingProfile, ClearChargingProfile, GetCompositeSchedule: the messages around `profiles.py`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from holdfast_simulators.charge_points.body.moments import timestamp
from holdfast_simulators.charge_points.body.records import Installed
from holdfast_simulators.charge_points.v16 import profiles
from holdfast_simulators.charge_points.v16.events import Remembered
from holdfast_simulators.charge_points.v16.reply import Reply, Situation, answer, status

DURATION_S_MAX = 86_400


def set_charging_profile(situation: Situation, payload: dict[str, Any]) -> Reply:
    number, profile = int(payload["connectorId"]), profiles.checked(payload["csChargingProfiles"])
    connector = situation.device.connector(number)
    if number and connector is None:
        return status("Rejected")
    purpose = profile["chargingProfilePurpose"]
    # 5.16.1: no profile for a transaction where there is none, or where it is another one.
    if purpose == profiles.OF_SESSION:
        session = None if connector is None else connector.session
        wanted = profile.get("transactionId")
        if session is None or wanted not in (None, session.transaction_id):
            return status("Rejected")
    # 3.13.1: ChargePointMaxProfile is of connector 0 only.
    if purpose == profiles.COMMON and number != 0:
        return status("Rejected")
    installed = profiles.with_profile(
        situation.device.memory.profiles, number, profile, situation.at.device_ms
    )
    return (
        status("Rejected") if installed is None else status("Accepted", _with(situation, installed))
    )


def clear_charging_profile(situation: Situation, payload: dict[str, Any]) -> Reply:
    before = situation.device.memory.profiles
    left = profiles.without(before, payload)
    if len(left) == len(before):
        return status("Unknown")
    return status("Accepted", _with(situation, left))


def get_composite_schedule(situation: Situation, payload: dict[str, Any]) -> Reply:
    number, duration_s = int(payload["connectorId"]), int(payload["duration"])
    unit = payload.get("chargingRateUnit", "A")
    if unit not in ("A", "W"):
        raise ValueError(unit)
    is_known = number == 0 or situation.device.connector(number) is not None
    if not is_known or not 0 < duration_s <= DURATION_S_MAX:
        return status("Rejected")
    schedule = profiles.composite(
        situation.behaviour, situation.device, number, situation.at, duration_s, unit
    )
    return answer(
        {
            "status": "Accepted",
            "connectorId": number,
            "scheduleStart": timestamp(situation.at.device_ms),
            "chargingSchedule": schedule,
        }
    )


def _with(situation: Situation, installed: tuple[Installed, ...]) -> Remembered:
    memory = replace(situation.device.memory, profiles=installed)
    return Remembered(at=situation.at, memory=memory)
