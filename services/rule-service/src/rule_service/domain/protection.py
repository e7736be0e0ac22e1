"""Running sessions are not stopped or throttled from afar while the site is on its own; late limits raise nothing.

    a remote command x what runs on the charge point -> what it would do to a session there -> refused, or it waits

Where a payload does not say what it does (ChangeConfiguration, DataTransfer), it may do anything.
"""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.contracts.command import Command, Disposition, Issuer
from holdfast.contracts.command_rules import CommandKind
from holdfast.contracts.decision import ConnectorState, ProfileInstalled, RunningOn, WaitsFor
from holdfast.contracts.rules import RefusedStart
from holdfast.ocpp import payloads
from holdfast.ocpp.actions import same_as
from holdfast.ocpp.payloads import OF_THE_WHOLE, WHOLE
from holdfast.ocpp.profiles import is_cleared, profile_of, replaces
from rule_service.domain.checks import Case, Finding

REFUSED_START = "upstream.refused_start"
MAY = {
    "ChangeConfiguration": "do anything to",
    "DataTransfer": "do anything to",
    "SetNetworkProfile": "do anything to",
    "UpdateDynamicSchedule": "throttle",
    "SetDERControl": "throttle",
    "ClearDERControl": "throttle",
    "AFRRSignal": "throttle",
}
"""What does not say what it does to a session."""


def check(case: Case) -> Iterator[Finding]:
    target, rules = case.inputs.target, case.rules.protection
    if not case.is_remote or target.running is None or case.inputs.mode not in rules.modes:
        return
    harm = _harm(case.command, target, rules.floor_a)
    if harm is None:
        yield Finding(clause="protection.modes", said="it leaves running sessions alone")
    elif case.key in rules.safety:
        yield Finding(clause="protection.safety", said=f"{harm}, as a matter of safety")
    elif is_by_rule(case):
        yield Finding(clause=REFUSED_START, said=f"{harm}: so the rules want it")
    else:
        waits = case.row.kind is CommandKind.DESIRED
        yield Finding(
            clause="protection.modes",
            said=f"{harm}; protected while the site is {case.inputs.mode}",
            disposition=None if waits else Disposition.REFUSED,
            waits_for=WaitsFor.TIME if waits else None,
        )


def is_by_rule(case: Case) -> bool:
    """The csms-bridge itself stops a session that its CSMS does not accept, where the site's rules say so: in every
    mode, for it hears of the session only once the link is back, before the site believes in it.
    """
    command = case.command
    return (
        command.by_rule == REFUSED_START
        and command.issuer is Issuer.CSMS
        and same_as(command.action) == "RemoteStopTransaction"
        and case.rules.upstream.refused_start is RefusedStart.STOP
    )


def _harm(command: Command, target: ConnectorState, floor_a: float) -> str | None:
    """What it would do to a session that runs; None: nothing."""
    payload, running = command.payload, target.running or ()
    if not running:
        return None
    there = _on(payloads.connector_of(command.action, payload), running)
    match same_as(command.action):
        case "RemoteStopTransaction":
            named = payload.get("transactionId")
            return _ends(one for one in running if one.transaction_id == named)
        case "Reset" if payload.get("type") == "OnIdle":
            return None  # it waits for them by itself
        case "UpdateFirmware":
            return _ends(running)
        case "Reset" | "UnlockConnector":
            return _ends(there)
        case "ChangeAvailability" if payloads.takes_out_of_service(payload):
            return _ends(there)
        case "SetChargingProfile":
            return _throttles(command, target, running, floor_a)
        case "ClearChargingProfile":
            return _leaves_low(command, target, running, floor_a)
        case means if means in MAY:
            return f"it may {MAY[means]} session {running[0].transaction_id}"
        case _:
            return None


def _ends(touched: Iterator[RunningOn] | tuple[RunningOn, ...]) -> str | None:
    first = next(iter(touched), None)
    return f"it would end session {first.transaction_id}" if first else None


def _on(connector: object, running: tuple[RunningOn, ...]) -> tuple[RunningOn, ...]:
    if connector == WHOLE or not isinstance(connector, int):
        return running
    return tuple(one for one in running if one.connector == connector)


def _throttles(
    command: Command, target: ConnectorState, running: tuple[RunningOn, ...], floor_a: float
) -> str | None:
    new = profile_of(command.payload)
    if new is None:
        return f"it may throttle session {running[0].transaction_id}"
    touched = _on(new.connector, running)
    if not touched:
        return None
    # With an end, or from another place, it uncovers what lies below: every other one must be high enough, too.
    others = tuple(one for one in target.profiles if not replaces(new, one))
    return _low_among((new, *others), running, touched, floor_a)


def _leaves_low(
    command: Command, target: ConnectorState, running: tuple[RunningOn, ...], floor_a: float
) -> str | None:
    """What is taken away may have lain above a lower one."""
    touched = _on(payloads.connector_of(command.action, command.payload), running)
    left = tuple(one for one in target.profiles if not is_cleared(command.payload, one))
    return _low_among(left, running, touched, floor_a)


def _low_among(
    profiles: tuple[ProfileInstalled, ...],
    running: tuple[RunningOn, ...],
    touched: tuple[RunningOn, ...],
    floor_a: float,
) -> str | None:
    for profile in profiles:
        # What the whole charge point may draw is shared by all that runs there.
        shares = len(running) if profile.purpose in OF_THE_WHOLE else 1
        lowest_a = profile.lowest_a / shares
        if lowest_a >= floor_a:
            continue
        for session in _on(profile.connector, touched):
            return (
                f"it would leave session {session.transaction_id} {lowest_a:g} A, "
                f"below {floor_a:g} A"
            )
    return None


def stale(case: Case) -> Iterator[Finding]:
    """A limit that waited too long may still be lower, never higher than what stands (ocpp-outage-rules 3.5)."""
    age_ms = case.inputs.at_ms - case.command.issued_at_ms
    most_ms, clause = case.rules.limits.higher_ms_max, "limits.higher_ms_max"
    raises = _raises(case)
    if raises is None:
        return
    if raises and age_ms > most_ms:
        said = f"{raises}, and is {age_ms} ms old: the rules allow {most_ms}"
        yield Finding(clause=clause, said=said, disposition=Disposition.EXPIRED)
    else:
        yield Finding(clause=clause, said=raises or "it lowers a limit: that does not grow old")


def _raises(case: Case) -> str | None:
    """How it would raise a limit; empty: it does not. None: it is about no limit, or its rules are of before."""
    target = case.inputs.target
    if target.running is None:
        return None
    if case.command.action == "ClearChargingProfile":
        return "it takes a limit away"
    if case.command.action != "SetChargingProfile":
        return None
    new = profile_of(case.command.payload)
    if new is None:
        return "it sets a limit that can't be read"
    # Where nothing is known to be installed it can only lower: a breaker matters more than a fast charge.
    lies_under = [
        one
        for one in target.profiles
        if one.purpose == new.purpose and {one.connector, WHOLE} & {new.connector, WHOLE}
    ]
    lower = [
        one for one in lies_under if new.highest_a > one.highest_a or new.lowest_a > one.lowest_a
    ]
    return f"it raises a limit of {lower[0].highest_a:g} A to {new.highest_a:g} A" if lower else ""
