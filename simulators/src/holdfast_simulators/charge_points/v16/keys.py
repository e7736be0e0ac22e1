"""Configuration keys: which there are, what they are now, and what changing one does.

    GetConfiguration, ChangeConfiguration (OCPP 1.6 5.8, 5.3, 9)

A changed key outlives a reboot. Those that say `RebootRequired` take effect with the next boot.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from holdfast_simulators.charge_points.body import profile_rules
from holdfast_simulators.charge_points.body.config import Behaviour
from holdfast_simulators.charge_points.v16.events import Remembered
from holdfast_simulators.charge_points.v16.reply import Reply, Situation, answer, status

KEYS_AT_ONCE_MAX = 50
VALUE_CHARACTERS_MAX = 500
LIST_LENGTH_MAX = 200
LIST_AT_ONCE_MAX = 100
WHOLE_MAX = 86_400


@dataclass(frozen=True, slots=True)
class Key:
    value: Callable[[Behaviour], str]
    """As long as nobody has changed it."""
    is_valid: Callable[[str], bool] | None = None
    """None: it is read only."""
    applied: Callable[[Behaviour, str], Behaviour] | None = None
    """None: nothing but what reads the key itself looks at it."""
    needs_boot: bool = False


def _fixed(value: str) -> Key:
    return Key(lambda _: value)


def _is_whole(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 6 and int(text) <= WHOLE_MAX


def _is_positive(text: str) -> bool:
    return _is_whole(text) and int(text) > 0


def _is_bool(text: str) -> bool:
    return text.lower() in ("true", "false")


def _bool(text: str) -> bool:
    return text.lower() == "true"


def _text(value: bool) -> str:
    return "true" if value else "false"


KEYS: dict[str, Key] = {
    "AllowOfflineTxForUnknownId": Key(
        lambda it: _text(it.offline_start),
        _is_bool,
        lambda it, text: replace(it, offline_start=_bool(text)),
    ),
    "AuthorizationCacheEnabled": Key(lambda _: "true", _is_bool),
    "AuthorizeRemoteTxRequests": Key(
        lambda it: _text(it.authorize_remote),
        _is_bool,
        lambda it, text: replace(it, authorize_remote=_bool(text)),
    ),
    "ChargeProfileMaxStackLevel": _fixed(str(profile_rules.STACK_LEVEL_MAX)),
    "ChargingScheduleAllowedChargingRateUnit": _fixed("Current,Power"),
    "ChargingScheduleMaxPeriods": _fixed(str(profile_rules.PERIODS_MAX)),
    "GetConfigurationMaxKeys": _fixed(str(KEYS_AT_ONCE_MAX)),
    "HeartbeatInterval": Key(
        lambda it: str(round(it.heartbeat_s or 0)),
        _is_positive,
        lambda it, text: replace(it, heartbeat_s=float(text)),
    ),
    "LocalAuthListEnabled": Key(lambda _: "true", _is_bool),
    "LocalAuthListMaxLength": _fixed(str(LIST_LENGTH_MAX)),
    "LocalPreAuthorize": Key(lambda _: "false", _is_bool),
    "MaxChargingProfilesInstalled": _fixed(str(profile_rules.PROFILES_MAX)),
    "MeterValueSampleInterval": Key(
        lambda it: str(round(it.meter_interval_s)),
        _is_positive,
        lambda it, text: replace(it, meter_interval_s=float(text)),
    ),
    "ReserveConnectorZeroSupported": _fixed("false"),
    "SendLocalListMaxLength": _fixed(str(LIST_AT_ONCE_MAX)),
    "StopTransactionOnInvalidId": Key(
        lambda it: _text(it.stop_on_invalid_id),
        _is_bool,
        lambda it, text: replace(it, stop_on_invalid_id=_bool(text)),
    ),
    "SupportedFeatureProfiles": _fixed(
        "Core,FirmwareManagement,LocalAuthListManagement,Reservation,SmartCharging,RemoteTrigger"
    ),
    "TransactionMessageAttempts": Key(
        lambda it: str(it.attempts),
        _is_positive,
        lambda it, text: replace(it, attempts=int(text)),
    ),
    "TransactionMessageRetryInterval": Key(
        lambda it: str(round(it.retry_interval_s)),
        _is_whole,
        lambda it, text: replace(it, retry_interval_s=float(text)),
    ),
    "WebSocketPingInterval": Key(
        lambda it: str(round(it.ping_s or 0)),
        _is_whole,
        lambda it, text: replace(it, ping_s=float(text) or None),
        needs_boot=True,
    ),
}


def configured(
    behaviour: Behaviour, configuration: dict[str, str], *, at_boot: dict[str, str]
) -> Behaviour:
    """The behaviour that the changed keys make of the given one; `at_boot`: as they were when it booted."""
    for name, key in KEYS.items():
        changed = (at_boot if key.needs_boot else configuration).get(name)
        if key.applied is not None and changed is not None:
            behaviour = key.applied(behaviour, changed)
    return behaviour


def is_on(configuration: dict[str, str], name: str) -> bool:
    """A boolean key whose default does not come from the behaviour."""
    return _bool(configuration.get(name, KEYS[name].value(Behaviour())))


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
    memory = situation.device.memory
    memory = replace(memory, configuration={**memory.configuration, name: value})
    changed = Remembered(at=situation.at, memory=memory)
    return status("RebootRequired" if key.needs_boot else "Accepted", changed)
