"""What is there and what was done: charge points, sessions, commands."""

from __future__ import annotations

import json
from collections.abc import Sequence

from holdfast.contracts.session import SessionState, SessionView
from holdfast.masking import in_answer
from monitor.domain.masking import masked
from monitor.domain.rows import ChargePointRow, CommandRow
from monitor.domain.status import SiteStatus
from monitor.pages.frame import chip, section, since, table, told
from monitor.pages.html import Child, Html, el
from monitor.pages.words import DASH, energy, moment, number, plural

ROWS = 20
"""So many of each list are shown; the API has the rest."""


def charge_points(status: SiteStatus) -> Html:
    now_ms, fresh = status.now_ms, status.charge_points.fresh
    rows = [
        (
            [el("b", row.charge_point), el("small", _security(row))],
            _connection(row, now_ms, fresh),
            _connectors(row, fresh),
            [f"{row.vendor} {row.model}".strip() or DASH, el("small", row.firmware)],
        )
        for row in sorted(status.charge_points.last or (), key=lambda row: row.charge_point)
    ]
    return section(
        "charge-points",
        "Charge points",
        table(
            "Charge points",
            ("Charge point", "Connection", "Connectors", "Device"),
            rows,
            "No charge point is registered."
            if status.charge_points.last is not None
            else "Not known yet.",
        ),
        note=told(status.charge_points, now_ms),
    )


def _connection(row: ChargePointRow, now_ms: int, fresh: bool) -> Child:
    if not row.connected and row.since_ms is None:
        return chip("never connected" if fresh else "not known to have connected", "unknown")
    word = "connected" if row.connected else "away"
    kind = ("good" if row.connected else "attention") if fresh else "unknown"
    why = f"{row.reason}" if row.reason and not row.connected else None
    return [
        chip(word if fresh else f"was {word}", kind),
        el("small", since(row.since_ms, now_ms), why and f", {why}"),
    ]


def _security(row: ChargePointRow) -> str | None:
    if row.security_profile is None:
        return None
    following = row.next_security_profile
    upgrade = "" if following is None else f", then {following}"
    return f"security profile {row.security_profile}{upgrade}"


def _connectors(row: ChargePointRow, fresh: bool) -> Child:
    shown: list[Child] = []
    for number_, connector in sorted(row.connectors.items()):
        if number_ == 0 and connector.status in (None, "Available"):
            continue
        status = connector.status or "no status yet"
        if connector.error_code not in (None, "NoError"):
            status += f" ({connector.error_code})"
        kind = "bad" if connector.status == "Faulted" else "plain"
        shown.append(chip(f"{number_ or 'all'}: {status}", kind if fresh else "unknown"))
    return el("span", *shown) if shown else DASH


def sessions(status: SiteStatus, sessions: Sequence[SessionView] | str) -> Html:
    now_ms = status.now_ms
    counts = status.sessions.last or {}
    note: Child = [
        ", ".join(f"{number(count)} {state}" for state, count in sorted(counts.items())),
        "; " if counts else "",
        told(status.sessions, now_ms),
    ]
    if isinstance(sessions, str):
        return section("sessions", "Sessions", el("p", sessions, cls="empty"), note=note)
    rows = [
        (
            [
                el("b", view.charge_point),
                el("small", f"connector {view.connector or DASH}, {view.transaction_id}"),
            ],
            _session_state(view, status.sessions.fresh),
            energy(view.energy_wh),
            [
                view.started_at or DASH,
                el("small", f"to {view.stopped_at}" if view.stopped_at else None),
            ],
        )
        for view in sessions
    ]
    return section(
        "sessions",
        "Sessions",
        table(
            "Newest sessions",
            ("Charge point", "State", "Energy", "By its clock"),
            rows,
            "No session yet.",
        ),
        note=note,
    )


def _session_state(view: SessionView, fresh: bool) -> Child:
    kind = {"running": "good", "stopped": "plain", "fragment": "attention"}[view.state.value]
    flags = [
        words
        for words, holds in (
            ("accepted by the rule for unknown tokens", view.flagged),
            ("stops differ", view.stops_differing > 0),
            (f"stop: {view.reason}", bool(view.reason)),
            (f"{plural(view.left_out, 'reading')} left out by rule", view.left_out > 0),
            ("perhaps more left out right before a restart", view.left_out_uncounted),
        )
        if holds
    ]
    flags += [f"doubtful: {doubt.says}" for doubt in view.doubts]
    if view.state is SessionState.RUNNING and not fresh:
        return chip("was running", "unknown")
    return [chip(view.state.value, kind), el("small", ", ".join(flags)) if flags else None]


def commands(status: SiteStatus) -> Html:
    now_ms = status.now_ms
    newest = list(status.state.commands.values())[-ROWS:][::-1]
    rows = [
        (
            [el("b", row.command.action), el("small", _payload(row))],
            row.charge_point,
            _disposition(row),
            [
                moment(row.command.issued_at_ms, now_ms),
                el("small", _given_by(row)),
            ],
        )
        for row in newest
    ]
    return section(
        "commands",
        "Commands",
        table(
            "Newest commands",
            ("Command", "Charge point", "Disposition", "Given"),
            rows,
            "No command yet.",
        ),
        note=told(status.waiting_commands, now_ms),
    )


def _given_by(row: CommandRow) -> str:
    of = row.command
    return f"by {of.issuer.value}, {of.by}" if of.by else f"by {of.issuer.value}"


def _payload(row: CommandRow) -> str:
    return json.dumps(masked(row.command.payload), ensure_ascii=False)[:200]


def _disposition(row: CommandRow) -> Child:
    if row.disposition is None and row.held:
        why = f"{row.held}; holdfast command confirm (or cancel) {row.command.id}"
        return [chip("waits for a word", "attention"), el("small", why)]
    if row.disposition is None:
        return chip("sent" if row.dispatched_at_ms else "waiting", "attention")
    kind = {"delivered": "good", "uncertain": "attention"}.get(row.disposition.value, "plain")
    observed = None
    if row.took_effect is not None:
        observed = f"took effect: {'yes' if row.took_effect else 'no'} ({row.evidence})"
    answer = row.answer and in_answer(row.answer, masked)
    said = ", ".join(part for part in (row.reason, answer, observed, *row.words) if part)
    return [chip(row.disposition.value, kind), el("small", said) if said else None]
