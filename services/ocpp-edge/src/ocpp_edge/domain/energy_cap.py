"""Sessions that the rule for strangers let begin with a cap: the site itself stops them when it is reached.

    readings of a session -> its cap is reached -> a RemoteStopTransaction (2.x: RequestStop-), issued by the site
    it did nothing, readings go on -> another one, a minute later, then two, four, eight -> given up, and said so

Each id comes from the session and the number of the try, and the fold knows which was given: each once, whatever
dies. The time is that of the readings in the journal, so a restart shortens no wait.
"""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.contracts.command import Command, CommandSettled, Disposition, Issuer
from holdfast.contracts.session import SessionCapNotKept, SessionMetered, session_key
from holdfast.contracts.transaction import TransactionId
from holdfast.ocpp.moments import moment_ms
from holdfast.records import replace
from ocpp_edge.domain.consequences import answered_status
from ocpp_edge.domain.dedupe import digest
from ocpp_edge.domain.identity import SITE_PREFIX
from ocpp_edge.domain.known import Session
from ocpp_edge.domain.state import State

RULE = "authorise.unknown_energy_wh_max"
STOP_WITHIN_MS = 86_400_000
"""A charge point that is away is stopped when it comes, if that session still runs."""
STOPS_MAX = 5
AGAIN_MS = 60_000
"""From the end of a stop that did nothing to the next one, doubled with each."""


def command_id(charge_point: str, transaction_id: TransactionId, number: int = 1) -> str:
    first = SITE_PREFIX + digest("energy cap", session_key(charge_point, transaction_id))
    return first if number == 1 else f"{first}-{number}"


def id_of(fact: SessionCapNotKept) -> str:
    return digest(fact.TYPE, fact.session)


# --- what is to be done ---


def watches(state: State) -> bool:
    """Is there a session with a cap?"""
    return any(session.energy_wh_max is not None for session in state.known.sessions.values())


def due(state: State, at_ms: int) -> Iterator[Command]:
    for session in state.known.sessions.values():
        if not is_reached(session):
            continue
        if not session.stops or (session.stops < STOPS_MAX and _goes_on(state, session)):
            yield _stop(state.charge_point, session, session.stops + 1, at_ms)


def given_up(state: State) -> Iterator[SessionCapNotKept]:
    for session in state.known.sessions.values():
        is_last = session.stops >= STOPS_MAX and not session.cap_given_up
        if is_last and session.energy_wh_max is not None and _goes_on(state, session):
            yield SessionCapNotKept(
                charge_point=state.charge_point,
                connector=session.connector,
                session=state.known.key_of(state.charge_point, session.transaction_id),
                transaction_id=session.transaction_id,
                energy_wh_max=session.energy_wh_max,
                used_wh=_used_wh(session),
                stops=session.stops,
            )


def is_reached(session: Session) -> bool:
    cap_wh = session.energy_wh_max
    if cap_wh is None or session.last_wh is None or not session.accepted:
        return False
    return _used_wh(session) >= cap_wh


def _goes_on(state: State, session: Session) -> bool:
    """The last stop did nothing, and that long enough ago. An uncertain one has to be settled in the journal first."""
    if session.stop_ended_ms is None or not session.stop_failed:
        return False
    last = command_id(state.charge_point, session.transaction_id, session.stops)
    wait_ms = AGAIN_MS * 2 ** (session.stops - 1)
    is_time = session.read_at_ms >= session.stop_ended_ms + wait_ms
    return is_time and last not in state.known.uncertain


def _used_wh(session: Session) -> int:
    return (session.last_wh or 0) - (session.meter_start_wh or 0)


def _stop(charge_point: str, session: Session, number: int, at_ms: int) -> Command:
    is_of_2x = isinstance(session.transaction_id, str)
    why = f"{_used_wh(session)} Wh of {session.energy_wh_max} Wh that a stranger may take"
    return Command(
        id=command_id(charge_point, session.transaction_id, number),
        charge_point=charge_point,
        action="RequestStopTransaction" if is_of_2x else "RemoteStopTransaction",
        payload={"transactionId": session.transaction_id},
        issued_at_ms=at_ms,
        deadline_ms=at_ms + STOP_WITHIN_MS,
        issuer=Issuer.SITE,
        by_rule=RULE,
        why=why if number == 1 else f"{why}; try {number} of {STOPS_MAX}",
    )


# --- what is known of it: parts of the fold ---


def given(session: Session, command: Command) -> Session:
    number = _number_of(command)
    if number <= session.stops:
        return session
    return replace(session, stops=number, stop_ended_ms=None, stop_failed=False)


def ended(session: Session, at_ms: int, fact: CommandSettled) -> Session:
    """What a person at the site has cancelled is not given again."""
    is_last = _number_of(fact.command) == session.stops
    if not is_last or fact.disposition in (Disposition.SUPERSEDED, Disposition.OBSOLETE):
        return session
    accepted = answered_status(fact.answer) == "Accepted"
    may_work = fact.disposition is Disposition.UNCERTAIN or accepted
    return replace(session, stop_ended_ms=at_ms, stop_failed=not may_work)


def shows_failed(session: Session, at_ms: int, fact: SessionMetered) -> bool:
    """A reading that was taken well after a stop that was accepted, or may have been, shows that it did nothing.
    What comes out of the charge point's memory shows nothing.
    """
    if session.stop_ended_ms is None:
        return False
    said_ms = moment_ms(fact.readings[-1].at)
    return said_ms is not None and min(said_ms, at_ms) >= session.stop_ended_ms + AGAIN_MS


def _number_of(command: Command) -> int:
    number = command.id.removeprefix(SITE_PREFIX).partition("-")[2]
    return int(number) if number.isdecimal() else 1
