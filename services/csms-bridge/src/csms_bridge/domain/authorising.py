"""Charge points that wait for the CSMS's word: it overtakes everything, or comes too late and is said by the site.

An Authorize of a driver, and what only the CSMS can answer (class R): sent live, its answer handed back, nothing kept.
"""

from __future__ import annotations

from csms_bridge.domain.events import (
    AnswerAuthorise,
    AnswerRelay,
    AuthoriseAsked,
    Effect,
    Happened,
    RelayAsked,
)
from csms_bridge.domain.payload import document_of, moment_ms
from csms_bridge.domain.state import Outstanding, State
from holdfast.contracts.csms import Phase, RelayReply
from holdfast.contracts.decision import CloudVerdict
from holdfast.contracts.driver_tokens import TokenStatus, TokenType
from holdfast.contracts.numbers import held_moment
from holdfast.ocpp import frames
from holdfast.ocpp.versions import OcppVersion

Step = tuple[State, list[Effect]]
Asked = AuthoriseAsked | RelayAsked

ASKED_MAX = 64
"""Waiting on one connection; further ones are told that there is no word."""
PARENT_CHARACTERS_MAX = 255
AUTHORIZE = "Authorize"
STATUSES = {
    "Unknown": TokenStatus.INVALID,
    "NoCredit": TokenStatus.BLOCKED,
    "NotAllowedTypeEVSE": TokenStatus.BLOCKED,
    "NotAtThisLocation": TokenStatus.BLOCKED,
    "NotAtThisTime": TokenStatus.BLOCKED,
}
"""Words of 2.x that 1.6 does not have: what they come to for a driver who stands there."""


def asked(state: State, event: Asked) -> Step:
    why = _obstacle(state, event)
    if not why and len(state.live.asked) >= ASKED_MAX:
        why = f"{ASKED_MAX} others wait for an answer already"
    if why:
        return state, [_none(event, why)]
    return state.with_live(asked=(*state.live.asked, event)), []


def _obstacle(state: State, event: Asked) -> str:
    """Why it is not asked; empty: it is, or may be as soon as the connection stands that is just opening."""
    live = state.live
    if live.phase is not Phase.ACCEPTED and not _is_opening(state, event):
        return f"the CSMS does not take this charge point just now ({live.phase.value})"
    if not live.primary:
        return "this backend follows; another one is in charge"
    if isinstance(event, AuthoriseAsked) and event.token_type is TokenType.OTHER:
        return "nobody knows any more how the charge point named the token's type"
    if live.phase is Phase.CLOSED:
        return ""  # of which version the connection will be is not known yet
    is_other = isinstance(event, RelayAsked) and event.version is not live.version
    if is_other or _is_typed(event) is (live.version is OcppVersion.V16):
        return f"the connection to the CSMS is of OCPP {live.version.value}"
    return ""


def _is_opening(state: State, event: Asked) -> bool:
    """Whoever asks has just come to its site, and of the CSMS nothing says that it is gone or says no.

    Closed: that the charge point came may be heard of in the next moment, after its first question.
    """
    live = state.live
    if live.is_refused or live.silent_since_mono_ms is not None:
        return False
    if live.phase is Phase.CLOSED:
        return event.mono_ms >= live.next_mono_ms
    return live.phase in (Phase.CONNECTING, Phase.BOOTING)


def _is_typed(event: Asked) -> bool | None:
    """Whether the driver token has a type, which only 2.x can say; None: there is none."""
    if isinstance(event, RelayAsked):
        return None
    return event.token_type is not TokenType.ID_TAG


def payload_of(event: AuthoriseAsked) -> str:
    token = frames.text(event.driver_token)
    if event.token_type is TokenType.ID_TAG:
        return f'{{"idTag":{token}}}'
    return f'{{"idToken":{{"idToken":{token},"type":{frames.text(event.token_type.value)}}}}}'


def expired(state: State, now: Happened) -> Step:
    """The site says something by itself once its budget is over."""
    over = [one for one in state.live.asked if now.mono_ms - one.mono_ms >= one.budget_ms]
    if not over:
        return state, []
    left = tuple(one for one in state.live.asked if one not in over)
    return state.with_live(asked=left), [_none(one, "it came too late") for one in over]


def hopeless(state: State) -> Step:
    """The connection that was just opening does not come to stand, or is of another version."""
    whys = [(one, _obstacle(state, one)) for one in state.live.asked]
    said: list[Effect] = [_none(one, why) for one, why in whys if why]
    if not said:
        return state, []
    left = tuple(one for one, why in whys if not why)
    return state.with_live(asked=left), said


def unanswered(state: State) -> Step:
    """No word comes any more: the connection is gone, or the backend follows now."""
    why = "the connection to the CSMS ended before"
    said: list[Effect] = [_none(one, why) for one in state.live.asked]
    outstanding = state.live.outstanding
    if outstanding is not None and outstanding.request is not None:
        said.append(_no_answer(outstanding, outstanding.request, why))
    return state.with_live(asked=()), said


def answered(
    state: State, outstanding: Outstanding, answer: frames.Result | frames.Error
) -> Effect:
    """Of a backend that follows meanwhile it is none."""
    request = outstanding.request
    assert request is not None
    if not state.live.primary:
        return _no_answer(outstanding, request, "this backend follows by now")
    if not outstanding.is_relayed:
        return AnswerAuthorise(request=request, verdict=_verdict(answer))
    if isinstance(answer, frames.Error):
        reply = RelayReply(code=answer.code[:60], description=answer.description[:255])
    else:
        reply = RelayReply(raw=answer.raw)
    return AnswerRelay(request=request, reply=reply)


def _verdict(answer: frames.Result | frames.Error) -> CloudVerdict | None:
    document = document_of(answer)
    info = document.get("idTagInfo", document.get("idTokenInfo"))
    if not isinstance(info, dict):
        return None
    word = str(info.get("status"))
    try:
        status = STATUSES.get(word) or TokenStatus(word)
    except ValueError:
        return None
    group = info.get("groupIdToken")
    parent = group.get("idToken") if isinstance(group, dict) else info.get("parentIdTag")
    is_named = isinstance(parent, str) and 0 < len(parent) <= PARENT_CHARACTERS_MAX
    until_ms = moment_ms(info.get("expiryDate", info.get("cacheExpiryDateTime")))
    return CloudVerdict(
        known=status is not TokenStatus.INVALID,
        status=status,
        parent=parent if is_named else None,
        valid_until_ms=None if until_ms is None else held_moment(until_ms),
    )


def _none(event: Asked, why: str) -> Effect:
    if isinstance(event, RelayAsked):
        return AnswerRelay(request=event.request, reply=RelayReply(reason=why))
    return AnswerAuthorise(request=event.request, verdict=None)


def _no_answer(outstanding: Outstanding, request: str, why: str) -> Effect:
    if not outstanding.is_relayed:
        return AnswerAuthorise(request=request, verdict=None)
    return AnswerRelay(request=request, reply=RelayReply(reason=why))
