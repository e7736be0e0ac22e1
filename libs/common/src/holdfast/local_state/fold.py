"""What each fact makes known of a charge point. Facts of other charge points are the caller's to keep apart."""

from __future__ import annotations

from dataclasses import replace

from holdfast.contracts.charge_point import (
    AvailabilityChanged,
    ChargePointBooted,
    ChargePointConnected,
    ChargePointDisconnected,
    ConnectorStatusChanged,
)
from holdfast.contracts.command import CommandSettled, Disposition
from holdfast.contracts.envelope import Fact
from holdfast.contracts.session import SessionMetered, SessionStarted, SessionStopped
from holdfast.local_state import commands
from holdfast.local_state.payload import object_of
from holdfast.local_state.state import Aspect, LocalState, Told
from holdfast.ocpp.profiles import moment_ms

OFFSETS_MAX = 8
CLOCK_STEP_MS = 5_000
"""Of a charge point's clock: smaller changes are its messages' time on the way."""


def fold(state: LocalState, at_ms: int, fact: Fact) -> LocalState:
    match fact:
        case ChargePointConnected():
            told: Told = {"connection/state": "connected"}
            return state.telling({**told, "connection/protocol": fact.protocol}, at_ms)
        case ChargePointDisconnected():
            return state.telling({"connection/state": "disconnected"}, at_ms)
        case ChargePointBooted():
            return _booted(state, at_ms, fact)
        case ConnectorStatusChanged():
            state = _clock(state, at_ms, object_of(fact.raw).get("timestamp"))
            return _status(state, at_ms, fact)
        case AvailabilityChanged():
            return state.telling({f"availability/{fact.connector}": fact.availability}, at_ms)
        case SessionStarted():
            state = _clock(state, at_ms, fact.at)
            return state.telling({f"session/{fact.connector}": fact.session}, at_ms)
        case SessionMetered() if fact.readings:
            return _clock(state, at_ms, fact.readings[-1].at)
        case SessionStopped():
            return _stopped(_clock(state, at_ms, fact.at), fact)
        case CommandSettled(disposition=Disposition.DELIVERED):
            return commands.answered(state, at_ms, fact)
        case _:
            return state


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
    return state.telling({f"status/{fact.connector}": says}, at_ms)


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
