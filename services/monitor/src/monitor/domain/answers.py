"""The four questions an operator has at three in the morning, answered from the readings.

    Can drivers charge?   Is it safe?   Must I act?   What is still open?

Each answer is yes, no or unknown, with its reason and the time it was true. Nothing is answered well from
a reading that is not fresh.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from holdfast.contracts.command import Disposition
from holdfast.contracts.journal import StorageLevel
from holdfast.contracts.mode import Mode
from monitor.domain.acting import FAULTED, acts_on, by_itself, recent_gaps
from monitor.domain.readings import Reading
from monitor.domain.saying import count, number, planned
from monitor.domain.status import SiteStatus


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
        (status.mode, status.storage, status.charge_points, status.rules),
    )


def _charging(status: SiteStatus) -> tuple[Verdict, Tone, str]:
    mode, storage, charge_points = (
        status.mode.value,
        status.storage.value,
        status.charge_points.value,
    )
    if mode is None or storage is None or charge_points is None:
        return Verdict.UNKNOWN, Tone.UNKNOWN, _not_heard(status)
    if status.scope == "site" and status.rules.value is None:
        # Whoever tells the rules decides about drivers; in the cloud they are read out of the journal.
        return (
            Verdict.UNKNOWN,
            Tone.UNKNOWN,
            f"{_not_heard(status)} Who may charge is decided there.",
        )
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
        return f"The site can't be heard. It goes on by its own rules.{then}{planned(status)}"
    silent = [
        name
        for name, reading in (
            ("the mode", status.mode),
            ("storage", status.storage),
            ("the charge points", status.charge_points),
            ("the rules", status.rules),
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
    for gap in recent_gaps(status):
        upto = "the end" if gap.to_seq is None else gap.to_seq
        yield f"Records are missing: {gap.incarnation} {gap.from_seq} to {upto} ({gap.cause.value})"
    for row in status.charge_points.value or ():
        for place, connector in sorted(row.connectors.items()):
            if connector.status == FAULTED:
                yield f"{row.charge_point} connector {place} reports {connector.error_code}"


def _records(status: SiteStatus) -> str:
    backlog = status.sync.value.backlog if status.sync.value else None
    if backlog is None:
        return "Every record is on the site's disk; how many the cloud has is not known."
    if status.scope == "cloud":
        waiting = f"; {number(backlog)} more wait at the site" if backlog else ""
        return f"Everything the site sent is verified and archived{waiting}."
    if backlog:
        return f"Every record is on this disk; {number(backlog)} of them are not yet in the cloud."
    return "Every record is on this disk and, verified, in the cloud."


# --- must I act? ---


def must_act(status: SiteStatus) -> Answer:
    acts = tuple(acts_on(status))
    needed = (status.mode, status.storage, status.charge_points, status.rules)
    if acts:
        verdict, tone = Verdict.YES, Tone.ATTENTION
        reason = f"{count(len(acts), 'thing')} to look at."
    elif any(reading.value is None for reading in needed):
        verdict, tone = Verdict.UNKNOWN, Tone.UNKNOWN
        reason = _not_heard(status) if status.mode.value is None else "Some readings are missing."
    else:
        verdict, tone = Verdict.NO, Tone.GOOD
        reason = by_itself(status)
    return _answer("act", "Must I act?", verdict, tone, reason, needed, points=acts)


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
        reason = f"{count(len(points), 'point')} not settled."
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
            yield f"{count(sync.backlog, 'record')} not yet in the cloud"
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
        yield f"{count(len(waiting), 'command')} without disposition"
    uncertain = [
        row.command.id
        for row in status.state.commands.values()
        if row.disposition is Disposition.UNCERTAIN and row.took_effect is None
    ]
    if uncertain:
        yield f"{count(len(uncertain), 'command')} may or may not have been carried out"
    fragments = (status.sessions.last or {}).get("fragment", 0)
    if fragments:
        yield f"{count(fragments, 'session')} known without the beginning"


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
