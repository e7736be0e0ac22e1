"""Drivers that wait for the CSMS's word: it overtakes everything, or comes too late and is decided at the site."""

from __future__ import annotations

from csms_bridge.domain.events import AnswerAuthorise, AuthoriseAsked, Effect, Happened
from csms_bridge.domain.payload import document_of, moment_ms
from csms_bridge.domain.state import State
from holdfast.contracts.csms import Phase
from holdfast.contracts.decision import CloudVerdict
from holdfast.contracts.numbers import held_moment
from holdfast.contracts.rules import TokenStatus
from holdfast.ocpp import frames

Step = tuple[State, list[Effect]]

ASKED_MAX = 64
"""Drivers waiting on one connection; further ones are decided at their site."""
PARENT_CHARACTERS_MAX = 255


def asked(state: State, event: AuthoriseAsked) -> Step:
    live = state.live
    if live.phase is not Phase.ACCEPTED or not live.primary or len(live.asked) >= ASKED_MAX:
        return state, [AnswerAuthorise(request=event.request, verdict=None)]
    return state.with_live(asked=(*live.asked, event)), []


def expired(state: State, now: Happened) -> Step:
    """The site decides by itself once its budget is over."""
    over = [one for one in state.live.asked if now.mono_ms - one.mono_ms >= one.budget_ms]
    if not over:
        return state, []
    left = tuple(one for one in state.live.asked if one not in over)
    return state.with_live(asked=left), [_none(one.request) for one in over]


def unanswered(state: State) -> Step:
    """No word comes any more: the connection is gone, or the backend follows now."""
    requests = [one.request for one in state.live.asked]
    outstanding = state.live.outstanding
    if outstanding is not None and outstanding.request is not None:
        requests.append(outstanding.request)
    return state.with_live(asked=()), [_none(request) for request in requests]


def verdict(state: State, request: str, answer: frames.Result | frames.Error) -> AnswerAuthorise:
    """Of a backend that follows meanwhile it is none."""
    info = document_of(answer).get("idTagInfo")
    if not isinstance(info, dict) or not state.live.primary:
        return _none(request)
    try:
        status = TokenStatus(str(info.get("status")))
    except ValueError:
        return _none(request)
    parent = info.get("parentIdTag")
    is_named = isinstance(parent, str) and 0 < len(parent) <= PARENT_CHARACTERS_MAX
    until_ms = moment_ms(info.get("expiryDate"))
    given = CloudVerdict(
        known=status is not TokenStatus.INVALID,
        status=status,
        parent=parent if is_named else None,
        valid_until_ms=None if until_ms is None else held_moment(until_ms),
    )
    return AnswerAuthorise(request=request, verdict=given)


def _none(request: str) -> AnswerAuthorise:
    return AnswerAuthorise(request=request, verdict=None)
