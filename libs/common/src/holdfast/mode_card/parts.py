"""What is buffered in a mode, which commands are allowed, and how it is reconciled afterwards."""

from __future__ import annotations

from holdfast.contracts.command_rules import VARIANTS, CommandKind, CommandRules
from holdfast.contracts.mode import Mode
from holdfast.contracts.rules import Orphans, RefusedStart, Rules
from holdfast.mode_card.card import CardRow, Rows, duration, listed, row, size

# --- buffered ---


def buffered(rules: Rules, mode: Mode) -> Rows:
    return (*_thinned(rules, mode), *_disk(rules))


def _thinned(rules: Rules, mode: Mode) -> Rows:
    section, own = f"buffering.{mode.value}", rules.thinning(mode)
    telemetry = (
        "All telemetry is kept."
        if not own.telemetry_every_ms
        else f"Telemetry: of each kind and connector one in {duration(own.telemetry_every_ms)} is kept; the rest is "
        "counted in it. Refused frames are all kept."
    )
    clause = f"{section}.telemetry_every_ms"
    if rules.metered.link:
        clause += ", metered.telemetry_every_ms"
    stored = "Every transactional message is in the journal before it is acknowledged"
    after = (
        f" once the mode has lasted {duration(own.meter_values_after_ms)}"
        if own.meter_values_after_ms
        else ""
    )
    if own.meter_values_every_ms:
        every = duration(own.meter_values_every_ms)
        readings = (
            f"{stored}, but of a session's periodic meter values only one in {every}{after}; the "
            "rest is counted in it."
        )
    else:
        readings = f"{stored}; no meter values are left out" + (f", also{after}." if after else ".")
    return (
        CardRow(clause=clause, says=telemetry),
        row(section, "meter_values_every_ms", "meter_values_after_ms", says=readings),
    )


def _disk(rules: Rules) -> Rows:
    own, marks = rules.storage, rules.checkpoints
    return (
        row(
            "storage",
            "journal_bytes_max",
            "soft_fraction",
            says=f"The journal has {size(own.journal_bytes_max)}. Above {own.soft_fraction * 100:g} % no new "
            "session begins; the rest is the reserve that finishes running ones. When it is full nothing is "
            "acknowledged.",
        ),
        row(
            "storage",
            "retention_ms",
            says=f"What the cloud has stays here for {duration(own.retention_ms)} all the same; what it has not, "
            "stays.",
        ),
        row(
            "storage",
            "telemetry_bytes_max",
            says=f"Telemetry has {size(own.telemetry_bytes_max)}; then the oldest goes.",
        ),
        row(
            "checkpoints",
            "every_ms",
            "every_entries",
            says=f"The journal is signed every {duration(marks.every_ms)}, or {marks.every_entries} entries.",
        ),
    )


# --- allowed ---

KINDS = {
    CommandKind.EXPIRING: "",
    CommandKind.DESIRED: "; it waits for its time, the newest counts",
    CommandKind.QUERY: "; refused at once where the charge point is away",
    CommandKind.REQUEST: "; refused at once where the charge point is away",
}


STOP = "RemoteStopTransaction"


def allowed(rules: Rules, mode: Mode) -> Rows:
    rows = tuple(_command(rules, action, own, mode) for action, own in rules.commands.items())
    return (
        *rows,
        CardRow(clause="commands", says="Any other action is refused."),
        row(
            "upstream",
            "command_ms_max",
            says=f"A command of the CSMS without an end after {duration(rules.upstream.command_ms_max)} is answered "
            "negatively.",
        ),
    )


ENDS_SESSIONS = frozenset(
    {
        "Reset",
        "UpdateFirmware",
        "UnlockConnector",
        "ChangeAvailability",
        "ChangeConfiguration",
        "DataTransfer",
        "SetNetworkProfile",
    }
)
MAY_THROTTLE = frozenset(
    {"UpdateDynamicSchedule", "SetDERControl", "ClearDERControl", "AFRRSignal"}
)
LIMITS_SESSIONS = frozenset({"SetChargingProfile", "ClearChargingProfile"})


