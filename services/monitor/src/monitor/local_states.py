"""What the API tells of local states: what stands or stood at a charge point, and what changed between two moments.

Out of the journal that the monitor follows: nobody is asked, so it answers for a cut-off site, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from holdfast.local_state import Change, History, Stand, aspect_of
from holdfast.ocpp.moments import moment_ms
from monitor import views
from monitor.answering import Problem, answer
from monitor.domain.local_states import changed
from monitor.domain.paging import BadRequest, limit_of, page_by_number
from monitor.domain.status import SiteStatus
from monitor.known_site import site_asked_for
from monitor.watching import Watch

Document = dict[str, Any]

TIME_DIGITS_MAX = 15


class LocalStates:
    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    def routes(self) -> list[Route]:
        return [
            Route("/api/sites/{site}/charge-points/{charge_point}/state", self.state),
            Route("/api/sites/{site}/state-changes", self.changes),
        ]

    async def state(self, request: Request) -> Response:
        """`?at=`: what stood then."""
        status = self._watch.status(site_asked_for(request, self._watch))
        charge_point: str = request.path_params["charge_point"]
        history = status.state.histories.get(charge_point)
        if history is None:
            raise Problem(
                404,
                f"the journal says nothing of charge point {charge_point[:40]!r}: "
                "/charge-points has those it does",
            )
        at_ms = _time(request, "at")
        _is_remembered(history, at_ms)
        then_ms = status.now_ms if at_ms is None else at_ms
        stands = history.now(then_ms) if at_ms is None else history.at(at_ms)
        return answer(
            {
                "charge_point": charge_point,
                "at_ms": then_ms,
                "state": [_stand(key, stands[key], then_ms) for key in sorted(stands)],
                "begins_ms": history.begins_ms,
                **views.freshness(status.journal, status.now_ms),
            }
        )

    async def changes(self, request: Request) -> Response:
        """`?from=&to=`, or `?disruption=`; without, since the newest disruption began. What was set and stays, or with
        `?all=1` everything that is known.
        """
        status = self._watch.status(site_asked_for(request, self._watch))
        from_ms, to_ms = _span(request, status)
        wanted = request.query_params.get("charge_point")
        is_all = request.query_params.get("all") == "1"
        rows = [
            _change(charge_point, change)
            for charge_point, change in changed(status.state, from_ms, to_ms, is_all=is_all)
            if wanted in (None, charge_point)
        ]
        limit = limit_of(request.query_params.get("limit"))
        shown, following = page_by_number(rows, request.query_params.get("after", ""), limit)
        return answer(
            {
                "changes": list(shown),
                "next": following,
                "from_ms": from_ms,
                "to_ms": to_ms,
                **views.freshness(status.journal, status.now_ms),
            }
        )


def _span(request: Request, status: SiteStatus) -> tuple[int, int]:
    from_ms, to_ms = _time(request, "from"), _time(request, "to")
    named = request.query_params.get("disruption")
    if named is None and from_ms is not None:
        return from_ms, status.now_ms if to_ms is None else to_ms
    disruptions = status.state.disruptions
    row = next(
        (one for one in reversed(disruptions) if named in (None, one.disruption)),
        None,
    )
    if row is None:
        what = f"disruption {named[:40]!r} is not known here" if named else "there was none"
        raise Problem(404, f"{what}: give ?from= and ?to=")
    ended_ms = row.ended_ms if row.ended_ms is not None else status.now_ms
    return row.began_ms, ended_ms if to_ms is None else to_ms


def _is_remembered(history: History, at_ms: int | None) -> None:
    if at_ms is not None and history.begins_ms is not None and at_ms < history.begins_ms:
        raise Problem(
            404,
            f"what is remembered of it begins at {history.begins_ms}: /events has what was before",
        )


def _time(request: Request, name: str) -> int | None:
    """Milliseconds since 1970, or as 2026-11-25T10:00:00Z. Raise BadRequest."""
    text = request.query_params.get(name)
    if not text:
        return None
    if text.isascii() and text.isdigit() and len(text) <= TIME_DIGITS_MAX:
        return int(text)
    at_ms = moment_ms(text)
    if at_ms is None:
        raise BadRequest(
            f"{name} {text[:40]!r} is no time: milliseconds since 1970, or like 2026-11-25T10:00:00Z"
        )
    return at_ms


def _stand(key: str, stand: Stand, then_ms: int) -> Document:
    return {
        "key": key,
        "aspect": aspect_of(key),
        "value": stand.value,
        "since_ms": stand.since_ms,
        "heard_ms": stand.heard_ms,
        "age_ms": max(then_ms - stand.heard_ms, 0),
    }


def _change(charge_point: str, change: Change) -> Mapping[str, Any]:
    return {
        "charge_point": charge_point,
        "key": change.key,
        "aspect": change.aspect,
        "before": change.before,
        "after": change.after,
        "at_ms": change.at_ms,
    }
