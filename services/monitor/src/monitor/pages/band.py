"""The mode band: which mode a site was in, over time, as one picture with words beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from monitor.domain.rows import ModeRow
from monitor.pages.html import Html, el
from monitor.pages.words import clock, duration

SPANS_MS = (3_600_000, 6 * 3_600_000, 24 * 3_600_000)
"""The band shows the last hour, six hours or day: the shortest that shows the last change."""
WIDTH = 1_000
HEIGHT = 28
SHORTEST = 2
"""A stretch too short to see is drawn this wide."""


@dataclass(frozen=True, slots=True)
class Stretch:
    mode: str
    begin_ms: int
    end_ms: int
    reasons: str


def stretches(rows: Sequence[ModeRow], now_ms: int) -> list[Stretch]:
    found = []
    for index, row in enumerate(rows):
        end_ms = rows[index + 1].fact.since_ms if index + 1 < len(rows) else now_ms
        reasons = ", ".join(reason.value for reason in row.fact.reasons)
        found.append(Stretch(row.fact.mode.value, row.fact.since_ms, end_ms, reasons))
    return found


def span_of(rows: Sequence[ModeRow], now_ms: int) -> int:
    if not rows:
        return SPANS_MS[0]
    first_shown = rows[-4:][0].fact.since_ms
    for span_ms in SPANS_MS:
        if now_ms - first_shown <= span_ms * 0.95:
            return span_ms
    return SPANS_MS[-1]


def band(rows: Sequence[ModeRow], now_ms: int, known_until_ms: int) -> Html:
    """What came after `known_until_ms` is not known: the last mode is drawn on, but pale."""
    span_ms = span_of(rows, now_ms)
    begin_ms = now_ms - span_ms
    drawn = [el("rect", x=0, y=0, width=WIDTH, height=HEIGHT, cls="nothing")]
    shown = [stretch for stretch in stretches(rows, now_ms) if stretch.end_ms > begin_ms]
    for stretch in shown:
        start_ms = max(stretch.begin_ms, begin_ms)
        known_ms = max(start_ms, min(stretch.end_ms, known_until_ms))
        kind = f"m-{stretch.mode}"
        if known_ms > start_ms:
            drawn.append(_rect(start_ms, known_ms, begin_ms, span_ms, kind))
        if stretch.end_ms > known_ms:
            drawn.append(_rect(known_ms, stretch.end_ms, begin_ms, span_ms, f"{kind} unsure"))
    told = "; ".join(
        f"{stretch.mode} for {duration(stretch.end_ms - max(stretch.begin_ms, begin_ms))}"
        for stretch in shown[-6:]
    )
    return el(
        "figure",
        el(
            "svg",
            *drawn,
            viewBox=f"0 0 {WIDTH} {HEIGHT}",
            preserveAspectRatio="none",
            role="img",
            aria_label=f"Modes over the last {duration(span_ms)}: {told or 'none known'}",
        ),
        el(
            "figcaption",
            el("span", clock(begin_ms, now_ms)),
            el("span", f"last {duration(span_ms)}"),
            el("span", "now"),
        ),
        cls="band",
    )


def _rect(from_ms: int, to_ms: int, begin_ms: int, span_ms: int, kind: str) -> Html:
    x, end = (round((at_ms - begin_ms) / span_ms * WIDTH) for at_ms in (from_ms, to_ms))
    return el("rect", x=x, y=0, width=max(end - x, SHORTEST), height=HEIGHT, cls=kind)
