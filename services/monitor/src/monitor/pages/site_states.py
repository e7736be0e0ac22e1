"""Which local states changed during a disruption: what was set at charge points and stays there."""

from __future__ import annotations

from monitor.domain.local_states import changed
from monitor.domain.rows import DisruptionRow
from monitor.domain.status import SiteStatus
from monitor.pages.frame import table
from monitor.pages.html import Html, el, text
from monitor.pages.words import DASH, moment

CHANGES_SHOWN = 50


def local_states(status: SiteStatus, row: DisruptionRow) -> Html:
    until_ms = row.ended_ms if row.ended_ms is not None else status.now_ms
    changes = list(changed(status.state, row.began_ms, until_ms))
    rows = [
        (
            charge_point,
            change.key,
            change.before or DASH,
            change.after or DASH,
            moment(change.at_ms, status.now_ms),
        )
        for charge_point, change in changes[:CHANGES_SHOWN]
    ]
    over = len(changes) - CHANGES_SHOWN
    return text(
        (
            table(
                "Local states that changed",
                ("Charge point", "What", "Before", "After", "Heard at"),
                rows,
                "No local state changed.",
            ),
            el("p", f"and {over} more: the API's state-changes", cls="note") if over > 0 else None,
        )
    )
