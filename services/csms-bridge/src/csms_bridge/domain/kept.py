"""What must outlive sockets, processes and owners: one record per charge point and backend, in KV.

Everything up to `transactional` and `guaranteed` is delivered or in quarantine. A start that may have been
taken is noted before it is sent, and its answer before anything of its session follows: so whoever takes
over sends nothing twice that the CSMS could tell apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from csms_bridge.domain.outgoing import GUARANTEED, Item, Place
from holdfast.contracts.csms import OpenDelivery, Trouble
from holdfast.contracts.session import SeqRange
from holdfast.contracts.transaction import TransactionId
from holdfast.ocpp.versions import OcppVersion

KEPT_VERSION = 1
"""Raised when an older record can't be read as this one."""

Id = TypeVar("Id", int, str)
LIVES_MAX = 64
"""Incarnations remembered; an older one was through long ago."""
ENDED_MAX = 64
"""Ended sessions whose CSMS id is still known: for a late message, and for a command that names it."""
RUNNING_MAX = 256
"""Sessions without an end: their stops were lost. Beyond it the oldest is forgotten, and what still comes of
it is quarantined."""
LEFT_OUT_MAX = 64
"""Ranges of seqNo that are named of one session; beyond it the last ones are joined."""
LATEST_MAX = 64
"""Keys of class L whose newest is kept; of more the oldest that is told is forgotten, else the oldest."""
NAMED_MAX = 100
"""Open deliveries named one by one; beyond it they are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """A session at this backend."""

    csms_id: int | None
    """None: its start is in quarantine, so the CSMS has no id for it."""
    status: str
    """What the CSMS answered about the driver token; empty with a quarantined start."""
    ended: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """A session of 2.x at this backend: its id is the station's own, and passes through."""

    status: str = ""
    """What the CSMS last answered about its idToken."""
    begun: bool = False
    """Its Started is delivered. Events of it may have come before, and without one."""
    lost: bool = False
    """Its Started is in quarantine."""
    ended: bool = False
    left_out: tuple[SeqRange, ...] = ()
    """seqNos that the CSMS misses because the site left them out by rule: no loss."""
    uncounted: tuple[SeqRange, ...] = ()
    """seqNos that it misses and nobody knows why: left out by rule right before a restart at the site, or lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Latest:
    """The newest message of one key of class L."""

    place: Place
    action: str
    raw: str
    """Empty once it is told."""
    version: OcppVersion
    told: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A start that is about to be sent, or was: without an answer nobody knows whether it was taken."""

    place: Place
    sent: bool
    """It was on a socket in an earlier connection: sent again, it may be a second one for the CSMS."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Boot:
    """A boot, or a status: the newest counts."""

    place: Place
    raw: str
    version: OcppVersion = OcppVersion.V16


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    version: int = KEPT_VERSION
    epoch: int = 0
    """Of the owner that wrote it."""
    lives: tuple[str, ...] = ()
    """Incarnations met, in the order of the journal."""
    transactional: Place | None = None
    guaranteed: Place | None = None
    boot: Boot | None = None
    earlier_boot: Boot | None = None
    """The newest of another version than that one's: what is left of it goes up on a connection of its own."""
    speaks: OcppVersion = OcppVersion.V16
    """Version of the charge point's last connection with its site."""
    statuses: Mapping[str, Boot] = field(default_factory=dict)
    """The newest StatusNotification of each connector."""
    latest: Mapping[str, Latest] = field(default_factory=dict)
    """By key of class L, oldest first."""
    connection: str | None = None
    """Of the charge point with its site, as the journal last said; None: it is away."""
    connection_said: Place | None = None
    """Where it last said so: what is read again is older news."""
    transactions: Mapping[int, Transaction] = field(default_factory=dict)
    """Of 1.6, by local id; oldest first."""
    passed: Mapping[str, Passed] = field(default_factory=dict)
    """Of 2.x, by the station's id; oldest first."""
    attached: Place | None = None
    """The backend came when the journal was here: what stands up to here of a session whose start it was not
    told is not its."""
    attempt: Attempt | None = None
    open: tuple[OpenDelivery, ...] = ()
    open_unnamed: int = 0
    """Further ones that are no longer named."""
    delivered: int = 0

    def is_past(self, place: Place, position: Place | None) -> bool:
        if position is None:
            return False
        if place.incarnation == position.incarnation:
            return place.seq <= position.seq
        if place.incarnation not in self.lives or position.incarnation not in self.lives:
            return False  # a life that is no longer remembered lies before all that are
        return self.lives.index(place.incarnation) < self.lives.index(position.incarnation)

    def is_handled(self, item: Item) -> bool:
        lane = self.guaranteed if item.part in GUARANTEED else self.transactional
        return self.is_past(item.place, lane)

    def running(self) -> dict[TransactionId, TransactionId]:
        """Local to CSMS id, of sessions that have not ended."""
        of_16: dict[TransactionId, TransactionId] = {
            local: one.csms_id
            for local, one in self.transactions.items()
            if not one.ended and one.csms_id is not None
        }
        return of_16 | {id: id for id, one in self.passed.items() if not one.ended}

    def has_begun(self, transaction: TransactionId | None) -> bool:
        """Its start is delivered, or in quarantine."""
        if isinstance(transaction, str):
            passed = self.passed.get(transaction)
            return passed is not None and (passed.begun or passed.lost)
        return transaction in self.transactions

    def boot_of(self, version: OcppVersion) -> Boot | None:
        boots = (one for one in (self.boot, self.earlier_boot) if one and one.version is version)
        return next(boots, None)

    def local_id(self, csms_id: int) -> int | None:
        """The newest session that this backend knows by that id."""
        for local, one in reversed(list(self.transactions.items())):
            if one.csms_id == csms_id:
                return local
        return None


