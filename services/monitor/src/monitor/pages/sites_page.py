"""All sites on one page: those that need somebody first."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from monitor.domain.answers import Answer, Tone, answers
from monitor.domain.status import SiteStatus
from monitor.pages.frame import SIGNS, chip, page, since, table
from monitor.pages.html import Child, Html, el
from monitor.pages.words import DASH, ago, number, plural

ORDER = {Tone.BAD: 0, Tone.ATTENTION: 1, Tone.UNKNOWN: 2, Tone.GOOD: 3}


def sites_page(statuses: Sequence[SiteStatus], now_ms: int) -> bytes:
    judged = [(status, answers(status)) for status in statuses]
    judged.sort(key=lambda one: (min(ORDER[a.tone] for a in one[1]), one[0].site))
    quiet = sum(all(a.tone is Tone.GOOD for a in four) for _, four in judged)
    rows = [_row(status, four, now_ms) for status, four in judged]
    return page(
        "Sites · Holdfast",
        now_ms,
        el(
            "header",
            el("h1", "Sites", el("small", "seen from the cloud")),
            el(
                "p",
                _summary(len(judged), len(judged) - quiet),
                cls="mode",
            ),
            cls="top",
        ),
        el(
            "main",
            el(
                "section",
                table(
                    "Sites",
                    (
                        "Site",
                        "Mode",
                        "Can charge?",
                        "Safe?",
                        "Act?",
                        "Open?",
                        "Rules",
                        "Waiting",
                        "Heard",
                    ),
                    rows,
                    "No site is known yet: name them in `sites`, or wait for a first pulse.",
                ),
                cls="sites",
                aria_label="Sites",
            ),
        ),
    )


def _summary(sites: int, noticed: int) -> str:
    if not sites:
        return "No site is known yet."
    if not noticed:
        return f"All quiet at {plural(sites, 'site')}."
    return f"{number(noticed)} of {plural(sites, 'site')} {'wants' if noticed == 1 else 'want'} a look."


def _row(status: SiteStatus, four: Sequence[Answer], now_ms: int) -> list[Child]:
    mode = status.mode.value
    word = mode.mode.value if mode else "unknown"
    sync = status.sync.last
    heard = status.uplink.last.pulse_answered_at_ms if status.uplink.last else None
    return [
        el("a", status.site, href=f"/sites/{quote(status.site, safe='')}"),
        [chip(word, f"m-{word}"), el("small", _when(status, now_ms))],
        *(_verdict(answer) for answer in four),
        _rules(status),
        number(sync.backlog) if sync else DASH,
        ago(heard, now_ms),
    ]


def _rules(status: SiteStatus) -> Child:
    """Standing against wanted: where they differ, both."""
    rules = status.rules.last
    if rules is None:
        return DASH
    wanted = rules.desired_version
    if wanted in (None, 0, rules.version):
        return str(rules.version)
    return [chip(f"{rules.version}", "attention"), el("small", f"wanted: {wanted}")]


def _when(status: SiteStatus, now_ms: int) -> Child:
    if status.mode.value is not None:
        return since(status.mode.value.since_ms, now_ms)
    last = status.mode.last
    return f"last known: {last.mode.value}" if last else None


def _verdict(answer: Answer) -> Html:
    return el(
        "span",
        el("span", SIGNS[answer.tone], cls="sign", aria_hidden="true"),
        answer.verdict.value,
        cls=f"short {answer.tone.value}",
        title=answer.reason,
    )
