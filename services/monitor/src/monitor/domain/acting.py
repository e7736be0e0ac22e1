"""*Must I act?*: on what, and what now; and, where on nothing, how a site comes back by itself.

What needs a person is a point of `acts_on`. `by_itself` promises a return only for reasons that end without one.
"""

from __future__ import annotations

from collections.abc import Iterable

from holdfast.contracts.journal import Gap, StorageLevel
from holdfast.contracts.mode import Mode, OverrideKind, Reason
from holdfast.contracts.registry import EntryProblem, EntryRefused
from holdfast.local_state.configuration import connectors_of
from monitor.domain.rows import CommandRow
from monitor.domain.saying import announced, count, minutes, planned
from monitor.domain.status import RulesNow, SiteStatus

AUTONOMOUS_LONG_MS = 4 * 3_600_000
"""A site cut off for longer deserves a look at its uplink."""
DISCONNECTED_LONG_MS = 5 * 60_000
"""A charge point reconnects within a minute or two after a reboot."""
RULES_END_SOON_MS = 24 * 3_600_000
RECENT_MS = 7 * 86_400_000
"""What is named and final (a gap, a quarantined message) asks for attention so long; then it is history and
stands in its list."""
DOOR_MS = 86_400_000
"""What happened at the door asks for attention so long."""
AT_THE_DOOR = {
    EntryProblem.TOO_MANY_FAILURES: "passwords were tried at the door: find out who it is that comes from there",
    EntryProblem.SECURITY_PROFILE: "a charge point came by another security profile than registered: set it up "
    "again, or register that one",
    EntryProblem.CERTIFICATE: "a certificate was refused at the door: renew it, or find out whose it is",
    EntryProblem.DUPLICATE_IDENTITY: "two devices use one identity: find the second, or give it a new password",
    EntryProblem.PENDING: "a charge point waits to be accepted: `holdfast charge-points pending`",
}
ENTRIES_SHOWN = 5
HELD_SHOWN = 5
"""So many commands that wait for a word are named; the rest is counted."""
FAULTED = "Faulted"

ENDS_BY_ITSELF = {
    Reason.PULSE_LATE: "the link does",
    Reason.PULSE_LOST: "the link does",
    Reason.UPLINK_UNSTABLE: "the link holds",
    Reason.SYNC_STALLED: "the cloud has caught up with its records",
    Reason.CSMS: "the CSMS is back",
    Reason.RULES_STALE: "it has taken the rules that the cloud wants",
    Reason.MAINTENANCE: "its maintenance is over",
}
"""Reasons that no person has to end, and when the site returns. Any other is named without a promise."""
NO_IMPAIRMENT = frozenset(
    {
        Reason.STARTED,
        Reason.PLANNED,
        Reason.PULSES_STABLE,
        Reason.IMPAIRMENT_OVER,
        Reason.RECOVERED,
        Reason.OPEN_POINTS,
    }
)
NEEDS_SOMEBODY = {
    Reason.CLOCK: "the clocks of site and cloud differ too much: set the site's clock (is its time service running?)",
    Reason.JOURNAL: "the site's journal service gives no head: see on the site's computer why",
}
"""Reasons with what now; `rules expired` and `storage` are known from their own readings too."""


# --- where there is nothing to do ---


def by_itself(status: SiteStatus) -> str:
    mode = status.mode.value
    maintenance = status.override(OverrideKind.MAINTENANCE)
    if maintenance:
        return f"Maintenance {announced(maintenance)}. Then the site returns by itself."
    if mode is None or mode.mode is Mode.CONNECTED:
        return f"Everything runs by itself.{planned(status)}"
    if mode.mode is Mode.RECOVERY:
        return f"The site is catching up and returns by itself.{planned(status)}"
    known = {one.value: one for one in Reason}
    impairs = [known.get(one) for one in mode.reasons if known.get(one) not in NO_IMPAIRMENT]
    ends = [ENDS_BY_ITSELF.get(one) for one in impairs if one is not None]
    if None in ends or len(ends) < len(impairs):
        why = ", ".join(mode.reasons)
        return f"The site carries on alone, because of: {why}.{planned(status)}"
    if mode.mode is Mode.DEGRADED and impairs == [Reason.CSMS]:
        away = "The CSMS is away: the site decides by itself, and what it records follows when the CSMS is back."
        return f"{away}{planned(status)}"
    when = " and ".join(dict.fromkeys(end for end in ends if end)) or "the link does"
    return f"The site carries on alone and returns by itself when {when}.{planned(status)}"


