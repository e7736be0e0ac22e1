"""Which rules apply in a mode: who may charge, what protects sessions and limits, what leads out of the mode."""

from __future__ import annotations

from holdfast.contracts.life import AfterExpiry
from holdfast.contracts.mode import Mode
from holdfast.contracts.rules import (
    NOT_IMPOSED,
    Concurrent,
    GroupStatus,
    Presence,
    Rules,
    UnknownToken,
)
from holdfast.mode_card.card import CardRow, Rows, duration, listed, moment, row

SERVED_ALL_THE_SAME = {
    UnknownToken.REFUSE: "is refused",
    UnknownToken.ACCEPT_FLAGGED: "is accepted, and the session is marked: it never passes as a whitelist authorisation",
    UnknownToken.FREE_VEND: "charges for nothing, and the session is marked so",
}


def standing_rules(rules: Rules, deciding: Rules, mode: Mode) -> Rows:
    """`deciding`: by which drivers and commands are judged, the same unless they have expired."""
    return (
        *_authorise(deciding, mode),
        *_protection(deciding, mode),
        *_limits(rules, mode),
        _late(deciding),
        CardRow(clause="limits", says=NOT_IMPOSED),
        *_upstream(rules, mode),
        *_life(rules, mode),
        *_leaving(rules, mode),
    )


# --- who may charge ---


def _authorise(rules: Rules, mode: Mode) -> Rows:
    own, section = rules.authorise.of(mode), f"authorise.{mode.value}"
    if own.ask_cloud:
        order = f"CSMS or cloud is asked and has {duration(own.budget_ms)}; then the site's own answer stands"
    else:
        order = "Nobody is asked: the local list, then the cache, then the rule for strangers"
    cap = (
        ""
        if own.unknown is UnknownToken.REFUSE and own.unknown_energy_wh_max is None
        else ", without a cap"
        if own.unknown_energy_wh_max is None
        else f", up to {own.unknown_energy_wh_max / 1000:g} kWh"
    )
    again = (
        f"is refused (ConcurrentTx), unless that began over {duration(rules.authorise.concurrent_age_ms_max)} ago"
        if own.concurrent is Concurrent.REFUSE
        else "may start another"
    )
    asked = row(section, "ask_cloud", "budget_ms", says=f"{order}.")
    if not own.ask_cloud:
        asked = row(section, "ask_cloud", says=f"{order}.")
    return (
        asked,
        row(
            section,
            "unknown",
            "unknown_energy_wh_max",
            says=f"A stranger (on no list, in no cache) {SERVED_ALL_THE_SAME[own.unknown]}{cap}.",
        ),
        CardRow(
            clause=f"{section}.concurrent, authorise.concurrent_age_ms_max",
            says=f"A driver token with a session running at the site {again}.",
        ),
        *_memory(rules),
    )


def _memory(rules: Rules) -> Rows:
    own = rules.authorise
    group = (
        "takes its members with it"
        if own.group_status is GroupStatus.INHERIT
        else "says nothing of its members"
    )
    return (
        row(
            "authorise",
            "cache_age_ms_max",
            "cache_entries_max",
            says=f"An earlier answer of the cloud counts for {duration(own.cache_age_ms_max)}; "
            f"the newest {own.cache_entries_max} are kept.",
        ),
        row(
            "authorise",
            "revocations_max",
            "group_status",
            says=f"A word against a driver token goes before older lists and answers, and does not age "
            f"({own.revocations_max} are kept). A group that the list blocks {group}.",
        ),
    )


# --- running sessions, limits ---


def _protection(rules: Rules, mode: Mode) -> Rows:
    own = rules.protection
    if mode not in own.modes:
        return (row("protection", "modes", says="Running sessions take what CSMS and cloud say."),)
    but = f" But for: {listed(own.safety)}." if own.safety else ""
    return (
        row(
            "protection",
            "modes",
            "floor_a",
            "safety",
            says=f"No CSMS and no cloud stops a running session, or throttles it below {own.floor_a:g} A.{but}",
        ),
    )


def _limits(rules: Rules, mode: Mode) -> Rows:
    """Of the site: which limit of current holds."""
    own = rules.limits
    fallback = "none is stated" if own.fallback_a is None else f"{own.fallback_a:g} A"
    else_ = f"Where no limit of the cloud holds: {fallback}"
    match mode:
        case Mode.CONNECTED:
            holds = f"Limit of the site: the cloud's newest, as long as it is valid. {else_}."
            return (row("limits", "fallback_a", says=holds),)
        case Mode.DEGRADED:
            most = "" if own.degraded_a is None else f", but at most {own.degraded_a:g} A"
            holds = f"Limit of the site: the cloud's newest{most}. {else_}."
            return (row("limits", "degraded_a", "fallback_a", says=holds),)
        case Mode.AUTONOMOUS:
            holds = (
                "Limit of the site: the cloud's newest until its own end; one without an end stays if it is lower than "
                f"the site's own, and else ends after {duration(own.higher_ms_max)}. {else_}."
            )
            return (row("limits", "higher_ms_max", "fallback_a", says=holds),)
        case _:
            holds = f"Limit of the site: no more than its own until the cloud has confirmed one. {else_}."
            return (row("limits", "fallback_a", says=holds),)


