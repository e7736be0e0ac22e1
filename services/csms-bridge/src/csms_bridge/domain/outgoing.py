"""Which facts of the journal go upstream, in which lane, as which message.

    item_of(place, stream_seq, at_ms, fact, live) -> Item | None

The payload is the charge point's, byte for byte; only the message id is ours. It names the journal entry, so
a message that is sent again, by whatever process, has the id it had.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, NamedTuple

from holdfast.contracts.charge_point import (
    ChargePointBooted,
    ChargePointSaid,
    ConnectorStatusChanged,
)
from holdfast.contracts.driver_tokens import TokenStatus
from holdfast.contracts.envelope import Fact
from holdfast.contracts.session import (
    SeqRange,
    SessionAuthorised,
    SessionMetered,
    SessionStarted,
    SessionStopped,
)
from holdfast.contracts.transaction import TransactionId
from holdfast.ocpp.actions import Class, Sender, row
from holdfast.ocpp.versions import OcppVersion


class Place(NamedTuple):
    """Of an entry in its site's journal."""

    incarnation: str
    seq: int


class Part(Enum):
    """What a message is to the CSMS."""

    BOOT = auto()
    START = auto()
    METER = auto()
    """Also what a TransactionEvent says between its transaction's begin and end."""
    STOP = auto()
    ERROR = auto()
    """A StatusNotification that names an error: none of these is left out."""
    GUARANTEED = auto()
    """Of class G: all of them, in their order."""
    STATUS = auto()
    """The newest of a connector counts."""
    LATEST = auto()
    """Of class L: the newest of its key counts, once."""


TRANSACTIONAL = frozenset({Part.START, Part.METER, Part.STOP})
GUARANTEED = frozenset({Part.ERROR, Part.GUARANTEED})
"""Those of the lane behind the transactions."""
NEWEST = frozenset({Part.STATUS, Part.LATEST})
"""Those of which another one is told instead when it does not get through."""


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
    version: OcppVersion = OcppVersion.V16
    """It goes up on a connection of this one, and on no other."""
    raw: str
    transaction: TransactionId | None = None
    """The local id; of 2.x the station's own, which is the CSMS's too."""
    key: str | None = None
    """Of a status: its connector. Of class L: what the newest takes the place of."""
    was_accepted: bool = False
    """Of a start, or an event with an idToken: what the driver was told at the site."""
    left_out: tuple[SeqRange, ...] = ()
    """seqNos before it that the site left out by rule."""
    uncounted: tuple[SeqRange, ...] = ()
    """seqNos before it of which the site does not know whether it did."""
    is_send: bool = False
    """A SEND of OCPP-J 2.1: nobody answers it."""
    live: bool
    """Recorded while the site was connected. What was buffered is replayed: then a status is worth only its
    newest, and errors come after the transactions."""

    @property
    def message_id(self) -> str:
        return message_id_of(self.place)

    @property
    def is_of_2x(self) -> bool:
        return self.version is not OcppVersion.V16


def message_id_of(place: Place) -> str:
    return f"hf-{place.incarnation}-{place.seq}"


def connector_key(fact: ConnectorStatusChanged) -> str:
    """`1` in 1.6; `2/1` in 2.x: EVSE and the connector on it."""
    return str(fact.connector) if fact.plug is None else f"{fact.connector}/{fact.plug}"


def latest_key(fact: ChargePointSaid) -> str:
    return f"{fact.action}/{fact.key}"


def item_of(place: Place, stream_seq: int, at_ms: int, fact: Fact, *, live: bool) -> Item | None:
    """None: not for the CSMS. A repeated stop that contradicts the first and what belongs to no session stay
    in the journal, where they are shown.
    """
    match fact:
        case SessionStarted():
            told: dict[str, Any] = {
                "part": Part.START,
                "transaction": fact.transaction_id,
                "was_accepted": fact.status is TokenStatus.ACCEPTED,
            }
        case SessionMetered() | SessionStopped():
            told = {
                "part": Part.METER if isinstance(fact, SessionMetered) else Part.STOP,
                "transaction": fact.transaction_id,
                "was_accepted": _accepted(fact.authorised),
                "left_out": fact.left_out_seq,
                "uncounted": fact.uncounted_seq,
            }
        case ConnectorStatusChanged():
            is_error = fact.error_code != "NoError"
            told = {
                "part": Part.ERROR if is_error else Part.STATUS,
                "key": connector_key(fact),
            }
        case ChargePointBooted():
            told = {"part": Part.BOOT}
        case ChargePointSaid(kind=Class.LATEST.value):
            told = {"part": Part.LATEST, "key": latest_key(fact)}
        case ChargePointSaid():
            told = {"part": Part.GUARANTEED}
        case _:
            return None
    return Item(
        place=place,
        stream_seq=stream_seq,
        at_ms=at_ms,
        action=fact.action,
        version=fact.version,
        raw=fact.raw,
        is_send=is_send(fact.version, fact.action),
        live=live,
        **told,
    )


def is_send(version: OcppVersion, action: str) -> bool:
    known = row(version, Sender.CHARGE_POINT, action)
    return known is not None and known.send


def _accepted(authorised: SessionAuthorised | None) -> bool:
    return authorised is not None and authorised.status is TokenStatus.ACCEPTED
