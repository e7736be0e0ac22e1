"""The four questions an operator has at three in the morning, answered from the readings.

    Can drivers charge?   Is it safe?   Must I act?   What is still open?

Each answer is yes, no or unknown, with its reason and the time it was true. Nothing is answered well from
a reading that is not fresh.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from holdfast.contracts.command import Disposition
from holdfast.contracts.journal import Gap, StorageLevel
from holdfast.contracts.mode import Mode, Override, OverrideKind, Reason
from monitor.domain.readings import Reading
from monitor.domain.status import SiteStatus

AUTONOMOUS_LONG_MS = 4 * 3_600_000
"""A site cut off for longer deserves a look at its uplink."""
DISCONNECTED_LONG_MS = 5 * 60_000
"""A charge point reconnects within a minute or two after a reboot."""
RULES_END_SOON_MS = 24 * 3_600_000
RECENT_MS = 7 * 86_400_000
"""What is named and final (a gap, a quarantined message) asks for attention so long; then it is history and
stands in its list."""
FAULTED = "Faulted"


class Verdict(StrEnum):
    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


class Tone(StrEnum):
    """How it looks; the words say it too."""

    GOOD = "good"
    ATTENTION = "attention"
    BAD = "bad"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    key: str
    question: str
    verdict: Verdict
    tone: Tone
    reason: str
    points: tuple[str, ...] = ()
    """One line each: what to do, what is open."""
    as_of_ms: int | None
    source: str
    limits: str = ""
    """What this answer does not look at."""


def answers(status: SiteStatus) -> tuple[Answer, Answer, Answer, Answer]:
    return can_charge(status), is_safe(status), must_act(status), still_open(status)


# --- can drivers charge? ---


def can_charge(status: SiteStatus) -> Answer:
    verdict, tone, reason = _charging(status)
    return _answer(
        "charge",
        "Can drivers charge?",
        verdict,
        tone,
        reason,
        (status.mode, status.storage, status.charge_points),
    )


def _charging(status: SiteStatus) -> tuple[Verdict, Tone, str]:
    mode, storage, charge_points = (
        status.mode.value,
        status.storage.value,
        status.charge_points.value,
    )
    if mode is None or storage is None or charge_points is None:
        return Verdict.UNKNOWN, Tone.UNKNOWN, _not_heard(status)
    if storage.level is not StorageLevel.OK:
        what = (
            "nothing can be recorded, so nothing begins"
            if storage.level is StorageLevel.HARD
            else "no new session begins, running ones finish in the reserve"
        )
        return Verdict.NO, Tone.BAD, f"The site's disk is nearly full: {what}."
    if not charge_points:
        return Verdict.UNKNOWN, Tone.UNKNOWN, "No charge point has ever connected."
    these = f"{len(charge_points)} charge points"
    if status.scope == "cloud":  # of one that never connected, only the site knows
        these += " seen so far"
    connected = [row for row in charge_points if row.connected]
    if not connected:
        return Verdict.NO, Tone.BAD, f"None of {these} is connected."
    how = {
        Mode.CONNECTED: "the cloud is asked first",
        Mode.DEGRADED: "the site decides first, the cloud is asked too",
        Mode.AUTONOMOUS: "the site decides alone, by its list, cache and rules",
        Mode.RECOVERY: "the site decides first while it catches up with the cloud",
    }[mode.mode]
    tone = Tone.GOOD if len(connected) == len(charge_points) else Tone.ATTENTION
    return Verdict.YES, tone, f"{len(connected)} of {these} connected; {how}."


def _not_heard(status: SiteStatus) -> str:
    if status.blind:
        return "The cloud's own journal service gives no answer: nothing can be said of the site."
    if status.scope == "cloud" and status.uplink.last is None:
        return "Nothing has been heard of this site yet."
    if status.scope == "cloud" and not status.uplink.fresh:
        last = status.mode.last
        then = f" It was {last.mode.value} when last heard." if last else ""
        return f"The site can't be heard. It goes on by its own rules.{then}{_planned(status)}"
    silent = [
        name
        for name, reading in (
            ("the mode", status.mode),
            ("storage", status.storage),
            ("the charge points", status.charge_points),
        )
        if reading.value is None
    ]
    return f"No fresh reading of {', '.join(silent)}."


# --- is it safe? ---


def is_safe(status: SiteStatus) -> Answer:
    dangers = tuple(_dangers(status))
    readings = (status.sync, status.chain_verified, status.storage, status.charge_points)
    if dangers:
        verdict, tone, reason = Verdict.NO, Tone.BAD, dangers[0] + "."
    elif any(reading.value is None for reading in readings):
        verdict, tone = Verdict.UNKNOWN, Tone.UNKNOWN
        reason = "No fresh reading of the records or the charge points."
    else:
        verdict, tone = Verdict.YES, Tone.GOOD
        reason = f"No connector reports a fault. {_records(status)}"
    return _answer(
        "safe",
        "Is it safe?",
        verdict,
        tone,
        reason,
        readings,
        points=dangers[1:],
        limits="the load on the site's fuse is not watched by this version",
    )


def _dangers(status: SiteStatus) -> Iterable[str]:
    storage = status.storage.value
    if storage is not None and storage.level is StorageLevel.HARD:
        yield "The disk refuses: charge points keep their data until it takes writes again"
    for note in status.state.damage:
        yield f"The site's own journal is damaged: {note.what}"
    if status.chain_verified.value is False and not status.state.damage:
        yield "The hash chain does not meet the site's signatures"
    for gap in _recent_gaps(status):
        upto = "the end" if gap.to_seq is None else gap.to_seq
        yield f"Records are missing: {gap.incarnation} {gap.from_seq} to {upto} ({gap.cause.value})"
    for row in status.charge_points.value or ():
        for number, connector in sorted(row.connectors.items()):
            if connector.status == FAULTED:
                yield f"{row.charge_point} connector {number} reports {connector.error_code}"


def _recent_gaps(status: SiteStatus) -> list[Gap]:
    return [gap for gap in status.gaps.last or () if status.now_ms - gap.to_ms <= RECENT_MS]


def _records(status: SiteStatus) -> str:
    backlog = status.sync.value.backlog if status.sync.value else None
    if backlog is None:
        return "Every record is on the site's disk; how many the cloud has is not known."
    if status.scope == "cloud":
        waiting = f"; {_number(backlog)} more wait at the site" if backlog else ""
        return f"Everything the site sent is verified and archived{waiting}."
    if backlog:
        return f"Every record is on this disk; {_number(backlog)} of them are not yet in the cloud."
    return "Every record is on this disk and, verified, in the cloud."


# --- must I act? ---


def must_act(status: SiteStatus) -> Answer:
    acts = tuple(_acts(status))
    needed = (status.mode, status.storage, status.charge_points, status.rules)
    if acts:
        verdict, tone = Verdict.YES, Tone.ATTENTION
        reason = f"{_count(len(acts), 'thing')} to look at."
    elif any(reading.value is None for reading in needed):
        verdict, tone = Verdict.UNKNOWN, Tone.UNKNOWN
        reason = _not_heard(status) if status.mode.value is None else "Some readings are missing."
    else:
        verdict, tone = Verdict.NO, Tone.GOOD
        reason = _by_itself(status)
    return _answer("act", "Must I act?", verdict, tone, reason, needed, points=acts)


def _by_itself(status: SiteStatus) -> str:
    mode = status.mode.value
    maintenance = status.override(OverrideKind.MAINTENANCE)
    if maintenance:
        return f"Maintenance {_said(maintenance)}. Then the site returns by itself."
    if mode is None or mode.mode is Mode.CONNECTED:
        return f"Everything runs by itself.{_planned(status)}"
    if mode.mode is Mode.RECOVERY:
        return f"The site is catching up and returns by itself.{_planned(status)}"
    if mode.mode is Mode.DEGRADED and Reason.CSMS.value in mode.reasons:
        away = "The CSMS is away: the site decides by itself, and what it records follows when the CSMS is back."
        return f"{away}{_planned(status)}"
    return f"The site carries on alone and returns by itself when the link does.{_planned(status)}"


def _planned(status: SiteStatus) -> str:
    planned = status.override(OverrideKind.PLANNED_DISRUPTION)
    return f" A disruption is planned {_said(planned)}." if planned else ""


def _said(override: Override) -> str:
    until = datetime.fromtimestamp(override.until_ms / 1000, UTC)
    return f"until {until:%Y-%m-%d %H:%M} UTC, by {override.by}: {override.why}"


def _acts(status: SiteStatus) -> Iterable[str]:
    yield from _acts_on_link(status)
    yield from _acts_on_site(status)
    yield from _acts_on_csms(status)
    for row in status.charge_points.value or ():
        if not row.connected and row.since_ms is not None:
            away_ms = status.now_ms - row.since_ms
            if away_ms >= DISCONNECTED_LONG_MS:
                yield (
                    f"{row.charge_point} has been disconnected for {_minutes(away_ms)}: "
                    "check its power and network"
                )
        doubled_ms = row.identity_doubled_at_ms
        if doubled_ms is not None and status.now_ms - doubled_ms <= RECENT_MS:
            yield (
                f"two devices used the identity {row.charge_point}: find the second, "
                "or give it a new password"
            )
        for number, connector in sorted(row.connectors.items()):
            if connector.status == FAULTED:
                yield f"{row.charge_point} connector {number} is faulted: send somebody"
    for note in status.state.damage:
        yield f"{note.what} at the site: replace its disk"
    for gap in _recent_gaps(status):
        yield f"records are missing ({gap.cause.value}): read the charge points' own memories"


def _acts_on_link(status: SiteStatus) -> Iterable[str]:
    announced = any(status.override(kind) for kind in OverrideKind)
    if status.silent:
        yield f"no answer from {', '.join(status.silent)}: see on the site's computer why"
    if status.blind:
        yield "the cloud's journal service gives no answer: look at the cloud, not at the site"
    if announced:  # nobody is alarmed for what was announced; once it is over, it counts again
        return
    if (
        not status.blind
        and status.scope == "cloud"
        and status.uplink.last is not None
        and not status.uplink.fresh
    ):
        yield "the site can't be heard: if no work on its link is planned, call the site"
    mode = status.mode.value
    if mode is not None and mode.mode is Mode.AUTONOMOUS:
        cut_ms = status.now_ms - mode.since_ms
        if cut_ms >= AUTONOMOUS_LONG_MS:
            yield f"cut off for {_minutes(cut_ms)}: check the uplink"


def _acts_on_csms(status: SiteStatus) -> Iterable[str]:
    """What the CSMS refuses stays refused until somebody looks there."""
    refused = status.csms.last.deliveries if status.csms.last else ()
    charge_points = len({delivery.charge_point for delivery in refused})
    if charge_points:
        yield f"the CSMS does not take everything of {_count(charge_points, 'charge point')}: look there"


def _acts_on_site(status: SiteStatus) -> Iterable[str]:
    storage, rules = status.storage.value, status.rules.value
    if storage is not None and storage.level is not StorageLevel.OK:
        yield f"storage is at its {storage.level.value} limit: make room or restore the uplink"
    if rules is not None and rules.refused:
        yield f"rules were refused ({rules.refused}): publish a corrected bundle"
    if rules is not None and rules.valid_until_ms is not None:
        left_ms = rules.valid_until_ms - status.now_ms
        if left_ms < RULES_END_SOON_MS:
            ended = "have expired" if left_ms <= 0 else f"expire in {_minutes(left_ms)}"
            yield f"the rules {ended}: publish a new bundle"
    recent = [note for note in status.state.quarantined if status.now_ms - note.at_ms <= RECENT_MS]
    if recent:
        yield f"unreadable messages went to quarantine ({recent[-1].what}): look at their source"


# --- what is still open? ---


def still_open(status: SiteStatus) -> Answer:
    points = tuple(_open(status))
    needed = (
        status.mode,
        status.sync,
        status.open_points,
        status.waiting_commands,
        status.sessions,
    )
    if points:
        verdict, tone = Verdict.YES, Tone.ATTENTION
        reason = f"{_count(len(points), 'point')} not settled."
    elif any(reading.value is None for reading in needed):
        verdict, tone = Verdict.UNKNOWN, Tone.UNKNOWN
        reason = "Not every reading is fresh, so something may be open."
    else:
        verdict, tone, reason = Verdict.NO, Tone.GOOD, "Nothing is open."
    return _answer("open", "What is still open?", verdict, tone, reason, needed, points=points)


def _open(status: SiteStatus) -> Iterable[str]:
    mode, sync = status.mode.value, status.sync.value
    if mode is not None and mode.mode is not Mode.CONNECTED:
        yield f"the disruption: {mode.mode.value} because of {', '.join(mode.reasons) or 'no reason given'}"
        if sync is not None and sync.backlog:
            yield f"{_count(sync.backlog, 'record')} not yet in the cloud"
    if (
        status.scope == "cloud"
        and not status.blind
        and status.uplink.last
        and not status.uplink.fresh
    ):
        yield "what happened at the site since its last pulse is not known here"
    for point in status.open_points.last or ():
        yield f"{point.step.value}: {point.what}"
    waiting = status.waiting_commands.last or ()
    if waiting:
        yield f"{_count(len(waiting), 'command')} without disposition"
    uncertain = [
        row.command.id
        for row in status.state.commands.values()
        if row.disposition is Disposition.UNCERTAIN and row.took_effect is None
    ]
    if uncertain:
        yield f"{_count(len(uncertain), 'command')} may or may not have been carried out"
    fragments = (status.sessions.last or {}).get("fragment", 0)
    if fragments:
        yield f"{_count(fragments, 'session')} known without the beginning"


def _answer(
    key: str,
    question: str,
    verdict: Verdict,
    tone: Tone,
    reason: str,
    readings: Iterable[Reading[Any]],
    points: tuple[str, ...] = (),
    limits: str = "",
) -> Answer:
    """As of the oldest reading it rests on."""
    rested = list(readings)
    times = [reading.as_of_ms for reading in rested]
    known = [at_ms for at_ms in times if at_ms is not None]
    oldest = min(known) if known and len(known) == len(times) else None
    if verdict is Verdict.UNKNOWN and known:
        oldest = min(known)
    sources = dict.fromkeys(reading.source for reading in rested)
    return Answer(
        key=key,
        question=question,
        verdict=verdict,
        tone=tone,
        reason=reason,
        points=points,
        as_of_ms=oldest,
        source=", ".join(sources),
        limits=limits,
    )


def _number(value: int) -> str:
    return f"{value:,}".replace(",", "\u202f")


def _count(value: int, what: str) -> str:
    return f"{_number(value)} {what}{'' if value == 1 else 's'}"


def _minutes(duration_ms: int) -> str:
    minutes = duration_ms // 60_000
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min" if minutes < 2880 else f"{minutes // 1440} days"
