"""HTML as nested calls: everything that is not already `Html` is escaped, so nothing can be forgotten.

el("p", "a < b", el("b", "!"), cls="note")  ->  <p class="note">a &lt; b<b>!</b></p>
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

Attribute = str | int | float | bool | None


class Html(str):
    """Markup made here."""

    __slots__ = ()


Child = str | int | None | Iterable["Child"]

_VOID = frozenset({"meta", "link", "br", "rect", "line"})


def el(tag: str, *children: Child, cls: str | None = None, **attributes: Attribute) -> Html:
    """`aria_label` becomes aria-label; None and False leave an attribute out."""
    given: dict[str, Attribute] = {"class": cls, **attributes}
    written = "".join(
        f" {name.rstrip('_').replace('_', '-')}"
        + ("" if value is True else f'="{escape(str(value))}"')
        for name, value in given.items()
        if value is not None and value is not False
    )
    if tag in _VOID:
        return Html(f"<{tag}{written}>" if tag not in ("rect", "line") else f"<{tag}{written}/>")
    return Html(f"<{tag}{written}>{text(children)}</{tag}>")


def text(child: Child) -> Html:
    if child is None:
        return Html("")
    if isinstance(child, Html):
        return child
    if isinstance(child, str | int):
        return Html(escape(str(child)))
    return Html("".join(text(inner) for inner in child))