def _command(rules: Rules, action: str, own: CommandRules, mode: Mode) -> CardRow:
    clause = f"commands.{action}"
    protected = mode in rules.protection.modes and action not in rules.protection.safety
    if mode in own.modes and protected and action == STOP:
        return CardRow(clause=f"{clause}, protection.modes", says=_stop(rules, own))
    if mode in own.modes:
        who = "Delivered for CSMS and cloud too"
        aged = f", not older than {duration(own.age_ms_max)}" if own.age_ms_max else ""
        word = {
            "never": "",
            "always": ", after an operator's word",
            "in-recovery": ", after an operator's word" if mode is Mode.RECOVERY else "",
        }.get(own.confirm)
        if word is None:
            word = f", after an operator's word when older than {duration(int(own.confirm[6:]))}"
        who += f"{aged}{word}{_kept(own)}"
    elif own.kind is CommandKind.DESIRED:
        who = "For the operator at the site only; of CSMS and cloud it waits for another mode"
        who += f", at most until {duration(own.age_ms_max)} old" if own.age_ms_max else ""
    else:
        who = "For the operator at the site only"
        who += f", not older than {duration(own.age_ms_max)}" if own.age_ms_max else ""
    if own.known_age_ms_max and mode not in own.modes:
        who += f"; else answered from what is known, if that is not older than {duration(own.known_age_ms_max)}"
    says = f"{action}: {who}.{_if(own)}"
    if own.keys_refused:
        says += f" Never for CSMS and cloud: {listed(own.keys_refused)}."
    against = _protected(rules, action, own) if mode in own.modes and protected else ""
    return CardRow(clause=f"{clause}, protection.modes" if against else clause, says=says + against)


def _kept(own: CommandRules) -> str:
    if not own.known_age_ms_max:
        return KINDS[own.kind]
    age = duration(own.known_age_ms_max)
    return f"; where the charge point is away answered from what is known, if that is not older than {age}"


def _if(own: CommandRules) -> str:
    if not own.precondition:
        return ""
    return f" If: {listed(one.value.replace('-', ' ') for one in own.precondition)}."


def _stop(rules: Rules, own: CommandRules) -> str:
    """It is about a session that runs, and those are protected: its row lets nothing through."""
    who = "For the operator at the site only, since running sessions are protected"
    if rules.upstream.refused_start is RefusedStart.STOP:
        who += "; and by rule, of a session that the CSMS did not accept"
    aged = f", not older than {duration(own.age_ms_max)}" if own.age_ms_max else ""
    return f"{STOP}: {who}{aged}.{_if(own)}"


def _protected(rules: Rules, action: str, own: CommandRules) -> str:
    base = VARIANTS.get(action, action)
    if base in ENDS_SESSIONS:
        what = "where it could end a running session"
    elif base in LIMITS_SESSIONS:
        what = f"where it would leave a running session below {rules.protection.floor_a:g} A"
    elif base in MAY_THROTTLE:
        what = "where a session runs that it may throttle"
    else:
        return ""
    then = "it waits" if own.kind is CommandKind.DESIRED else "refused"
    return f" From afar {then} {what}."


# --- reconciled ---


def reconciled(rules: Rules, mode: Mode) -> Rows:
    own = rules.recovery
    back = row(
        "recovery",
        "bound_ms",
        says="Through recovery: journal copied and verified, rules, limits, commands, CSMS, digests of the sessions, "
        f"report. After {duration(own.bound_ms)} the site is connected again, and what is open is named.",
    )
    first: Rows
    match mode:
        case Mode.CONNECTED:
            first = (
                CardRow(
                    clause="",
                    says="As it happens: the journal is copied, verified and archived at once.",
                ),
            )
        case Mode.DEGRADED:
            first = (
                CardRow(
                    clause="",
                    says="At once where the cloud can be reached. If anything was decided here, or waits: as below.",
                ),
                back,
            )
        case Mode.AUTONOMOUS:
            first = (CardRow(clause="", says="When the link is back and stable."), back)
        case _:
            first = (
                back,
                row(
                    "recovery",
                    "step_poll_ms",
                    says=f"Each step looks every {duration(own.step_poll_ms)} whether it is done; telemetry waits.",
                ),
            )
    return (*first, *_with_csms(rules, mode), *_doubts(rules))


def _doubts(rules: Rules) -> Rows:
    own = rules.billing
    return (
        row(
            "billing",
            "register_back_wh_max",
            "clock_ahead_ms_max",
            says=f"A session is shown as doubtful when its stop is over {own.register_back_wh_max} Wh below its start "
            f"or highest reading, or the charge point's clock over {duration(own.clock_ahead_ms_max)} ahead.",
        ),
    )


def _with_csms(rules: Rules, mode: Mode) -> Rows:
    own = rules.upstream
    refused = (
        "is stopped"
        if own.refused_start is RefusedStart.STOP
        else "goes on, and is marked: somebody has to settle who pays"
    )
    rest = "kept back with it" if own.orphans is Orphans.HOLD else "sent with transactionId -1"
    when = "" if mode in (Mode.CONNECTED, Mode.RECOVERY) else "Afterwards: a"
    a_session = f"{when or 'A'} session that the site accepted and the CSMS does not {refused}."
    return (
        row("upstream", "refused_start", says=a_session),
        row(
            "upstream",
            "attempts_max",
            "orphans",
            says=f"What a CSMS does not take in {own.attempts_max} attempts is kept and named; the rest of a session "
            f"whose start it does not take is {rest}.",
        ),
    )
