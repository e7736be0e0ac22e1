"""What is recorded and how it came about: modes, the journal and its copy, disruptions, rules."""

from __future__ import annotations

from collections.abc import Sequence

from monitor.domain.rows import DisruptionRow
from monitor.domain.status import SiteStatus
from monitor.pages.band import band
from monitor.pages.frame import chip, pairs, section, table, told
from monitor.pages.html import Child, Html, el
from monitor.pages.site_states import local_states
from monitor.pages.words import DASH, ago, duration, moment, number, plural, size

GAPS_SHOWN = 20


def modes(status: SiteStatus) -> Html:
    now_ms = status.now_ms
    rows = [
        (
            moment(row.fact.since_ms, now_ms),
            chip(row.fact.mode.value, f"m-{row.fact.mode.value}"),
            _reasons(row.fact.reasons, row.fact.detail),
        )
        for row in status.state.modes[-6:][::-1]
    ]
    return section(
        "modes",
        "Modes",
        band(status.state.modes, now_ms, _known_until(status)),
        _overrides(status),
        table(
            "Mode changes",
            ("Since", "Mode", "Because"),
            rows,
            "No mode has been recorded yet.",
            narrow=True,
        ),
        note=told(status.mode, now_ms),
    )


def _overrides(status: SiteStatus) -> Html | None:
    """What people said about the mode; it goes when its time is up."""
    now_ms = status.now_ms
    terms = [
        (
            one.kind.value.replace("-", " "),
            [
                "from " if one.from_ms > now_ms else "since ",
                moment(one.from_ms, now_ms),
                " until ",
                moment(one.until_ms, now_ms),
                f", by {one.by}",
                el("small", one.why),
            ],
        )
        for one in status.overrides
    ]
    return el("dl", *pairs(*terms), cls="facts", id="overrides") if terms else None


def _known_until(status: SiteStatus) -> int:
    return status.now_ms if status.mode.fresh else status.mode.as_of_ms or 0


def _reasons(reasons: Sequence[str], detail: str) -> Child:
    said = ", ".join(str(reason) for reason in reasons)
    return [said, el("small", detail)] if detail else said


def sync(status: SiteStatus) -> Html:
    now_ms, sync, storage = status.now_ms, status.sync, status.storage
    last = sync.last
    place = status.state
    chain = status.chain_verified.value
    chain_word = {True: "meets every signature", False: "does not meet its signatures"}
    return section(
        "sync",
        "Records",
        el(
            "dl",
            *pairs(
                ("Written at the site", number(last.head_seq) if last else DASH),
                ("Verified and archived in the cloud", number(last.watermark) if last else DASH),
                ("Waiting", number(last.backlog) if last else DASH),
                ("Hash chain", "unknown" if chain is None else chain_word[chain]),
                (
                    "Last signed checkpoint",
                    [f"{number(place.checkpoint_seq)}, ", moment(place.checkpoint_at_ms, now_ms)]
                    if place.checkpoint_seq
                    else DASH,
                ),
                ("Uplink", _uplink(status)),
                ("Storage", _storage(status)),
                ("Gaps", _gaps(status)),
                ("In quarantine", number(place.quarantined_count)),
            ),
            cls="facts" if sync.fresh else "facts stale",
        ),
        note=[told(sync, now_ms), "; storage ", told(storage, now_ms)],
    )


def _uplink(status: SiteStatus) -> str:
    uplink = status.uplink.last
    if uplink is None:
        return "unknown"
    answered = f"last answered pulse {ago(uplink.pulse_answered_at_ms, status.now_ms)}"
    if uplink.stable is None or not status.uplink.fresh:
        return answered
    return f"{answered}, {'stable' if uplink.stable else 'not stable'}"


def _storage(status: SiteStatus) -> str:
    storage = status.storage.last
    if storage is None:
        return "unknown"
    used = ""
    if storage.bytes is not None and storage.bytes_max:
        share = storage.bytes / storage.bytes_max
        used = f", {size(storage.bytes)} of {size(storage.bytes_max)} ({share:.0%})"
    word = {"ok": "room enough", "soft": "nearly full", "hard": "full"}[storage.level.value]
    return f"{'' if status.storage.fresh else 'was '}{word}{used}"


