"""What a command that the charge point answered left there, or what its answer told.

Payloads went through their schema, answers did not: what is not as it should be tells nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from holdfast.contracts.command import Command, CommandSettled
from holdfast.contracts.decision import ProfileInstalled
from holdfast.local_state import configuration
from holdfast.local_state.payload import object_of
from holdfast.local_state.state import Aspect, LocalState, Told, aspect_of, profile_key
from holdfast.ocpp.moments import moment_ms
from holdfast.ocpp.payloads import WHOLE, connector_of, plug_of, takes_out_of_service
from holdfast.ocpp.profiles import installed_with, is_cleared, profile_of


def answered(state: LocalState, at_ms: int, fact: CommandSettled) -> LocalState:
    command, answer = fact.command, object_of(fact.answer)
    payload = command.payload
    status = answer.get("status")
    is_taken = status == "Accepted"
    match command.action:
        case "ChangeConfiguration" | "GetConfiguration" | "SetVariables" | "GetVariables":
            told = configuration.told(command, answer)
            if command.action not in ("ChangeConfiguration", "SetVariables"):
                return state.telling(told, at_ms)
            at_boot = configuration.at_boot(command, answer)
            return state.telling(told, at_ms, is_set=True, at_boot=at_boot)
        case "SendLocalList" | "GetLocalListVersion":
            has = payload if command.action == "SendLocalList" and is_taken else answer
            return state.telling(_list(has), at_ms)
        case "SetChargingProfile" if is_taken:
            return _profile_set(state, at_ms, command)
        case "ClearChargingProfile" if is_taken:
            return _profiles_cleared(state, payload)
        case "ChangeAvailability" if status in ("Accepted", "Scheduled"):
            return _available(state, at_ms, payload)
        case "ReserveNow" if is_taken:
            return _reserved(state, at_ms, payload)
        case "CancelReservation" if is_taken:
            return state.telling({f"reservation/{payload.get('reservationId')}": None}, at_ms)
        case "UpdateFirmware" | "SignedUpdateFirmware" if status in (None, "Accepted"):
            return state.telling({"firmware/wanted": _firmware(payload)}, at_ms, is_set=True)
        case _:
            return state


def _available(state: LocalState, at_ms: int, payload: Mapping[str, Any]) -> LocalState:
    """The whole of 1.6 is all its connectors; in 2.x each EVSE keeps its own, and so does each of its connectors."""
    place = connector_of("ChangeAvailability", payload)
    if place == WHOLE and "type" in payload:
        state = state.without(lambda key: aspect_of(key) == Aspect.AVAILABILITY)
    says = "Inoperative" if takes_out_of_service(payload) else "Operative"
    plug = plug_of(payload)
    where = f"{WHOLE if place is None else place}" + (f".{plug}" if plug is not None else "")
    return state.telling({f"availability/{where}": says}, at_ms)


def _profile_set(state: LocalState, at_ms: int, command: Command) -> LocalState:
    profile = profile_of(command.payload)
    if profile is None:
        return state
    profiles = installed_with(state.profiles, profile)
    gone: Told = {profile_key(one): None for one in state.profiles if one not in profiles}
    key = profile_key(profile)
    told = {**gone, key: _profile_says(profile)}
    state = replace(state, profiles=profiles).telling(told, at_ms, is_set=True)
    return state.ending(key, profile.ends_at_ms)


def _profiles_cleared(state: LocalState, payload: Mapping[str, Any]) -> LocalState:
    left = tuple(one for one in state.profiles if not is_cleared(dict(payload), one))
    gone = {profile_key(one) for one in state.profiles if one not in left}
    return replace(state, profiles=left).without(lambda key: key in gone)


def _profile_says(profile: ProfileInstalled) -> str:
    low, high = f"{profile.lowest_a:g}", f"{profile.highest_a:g}"
    amperes = f"{low} A" if low == high else f"{low} to {high} A"
    return f"profile {profile.profile_id}: {amperes}{', ends' if profile.ends else ''}"


def _list(has: Mapping[str, Any]) -> Told:
    version = has.get("listVersion", has.get("versionNumber"))
    return {"list/version": str(version)} if version is not None else {}


def _reserved(state: LocalState, at_ms: int, payload: Mapping[str, Any]) -> LocalState:
    key = f"reservation/{payload.get('reservationId', payload.get('id'))}"
    where = payload.get("connectorId", payload.get("evseId", 0))
    until = payload.get("expiryDate", payload.get("expiryDateTime"))
    state = state.telling({key: f"connector {where} until {until}"}, at_ms)
    return state.ending(key, moment_ms(until))


def _firmware(payload: Mapping[str, Any]) -> str:
    """The place it comes from, without what may be a credential in it."""
    inside = payload.get("firmware")
    location = inside.get("location") if isinstance(inside, dict) else payload.get("location")
    try:
        parts = urlsplit(str(location))
        return f"{parts.scheme}://{parts.hostname or ''}{parts.path}"
    except ValueError:
        return "an address that can't be read"