def met(kept: Kept, incarnation: str) -> Kept:
    if incarnation in kept.lives:
        return kept
    return replace(kept, lives=(*kept.lives, incarnation)[-LIVES_MAX:])


def handled(kept: Kept, item: Item, *, delivered: bool = True) -> Kept:
    """Answered, in quarantine, or not this backend's: never looked at again."""
    count = kept.delivered + (1 if delivered else 0)
    if item.part in GUARANTEED:
        return replace(kept, guaranteed=item.place, delivered=count)
    return replace(kept, transactional=item.place, delivered=count)


def with_transaction(kept: Kept, local: int, transaction: Transaction) -> Kept:
    transactions = {**kept.transactions, local: transaction}
    for one in _too_many({id: known.ended for id, known in transactions.items()}):
        del transactions[one]
    return replace(kept, transactions=transactions)


def with_passed(kept: Kept, transaction: str, passed: Passed) -> Kept:
    sessions = {**kept.passed, transaction: passed}
    for one in _too_many({id: known.ended for id, known in sessions.items()}):
        del sessions[one]
    return replace(kept, passed=sessions)


def _too_many(ended: Mapping[Id, bool]) -> list[Id]:
    """The oldest beyond the bounds."""
    over = [one for one, is_over in ended.items() if is_over]
    running = [one for one, is_over in ended.items() if not is_over]
    return over[: max(0, len(over) - ENDED_MAX)] + running[: max(0, len(running) - RUNNING_MAX)]


def joined(known: tuple[SeqRange, ...], more: tuple[SeqRange, ...]) -> tuple[SeqRange, ...]:
    """In their order, each once."""
    ranges: list[SeqRange] = []
    for first, last in sorted({*known, *more}):
        if ranges and first <= ranges[-1][1] + 1:
            ranges[-1] = (ranges[-1][0], max(last, ranges[-1][1]))
        else:
            ranges.append((first, last))
    if len(ranges) > LEFT_OUT_MAX:
        ranges[LEFT_OUT_MAX - 1 :] = [(ranges[LEFT_OUT_MAX - 1][0], ranges[-1][1])]
    return tuple(ranges)


def with_latest(kept: Kept, key: str, latest: Latest) -> Kept:
    others = {one: known for one, known in kept.latest.items() if one != key}
    if len(others) >= LATEST_MAX:
        told = (one for one, known in others.items() if known.told)
        del others[next(told, next(iter(others)))]
    return replace(kept, latest={**others, key: latest})


def told_latest(kept: Kept, key: str, place: Place) -> Kept:
    """It was answered; a newer one of its key is still to be told."""
    known = kept.latest.get(key)
    if known is None or known.place != place:
        return kept
    return replace(kept, latest={**kept.latest, key: replace(known, told=True, raw="")})


def untold_again(kept: Kept, sent: Mapping[str, Latest]) -> Kept:
    """Nobody knows whether they came; a newer one of its key takes its place."""
    again = {
        key: latest
        for key, latest in sent.items()
        if key in kept.latest and kept.latest[key].place == latest.place
    }
    return replace(kept, latest={**kept.latest, **again}) if again else kept


def with_open(kept: Kept, delivery: OpenDelivery) -> Kept:
    """What is in quarantine of one session is one matter, however many messages it is."""
    for place, one in enumerate(kept.open):
        if _is_of_one_session(one, delivery):
            told = one.model_copy(update={"messages": one.messages + 1})
            return replace(kept, open=(*kept.open[:place], told, *kept.open[place + 1 :]))
    if len(kept.open) >= NAMED_MAX:
        return replace(kept, open_unnamed=kept.open_unnamed + 1)
    return replace(kept, open=(*kept.open, delivery))


def _is_of_one_session(one: OpenDelivery, other: OpenDelivery) -> bool:
    kinds = {one.trouble, other.trouble}
    sessions = {one.transaction, other.transaction}
    return kinds == {Trouble.QUARANTINED} and len(sessions) == 1 and None not in sessions


def without_refusals_of(kept: Kept, local: TransactionId) -> Kept:
    """A refused session is no longer open once it has ended."""
    still = tuple(
        one
        for one in kept.open
        if one.trouble is not Trouble.REFUSED_START or one.transaction != local
    )
    return kept if len(still) == len(kept.open) else replace(kept, open=still)
