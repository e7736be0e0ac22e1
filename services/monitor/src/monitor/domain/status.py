"""What stands at a site now: readings, each with its time and source, from whatever scope can know.

at_site(...)    from the site's own services and journal
in_cloud(...)   from what the cloud holds; nothing of it is fresher than the site's last pulse
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from holdfast.contracts.charge_point import ChargePointsStatus, ChargePointView
from holdfast.contracts.command import CommandLanes
from holdfast.contracts.csms import UpstreamStatus
from holdfast.contracts.journal import CopyStatus, Gap, StorageLevel, StorageStatus
from holdfast.contracts.life import AfterExpiry
from holdfast.contracts.mode import Mode, ModeStatus, Override, OverrideKind
from holdfast.contracts.recovery import OpenPoint, RecoveryStatus
from holdfast.contracts.rules import Desired, RulesStatus
from monitor.domain.cards import gist_of
from monitor.domain.readings import Reading, never
from monitor.domain.rows import ChargePointRow, ConnectorRow, SiteState
from monitor.domain.upstream import CsmsNow, told_at_site, told_in_cloud, with_deliveries

JOURNAL = "journal"
PULSES_MISSED_MAX = 3
SILENT_MS = 60_000
"""A service restarts within seconds; one silent for longer needs somebody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeNow:
    mode: Mode
    reasons: tuple[str, ...]
    since_ms: int
    disruption: str | None
    journaled: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Uplink:
    pulse_answered_at_ms: int | None
    stable: bool | None = None
    """None where this scope can't tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sync:
    head_seq: int | None
    watermark: int

    @property
    def backlog(self) -> int | None:
        return None if self.head_seq is None else max(0, self.head_seq - self.watermark)


@dataclass(frozen=True, slots=True, kw_only=True)
class RulesNow:
    version: int
    hash: str
    desired_version: int | None = None
    """None where this scope can't tell; 0 when the cloud has published none."""
    valid_until_ms: int | None = None
    gives_way: bool = False
    """From then on, to the built-in safe ones."""
    unreadable: str | None = None
    """Why this build can't read them: what they say of the link and of their end is not known then."""
    refused: str | None = None
    staged_version: int | None = None
    """Taken, and waiting to be activated; only the site itself can tell."""
    staged_why: str | None = None
    tokens_refused: str | None = None
    """Why the newest driver tokens were not taken."""
    tokens_full_wanted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageNow:
    level: StorageLevel
    bytes: int | None = None
    bytes_max: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteStatus:
    scope: Literal["site", "cloud"]
    site: str
    now_ms: int
    state: SiteState
    mode: Reading[ModeNow]
    uplink: Reading[Uplink]
    sync: Reading[Sync]
    rules: Reading[RulesNow]
    storage: Reading[StorageNow]
    charge_points: Reading[tuple[ChargePointRow, ...]]
    sessions: Reading[Mapping[str, int]]
    """Counts by state."""
    gaps: Reading[tuple[Gap, ...]]
    chain_verified: Reading[bool]
    open_points: Reading[tuple[OpenPoint, ...]]
    waiting_commands: Reading[tuple[str, ...]]
    csms: Reading[CsmsNow]
    journal: Reading[bool] = field(default_factory=lambda: never(JOURNAL))
    """Fresh while what was read of the site's journal is all there is, as far as can be known here."""
    rules_text: Reading[str] = field(default_factory=lambda: never("rule-service"))
    """Of the rules in force; empty: the built-in ones."""
    blind: bool = False
    """In the cloud: its own journal service gives no answer, so silence says nothing of the site."""
    silent: tuple[str, ...] = ()
    """At a site: services that gave no answer for over a minute."""

    @property
    def overrides(self) -> tuple[Override, ...]:
        """Announced or standing; as far as the journal was read."""
        return tuple(one for one in self.state.overrides if one.until_ms > self.now_ms)

    def override(self, kind: OverrideKind) -> Override | None:
        """The one that stands now."""
        begun = (one for one in self.overrides if one.kind is kind and one.from_ms <= self.now_ms)
        return next(begun, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteSamples:
    """What the site's services last answered."""

    mode: Reading[ModeStatus]
    rules: Reading[RulesStatus]
    storage: Reading[StorageStatus]
    lanes: Reading[CommandLanes]
    charge_points: Reading[ChargePointsStatus]
    recovery: Reading[RecoveryStatus]
    sessions: Reading[Mapping[str, int]]


def at_site(
    site: str,
    now_ms: int,
    state: SiteState,
    samples: SiteSamples,
    journal: Reading[bool],
    watched_ms: int,
) -> SiteStatus:
    """`journal` is fresh while everything the journal holds has been read; `watched_ms`: for how long we look."""
    mode = samples.mode
    desired = mode.value.desired_rules_version if mode.value else None
    return SiteStatus(
        scope="site",
        site=site,
        now_ms=now_ms,
        state=state,
        mode=mode.map(_mode_now),
        uplink=mode.map(
            lambda m: Uplink(
                pulse_answered_at_ms=m.pulse_answered_at_ms,
                stable=m.stable_link,
            )
        ),
        sync=mode.map(lambda m: Sync(head_seq=m.head_seq, watermark=m.watermark)),
        rules=samples.rules.map(lambda r: _rules_now(r, desired)),
        storage=samples.storage.map(
            lambda s: StorageNow(level=s.level, bytes=s.bytes, bytes_max=s.bytes_max)
        ),
        charge_points=_charge_points(state, samples),
        sessions=samples.sessions,
        gaps=never("the cloud", "only the cloud can tell what it lacks"),
        journal=journal,
        chain_verified=journal.map(lambda _: not state.damage),
        open_points=samples.recovery.map(lambda r: r.open_points),
        waiting_commands=samples.lanes.map(lambda lanes: (*lanes.pending, *lanes.waiting)),
        csms=mode.map(told_at_site),
        rules_text=samples.rules.map(lambda r: r.text),
        silent=_silent(samples, now_ms, watched_ms),
    )


def _rules_now(status: RulesStatus, desired_version: int | None) -> RulesNow:
    return RulesNow(
        version=status.version,
        hash=status.hash,
        desired_version=desired_version,
        valid_until_ms=status.valid_until_ms,
        gives_way=status.after_expiry is AfterExpiry.SAFE and status.valid_until_ms is not None,
        unreadable=gist_of(status.text).problem or None,
        refused=status.refused,
        staged_version=status.staged_version,
        staged_why=status.staged_why,
        tokens_refused=status.driver_tokens_refused,
        tokens_full_wanted=status.driver_tokens_full_wanted,
    )


def _charge_points(state: SiteState, samples: SiteSamples) -> Reading[tuple[ChargePointRow, ...]]:
    """ocpp-edge knows; while it has never answered, what the journal last said is shown as such."""
    if samples.charge_points.last is not None:
        return samples.charge_points.map(
            lambda c: _may_connect(_merged(state, view) for view in c.charge_points)
        )
    rows = _may_connect(state.charge_points.values())
    return Reading(
        last=rows or None,
        as_of_ms=state.at_ms if rows else None,
        source=JOURNAL if rows else samples.charge_points.source,
        fresh=False,
        problem=samples.charge_points.problem,
    )


def _may_connect(rows: Iterable[ChargePointRow]) -> tuple[ChargePointRow, ...]:
    """Who was taken out of the registry is nobody's business any more."""
    return tuple(row for row in rows if row.registered)


def _silent(samples: SiteSamples, now_ms: int, watched_ms: int) -> tuple[str, ...]:
    if watched_ms < SILENT_MS:
        return ()
    asked: tuple[Reading[Any], ...] = (
        samples.mode,
        samples.rules,
        samples.storage,
        samples.lanes,
        samples.charge_points,
        samples.recovery,
    )
    ages = [(reading, reading.age_ms(now_ms)) for reading in asked]
    return tuple(
        dict.fromkeys(reading.source for reading, age in ages if age is None or age >= SILENT_MS)
    )


def in_cloud(
    site: str,
    now_ms: int,
    state: SiteState,
    *,
    journal: Reading[bool],
    copies: Reading[Sequence[CopyStatus]],
    gaps: Reading[tuple[Gap, ...]],
    sessions: Reading[Mapping[str, int]],
    upstream: Reading[UpstreamStatus],
    desired: Reading[Desired],
    pulse_fresh_ms: int,
) -> SiteStatus:
    copy = copies.map(lambda c: newest_copy(c, site))
    # Over a metered link pulses are slower by rule: two may be missing before the site counts as not heard.
    slow_ms = PULSES_MISSED_MAX * gist_of(state.rules_text or "").pulse_ms
    pulse = _pulse(copy, now_ms, max(pulse_fresh_ms, slow_ms))
    as_told = Reading(
        last=state, as_of_ms=journal.as_of_ms, source=JOURNAL, fresh=journal.fresh
    ).no_fresher_than(pulse)
    csms = told_in_cloud(upstream)
    return SiteStatus(
        scope="cloud",
        site=site,
        now_ms=now_ms,
        state=state,
        mode=as_told.map(_last_mode),
        uplink=pulse.map(lambda at_ms: Uplink(pulse_answered_at_ms=at_ms)),
        sync=copy.map(lambda c: Sync(head_seq=c.head_seq, watermark=c.watermark)).no_fresher_than(
            pulse
        ),
        rules=as_told.map(lambda s: _rules_told(s, desired)),
        storage=as_told.map(lambda s: StorageNow(level=s.storage_level)),
        charge_points=as_told.map(lambda s: _may_connect(s.charge_points.values())),
        sessions=sessions.no_fresher_than(pulse),
        gaps=gaps,
        chain_verified=copy.map(lambda c: c.chain_verified),
        open_points=with_deliveries(as_told.map(_last_open_points), csms),
        waiting_commands=as_told.map(_unsettled),
        csms=csms,
        journal=as_told.map(lambda _: True),
        rules_text=as_told.map(lambda s: s.rules_text or ""),
        blind=not copies.fresh,
    )


def _rules_told(state: SiteState, desired: Reading[Desired]) -> RulesNow | None:
    """What the journal named last as active, and what it says was refused since."""
    if not state.rules:
        return None
    active, wanted = state.rules[-1], desired.value
    refused = state.rules_refused[-1] if state.rules_refused else None
    since = refused is not None and (
        refused.place.seq > active.place.seq
        if refused.place.incarnation == active.place.incarnation
        else refused.at_ms > active.at_ms
    )
    gist, tokens = gist_of(state.rules_text or ""), state.tokens_refused
    return RulesNow(
        version=active.version,
        hash=active.hash,
        desired_version=None if wanted is None else wanted.rules_version,
        valid_until_ms=gist.valid_until_ms,
        gives_way=gist.gives_way,
        unreadable=gist.problem or None,
        refused=refused.what if refused is not None and since else None,
        tokens_refused=tokens.reason if tokens is not None else None,
        tokens_full_wanted=tokens is not None and tokens.full_wanted,
    )


def newest_copy(copies: Sequence[CopyStatus], site: str) -> CopyStatus | None:
    """Of the life that is not over; else the one heard last."""
    own = [copy for copy in copies if copy.site == site]
    return max(own, key=lambda c: (not c.retired, c.pulse_at_ms or 0), default=None)


def _pulse(copy: Reading[CopyStatus], now_ms: int, fresh_ms: int) -> Reading[int]:
    at_ms = copy.last.pulse_at_ms if copy.last else None
    fresh = copy.fresh and at_ms is not None and now_ms - at_ms <= fresh_ms
    return Reading(
        last=at_ms,
        as_of_ms=at_ms,
        source="the site's pulse",
        fresh=fresh,
        problem="" if fresh else copy.problem or "no pulse of the site",
    )


def _mode_now(status: ModeStatus) -> ModeNow:
    return ModeNow(
        mode=status.mode,
        reasons=tuple(reason.value for reason in status.reasons),
        since_ms=status.since_ms,
        disruption=status.disruption,
        journaled=status.journaled,
    )


def _last_mode(state: SiteState) -> ModeNow | None:
    if not state.modes:
        return None
    fact = state.modes[-1].fact
    return ModeNow(
        mode=fact.mode,
        reasons=tuple(reason.value for reason in fact.reasons),
        since_ms=fact.since_ms,
        disruption=fact.disruption,
    )


def _last_open_points(state: SiteState) -> tuple[OpenPoint, ...]:
    finished = [row for row in state.disruptions if row.open_points]
    return finished[-1].open_points if finished else ()


def _unsettled(state: SiteState) -> tuple[str, ...]:
    return tuple(id for id, row in state.commands.items() if row.disposition is None)


def _merged(state: SiteState, view: ChargePointView) -> ChargePointRow:
    """ocpp-edge says what is; the journal adds since when and with which firmware."""
    row = state.charge_points.get(view.charge_point, ChargePointRow(charge_point=view.charge_point))
    connectors = dict(row.connectors)
    for seen in view.connectors:
        known = connectors.get(seen.connector, ConnectorRow())
        connectors[seen.connector] = replace(known, status=seen.status, error_code=seen.error_code)
    return replace(
        row,
        connected=view.connected,
        since_ms=view.connected_at_ms if view.connected else row.since_ms,
        vendor=view.vendor or row.vendor,
        model=view.model or row.model,
        booted_at_ms=view.booted_at_ms or row.booted_at_ms,
        registered=view.registered,
        security_profile=view.security_profile,
        next_security_profile=view.next_security_profile,
        connectors=connectors,
    )
