"""What every page has: head, heading, the four answers, tables that become cards on a phone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from monitor.domain.answers import Answer, Tone, Verdict
from monitor.domain.readings import Reading
from monitor.pages.html import Child, Html, el, text
from monitor.pages.words import ago, duration, moment

WITHOUT_SCRIPT_S = 10

SIGNS = {Tone.GOOD: "●", Tone.ATTENTION: "▲", Tone.BAD: "■", Tone.UNKNOWN: "○"}
"""A shape for each tone: colour is never the only sign."""


def page(title: str, now_ms: int, *body: Child) -> bytes:
    head = _head(
        title,
        el("noscript", el("meta", http_equiv="refresh", content=WITHOUT_SCRIPT_S)),
        el("script", src="/static/refresh.js", defer=True),
    )
    shown = el(
        "body",
        el("p", cls="silent", id="silent", role="alert", hidden=True),
        el("div", *body, id="live"),
        el(
            "footer",
            "Read at ",
            moment(now_ms, now_ms),
            " UTC, read again every few seconds. All times are UTC. This page shows; it decides nothing.",
        ),
    )
    return _document(head, shown)


def still_page(title: str, *body: Child) -> bytes:
    """One that is not read again: there is nothing to follow."""
    return _document(_head(title), el("body", *body))


def _head(title: str, *more: Child) -> Html:
    return el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        el("title", title),
        el("link", rel="stylesheet", href="/static/style.css"),
        *more,
    )


def _document(head: Html, body: Html) -> bytes:
    return ("<!doctype html>\n" + el("html", head, body, lang="en")).encode()


def answer_cards(answers: Sequence[Answer], now_ms: int) -> Html:
    return el(
        "section",
        *(_card(answer, now_ms) for answer in answers),
        cls="answers",
        aria_label="The four answers",
    )


def _card(answer: Answer, now_ms: int) -> Html:
    points = el("ul", *(el("li", point) for point in answer.points)) if answer.points else None
    return el(
        "article",
        el("h2", answer.question),
        el(
            "p",
            el("span", SIGNS[answer.tone], cls="sign", aria_hidden="true"),
            {Verdict.YES: "Yes", Verdict.NO: "No", Verdict.UNKNOWN: "Unknown"}[answer.verdict],
            cls="verdict",
        ),
        el("p", answer.reason, cls="reason"),
        points,
        el(
            "p",
            "as of ",
            moment(answer.as_of_ms, now_ms),
            f" ({ago(answer.as_of_ms, now_ms)})" if answer.as_of_ms is not None else "",
            f" from {answer.source}",
            f"; {answer.limits}" if answer.limits else "",
            cls="as-of",
        ),
        cls=f"answer {answer.tone.value}",
        id=f"answer-{answer.key}",
    )


def section(key: str, title: str, *body: Child, note: Child = None) -> Html:
    return el(
        "section",
        el("header", el("h2", title, id=f"{key}-title"), el("p", note, cls="note") if note else ""),
        *body,
        id=key,
        aria_labelledby=f"{key}-title",
    )


def told(reading: Reading[Any], now_ms: int) -> Html:
    """How old a reading is and who gave it: beside every list."""
    if reading.as_of_ms is None:
        return el("span", f"unknown: {reading.problem or 'never read'}", cls="stale")
    said = f"as of {ago(reading.as_of_ms, now_ms)}, from {reading.source}"
    if reading.fresh:
        return text(said)
    why = f" ({reading.problem})" if reading.problem else ""
    return el("span", f"unknown now, last {said}{why}", cls="stale")


def table(
    caption: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[Child]],
    empty: str,
    *,
    narrow: bool = False,
) -> Html:
    """Each cell carries its column's name: on a phone a row becomes a card, unless it is narrow enough."""
    body = [
        el(
            "tr",
            *(el("td", cell, data_label=name) for name, cell in zip(columns, row, strict=True)),
        )
        for row in rows
    ]
    if not body:
        return el("p", empty, cls="empty")
    return el(
        "table",
        el("caption", caption, cls="unseen"),
        el("thead", el("tr", *(el("th", name, scope="col") for name in columns))),
        el("tbody", *body),
        cls=None if narrow else "cards",
    )


def chip(words: str, kind: str) -> Html:
    return el("span", words, cls=f"chip {kind}")


def since(at_ms: int | None, now_ms: int) -> Child:
    if at_ms is None:
        return None
    return ["since ", moment(at_ms, now_ms), f" ({duration(now_ms - at_ms)})"]


def pairs(*named: tuple[str, Child]) -> list[Html]:
    """Terms and what they are, for a `dl`."""
    return [Html(el("dt", name) + el("dd", value)) for name, value in named]