# --- what there is to do ---


def acts_on(status: SiteStatus) -> Iterable[str]:
    """One line each: what it is, and what now."""
    yield from _on_link(status)
    yield from _on_reasons(status)
    yield from _on_storage(status)
    yield from _on_rules(status)
    yield from _on_driver_tokens(status)
    yield from _on_commands(status)
    yield from _on_csms(status)
    yield from _on_charge_points(status)
    yield from _on_the_door(status)
    for note in status.state.damage:
        yield f"{note.what} at the site: replace its disk"
    for gap in recent_gaps(status):
        yield f"records are missing ({gap.cause.value}): read the charge points' own memories"
    recent = [note for note in status.state.quarantined if status.now_ms - note.at_ms <= RECENT_MS]
    if recent:
        yield f"messages that could not be taken went to quarantine ({recent[-1].what}): look at their source"


def recent_gaps(status: SiteStatus) -> list[Gap]:
    return [gap for gap in status.gaps.last or () if status.now_ms - gap.to_ms <= RECENT_MS]


def _on_link(status: SiteStatus) -> Iterable[str]:
    if status.silent:
        yield f"no answer from {', '.join(status.silent)}: see on the site's computer why"
    if status.blind:
        yield "the cloud's journal service gives no answer: look at the cloud, not at the site"
    if any(status.override(kind) for kind in OverrideKind):
        return  # nobody is alarmed for what was announced; once it is over, it counts again
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
            yield f"cut off for {minutes(cut_ms)}: check the uplink"


def _on_reasons(status: SiteStatus) -> Iterable[str]:
    """Of the mode, those that no reading of their own tells of."""
    mode = status.mode.value
    if mode is None or mode.mode is Mode.CONNECTED:
        return
    for reason, what_now in NEEDS_SOMEBODY.items():
        if reason.value in mode.reasons:
            yield what_now


def _on_storage(status: SiteStatus) -> Iterable[str]:
    storage, mode = status.storage.value, status.mode.value
    if storage is not None and storage.level is not StorageLevel.OK:
        yield f"storage is at its {storage.level.value} limit: make room or restore the uplink"
    elif mode is not None and Reason.STORAGE.value in mode.reasons:
        yield "the site says that its disk is nearly full: make room or restore the uplink"


def _on_rules(status: SiteStatus) -> Iterable[str]:
    rules, mode = status.rules.value, status.mode.value
    if rules is None:
        return
    if rules.refused:
        yield f"rules were refused ({rules.refused}): publish a corrected bundle"
    if rules.unreadable:
        yield (
            f"the rules in force can't be read by this monitor ({rules.unreadable}): "
            "update it, or publish rules that it can read"
        )
    is_said = mode is not None and Reason.RULES_EXPIRED.value in mode.reasons
    if rules.valid_until_ms is None:
        if is_said and rules.unreadable:
            yield _expired(rules)
        return
    left_ms = rules.valid_until_ms - status.now_ms
    if left_ms <= 0:
        yield _expired(rules)
    elif left_ms < RULES_END_SOON_MS:
        yield f"the rules expire in {minutes(left_ms)}: publish a new bundle"


def _expired(rules: RulesNow) -> str:
    decides = "the built-in safe rules decide meanwhile" if rules.gives_way else "they still decide"
    return f"the rules have expired, and the site stays degraded ({decides}): publish a new bundle"


