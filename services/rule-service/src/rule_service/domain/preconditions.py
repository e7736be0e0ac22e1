"""What must hold at the charge point when a command is delivered; what does not makes the command obsolete.

One function per precondition; the sentence that it gives says what stands in the way, None that nothing does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from holdfast.contracts.command import Command, Disposition
from holdfast.contracts.decision import ConnectorState
from holdfast.contracts.rules import Precondition
from holdfast.ocpp.actions import same_as
from holdfast.ocpp.moments import moment_ms
from holdfast.ocpp.payloads import connector_of, is_number, list_version_of, transaction_of
from holdfast.ocpp.profiles import profile_of
from rule_service.domain.checks import Case, Finding

FREE = frozenset({"Available", "Preparing", "Occupied"})
"""Statuses of a connector at which a session may begin: a cable may be plugged in already, which 2.x calls Occupied."""
RETRIEVE_GRACE_MS = 3_600_000
"""A retrieveDate is often "now": so long ago it still means now."""
LATE_RECORD_MS = 30_000
"""A charge point that sends what it had kept has sent all once so long none came."""

Obstacle = str | Finding | None


def check(case: Case) -> Iterator[Finding]:
    for precondition in case.row.precondition:
        obstacle = _OF[precondition](case)
        if isinstance(obstacle, Finding):
            yield obstacle
        elif obstacle:
            yield case.ends("precondition", Disposition.OBSOLETE, obstacle)
        else:
            yield case.passes("precondition", f"{precondition}: holds")


def _free(case: Case) -> Obstacle:
    target = case.inputs.target
    if target.transaction_id is not None:
        return f"session {target.transaction_id} runs there"
    if target.status in FREE:
        return None
    if target.status is not None:
        # A reservation is `not-reserved`'s to judge: it may be this very driver's.
        is_judged = Precondition.NOT_RESERVED in case.row.precondition
        is_reserved = target.status == "Reserved" and is_judged and target.running is not None
        return None if is_reserved else f"the connector is {target.status}"
    if connector_of(case.command.action, case.command.payload) is None:
        return None  # the charge point chooses one; no session stands in its way
    return case.ends("precondition", Disposition.REFUSED, "the connector's status is not known")


def _not_reserved(case: Case) -> Obstacle:
    is_other = case.inputs.target.reserved_for_other
    return "the connector is reserved for another driver" if is_other else None


def _driver_not_charging(case: Case) -> Obstacle:
    sessions = case.inputs.target.token_sessions
    return f"its driver charges already: session {sessions[0]}" if sessions else None


def _running(case: Case) -> Obstacle:
    """The transaction that the command names, or, where it names none, any on its connector."""
    running, named = case.inputs.target.transaction_id, transaction_of(case.command.payload)
    if running is not None and named in (None, running):
        return None
    what = "no session" if named is None else f"session {named} not"
    return f"{what} running there"


def _not_booted(case: Case) -> Obstacle:
    booted_ms = case.inputs.target.booted_at_ms
    if booted_ms is None or booted_ms < case.command.issued_at_ms:
        return None
    return "the charge point has booted since it was issued"


def _no_session(case: Case) -> Obstacle:
    running = case.inputs.target.transaction_id
    return None if running is None else f"session {running} runs there"


def _no_session_since(case: Case) -> Obstacle:
    issued_ms = case.command.issued_at_ms
    for session in case.inputs.target.running or ():
        if session.started_at_ms > issued_ms:
            return f"session {session.transaction_id} began since it was issued"
    return None


def _records_safe(case: Case) -> Obstacle:
    """Refused, not obsolete: what it is for still stands, and it may be given again once they are safe."""
    target, at_ms = case.inputs.target, case.inputs.at_ms
    if target.waiting_records:
        said = f"{target.waiting_records} of its messages are not in the journal yet"
        return case.ends("precondition", Disposition.REFUSED, said)
    late_ms = target.late_record_at_ms
    if late_ms is not None and at_ms - late_ms < LATE_RECORD_MS:
        said = f"it sent a message that it had kept {at_ms - late_ms} ms ago, and may hold more"
        return case.ends("precondition", Disposition.REFUSED, said)
    return None


def _connector_unchanged(case: Case) -> Obstacle:
    target = case.inputs.target
    if target.status_since_ms is None or target.status_since_ms <= case.command.issued_at_ms:
        return None
    return f"the connector has become {target.status} since it was issued"


def _reservation_not_over(case: Case) -> Obstacle:
    return "the reservation is over already" if case.inputs.target.reservation_over else None


def _list_newer(case: Case) -> Obstacle:
    return list_obstacle(case.command, case.inputs.target)


def list_obstacle(command: Command, target: ConnectorState) -> str | None:
    installed, offered = target.list_version, list_version_of(command.payload)
    if installed is not None and offered is not None and offered <= installed:
        return f"list version {offered} is not newer than {installed}, which is installed"
    if command.payload.get("updateType") != "Differential":
        return None
    if target.list_broken:
        return "the changes before these did not arrive: send a full list"
    if installed is not None and installed <= 0:
        return "no list is installed that it could change: send a full one"
    return None


def _der_end(payload: Mapping[str, Any]) -> int | None:
    """Of a control with a time of its own (2.1): it is in one of several fields, by its kind."""
    for one in payload.values():
        if isinstance(one, dict):
            begins_ms, seconds = moment_ms(one.get("startTime")), one.get("duration")
            if begins_ms is not None and is_number(seconds):
                return begins_ms + seconds * 1000
    return None


def _within_its_dates(case: Case) -> Obstacle:
    payload, at_ms = case.command.payload, case.inputs.at_ms
    ends = {name: moment_ms(payload.get(name)) for name in ("expiryDate", "expiryDateTime")}
    message, firmware = payload.get("message"), payload.get("firmware", payload)
    if isinstance(message, dict):
        ends["endDateTime"] = moment_ms(message.get("endDateTime"))
        session = message.get("transactionId")
        if session is not None and case.inputs.target.transaction_id != session:
            return f"session {session}, which it is for, does not run"
    if same_as(case.command.action) == "UpdateFirmware" and isinstance(firmware, dict):
        for name in ("retrieveDate", "retrieveDateTime"):
            retrieve_ms = moment_ms(firmware.get(name))
            ends[name] = retrieve_ms + RETRIEVE_GRACE_MS if retrieve_ms is not None else None
    profile = profile_of(payload)
    if profile:
        ends["the profile's end"] = profile.ends_at_ms
    if case.command.action == "SetDERControl":
        ends["the control's end"] = _der_end(payload)
    for name, end_ms in ends.items():
        if end_ms is not None and end_ms <= at_ms:
            return f"{name} passed {at_ms - end_ms} ms ago"
    return None


_OF: dict[Precondition, Callable[[Case], Obstacle]] = {
    Precondition.NONE: lambda _: None,
    Precondition.CONNECTOR_FREE: _free,
    Precondition.NOT_RESERVED: _not_reserved,
    Precondition.DRIVER_NOT_CHARGING: _driver_not_charging,
    Precondition.SESSION_RUNNING: _running,
    Precondition.NOT_BOOTED_SINCE: _not_booted,
    Precondition.NO_SESSION: _no_session,
    Precondition.NO_SESSION_SINCE: _no_session_since,
    Precondition.RECORDS_SAFE: _records_safe,
    Precondition.CONNECTOR_UNCHANGED: _connector_unchanged,
    Precondition.RESERVATION_NOT_OVER: _reservation_not_over,
    Precondition.LIST_NEWER: _list_newer,
    Precondition.WITHIN_ITS_DATES: _within_its_dates,
}
