"""What the CSMS behind a site has of it, seen from the cloud."""

from __future__ import annotations

import json

from holdfast.contracts.csms import OpenDelivery, Trouble, UpstreamView
from holdfast.contracts.mode import CsmsState
from monitor.domain.status import SiteStatus
from monitor.domain.upstream import CsmsNow, point_of
from monitor.pages.frame import chip, pairs, section, told
from monitor.pages.html import Child, Html, el
from monitor.pages.words import moment, number

SHOWN = 20
"""So many of each are named here; the API has them all."""


def csms(status: SiteStatus) -> Html:
    known = status.csms.last
    if known is None or known.state is CsmsState.NONE:
        empty = "No CSMS is known behind this site."
        note = told(status.csms, status.now_ms) if known is not None else None
        return section("csms", "CSMS", el("p", empty, cls="empty"), note=note)
    fresh = status.csms.fresh
    return section(
        "csms",
        "CSMS",
        el(
            "dl",
            *pairs(
                ("State", _state(known, fresh)),
                ("Charge points not accepted", _not_accepted(known, status.now_ms)),
                ("Messages waiting", _waiting(known, status.now_ms)),
                ("Open deliveries", _deliveries(known, status.site)),
            ),
            cls="facts" if fresh else "facts stale",
        ),
        note=told(status.csms, status.now_ms),
    )


def _state(known: CsmsNow, fresh: bool) -> Html:
    if not fresh:
        return chip(f"was {known.state.value}", "unknown")
    return chip(known.state.value, "good" if known.state is CsmsState.UP else "attention")


def _not_accepted(known: CsmsNow, now_ms: int) -> Child:
    views = known.not_accepted
    return _list([_line(view, now_ms) for view in views or ()])


def _line(view: UpstreamView, now_ms: int) -> Child:
    why = f", {view.problem}" if view.problem else ""
    return [
        f"{view.charge_point} at {view.backend}: {view.phase.value} since ",
        moment(view.since_ms, now_ms),
        why,
    ]


def _waiting(known: CsmsNow, now_ms: int) -> Child:
    times = [
        view.oldest_at_ms
        for view in known.views or ()
        if view.primary and view.oldest_at_ms is not None
    ]
    if not known.waiting or not times:
        return number(known.waiting)
    return [f"{number(known.waiting)}, the oldest of ", moment(min(times), now_ms)]


def _deliveries(known: CsmsNow, site: str) -> Child:
    return _list([_delivery(one, site) for one in known.deliveries])


def _delivery(one: OpenDelivery, site: str) -> Child:
    entry = f"entry {one.incarnation} {one.seq}" if one.seq else "the charge point as a whole"
    return [f"{point_of(one).what} ({entry})", el("small", _remedy(one, site))]


def _remedy(one: OpenDelivery, site: str) -> str:
    """What to send is written out, so that it can be copied."""
    if one.trouble is Trouble.REJECTED:
        return "Goes when the CSMS accepts this charge point: have it admitted there."
    word = {
        "backend": one.backend,
        "charge_point": one.charge_point,
        "trouble": one.trouble.value,
        "incarnation": one.incarnation,
        "seq": one.seq,
        "by": "YOUR NAME",
    }
    body = json.dumps(word, ensure_ascii=False)
    return f"Once seen to at the CSMS, settle it: POST /api/sites/{site}/upstream/settle {body}"


def _list(lines: list[Child]) -> Child:
    if not lines:
        return "none"
    more = len(lines) - SHOWN
    rest = el("li", f"and {number(more)} more") if more > 0 else None
    return el("ul", *(el("li", line) for line in lines[:SHOWN]), rest)
