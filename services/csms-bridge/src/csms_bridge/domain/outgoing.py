"""Which facts of the journal go upstream, in which lane, as which message.

    item_of(place, stream_seq, at_ms, fact, live) -> Item | None

The payload is the charge point's, byte for byte; only the message id is ours. It names the journal entry, so
a message that is sent again, by whatever process, has the id it had.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple

from holdfast.contracts.charge_point import ChargePointBooted, ConnectorStatusChanged
from holdfast.contracts.envelope import Fact
from holdfast.contracts.rules import TokenStatus
from holdfast.contracts.session import SessionMetered, SessionStarted, SessionStopped


class Place(NamedTuple):
    """Of an entry in its site's journal."""

    incarnation: str
    seq: int


class Part(Enum):
    """What a message is to the CSMS."""

    BOOT = auto()
    START = auto()
    METER = auto()
    STOP = auto()
    ERROR = auto()
    """A StatusNotification that names an error: none of these is left out."""
    STATUS = auto()
    """The newest of a connector counts."""


TRANSACTIONAL = frozenset({Part.START, Part.METER, Part.STOP})


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One message for the CSMS."""

    place: Place
    stream_seq: int
    """In the stream that the bridge reads."""
    at_ms: int
    """Site clock, when the site recorded it."""
    part: Part
    action: str
    raw: str
    transaction: int | None = None
    """The local id."""
    connector: int | None = None
    was_accepted: bool = False
    """Of a start: what the driver was told at the site."""
    live: bool
    """Recorded while the site was connected. What was buffered is replayed: then a status is worth only its
    newest, and errors come after the transactions."""

    @property
    def message_id(self) -> str:
        return f"hf-{self.place.incarnation}-{self.place.seq}"


def item_of(place: Place, stream_seq: int, at_ms: int, fact: Fact, *, live: bool) -> Item | None:
    """None: not for the CSMS. A repeated stop that contradicts the first and what belongs to no session stay
    in the journal, where they are shown.
    """
    match fact:
        case SessionStarted(transaction_id=int() as transaction):
            return Item(
                place=place,
                stream_seq=stream_seq,
                at_ms=at_ms,
                part=Part.START,
                action=fact.action,
                raw=fact.raw,
                transaction=transaction,
                connector=fact.connector,
                was_accepted=fact.status is TokenStatus.ACCEPTED,
                live=live,
            )
        case (
            SessionMetered(transaction_id=int() as transaction)
            | SessionStopped(transaction_id=int() as transaction)
        ):
            return Item(
                place=place,
                stream_seq=stream_seq,
                at_ms=at_ms,
                part=Part.METER if isinstance(fact, SessionMetered) else Part.STOP,
                action=fact.action,
                raw=fact.raw,
                transaction=transaction,
                live=live,
            )
        case ConnectorStatusChanged():
            return Item(
                place=place,
                stream_seq=stream_seq,
                at_ms=at_ms,
                part=Part.STATUS if fact.error_code == "NoError" else Part.ERROR,
                action=fact.action,
                raw=fact.raw,
                connector=fact.connector,
                live=live,
            )
        case ChargePointBooted():
            return Item(
                place=place,
                stream_seq=stream_seq,
                at_ms=at_ms,
                part=Part.BOOT,
                action=fact.action,
                raw=fact.raw,
                live=live,
            )
        case _:
            return None
