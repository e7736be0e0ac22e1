"""What a browser is shown instead of a page: the sentence the API would give, and a way back."""

from __future__ import annotations

from http import HTTPStatus

from monitor.pages.frame import still_page
from monitor.pages.html import el


def problem_page(status: int, sentence: str) -> bytes:
    phrase = HTTPStatus(status).phrase
    return still_page(
        f"{phrase} · Holdfast",
        el("header", el("h1", phrase, el("small", status)), cls="top"),
        el(
            "main",
            el("p", sentence[:1].upper() + sentence[1:], "."),
            el("p", el("a", "To the overview", href="/")),
        ),
    )
