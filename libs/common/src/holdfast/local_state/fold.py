"""What each fact makes known of a charge point. Facts of other charge points are the caller's to keep apart."""

from __future__ import annotations

from dataclasses import replace

from holdfast.contracts.charge_point import (
    AvailabilityChanged,
    ChargePointBooted,
    ChargePointConnected,
    ChargePointDisconnected,
    ChargePointSaid,
    ConnectorStatusChanged,
)
from holdfast.contracts.command import CommandSettled, Disposition
from holdfast.contracts.envelope import Fact
from holdfast.contracts.session import SessionMetered, SessionStarted, SessionStopped
from holdfast.local_state import commands, configuration
from holdfast.local_state.payload import object_of
from holdfast.local_state.state import Aspect, LocalState, Told
from holdfast.ocpp.profiles import moment_ms

OFFSETS_MAX = 8
CLOCK_STEP_MS = 5_000
"""Of a charge point's clock: smaller changes are its messages' time on the way."""


def fold(state: LocalState, at_ms: int, fact: Fact) -> LocalState:
    match fact:
        case ChargePointConnected() | ChargePointDisconnected():
            return state.telling(_connection(fact), at_ms)
        case ChargePointBooted():
            return _booted(state, at_ms, fact)
        case ConnectorStatusChanged():
            state = _clock(state, at_ms, object_of(fact.raw).get("timestamp"))
            return _status(state, at_ms, fact)
        case AvailabilityChanged():
            return state.telling({f"availability/{fact.connector}": fact.availability}, at_ms)
        case SessionStarted():
            state = _clock(state, at_ms, fact.at)
            return state.telling({_session_key(fact.connector): fact.session}, at_ms)
        case SessionMetered() if fact.readings:
            return _clock(state, at_ms, fact.readings[-1].at)
        case SessionStopped():
            return _stopped(_clock(state, at_ms, fact.at), fact)
        case ChargePointSaid():
            return state.telling(_said(fact), at_ms)
        case CommandSettled(disposition=Disposition.DELIVERED):
            return commands.answered(state, at_ms, fact)
        case _:
            return state


def _connection(fact: ChargePointConnected | ChargePointDisconnected) -> Told:
    if isinstance(fact, ChargePointDisconnected):
        return {"connection/state": "disconnected"}
    return {
        "connection/state": "connected",
        "connection/version": fact.version.value,
        "connection/security-profile": str(fact.security_profile),
    }


def _booted(state: LocalState, at_ms: int, fact: ChargePointBooted) -> LocalState:
    told: Told = {
        "boot/vendor": fact.vendor,
        "boot/model": fact.model,
        "boot/serial": fact.serial,
        "boot/answer": fact.status,
    }
    if fact.firmware is not None:
        told["firmware/version"] = fact.firmware
    return state.telling(told, at_ms)


def _status(state: LocalState, at_ms: int, fact: ConnectorStatusChanged) -> LocalState:
    is_sound = fact.error_code in ("", "NoError")
    says = fact.status if is_sound else f"{fact.status}, {fact.error_code}"
    plug = f".{fact.plug}" if fact.plug is not None else ""
    return state.telling({f"status/{fact.connector}{plug}": says}, at_ms)


def _session_key(connector: int | None) -> str:
    return f"session/{'nowhere yet' if connector is None else connector}"


def _said(fact: ChargePointSaid) -> Told:
    """Of what the site keeps and hands on, the little that is state."""
    payload = object_of(fact.raw)
    match fact.action:
        case "FirmwareStatusNotification" | "SignedFirmwareStatusNotification":
            return {"firmware/status": str(payload.get("status"))}
        case "NotifyReport":
            return configuration.reported(payload)
        case _:
            return {}


def _stopped(state: LocalState, fact: SessionStopped) -> LocalState:
    """It is on no connector any more; profiles that were for it are over."""
    left = tuple(one for one in state.profiles if one.transaction_id != fact.transaction_id)
    over = {commands.profile_key(one) for one in state.profiles if one not in left}
    running = {
        key
        for key, stand in state.stands.items()
        if key.startswith(f"{Aspect.SESSION}/") and stand.value == fact.session
    }
    return replace(state, profiles=left).without(lambda key: key in over | running)


def _clock(state: LocalState, at_ms: int, said: object) -> LocalState:
    """Messages come late, out of a queue even, and never early: of the last few, the one furthest ahead shows it."""
    said_ms = moment_ms(said)
    if said_ms is None:
        return state
    offsets = (*state.offsets_ms, said_ms - at_ms)[-OFFSETS_MAX:]
    state = replace(state, offsets_ms=offsets)
    stand = state.stands.get("clock/offset_s")
    seconds = round(max(offsets) / 1000)
    if stand and abs(seconds - int(stand.value)) * 1000 < CLOCK_STEP_MS:
        return state
    return state.telling({"clock/offset_s": str(seconds)}, at_ms)
