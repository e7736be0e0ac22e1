"""Facts of connections: one at a time on its way to the journal, and at most the newest pair behind it.

    connected | disconnected -> news -> (advance) recorded -> stored
                                 ^                     `----> refused: back to the news

A charge point may come and go much faster than a journal in trouble takes facts. What comes of its
connections meanwhile is coalesced, so that its frames never queue behind its own reconnects: the last state
is always told, what was left out is counted in the next fact that is stored.
"""

from __future__ import annotations

from holdfast.contracts.charge_point import ChargePointConnected, ChargePointDisconnected
from holdfast.empty import NOTHING
from ocpp_edge.domain import said
from ocpp_edge.domain.dedupe import digest
from ocpp_edge.domain.events import Connected, Disconnected, Effect
from ocpp_edge.domain.state import RECORDING_MAX, ConnectionFact, State, record

Step = tuple[State, list[Effect]]

NEWS_MAX = 2
"""Waiting to be recorded: a connection and its end; or the end of one and the next."""


def connected(state: State, event: Connected) -> State:
    state = _without_connection(state, "the connection was replaced before the answer came")
    state = state.with_live(
        connection=event.connection,
        connected_at_ms=event.at_ms,
        version=event.version,
        held=frozenset(),
    )
    fact = ChargePointConnected(
        charge_point=state.charge_point,
        connection=event.connection,
        protocol=event.protocol,
        version=event.version,
        remote=event.remote,
        security_profile=event.security_profile,
        replaced=event.replaced,
        replaced_answered=event.replaced_answered,
    )
    return _heard(state, (*state.live.news, fact))


def disconnected(state: State, event: Disconnected) -> State:
    if event.connection != state.live.connection:
        return state
    state = _without_connection(state, "the connection closed before the answer came")
    return _ended(state, event.connection, event.reason)


def restarted(state: State) -> State:
    connection = state.known.connection
    if connection is None:
        return state
    return _ended(state, connection, "ocpp-edge was restarted")


def refused(state: State, fact: ConnectionFact) -> State:
    """Certainly not stored: it is news again, older than what came meanwhile."""
    state = state.with_live(left_out=state.live.left_out + fact.coalesced)
    fact = fact.model_copy(update={"coalesced": 0})
    return _heard(state, (fact, *state.live.news))


def advance(state: State) -> Step:
    """Record the oldest news, once the one before has landed and there is room."""
    live = state.live
    if not live.news or live.news_on_its_way or len(live.recording) >= RECORDING_MAX:
        return state, []
    fact, *later = live.news
    fact = fact.model_copy(update={"coalesced": live.left_out})
    id = digest(fact.TYPE, state.charge_point, fact.connection)
    state, effect = record(
        state,
        fact,
        id,
        cause=fact.connection,
        news=tuple(later),
        news_on_its_way=id,
        left_out=0,
    )
    return state, [effect]


def _ended(state: State, connection: str, reason: str) -> State:
    fact = ChargePointDisconnected(
        charge_point=state.charge_point, connection=connection, reason=reason
    )
    return _heard(state, (*state.live.news, fact))


def _heard(state: State, news: tuple[ConnectionFact, ...]) -> State:
    """The end of a connection is told right behind its beginning, so the newest pair has the last state."""
    kept = news[-NEWS_MAX:]
    if len(kept) < len(news) and isinstance(kept[0], ChargePointDisconnected):
        kept = kept[1:]  # its beginning was left out
    left_out = state.live.left_out + len(news) - len(kept)
    return state.with_live(news=kept, left_out=left_out)


def _without_connection(state: State, because: str) -> State:
    """The charge point keeps what was not acknowledged and sends it again; what is on its way to the
    journal goes on, and the next transactional CALL waits for its outcome.
    """
    live = state.live
    return state.with_live(
        connection=None,
        connected_at_ms=None,
        lane=(),
        asked=NOTHING,
        relayed=NOTHING,
        said=said.left_behind(state),
        joined=(),
        outstanding=None,
        uncertain_because=because if live.outstanding else live.uncertain_because,
    )
