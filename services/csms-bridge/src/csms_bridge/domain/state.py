"""What is known of one charge point at one backend while a process lives, beside what is kept."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from csms_bridge.domain.events import AuthoriseAsked, RelayAsked
from csms_bridge.domain.kept import Boot, Kept, Latest
from csms_bridge.domain.outgoing import Item, Place
from holdfast.contracts.csms import Phase
from holdfast.contracts.rules import UpstreamRules
from holdfast.ocpp.versions import OcppVersion


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Numbers of this bridge, and the rules of the site."""

    rules: UpstreamRules = field(default_factory=UpstreamRules)
    answer_ms: int = 10_000
    """Unanswered for so long, the CSMS does not count as up."""
    give_up_ms: int = 30_000
    """Unanswered for so long, the connection is closed and the message sent again. Until then nothing else is
    sent: one outstanding CALL, always; and an answer that comes late is still matched."""
    retry_ms_min: int = 500
    retry_ms_max: int = 60_000
    queue_max: int = 2_000
    """Messages of one charge point in memory; what is more stays in the stream, and is read when there is room."""
    linger_ms: int = 10_000
    """An upstream connection stays so long after the charge point has left its site: it may be back at once."""
    commands_max: int = 16
    """CALLs of the CSMS at one charge point that wait for their end."""
    held_ms: Mapping[str, int] = field(default_factory=dict)
    """By row of the site's command rules, where they always want an operator's word: how long they wait for it."""
    deduplicates_starts: bool = False
    """The backend is known to recognise a start that it gets twice."""

    def back_off_ms(self, failures: int, jitter: float) -> int:
        """Half of it certain, half chance: charge points that lost one CSMS together do not return together."""
        full_ms = min(self.retry_ms_max, self.retry_ms_min << min(failures, 16))
        return round(full_ms * (0.5 + jitter / 2))


