"""What the monitor remembers of one site: rows, each with the place in the journal it was read from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from holdfast.contracts.command import Command, Disposition
from holdfast.contracts.decision import DecisionMade
from holdfast.contracts.driver_tokens import DriverTokensRefused
from holdfast.contracts.journal import StorageLevel
from holdfast.contracts.mode import ModeChanged, Override
from holdfast.contracts.recovery import DisruptionReported, OpenPoint, RecoveryStepped
from holdfast.contracts.registry import DoorCondition, EntryProblem, EntryRefused
from holdfast.contracts.session import SessionCapNotKept
from holdfast.local_state import History
from holdfast.ocpp.versions import OcppVersion

MODES_MAX = 1_000
DECISIONS_MAX = 1_000
COMMANDS_MAX = 1_000
DISRUPTIONS_MAX = 200
WORDS_MAX = 5
CHARGE_POINTS_MAX = 1_000
CONNECTORS_MAX = 100
ENTRIES_MAX = 100
KEPT_MAX = 50
"""Of quarantined and damaged ranges, refused rules and lives. At every bound the oldest row goes; the journal
itself has them all (`/events`)."""


EntryKey = tuple[EntryProblem, str | None, str | None]
"""A problem at the door, the identity that was claimed, and where it came from."""


class Place(NamedTuple):
    """Where in which journal."""

    incarnation: str
    seq: int

    def __str__(self) -> str:
        return f"{self.incarnation}:{self.seq}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeRow:
    place: Place
    at_ms: int
    fact: ModeChanged


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionRow:
    place: Place
    at_ms: int
    cause: str | None
    fact: DecisionMade


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """The session that began by a decision."""

    session: str
    connector: int | None
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandRow:
    """One command from its receipt to its one disposition."""

    place: Place
    """Of the first the journal said of it."""
    charge_point: str
    command: Command
    received_at_ms: int | None = None
    dispatched_at_ms: int | None = None
    settled_at_ms: int | None = None
    disposition: Disposition | None = None
    reason: str = ""
    answer: str | None = None
    decision: str | None = None
    took_effect: bool | None = None
    """What observation said of an uncertain one."""
    evidence: str = ""
    held: str = ""
    """Why it waits for an operator's word; empty once one was taken, or none was wanted."""
    words: tuple[str, ...] = ()
    """What operators said of it, and who; the last few."""

    @property
    def is_open(self) -> bool:
        """Without disposition, or uncertain and not yet observed."""
        if self.disposition is None:
            return True
        return self.disposition is Disposition.UNCERTAIN and self.took_effect is None


@dataclass(frozen=True, slots=True, kw_only=True)
class DisruptionRow:
    place: Place
    disruption: str
    began_ms: int
    reasons: tuple[str, ...]
    ended_ms: int | None = None
    recovering: bool = False
    steps: tuple[RecoveryStepped, ...] = ()
    """Of the newest attempt."""
    open_points: tuple[OpenPoint, ...] = ()
    report: DisruptionReported | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectorRow:
    status: str | None = None
    error_code: str | None = None
    since_ms: int | None = None
    availability: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChargePointRow:
    charge_point: str
    connected: bool = False
    version: OcppVersion | None = None
    """Of its last connection."""
    since_ms: int | None = None
    connection: str = ""
    reason: str = ""
    vendor: str = ""
    model: str = ""
    firmware: str | None = None
    booted_at_ms: int | None = None
    identity_doubled_at_ms: int | None = None
    """When two connections of this identity were alive at once."""
    connectors: Mapping[int, ConnectorRow] = field(default_factory=dict)
    registered: bool = True
    """False: it may not connect any more. Then it stands in no list, and nobody is to look after it."""
    security_profile: int | None = None
    """The registered one; None: not told."""
    next_security_profile: int | None = None
    """It may come by this one, too; once it has, this is its only one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RulesRow:
    place: Place
    at_ms: int
    version: int
    hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Something to be looked at: quarantined, damaged, refused."""

    place: Place
    at_ms: int
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """One incarnation of the site's disk."""

    incarnation: str
    opened_at_ms: int
    cause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteState:
    """Everything the monitor shows that comes out of a site's journal."""

    site: str
    at_ms: int | None = None
    """Of the last entry read."""
    positions: Mapping[str, int] = field(default_factory=dict)
    """By incarnation: read up to here. What comes again changes nothing."""
    lives: tuple[Life, ...] = ()
    modes: tuple[ModeRow, ...] = ()
    decisions: tuple[DecisionRow, ...] = ()
    begun: Mapping[str, Begun] = field(default_factory=dict)
    """Sessions, by the decision that they began by; as many as decisions are kept."""
    commands: Mapping[str, CommandRow] = field(default_factory=dict)
    disruptions: tuple[DisruptionRow, ...] = ()
    charge_points: Mapping[str, ChargePointRow] = field(default_factory=dict)
    histories: Mapping[str, History] = field(default_factory=dict)
    """By charge point: what stands there, and what stood before."""
    rules: tuple[RulesRow, ...] = ()
    rules_text: str | None = None
    """Of those activated last; None: the built-in ones, as far as is told."""
    rules_refused: tuple[Note, ...] = ()
    tokens_refused: DriverTokensRefused | None = None
    """None: the newest driver tokens that were heard of were taken."""
    uncapped: Mapping[str, SessionCapNotKept] = field(default_factory=dict)
    """By session: those that run on beyond their energy cap, and that the site tries no more to stop."""
    overrides: tuple[Override, ...] = ()
    """As the journal said last; those whose time is up are over, told or not."""
    storage_level: StorageLevel = StorageLevel.OK
    """Journaled at changes only: until one is told it is ok."""
    storage_since_ms: int | None = None
    checkpoint_seq: int | None = None
    checkpoint_at_ms: int | None = None
    entries_refused: Mapping[EntryKey, tuple[int, EntryRefused]] = field(default_factory=dict)
    """What happened at the door and is not over: of each problem, claim and address the newest, with its time."""
    door: tuple[DoorCondition, ...] = ()
    """What is not well with the site's door, or will not be for long."""
    quarantined: tuple[Note, ...] = ()
    damaged: tuple[Note, ...] = ()
    decision_counts: Mapping[tuple[str, str, str], int] = field(default_factory=dict)
    """(kind, outcome, mode)."""
    command_counts: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """(action, disposition)."""
    quarantined_count: int = 0
    unknown_count: int = 0
    """Facts of a type this build does not know: kept in the journal, shown in `/events`."""

    @property
    def damage(self) -> tuple[Note, ...]:
        """Of the disk that runs now; a new one begins without."""
        newest = self.lives[-1].incarnation if self.lives else None
        return tuple(note for note in self.damaged if note.place.incarnation == newest)

    @property
    def disruption(self) -> DisruptionRow | None:
        """The one that runs."""
        newest = self.disruptions[-1] if self.disruptions else None
        return newest if newest is not None and newest.ended_ms is None else None
