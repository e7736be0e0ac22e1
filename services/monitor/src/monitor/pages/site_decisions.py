"""Decisions, each in a drawer: what was asked, by which rule, from what, and why not otherwise."""

from __future__ import annotations

from holdfast.contracts.decision import Considered
from monitor.domain.explaining import Ground, explained
from monitor.domain.fold import outcome_of
from monitor.domain.rows import DecisionRow, SiteState
from monitor.domain.status import SiteStatus
from monitor.pages.frame import chip, pairs, section, table
from monitor.pages.html import Child, Html, el
from monitor.pages.site_lists import ROWS
from monitor.pages.words import DASH, duration, moment


def decisions(status: SiteStatus) -> Html:
    newest = status.state.decisions[-ROWS:][::-1]
    items = [_decision(row, status.state, status.now_ms) for row in newest]
    return section(
        "decisions",
        "Decisions",
        el("div", *items, cls="drawers") if items else el("p", "No decision yet.", cls="empty"),
        note="each with its rule; open one to see what it was computed from, and why not otherwise",
    )


def _decision(row: DecisionRow, state: SiteState, now_ms: int) -> Html:
    fact = row.fact
    outcome = outcome_of(fact)
    kind = "good" if outcome in ("Accepted", "admitted") else "plain"
    told = explained(row, state)
    return el(
        "details",
        el(
            "summary",
            moment(row.at_ms, now_ms),
            chip(outcome, kind),
            el("b", fact.charge_point),
            el("span", fact.explanation, cls="why"),
        ),
        el(
            "dl",
            *pairs(
                ("Asked", told.question),
                ("Rule", f"{fact.clause}, rules version {fact.rules_version}"),
                ("Mode", fact.inputs.mode.value),
                ("Afterwards", told.afterwards or "nothing is known of it yet"),
                ("Decision", fact.decision),
                ("In the journal at", str(row.place)),
            ),
        ),
        table(
            "Computed from",
            ("Computed from", "Value", "Age then"),
            [(ground.what, ground.value or DASH, _age(ground)) for ground in told.grounds],
            "Nothing.",
        ),
        _considered(told.considered),
        id=f"decision-{fact.decision}",
    )


def _age(ground: Ground) -> Child:
    if ground.age_ms is None:
        return DASH
    return f"in {duration(-ground.age_ms)}" if ground.age_ms < 0 else duration(ground.age_ms)


def _considered(considered: tuple[Considered, ...]) -> Html:
    if not considered:
        return el("p", "It was made by a version that did not note what else it looked at.")
    rows = [
        ([el("b", one.clause), chip("decided", "good") if one.decided else None], one.said)
        for one in considered
    ]
    return table("Looked at", ("Looked at, in this order", "What it said"), rows, "Nothing.")
