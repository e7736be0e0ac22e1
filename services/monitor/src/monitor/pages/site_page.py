"""The page of one site: four answers first, then what they rest on."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.contracts.session import SessionView
from monitor.domain.answers import answers
from monitor.domain.status import SiteStatus
from monitor.pages import site_card, site_csms, site_decisions, site_lists, site_records
from monitor.pages.frame import answer_cards, chip, page, since
from monitor.pages.html import Child, Html, el
from monitor.pages.words import ago


def site_page(status: SiteStatus, sessions: Sequence[SessionView] | str, home: bool) -> bytes:
    """`sessions` is a sentence where they can't be had; `home` adds the way back to all sites."""
    now_ms = status.now_ms
    return page(
        f"{_mode_word(status)} · {status.site} · Holdfast",
        now_ms,
        _heading(status, home),
        el(
            "main",
            answer_cards(answers(status), now_ms),
            site_records.modes(status),
            site_lists.charge_points(status),
            site_lists.sessions(status, sessions),
            site_lists.commands(status),
            site_decisions.decisions(status),
            site_records.sync(status),
            site_csms.csms(status) if status.scope == "cloud" else None,
            site_records.disruptions(status),
            site_records.rules(status),
            site_card.mode_card(status),
        ),
    )


def _mode_word(status: SiteStatus) -> str:
    return status.mode.value.mode.value if status.mode.value else "unknown"


def _heading(status: SiteStatus, home: bool) -> Html:
    mode = status.mode.value
    word = _mode_word(status)
    told_since: Child = since(mode.since_ms, status.now_ms) if mode else None
    if mode is None and status.mode.last is not None:
        last = status.mode.last.mode.value
        told_since = f"last known: {last}, {ago(status.mode.as_of_ms, status.now_ms)}"
    where = "at the site itself" if status.scope == "site" else "seen from the cloud"
    return el(
        "header",
        el("nav", el("a", "All sites", href="/")) if home else None,
        el("h1", status.site, el("small", where)),
        el("p", chip(word, f"m-{word}"), el("span", told_since, cls="since"), cls="mode"),
        cls="top",
    )