def _gaps(status: SiteStatus) -> Child:
    if status.scope == "site":
        damage = [note.what for note in status.state.damage]
        return ", ".join(damage) or "none on this disk; what the cloud lacks, the cloud knows"
    gaps = status.gaps.last
    if gaps is None:
        return "unknown"
    if not gaps:
        return "none"
    return el(
        "ul",
        *(
            el(
                "li",
                f"{gap.incarnation} {number(gap.from_seq)} to "
                f"{'its end' if gap.to_seq is None else number(gap.to_seq)}: {gap.cause.value}, ",
                moment(gap.from_ms, status.now_ms),
                " to ",
                moment(gap.to_ms, status.now_ms),
            )
            for gap in gaps[-GAPS_SHOWN:]
        ),
    )


def disruptions(status: SiteStatus) -> Html:
    newest = status.state.disruptions[-10:][::-1]
    items = [_disruption(status, row, first=not i) for i, row in enumerate(newest)]
    return section(
        "disruptions",
        "Disruptions",
        el("div", *items, cls="drawers") if items else el("p", "None so far.", cls="empty"),
        note="from leaving connected to returning to it",
    )


def _disruption(status: SiteStatus, row: DisruptionRow, first: bool) -> Html:
    now_ms = status.now_ms
    lasted = (row.ended_ms or now_ms) - row.began_ms
    word, kind = _disruption_word(row)
    report = row.report
    impact = report.driver_impact if report else None
    terms: list[tuple[str, Child]] = []
    if report is not None and impact is not None:
        because = ", ".join(
            f"{count} by {clause}" for clause, count in impact.refused_because.items()
        )
        commands = ", ".join(f"{count} {name}" for name, count in report.commands.items())
        terms = [
            (
                "Drivers",
                f"{number(impact.served)} served, {number(impact.refused)} refused"
                + (f" ({because})" if because else ""),
            ),
            (
                "Sessions",
                f"{number(report.sessions_started)} started, {number(report.sessions_stopped)} stopped",
            ),
            ("Commands", commands or "none"),
            (
                "Evidence",
                f"{plural(report.entries, 'entry', 'entries')}, {report.from_seq} to {report.to_seq}",
            ),
        ]
    steps = table(
        "Recovery steps",
        ("Step", "Outcome", "Evidence"),
        [
            (
                step.step.value,
                chip(step.outcome.value, "attention" if step.outcome == "open" else "plain"),
                step.evidence,
            )
            for step in row.steps
        ],
        "Recovery has not begun.",
    )
    return el(
        "details",
        el(
            "summary",
            moment(row.began_ms, now_ms),
            chip(word, kind),
            el("b", duration(lasted)),
            el("span", ", ".join(row.reasons), cls="why"),
        ),
        el("dl", *pairs(*terms))
        if terms
        else el("p", "Its report is written during recovery.", cls="empty"),
        steps,
        local_states(status, row),
        id=f"disruption-{row.disruption}",
        open=first and (row.ended_ms is None or bool(row.open_points)),
    )


def _disruption_word(row: DisruptionRow) -> tuple[str, str]:
    if row.ended_ms is None:
        return ("recovering", "m-recovery") if row.recovering else ("running", "attention")
    return ("open points", "attention") if row.open_points else ("closed", "plain")


def rules(status: SiteStatus) -> Html:
    now_ms, rules = status.now_ms, status.rules.last
    terms: list[tuple[str, Child]] = []
    if rules is not None:
        desired = rules.desired_version
        terms = [
            ("Active", f"version {rules.version}"),
            (
                "Wanted by the cloud",
                "none published"
                if desired == 0
                else DASH
                if desired is None
                else f"version {desired}",
            ),
            (
                "Valid until",
                moment(rules.valid_until_ms, now_ms)
                if rules.valid_until_ms
                else DASH
                if status.scope == "cloud"
                else "no end",
            ),
            ("Hash", el("code", rules.hash[:16] or DASH)),
        ]
        if rules.staged_version is not None:
            why = rules.staged_why or "for a safe point"
            terms.append(("Waits", f"version {rules.staged_version}: {why}"))
        if rules.refused:
            terms.append(("Refused", rules.refused))
    refused = status.state.rules_refused[-3:][::-1]
    terms += [("Refused", [note.what, ", ", moment(note.at_ms, now_ms)]) for note in refused]
    return section(
        "rules",
        "Rules",
        el("dl", *pairs(*terms), cls="facts") if terms else el("p", "Unknown.", cls="empty"),
        note=told(status.rules, now_ms),
    )
