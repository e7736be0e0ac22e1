"""Configuration keys: which there are, what they are now, and what changing one does.

    GetConfiguration, ChangeConfiguration (OCPP 1.6 5.8, 5.3, 9)

A changed key outlives a reboot. Those that say `RebootRequired` take effect with the next boot.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from holdfast_simulators.charge_points.body import profile_rules, settings
from holdfast_simulators.charge_points.body.reply import Reply, answer, status
from holdfast_simulators.charge_points.body.settings import Setting, fixed, flag, switch, whole
from holdfast_simulators.charge_points.v16.device import Situation

KEYS_AT_ONCE_MAX = 50
VALUE_CHARACTERS_MAX = 500
LIST_LENGTH_MAX = 200
LIST_AT_ONCE_MAX = 100
WHOLE_MAX = 86_400


def _is_whole(text: str) -> bool:
    return settings.is_whole(text) and int(text) <= WHOLE_MAX


def _is_positive(text: str) -> bool:
    return _is_whole(text) and int(text) > 0


KEYS: dict[str, Setting] = {
    "AllowOfflineTxForUnknownId": flag(
        lambda it: it.offline_start, lambda it, value: replace(it, offline_start=value)
    ),
    "AuthorizationCacheEnabled": switch(True),
    "AuthorizeRemoteTxRequests": flag(
        lambda it: it.authorize_remote, lambda it, value: replace(it, authorize_remote=value)
    ),
    "ChargeProfileMaxStackLevel": fixed(str(profile_rules.STACK_LEVEL_MAX)),
    "ChargingScheduleAllowedChargingRateUnit": fixed("Current,Power"),
    "ChargingScheduleMaxPeriods": fixed(str(profile_rules.PERIODS_MAX)),
    "GetConfigurationMaxKeys": fixed(str(KEYS_AT_ONCE_MAX)),
    "HeartbeatInterval": whole(
        lambda it: it.heartbeat_s or 0,
        lambda it, value: replace(it, heartbeat_s=float(value)),
        _is_positive,
    ),
    "LocalAuthListEnabled": switch(True),
    "LocalAuthListMaxLength": fixed(str(LIST_LENGTH_MAX)),
    "LocalPreAuthorize": switch(False),
    "MaxChargingProfilesInstalled": fixed(str(profile_rules.PROFILES_MAX)),
    "MeterValueSampleInterval": whole(
        lambda it: it.meter_interval_s,
        lambda it, value: replace(it, meter_interval_s=float(value)),
        _is_positive,
    ),
    "ReserveConnectorZeroSupported": fixed("false"),
    "SendLocalListMaxLength": fixed(str(LIST_AT_ONCE_MAX)),
    "StopTransactionOnInvalidId": flag(
        lambda it: it.stop_on_invalid_id, lambda it, value: replace(it, stop_on_invalid_id=value)
    ),
    "SupportedFeatureProfiles": fixed(
        "Core,FirmwareManagement,LocalAuthListManagement,Reservation,SmartCharging,RemoteTrigger"
    ),
    "TransactionMessageAttempts": whole(
        lambda it: it.attempts, lambda it, value: replace(it, attempts=value), _is_positive
    ),
    "TransactionMessageRetryInterval": whole(
        lambda it: it.retry_interval_s,
        lambda it, value: replace(it, retry_interval_s=float(value)),
        _is_whole,
    ),
    "WebSocketPingInterval": whole(
        lambda it: it.ping_s or 0,
        lambda it, value: replace(it, ping_s=float(value) or None),
        _is_whole,
        needs_boot=True,
    ),
}


def is_on(situation: Situation, name: str) -> bool:
    return settings.is_on(KEYS, situation.device.memory.configuration, name)


def get_configuration(situation: Situation, payload: dict[str, Any]) -> Reply:
    asked = payload.get("key") or list(KEYS)
    if not isinstance(asked, list) or len(asked) > KEYS_AT_ONCE_MAX:
        raise ValueError(asked)
    changed = situation.device.memory.configuration
    known = [
        {
            "key": name,
            "readonly": KEYS[name].is_valid is None,
            "value": changed.get(name, KEYS[name].value(situation.behaviour)),
        }
        for name in asked
        if name in KEYS
    ]
    unknown = [str(name)[:50] for name in asked if name not in KEYS]
    return answer(
        ({"configurationKey": known} if known else {})
        | ({"unknownKey": unknown} if unknown else {})
    )


def change_configuration(situation: Situation, payload: dict[str, Any]) -> Reply:
    name, value = str(payload["key"]), str(payload["value"])
    key = KEYS.get(name)
    if key is None:
        return status("NotSupported")
    if key.is_valid is None or len(value) > VALUE_CHARACTERS_MAX or not key.is_valid(value):
        return status("Rejected")
    changed = situation.kept(configuration={**situation.device.memory.configuration, name: value})
    return status("RebootRequired" if key.needs_boot else "Accepted", changed)
