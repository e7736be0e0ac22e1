"""SetChargingProfile, ClearChargingProfile, GetCompositeSchedule: the messages around `profiles.py`."""

from __future__ import annotations

from typing import Any

from holdfast_simulators.charge_points.body.limits import asked_for
from holdfast_simulators.charge_points.body.moments import timestamp
from holdfast_simulators.charge_points.body.profile_rules import OF_SESSION
from holdfast_simulators.charge_points.body.reply import Reply, answer, status
from holdfast_simulators.charge_points.v16 import profiles
from holdfast_simulators.charge_points.v16.device import Situation


def set_charging_profile(situation: Situation, payload: dict[str, Any]) -> Reply:
    number, profile = int(payload["connectorId"]), profiles.checked(payload["csChargingProfiles"])
    connector = situation.device.connector(number)
    if number and connector is None:
        return status("Rejected")
    purpose = profile["chargingProfilePurpose"]
    # 5.16.1: no profile for a transaction where there is none, or where it is another one.
    if purpose == OF_SESSION:
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
        status("Rejected")
        if installed is None
        else status("Accepted", situation.kept(profiles=installed))
    )


def clear_charging_profile(situation: Situation, payload: dict[str, Any]) -> Reply:
    before = situation.device.memory.profiles
    left = profiles.without(before, payload)
    if len(left) == len(before):
        return status("Unknown")
    return status("Accepted", situation.kept(profiles=left))


def get_composite_schedule(situation: Situation, payload: dict[str, Any]) -> Reply:
    number = int(payload["connectorId"])
    asked = asked_for(situation, number, payload)
    if asked is None:
        return status("Rejected")
    duration_s, unit = asked
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
