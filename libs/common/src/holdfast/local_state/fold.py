"""What each fact makes known of a charge point. Facts of other charge points are the caller's to keep apart.

What was given an end by itself, a reservation or a profile, is gone when that has passed: no fact says so.
"""

from __future__ import annotations

from holdfast.contracts.charge_point import (
    ChargePointBooted,
    ChargePointConnected,
    ChargePointDisconnected,
    ChargePointSaid,
    ConnectorStatusChanged,
)
from holdfast.contracts.command import CommandObserved, CommandSettled, Disposition
from holdfast.contracts.decision import ProfileInstalled
from holdfast.contracts.envelope import Fact
from holdfast.contracts.session import SessionMetered, SessionStarted, SessionStopped
from holdfast.local_state import commands, configuration, late
from holdfast.local_state.payload import object_of
from holdfast.local_state.state import Aspect, LocalState, Told, aspect_of, profile_key
from holdfast.ocpp.moments import moment_ms
from holdfast.ocpp.payloads import TX_PROFILE
from holdfast.records import replace

OFFSETS_MAX = 8
CLOCK_STEP_MS = 5_000
"""Of a charge point's clock: smaller changes are its messages' time on the way."""


def fold(state: LocalState, at_ms: int, fact: Fact) -> LocalState:
    state = state.passed(at_ms)
    if isinstance(fact, CommandObserved):
        return _observed(state, at_ms, fact).passed(at_ms)
    after = _folded(state, at_ms, fact)
    if state.late.given_up or isinstance(fact, CommandSettled):
        tells = state.late.given_up and isinstance(fact, CommandSettled | ChargePointSaid)
        told = _configuration_told(state, after) if tells else frozenset()
        after = replace(after, late=late.watching(state.late, fact, told))
    return after.passed(at_ms)


def _folded(state: LocalState, at_ms: int, fact: Fact) -> LocalState:
    match fact:
        case ChargePointConnected() | ChargePointDisconnected():
            return state.telling(_connection(fact), at_ms)
        case ChargePointBooted():
            return _booted(state, at_ms, fact)
        case ConnectorStatusChanged():
            state = _clock(state, at_ms, object_of(fact.raw).get("timestamp"))
            return _status(state, at_ms, fact)
        case SessionStarted():
            state = _clock(state, at_ms, fact.at)
            where = _session_key(fact.connector)
            if fact.connector is None:
                where = f"{where}/{fact.transaction_id}"  # there may be several
            told: Told = {where: fact.session}
            return state.telling({**told, **_used_up(fact)}, at_ms)
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


def _observed(state: LocalState, at_ms: int, fact: CommandObserved) -> LocalState:
    """As if it had been answered in time: what came later stays on top of it."""
    first, later = late.in_its_place(state.late, fact)
    if first is None:
        return replace(state, late=late.answered(state.late, fact, None, frozenset()))
    newer = late.told_since(state.late, fact.command_id)
    mid = commands.answered(state, at_ms, first).keeping(newer, state)
    after = mid
    for one in later:
        match one:
            case CommandSettled():
                after = commands.answered(after, at_ms, one)
            case SessionStopped():
                after = _stopped(after, one)
    again = frozenset(
        key
        for key, stand in after.stands.items()
        if stand is not mid.stands.get(key) and stand.value == state.value(key)
    )
    after = after.keeping(again, state)
    told = _configuration_told(state, after)
    return replace(after, late=late.answered(state.late, fact, first, told))


def _configuration_told(before: LocalState, after: LocalState) -> frozenset[str]:
    if before.stands is after.stands:
        return frozenset()
    return frozenset(
        key
        for key, stand in after.stands.items()
        if aspect_of(key) == Aspect.CONFIGURATION and stand is not before.stands.get(key)
    )


def _used_up(fact: SessionStarted) -> Told:
    """A session that names its reservation has used it up."""
    id = object_of(fact.raw).get("reservationId")
    return {} if id is None else {f"reservation/{id}": None}


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
    if fact.reason != "Triggered":
        state = state.rebooted(at_ms)
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
        case "ReservationStatusUpdate":
            return {f"reservation/{payload.get('reservationId')}": None}
        case _:
            return {}


def _stopped(state: LocalState, fact: SessionStopped) -> LocalState:
    """It is on no connector any more; profiles that were for it are over."""
    running = {
        key
        for key, stand in state.stands.items()
        if key.startswith(f"{Aspect.SESSION}/") and stand.value == fact.session
    }
    left = tuple(
        one
        for one in state.profiles
        if one.transaction_id != fact.transaction_id
        and not (_is_of_whatever_runs(one) and _session_key(one.connector) in running)
    )
    over = {profile_key(one) for one in state.profiles if one not in left}
    return replace(state, profiles=left).without(lambda key: key in over | running)


def _is_of_whatever_runs(one: ProfileInstalled) -> bool:
    """1.6: a TxProfile may name its connector alone."""
    return one.purpose == TX_PROFILE and one.transaction_id is None


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
