"""Sessions of one driver token that run elsewhere at the site: what a question whether it may start another carries.

Of the same driver token only, and of its type.
"""

from __future__ import annotations

from collections.abc import Iterable

from holdfast.contracts.decision import RUNNING_MAX, RunningSession
from holdfast.contracts.rules import TokenType
from holdfast.contracts.session import session_key
from ocpp_edge.domain.known import Session

Open = tuple[str, Session]
"""Charge point, and a session that runs there."""


def elsewhere(
    open_sessions: Iterable[Open],
    driver_token: str,
    charge_point: str | None = None,
    connector: int | None = None,
    token_type: TokenType = TokenType.ID_TAG,
) -> tuple[RunningSession, ...]:
    """Not on that connector: it has one session at a time, so the older one there has lost its stop."""
    wanted = driver_token.casefold()
    found = [
        RunningSession(
            session=session_key(where, session.transaction_id),
            charge_point=where,
            connector=session.connector,
            started_at_ms=session.started_at_ms,
        )
        for where, session in open_sessions
        if session.accepted
        and session.driver_token is not None
        and session.token_type is token_type
        and session.driver_token.casefold() == wanted
        and (where, session.connector) != (charge_point, connector)
    ]
    newest = sorted(found, key=lambda one: (one.started_at_ms, one.session))[-RUNNING_MAX:]
    return tuple(newest)
