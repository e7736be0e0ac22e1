"""What must outlive sockets, processes and owners: one record per charge point and backend, in KV.

Everything up to `transactional` and `guaranteed` is delivered or in quarantine. A start that may have been
taken is noted before it is sent, and its answer before anything of its session follows: so whoever takes
over sends nothing twice that the CSMS could tell apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from csms_bridge.domain.outgoing import Item, Part, Place
from holdfast.contracts.csms import OpenDelivery, Trouble

KEPT_VERSION = 1
"""Raised when an older record can't be read as this one."""

LIVES_MAX = 64
"""Incarnations remembered; an older one was through long ago."""
ENDED_MAX = 64
"""Ended sessions whose CSMS id is still known: for a late message, and for a command that names it."""
RUNNING_MAX = 256
"""Sessions without an end: their stops were lost. Beyond it the oldest is forgotten, and what still comes of
it is quarantined."""
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
class Attempt:
    """A start that is about to be sent, or was: without an answer nobody knows whether it was taken."""

    place: Place
    sent: bool
    """It was on a socket in an earlier connection: sent again, it may be a second one for the CSMS."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Boot:
    place: Place
    raw: str


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
    statuses: Mapping[int, Boot] = field(default_factory=dict)
    """The newest StatusNotification of each connector."""
    connection: str | None = None
    """Of the charge point with its site, as the journal last said; None: it is away."""
    connection_said: Place | None = None
    """Where it last said so: what is read again is older news."""
    transactions: Mapping[int, Transaction] = field(default_factory=dict)
    """By local id; oldest first."""
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
        lane = self.guaranteed if item.part is Part.ERROR else self.transactional
        return self.is_past(item.place, lane)

    def running(self) -> dict[int, int]:
        """Local to CSMS id, of sessions that have not ended."""
        return {
            local: one.csms_id
            for local, one in self.transactions.items()
            if not one.ended and one.csms_id is not None
        }

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
    if item.part is Part.ERROR:
        return replace(kept, guaranteed=item.place, delivered=count)
    return replace(kept, transactional=item.place, delivered=count)


def with_transaction(kept: Kept, local: int, transaction: Transaction) -> Kept:
    transactions = {**kept.transactions, local: transaction}
    ended = [one for one, known in transactions.items() if known.ended]
    running = [one for one, known in transactions.items() if not known.ended]
    for group, most in ((ended, ENDED_MAX), (running, RUNNING_MAX)):
        for one in group[: max(0, len(group) - most)]:
            del transactions[one]
    return replace(kept, transactions=transactions)


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


def without_refusals_of(kept: Kept, local: int) -> Kept:
    """A refused session is no longer open once it has ended."""
    still = tuple(
        one
        for one in kept.open
        if one.trouble is not Trouble.REFUSED_START or one.transaction != local
    )
    return kept if len(still) == len(kept.open) else replace(kept, open=still)
