"""What of a session's own figures should not be billed unseen: the rules' tolerances against what was recorded.

    doubted(view, rules) -> view with its doubts

Told with the session, and nothing else: energy, digest and what goes to a CSMS stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from holdfast.contracts.data_rules import BillingRules
from holdfast.contracts.session import SeqRange, SessionDoubt, SessionState, SessionView

SEQUENCES_TOLD = 10
ENERGY_WH_MAX = 1_000_000_000
"""No session takes a gigawatt-hour, and no register of one connector shows more than a thousand of them."""
REGISTER_WH_MAX = 1_000 * ENERGY_WH_MAX
POWER_W_MAX = 1_000_000
"""Nothing that OCPP 1.6 to 2.1 is spoken to delivers more to one car."""
BEHIND_MS_MAX = 366 * 86_400_000
"""An offline queue may be old; none is older than a year, but a clock that was never set is."""


def doubted(view: SessionView, rules: BillingRules) -> SessionView:
    found = (
        *_place(view),
        *_energy(view, rules),
        *_figures(view),
        *_clock(view, rules),
        *_unset(view),
        *_order(view),
        *_stops(view),
        *_sequence(view),
    )
    return view.model_copy(update={"doubts": found}) if found else view


def _place(view: SessionView) -> Iterator[SessionDoubt]:
    """Nobody charges where there is no plug."""
    if view.connector is None:
        return
    if view.connector < 1:
        yield SessionDoubt(clause="", says=f"a session on connector {view.connector} can't be")
    elif view.connectors and view.connector > view.connectors:
        says = f"a session on connector {view.connector} of a charge point that says it has {view.connectors}"
        yield SessionDoubt(clause="", says=says)


def _energy(view: SessionView, rules: BillingRules) -> Iterator[SessionDoubt]:
    allowed_wh = rules.register_back_wh_max
    end_wh = view.meter_stop_wh
    for what, begin_wh in (
        ("start", view.meter_start_wh),
        ("highest reading", view.highest_reading_wh),
    ):
        if end_wh is not None and begin_wh is not None and begin_wh - end_wh > allowed_wh:
            yield SessionDoubt(
                clause="billing.register_back_wh_max",
                says=f"the stop at {end_wh} Wh is {begin_wh - end_wh} Wh below the {what}; "
                f"{allowed_wh} Wh are allowed",
            )


def _figures(view: SessionView) -> Iterator[SessionDoubt]:
    """What no meter can have measured, whatever the rules tolerate."""
    for what, wh in (("start", view.meter_start_wh), ("stop", view.meter_stop_wh)):
        if wh is not None and not 0 <= wh <= REGISTER_WH_MAX:
            yield SessionDoubt(clause="", says=f"a register of {wh} Wh at the {what} can't be")
    used_wh = view.energy_wh
    if used_wh is None:
        return
    if used_wh > ENERGY_WH_MAX:
        yield SessionDoubt(clause="", says=f"{used_wh} Wh are more than a session can take")
        return
    begin_ms, end_ms = _moment(view.started_at), _moment(view.stopped_at)
    if begin_ms is None or end_ms is None or end_ms <= begin_ms:
        return
    power_w = used_wh * 3_600_000 // (end_ms - begin_ms)
    if power_w > POWER_W_MAX:
        says = f"{used_wh} Wh in that time are {power_w} W, more than anything delivers"
        yield SessionDoubt(clause="", says=says)


def _unset(view: SessionView) -> Iterator[SessionDoubt]:
    """What it says is no time, or of a clock that nobody has set."""
    for what, said, seen_ms in (
        ("start", view.started_at, view.started_seen_ms),
        ("stop", view.stopped_at, view.stopped_seen_ms),
    ):
        if said is None:
            continue
        said_ms = _moment(said)
        if said_ms is None:
            yield SessionDoubt(clause="", says=f"the charge point's time of the {what} is none")
        elif seen_ms is not None and seen_ms - said_ms > BEHIND_MS_MAX:
            days = (seen_ms - said_ms) // 86_400_000
            says = f"the charge point puts the {what} {days} days before the site heard of it"
            yield SessionDoubt(clause="", says=says)


def _clock(view: SessionView, rules: BillingRules) -> Iterator[SessionDoubt]:
    for what, said, seen_ms in (
        ("start", view.started_at, view.started_seen_ms),
        ("stop", view.stopped_at, view.stopped_seen_ms),
    ):
        said_ms = _moment(said)
        if said_ms is None or seen_ms is None:
            continue
        ahead_ms = said_ms - seen_ms
        if ahead_ms > rules.clock_ahead_ms_max:
            yield SessionDoubt(
                clause="billing.clock_ahead_ms_max",
                says=f"the charge point puts the {what} {ahead_ms} ms later than the site heard of it; "
                f"{rules.clock_ahead_ms_max} ms are allowed",
            )


def _order(view: SessionView) -> Iterator[SessionDoubt]:
    begin_ms, end_ms = _moment(view.started_at), _moment(view.stopped_at)
    if begin_ms is not None and end_ms is not None and end_ms < begin_ms:
        yield SessionDoubt(clause="", says="by the charge point's clock it ended before it began")


def _stops(view: SessionView) -> Iterator[SessionDoubt]:
    if view.state is not SessionState.FRAGMENT and view.stops_differing:
        times = "once" if view.stops_differing == 1 else f"{view.stops_differing} times"
        yield SessionDoubt(
            clause="", says=f"the charge point stopped it again {times}, with other values"
        )


def _sequence(view: SessionView) -> Iterator[SessionDoubt]:
    """While it runs, what is missing may be on its way still."""
    if view.state is SessionState.RUNNING:
        return
    if view.seq_missing:
        says = _numbers(view.seq_missing)
        yield SessionDoubt(clause="", says=f"TransactionEvents never came: seqNo {says}")
    if view.seq_uncounted:
        why = "left out by rule right before ocpp-edge was restarted, or never came"
        says = f"not known of TransactionEvents: {why}: seqNo {_numbers(view.seq_uncounted)}"
        yield SessionDoubt(clause="", says=says)


def _numbers(ranges: tuple[SeqRange, ...]) -> str:
    told = [f"{a}" if a == b else f"{a} to {b}" for a, b in ranges[:SEQUENCES_TOLD]]
    more = len(ranges) - len(told)
    return ", ".join(told) + (f" and {more} more" if more > 0 else "")


def _moment(at: str | None) -> int | None:
    """None: nothing that can be compared."""
    if at is None:
        return None
    try:
        found = datetime.fromisoformat(at)
        return round((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        return None
