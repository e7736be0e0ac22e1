"""What a row of the table of actions says, and the words in which rows say it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from holdfast.ocpp.versions import OcppVersion

V16, V201, V21 = OcppVersion.V16, OcppVersion.V201, OcppVersion.V21
ALL = (V16, V201, V21)
SINCE_201 = (V201, V21)


class Sender(StrEnum):
    CHARGE_POINT = "charge point"
    CSMS = "csms"


class Class(StrEnum):
    """What becomes of a message when the other side is away."""

    TRANSACTIONAL = "T"
    """Durable before it is acknowledged, never lost, in its charge point's order."""
    GUARANTEED = "G"
    """Durable before it is acknowledged, in a lane of its own."""
    LATEST = "L"
    """Only the newest of each key counts."""
    ANSWERED = "A"
    """Answered by the site; nothing to deliver afterwards."""
    RELAYED = "R"
    """Needs the other side now: handed on live or refused at once, never kept."""
    EXPIRING = "X"
    """Kept with deadline and precondition."""
    DESIRED = "D"
    """A state somebody wants: the newest of each key is kept."""
    QUERY = "Q"
    """Answered by whom it asks, from what is known with its age where the rules say so, or not at all."""


class Away(StrEnum):
    """Who answers while the other side is away: to a charge point its CSMS, to a CSMS the site."""

    SITE = "the site"
    BRIDGE = "the csms-bridge"
    """Out of what it has, or that it is kept."""
    REFUSED = "refused at once"
    """By the site to a charge point; by the csms-bridge to the CSMS."""
    NOBODY = "nobody"
    """A SEND (OCPP-J 2.1) has no answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionRow:
    action: str
    sender: Sender
    versions: tuple[OcppVersion, ...]
    kind: Class
    otherwise: Class | None = None
    """Where not all of its messages are of one class, that of the others: `when` says which is which."""
    when: str = ""
    """`kind` holds when …"""
    key: tuple[str, ...] = ()
    """Fields of the payload, dots for depth: with the charge point and the action they tell a repeat, or what the
    newest takes the place of. Empty: the whole payload."""
    away: Away = Away.SITE
    obsolete: str = "never"
    """What makes it pointless to deliver."""
    send: bool = False
    same_as: str | None = None
    """The action of OCPP 1.6 whose rules, time-outs and consequences are its own."""
    patience: int = 1
    """Of a command: so many times as long as others (`answer_ms_max` of ocpp-edge) its answer may take."""


T, G, L, A, R = (
    Class.TRANSACTIONAL,
    Class.GUARANTEED,
    Class.LATEST,
    Class.ANSWERED,
    Class.RELAYED,
)
X, D, Q = Class.EXPIRING, Class.DESIRED, Class.QUERY

NEWER = "a newer one"
OF_KEY = "a newer one of its key"
MOMENT = "the moment it was asked in"
ITS_END = "its session's end"
REQUEST_OVER = "never: who has given its request up knows it by its requestId"
