"""Sessions that the rule for strangers let begin with a cap: the site itself stops them when it is reached.

    readings of a session -> its cap is reached -> one RemoteStopTransaction, issued by the site

Its id comes from the session, and the fold knows that it was given: once, whatever dies.
"""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.contracts.command import Command, Issuer
from holdfast.contracts.session import session_key
from ocpp_edge.domain.dedupe import digest
from ocpp_edge.domain.known import Session
from ocpp_edge.domain.state import State

RULE = "authorise.unknown_energy_wh_max"
STOP_WITHIN_MS = 86_400_000
"""A charge point that is away is stopped when it comes, if that session still runs."""


def command_id(charge_point: str, transaction_id: int) -> str:
    return "cap-" + digest("energy cap", session_key(charge_point, transaction_id))


def due(state: State, at_ms: int) -> Iterator[Command]:
    for session in state.known.sessions.values():
        if not session.stop_given and is_reached(session):
            yield _stop(state.charge_point, session, at_ms)


def is_reached(session: Session) -> bool:
    cap_wh, reading_wh = session.energy_wh_max, session.last_wh
    if cap_wh is None or reading_wh is None or not session.accepted:
        return False
    return reading_wh - session.meter_start_wh >= cap_wh


def _stop(charge_point: str, session: Session, at_ms: int) -> Command:
    used_wh = (session.last_wh or 0) - session.meter_start_wh
    return Command(
        id=command_id(charge_point, session.transaction_id),
        charge_point=charge_point,
        action="RemoteStopTransaction",
        payload={"transactionId": session.transaction_id},
        issued_at_ms=at_ms,
        deadline_ms=at_ms + STOP_WITHIN_MS,
        issuer=Issuer.SITE,
        by_rule=RULE,
        why=f"{used_wh} Wh of {session.energy_wh_max} Wh that a stranger may take",
    )
