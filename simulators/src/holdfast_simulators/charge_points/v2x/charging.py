"""SetChargingProfile, ClearChargingProfile, GetChargingProfiles, GetCompositeSchedule (2.0.1 K01, K08 to K10)."""

from __future__ import annotations

from typing import Any

from holdfast_simulators.charge_points.body.limits import asked_for, is_meant
from holdfast_simulators.charge_points.body.moments import timestamp
from holdfast_simulators.charge_points.body.profile_rules import OF_SESSION, with_profile
from holdfast_simulators.charge_points.body.reply import Reply, answer, status
from holdfast_simulators.charge_points.v2x import profiles
from holdfast_simulators.charge_points.v2x.device import Situation


def set_charging_profile(situation: Situation, payload: dict[str, Any]) -> Reply:
    number, profile = int(payload["evseId"]), profiles.checked(payload["chargingProfile"])
    evse = situation.device.connector(number)
    if number and evse is None:
        return status("Rejected", reason="UnknownEvse")
    purpose = profile["chargingProfilePurpose"]
    # K01.FR.03: a TxProfile is of a transaction that runs there.
    if purpose == OF_SESSION:
        transaction = None if evse is None else evse.session
        if transaction is None or profile.get("transactionId") != transaction.transaction_id:
            return status("Rejected", reason="TxNotFound")
    # ExternalConstraints come from elsewhere than the CSMS (K01.FR.22); the maximum is of the whole station.
    if purpose == "ChargingStationExternalConstraints" or (purpose in profiles.COMMON and number):
        return status("Rejected", reason="InvalidProfile")
    installed = with_profile(
        situation.device.memory.profiles, number, profile, situation.at.device_ms
    )
    if installed is None:
        return status("Rejected", reason="OutOfMemory")
    return status("Accepted", situation.kept(profiles=installed))


def clear_charging_profile(situation: Situation, payload: dict[str, Any]) -> Reply:
    before = situation.device.memory.profiles
    wanted = payload.get("chargingProfileId")
    criteria = payload.get("chargingProfileCriteria") or {}
    left = profiles.without(before, None if wanted is None else int(wanted), criteria)
    if len(left) == len(before):
        return status("Unknown")
    return status("Accepted", situation.kept(profiles=left))


def get_charging_profiles(situation: Situation, payload: dict[str, Any]) -> Reply:
    """Each that is meant is reported afterwards, one message for each EVSE."""
    request_id, criteria = int(payload["requestId"]), dict(payload["chargingProfile"])
    wanted = criteria.pop("chargingProfileId", None)
    criteria.pop("chargingLimitSource", None)
    meant = [
        one
        for one in situation.device.memory.profiles
        if (wanted is None or one.id in wanted) and is_meant(one, criteria, payload.get("evseId"))
    ]
    if not meant:
        return status("NoProfiles")
    numbers = sorted({one.connector for one in meant})
    notices = tuple(
        (
            "ReportChargingProfiles",
            {
                "requestId": request_id,
                "chargingLimitSource": "CSO",
                "evseId": number,
                "tbc": number != numbers[-1],
                "chargingProfile": [
                    one.profile["given"] for one in meant if one.connector == number
                ],
            },
        )
        for number in numbers
    )
    return Reply(payload={"status": "Accepted"}, executed=True, notices=notices)


def get_composite_schedule(situation: Situation, payload: dict[str, Any]) -> Reply:
    number = int(payload["evseId"])
    asked = asked_for(situation, number, payload)
    if asked is None:
        return status("Rejected")
    duration_s, unit = asked
    periods = profiles.composite(
        situation.behaviour, situation.device, number, situation.at, duration_s, unit
    )
    schedule = {
        "evseId": number,
        "duration": duration_s,
        "scheduleStart": timestamp(situation.at.device_ms),
        "chargingRateUnit": unit,
        "chargingSchedulePeriod": periods,
    }
    return answer({"status": "Accepted", "schedule": schedule})