def _late(rules: Rules) -> CardRow:
    most = duration(rules.limits.higher_ms_max)
    return row(
        "limits",
        "higher_ms_max",
        says=f"A higher limit without an end that comes late counts no longer than {most} at a charge point; a lower "
        "one never grows old.",
    )


# --- the CSMS ---


def _upstream(rules: Rules, mode: Mode) -> Rows:
    own = rules.upstream
    if mode in (Mode.CONNECTED, Mode.RECOVERY):
        return ()
    if own.strict:
        away = "While the CSMS is away the charge points' sockets are closed, so that they queue by themselves."
    else:
        away = "While the CSMS is away the site takes what the charge points send, and decides for them."
    rows = [row("upstream", "strict", says=away)]
    if mode is Mode.AUTONOMOUS:
        seen = (
            f"The CSMS sees the charge points online for {duration(own.hold_ms_max)}, then offline."
            if own.presence is Presence.HOLD
            else "The CSMS sees the charge points offline at once."
        )
        clauses = ("presence", "hold_ms_max") if own.presence is Presence.HOLD else ("presence",)
        rows.append(row("upstream", *clauses, says=seen))
    return tuple(rows)


# --- the rules themselves ---


def _life(rules: Rules, mode: Mode) -> Rows:
    own = rules.activation
    if mode in own.modes:
        newer = (
            "Newer rules are activated; new decisions wait for that for at most "
            f"{duration(own.wait_ms_max)}."
        )
        first = row("activation", "modes", "wait_ms_max", says=newer)
    else:
        first = row("activation", "modes", says="Newer rules wait: these are pinned.")
    after = (
        "stay in force"
        if rules.after_expiry is AfterExpiry.KEEP
        else "give way to the built-in safe ones"
    )
    ends = (
        "These rules have no end"
        if rules.valid_until_ms is None
        else f"After {moment(rules.valid_until_ms)} the site is degraded"
    )
    return (
        first,
        CardRow(
            clause="valid_until_ms, after_expiry",
            says=f"{ends}; rules that have expired {after}.",
        ),
    )


# --- what leads out of the mode ---


def _leaving(rules: Rules, mode: Mode) -> Rows:
    section = "metered" if rules.metered.link else "modes"
    own = rules.uplink
    pulses = row(
        section,
        "pulse_ms",
        "pulse_timeout_ms",
        says=f"A pulse every {duration(own.pulse_ms)}, missed after {duration(own.pulse_timeout_ms)}"
        + (", for the link is metered." if rules.metered.link else "."),
    )
    lost = row(
        section,
        "autonomous_after_ms",
        says=f"Autonomous after {duration(own.autonomous_after_ms)} without an answered pulse.",
    )
    stable = row(
        section,
        "stable_for_ms",
        says=f"Pulses answered for {duration(own.stable_for_ms)} without a miss count as stable.",
    )
    match mode:
        case Mode.CONNECTED:
            return (pulses, *_to_degraded(rules, section), lost)
        case Mode.DEGRADED:
            return (pulses, lost, stable, *_bounds(rules))
        case Mode.AUTONOMOUS:
            return (pulses, stable, *_bounds(rules))
        case _:
            return (pulses, lost, *_to_degraded(rules, section))


def _to_degraded(rules: Rules, section: str) -> Rows:
    own = rules.uplink
    return (
        CardRow(
            clause=f"{section}.degraded_after_ms, {section}.sync_lag_ms, modes.rules_stale_after_ms, "
            "modes.clock_offset_ms_max",
            says=f"Degraded: no answered pulse for {duration(own.degraded_after_ms)}; the cloud lags by over "
            f"{duration(own.sync_lag_ms)}; rules differ for {duration(own.rules_stale_after_ms)}; clocks differ by "
            f"over {duration(own.clock_offset_ms_max)}; CSMS down, rules expired, or disk nearly full.",
        ),
    )


def _bounds(rules: Rules) -> Rows:
    own = rules.modes
    return (
        row(
            "modes",
            "latch_ms",
            "latch_ms_max",
            "breaks_max",
            says=f"An uplink that fell again, or broke over {own.breaks_max} times in the window below, must hold for "
            f"{duration(own.latch_ms)} first; twice as long with each relapse, at most {duration(own.latch_ms_max)}.",
        ),
        row(
            "modes",
            "changes_max",
            "changes_window_ms",
            says=f"A site that relapses changes its mode at most {own.changes_max} times in "
            f"{duration(own.changes_window_ms)}.",
        ),
    )
