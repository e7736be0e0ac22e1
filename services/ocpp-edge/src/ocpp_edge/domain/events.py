"""What can happen to a charge point, and what the core may ask the shell to do about it.

Every event says when. Effects are data; performing one twice is harmless, because ids are derived.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from holdfast.contracts.command import Command, CommandWord, Word
from holdfast.contracts.csms import RelayReply
from holdfast.contracts.decision import Admitted as Admission
from holdfast.contracts.decision import Authorised as Authorisation
from holdfast.contracts.decision import ConnectorState
from holdfast.contracts.envelope import Fact
from holdfast.contracts.rules import TokenType
from holdfast.contracts.transaction import TransactionId
from holdfast.ocpp import frames
from holdfast.ocpp.versions import OcppVersion
from ocpp_edge.domain import calls
from ocpp_edge.domain.left_out import Untold
from ocpp_edge.domain.sessions import Origin


class Timed(msgspec.Struct, frozen=True, kw_only=True):
    at_ms: int
    """Wall clock: for records and deadlines."""
    mono_ms: int
    """For time-outs."""


# --- events ---


class Restarted(Timed, frozen=True, kw_only=True):
    """The journal has been folded: go on from there."""

    untold: Mapping[TransactionId, Untold] = msgspec.field(default_factory=dict)
    """What was left out by rule and not told, as far as it was written down."""


class Connected(Timed, frozen=True, kw_only=True):
    connection: str
    protocol: str
    version: OcppVersion = OcppVersion.V16
    remote: str
    security_profile: int = 1
    replaced: str | None
    replaced_answered: bool


class Disconnected(Timed, frozen=True, kw_only=True):
    connection: str
    reason: str


class CallReceived(Timed, frozen=True, kw_only=True):
    call: calls.Call
    origin: Origin | None = None
    """Of the transaction that the CALL names, if it names one."""

    @property
    def connection(self) -> str:
        return self.call.connection


class FrameWrong(Timed, frozen=True, kw_only=True):
    connection: str
    wrong: frames.Wrong
    frame: str
    """Its beginning."""
    version: OcppVersion = OcppVersion.V16


class Authorised(Timed, frozen=True, kw_only=True):
    request: str
    authorisation: Authorisation
    transaction_id: int | None
    """A fresh one, when the question was a start's."""


class NotAuthorised(Timed, frozen=True, kw_only=True):
    """rule-service gave no answer in the time there is."""

    request: str


class CsmsAnswered(Timed, frozen=True, kw_only=True):
    """What came of a question handed on to the CSMS."""

    request: str
    reply: RelayReply


class Stored(Timed, frozen=True, kw_only=True):
    """A fact is in the journal: now live, or read back at a restart."""

    id: str
    seq: int
    entry_at_ms: int
    fact: Fact


class NotStored(Timed, frozen=True, kw_only=True):
    """The journal did not take a fact."""

    id: str
    fact: Fact
    why: str
    final: bool
    """False: whether it did is not known, and the shell goes on trying."""


class CallAnswered(Timed, frozen=True, kw_only=True):
    """The charge point answered a CALL of ours."""

    connection: str
    answer: frames.Result | frames.Error


class CommandArrived(Timed, frozen=True, kw_only=True):
    command: Command
    downlink_seq: int


class WordArrived(Timed, frozen=True, kw_only=True):
    word: CommandWord


class Admitted(Timed, frozen=True, kw_only=True):
    command_id: str
    version: OcppVersion | None
    """That it was asked about for."""
    admission: Admission


class NotAdmitted(Timed, frozen=True, kw_only=True):
    """No verdict: the command can't be sent at all (`reason`), or rule-service is away (None)."""

    command_id: str
    reason: str | None


class Tick(Timed, frozen=True, kw_only=True):
    pass


Event = (
    Restarted
    | Connected
    | Disconnected
    | CallReceived
    | FrameWrong
    | Authorised
    | NotAuthorised
    | CsmsAnswered
    | Stored
    | NotStored
    | CallAnswered
    | CommandArrived
    | WordArrived
    | Admitted
    | NotAdmitted
    | Tick
)


# --- effects ---


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """Store in the journal, after what was asked to be stored before; then `Stored` or `NotStored`."""

    fact: Fact
    id: str
    cause: str


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """Write to telemetry; whether it arrives nobody waits for."""

    fact: Fact
    cause: str


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    connection: str
    frame: str
    action: str
    """With `result`: what the metrics count."""
    result: str


class AskAuthorise(msgspec.Struct, frozen=True, kw_only=True):
    """Ask rule-service, again and again with the same request while it is away, within the time there is."""

    request: str
    driver_token: str
    starts_session: bool
    connector: int | None = None
    """Where the session is to begin; None where none is, or where there is no driver token."""
    token_type: TokenType = TokenType.ID_TAG
    has_own_id: bool = False
    """The session goes by the station's own transaction id (2.x): none is to be given out."""


class AskCsms(msgspec.Struct, frozen=True, kw_only=True):
    """Hand a CALL on to the CSMS, now or not at all; then `CsmsAnswered`, in the time a charge point waits."""

    request: str
    call: calls.Call


class AskAdmit(msgspec.Struct, frozen=True, kw_only=True):
    request: str
    command: Command
    version: OcppVersion | None
    """That the charge point speaks: by its schemas the command is checked. None: it never connected."""
    target: ConnectorState
    confirmed_by: str | None = None


class SendCall(msgspec.Struct, frozen=True, kw_only=True):
    connection: str
    frame: str
    command: Command


class CloseConnection(msgspec.Struct, frozen=True, kw_only=True):
    """The charge point keeps what was not acknowledged."""

    connection: str
    reason: str


class CommandTaken(msgspec.Struct, frozen=True, kw_only=True):
    """The command is in the journal (or was settled before): whoever brought it may forget it. Not taken: the id
    belongs to another one, and bringing it again changes nothing.
    """

    command_id: str
    content: str
    """Which of those that came with this id: see `identity.py`."""
    taken: bool = True
    reason: str = ""


class CommandNotTaken(msgspec.Struct, frozen=True, kw_only=True):
    """It is not: whoever brought it keeps it."""

    command_id: str
    content: str
    why: str


class WordTaken(msgspec.Struct, frozen=True, kw_only=True):
    """The word is in the journal, or it was said before; whether it changes anything is said in it."""

    command_id: str
    word: Word
    taken: bool
    reason: str = ""


class WordNotTaken(msgspec.Struct, frozen=True, kw_only=True):
    """The word is not in the journal: whoever brought it keeps it."""

    command_id: str
    word: Word
    why: str


Effect = (
    Record
    | Sample
    | Answer
    | AskAuthorise
    | AskCsms
    | AskAdmit
    | SendCall
    | CloseConnection
    | CommandTaken
    | CommandNotTaken
    | WordTaken
    | WordNotTaken
)
