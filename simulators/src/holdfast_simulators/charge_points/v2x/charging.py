"""SetChargingProfile, ClearChargingProfile, GetChargingProfiles, GetCompositeSchedule (2.0.1 K01, K08 to K10)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from holdfast_simulators.charge_points.body import profile_rules
from holdfast_simulators.charge_points.body.moments import timestamp
from holdfast_simulators.charge_points.body.records import Installed
from holdfast_simulators.charge_points.v2x import profiles
from holdfast_simulators.charge_points.v2x.events import Remembered
from holdfast_simulators.charge_points.v2x.reply import Reply, Situation, answer, status

DURATION_S_MAX = 86_400


def set_charging_profile(situation: Situation, payload: dict[str, Any]) -> Reply:
    number, profile = int(payload["evseId"]), profiles.checked(payload["chargingProfile"])
    evse = situation.device.evse(number)
    if number and evse is None:
        return status("Rejected", reason="UnknownEvse")
    purpose = profile["chargingProfilePurpose"]
    # K01.FR.03: a TxProfile is of a transaction that runs there.
    if purpose == profiles.OF_TRANSACTION:
        transaction = None if evse is None else evse.transaction
        if transaction is None or profile.get("transactionId") != transaction.id:
            return status("Rejected", reason="TxNotFound")
    # ExternalConstraints come from elsewhere than the CSMS (K01.FR.22); the maximum is of the whole station.
    if purpose == "ChargingStationExternalConstraints" or (purpose in profiles.COMMON and number):
        return status("Rejected", reason="InvalidProfile")
    installed = profile_rules.with_profile(
        situation.device.memory.profiles, number, profile, situation.at.device_ms
    )
    if installed is None:
        return status("Rejected", reason="OutOfMemory")
    return status("Accepted", _with(situation, installed))


def clear_charging_profile(situation: Situation, payload: dict[str, Any]) -> Reply:
    before = situation.device.memory.profiles
    wanted = payload.get("chargingProfileId")
    criteria = payload.get("chargingProfileCriteria") or {}
    left = profiles.without(before, None if wanted is None else int(wanted), criteria)
    if len(left) == len(before):
        return status("Unknown")
    return status("Accepted", _with(situation, left))


def get_charging_profiles(situation: Situation, payload: dict[str, Any]) -> Reply:
    """Each that is meant is reported afterwards, one message for each EVSE."""
    request_id, criteria = int(payload["requestId"]), dict(payload["chargingProfile"])
    wanted = criteria.pop("chargingProfileId", None)
    criteria.pop("chargingLimitSource", None)
    meant = [
        one
        for one in situation.device.memory.profiles
        if (wanted is None or one.id in wanted)
        and profiles.is_meant(one, criteria | {"evseId": payload.get("evseId")})
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
    number, duration_s = int(payload["evseId"]), int(payload["duration"])
    unit = payload.get("chargingRateUnit", "A")
    if unit not in ("A", "W"):
        raise ValueError(unit)
    is_known = number == 0 or situation.device.evse(number) is not None
    if not is_known or not 0 < duration_s <= DURATION_S_MAX:
        return status("Rejected")
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


def _with(situation: Situation, installed: tuple[Installed, ...]) -> Remembered:
    memory = replace(situation.device.memory, profiles=installed)
    return Remembered(at=situation.at, memory=memory)