@dataclass(frozen=True, slots=True, kw_only=True)
class Outstanding:
    """Our CALL that waits for its answer."""

    message_id: str
    action: str
    since_mono_ms: int
    item: Item | None = None
    """None: a boot, heartbeat, status or authorise of the connection's own."""
    connector: str | None = None
    """Of a current status."""
    latest: str | None = None
    """Key of a newest message of class L."""
    place: Place | None = None
    """Of that one, in the journal."""
    request: str | None = None
    """Of an authorise, or of a message that is relayed."""
    is_relayed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FromCsms:
    """A CALL of the CSMS that waits for its command to end."""

    connection: str
    message_id: str
    action: str
    until_mono_ms: int
    version: OcppVersion
    payload: Mapping[str, Any]
    """As the CSMS sent it."""
    kept: str | None = None
    """Its site is away and it is desired state: the answer once it is on its way."""
    held: str = ""
    """Why it waits at its site; empty: nothing says that it does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """A message that did not get through, at a CSMS that takes this charge point's boot."""

    place: Place
    count: int
    refused: int
    """So often of them it was answered, with something that is no acknowledgement."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    phase: Phase = Phase.CLOSED
    since_ms: int = 0
    problem: str = ""
    connection: str | None = None
    version: OcppVersion = OcppVersion.V16
    """Of this connection, or of the one that is being opened."""
    opened_mono_ms: int = 0
    closing: str | None = None
    """Closed by us and not yet ended: before that there is no other one."""
    closing_since_mono_ms: int = 0
    calls: int = 0
    """Our own CALLs on this connection: part of their message ids."""
    calls_of_csms: int = 0
    """The CSMS's on this connection: part of their commands' ids."""
    failures: int = 0
    """Tries in a row that led to no delivery and to no connection that stood."""
    is_refused: bool = False
    """The CSMS's last word about this charge point was no, to the handshake or to the boot."""
    next_mono_ms: int = 0
    """Not before it: the next connection, boot or message, whatever is due."""
    heartbeat_ms: int = 300_000
    heard_mono_ms: int = 0
    outstanding: Outstanding | None = None
    silent_since_mono_ms: int | None = None
    """Since when this charge point gets nothing out of the CSMS though it tries."""
    boot_due: bool = False
    booted: Place | None = None
    """The boot that this connection last said."""
    told: frozenset[str] = frozenset()
    """Connectors whose newest status the CSMS has been told on this connection."""
    unproven: Mapping[str, Latest] = field(default_factory=dict)
    """SENDs given to the socket since the CSMS last answered, by key: told again where the connection ends first."""
    tried: Tried | None = None
    # the queue
    queue: tuple[Item, ...] = ()
    """In the journal's order: transactions, and what is live."""
    errors: tuple[Item, ...] = ()
    """Replayed statuses that name errors, after the transactions."""
    replayed_mono_ms: int | None = None
    """When the last fact came that was no news."""
    fed: Place | None = None
    """The newest place taken into the queue."""
    spilled_after: int | None = None
    """The queue was full: what comes after this sequence of the stream is read again."""
    spilled_to: int = 0
    """Up to here something was left in the stream."""
    refilling_after: int | None = None
    """A refill of what comes after this is under way."""
    refill_is_cut: bool = False
    """It met a full queue: the rest of it is passed over, so that none comes out of its order."""
    saved: Kept = field(default_factory=Kept)
    """What KV is known to hold."""
    # around it
    primary: bool = True
    away_since_mono_ms: int | None = None
    """Since when the site is cut off."""
    is_behind: bool = False
    """The site has journaled more than has been read here: what is copied comes, and is not here yet."""
    left_mono_ms: int | None = None
    """When the charge point left its site."""
    asked: tuple[AuthoriseAsked | RelayAsked, ...] = ()
    commands: Mapping[str, FromCsms] = field(default_factory=dict)
    """By command id."""
    told_no: tuple[str, ...] = ()
    """Ids of commands that had not ended when the CSMS was told no."""
    clock_offset_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    backend: str
    site: str
    charge_point: str
    kept: Kept = field(default_factory=Kept)
    live: Live = field(default_factory=Live)

    def with_live(self, **changes: Any) -> State:
        return replace(self, live=replace(self.live, **changes))

    def with_kept(self, kept: Kept) -> State:
        return replace(self, kept=kept)

    @property
    def spread(self) -> float:
        """0 to 1, another for each charge point and try: where the core waits by itself, they don't all at once."""
        return zlib.crc32(f"{self.charge_point}/{self.live.failures}".encode()) / 2**32

    @property
    def waiting(self) -> int:
        """Messages read and not yet handled, more may still be in the stream; and the newest that are to be told."""
        live = self.live
        untold = 0
        if live.phase is Phase.ACCEPTED:
            untold = len(self.untold) + len(self.untold_latest)
        return len(live.queue) + len(live.errors) + untold

    @property
    def untold(self) -> tuple[str, ...]:
        """Connectors whose newest status this connection has not said."""
        live = self.live
        return tuple(
            one
            for one, status in self.kept.statuses.items()
            if one not in live.told and status.version is live.version
        )

    @property
    def untold_latest(self) -> tuple[str, ...]:
        """Keys of class L whose newest the CSMS has not been told. What is in the queue is told from there."""
        version = self.live.version
        untold = {
            key: one.place
            for key, one in self.kept.latest.items()
            if not one.told and one.version is version
        }
        if not untold:
            return ()
        queued = {item.place for item in self.live.queue}
        return tuple(key for key, place in untold.items() if place not in queued)

    @property
    def boot(self) -> Boot | None:
        """That which this connection says."""
        return self.kept.boot_of(self.live.version)

    @property
    def wanted_version(self) -> OcppVersion:
        """The charge point's own; while messages of another one wait, theirs: first what came first."""
        live = self.live
        for lane in (live.queue, live.errors):
            if lane:
                return lane[0].version
        return live.version if live.spilled_after is not None else self.kept.speaks

    def room(self, queue_max: int) -> int:
        return max(0, queue_max - len(self.live.queue) - len(self.live.errors))

    @property
    def has_backlog(self) -> bool:
        live = self.live
        return bool(live.queue or live.errors) or live.spilled_after is not None

    @property
    def oldest(self) -> Item | None:
        heads = [lane[0] for lane in (self.live.queue, self.live.errors) if lane]
        return min(heads, key=lambda item: item.at_ms, default=None)