def _on_driver_tokens(status: SiteStatus) -> Iterable[str]:
    rules = status.rules.value
    if rules is None or not (rules.tokens_refused or rules.tokens_full_wanted):
        return
    why = f" ({rules.tokens_refused})" if rules.tokens_refused else ""
    if rules.tokens_full_wanted:
        yield (
            f"driver tokens were not taken{why}, and the site asks for a full list: "
            "if it has none in a minute, publish one"
        )
    else:
        yield f"driver tokens were refused{why}: publish a corrected list"


def _on_commands(status: SiteStatus) -> Iterable[str]:
    """That wait for a word: without one they expire."""
    held = [row for row in status.state.commands.values() if _waits(row, status.now_ms)]
    for row in held[:HELD_SHOWN]:
        left = minutes(row.command.deadline_ms - status.now_ms)
        yield (
            f"{row.command.action} for {row.charge_point} waits for an operator's word ({row.held}): "
            f"confirm or cancel {row.command.id}, it expires in {left}"
        )
    if len(held) > HELD_SHOWN:
        yield f"{count(len(held) - HELD_SHOWN, 'more command')} for an operator's word: look at the commands"


def _waits(row: CommandRow, now_ms: int) -> bool:
    return bool(row.held) and row.disposition is None and now_ms < row.command.deadline_ms


def _on_csms(status: SiteStatus) -> Iterable[str]:
    """What the CSMS refuses stays refused until somebody looks there."""
    refused = status.csms.last.deliveries if status.csms.last else ()
    charge_points = len({delivery.charge_point for delivery in refused})
    if charge_points:
        yield f"the CSMS does not take everything of {count(charge_points, 'charge point')}: look there"


def _on_charge_points(status: SiteStatus) -> Iterable[str]:
    for fact in status.state.uncapped.values():
        yield (
            f"{fact.charge_point} connector {fact.connector} does not stop a stranger's session at its energy cap "
            f"({fact.used_wh} Wh of {fact.energy_wh_max} Wh, stopped {count(fact.stops, 'time')} in vain): "
            "stop it there"
        )
    for row in status.charge_points.value or ():
        if not row.connected and row.since_ms is not None:
            away_ms = status.now_ms - row.since_ms
            if away_ms >= DISCONNECTED_LONG_MS:
                yield (
                    f"{row.charge_point} has been disconnected for {minutes(away_ms)}: "
                    "check its power and network"
                )
        doubled_ms = row.identity_doubled_at_ms
        if doubled_ms is not None and status.now_ms - doubled_ms <= RECENT_MS:
            yield (
                f"two devices used the identity {row.charge_point}: find the second, "
                "or give it a new password"
            )
        history = status.state.histories.get(row.charge_point)
        has = connectors_of(history.state) if history else None
        if has is not None and (most := max(row.connectors, default=0)) > has:
            yield (
                f"{row.charge_point} speaks of connector {most}, and says it has {has}: "
                "check its configuration"
            )
        for number, connector in sorted(row.connectors.items()):
            if connector.status == FAULTED:
                yield f"{row.charge_point} connector {number} is faulted: send somebody"


def _on_the_door(status: SiteStatus) -> Iterable[str]:
    """Of each problem with who comes the newest few are named."""
    for condition in status.state.door:
        yield f"the door for charge points, {condition.name}: {condition.why[:300]}"
    by_problem: dict[EntryProblem, list[EntryRefused]] = {}
    for at_ms, refused in status.state.entries_refused.values():
        if status.now_ms - at_ms <= DOOR_MS:
            by_problem.setdefault(refused.problem, []).insert(0, refused)
    for problem, found in by_problem.items():
        for refused in found[:ENTRIES_SHOWN]:
            parts = (refused.claimed, refused.address and f"from {refused.address}", refused.detail)
            who = ", ".join(part[:160] for part in parts if part)
            yield f"{AT_THE_DOOR[problem]}{f' ({who})' if who else ''}"
        if len(found) > ENTRIES_SHOWN:
            yield f"{AT_THE_DOOR[problem]} ({len(found) - ENTRIES_SHOWN} more: look at the events)"
