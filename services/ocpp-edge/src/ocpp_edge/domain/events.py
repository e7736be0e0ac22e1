"""What can happen to a charge point, and what the core may ask the shell to do about it.

Every event says when. Effects are data; performing one twice is harmless, because ids are derived.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    at_ms: int
    """Wall clock: for records and deadlines."""
    mono_ms: int
    """For time-outs."""


# --- events ---


@dataclass(frozen=True, slots=True, kw_only=True)
class Restarted(Timed):
    """The journal has been folded: go on from there."""

    untold: Mapping[TransactionId, Untold] = field(default_factory=dict)
    """What was left out by rule and not told, as far as it was written down."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Connected(Timed):
    connection: str
    protocol: str
    version: OcppVersion = OcppVersion.V16
    remote: str
    security_profile: int = 1
    replaced: str | None
    replaced_answered: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Disconnected(Timed):
    connection: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CallReceived(Timed):
    call: calls.Call
    origin: Origin | None = None
    """Of the transaction that the CALL names, if it names one."""

    @property
    def connection(self) -> str:
        return self.call.connection


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameWrong(Timed):
    connection: str
    wrong: frames.Wrong
    frame: str
    """Its beginning."""
    version: OcppVersion = OcppVersion.V16


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorised(Timed):
    request: str
    authorisation: Authorisation
    transaction_id: int | None
    """A fresh one, when the question was a start's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotAuthorised(Timed):
    """rule-service gave no answer in the time there is."""

    request: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CsmsAnswered(Timed):
    """What came of a question handed on to the CSMS."""

    request: str
    reply: RelayReply


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored(Timed):
    """A fact is in the journal: now live, or read back at a restart."""

    id: str
    seq: int
    entry_at_ms: int
    fact: Fact


@dataclass(frozen=True, slots=True, kw_only=True)
class NotStored(Timed):
    """The journal did not take a fact."""

    id: str
    fact: Fact
    why: str
    final: bool
    """False: whether it did is not known, and the shell goes on trying."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallAnswered(Timed):
    """The charge point answered a CALL of ours."""

    connection: str
    answer: frames.Result | frames.Error


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandArrived(Timed):
    command: Command
    downlink_seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WordArrived(Timed):
    word: CommandWord


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted(Timed):
    command_id: str
    version: OcppVersion | None
    """That it was asked about for."""
    admission: Admission


@dataclass(frozen=True, slots=True, kw_only=True)
class NotAdmitted(Timed):
    """No verdict: the command can't be sent at all (`reason`), or rule-service is away (None)."""

    command_id: str
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick(Timed):
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """Store in the journal, after what was asked to be stored before; then `Stored` or `NotStored`."""

    fact: Fact
    id: str
    cause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Write to telemetry; whether it arrives nobody waits for."""

    fact: Fact
    cause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    connection: str
    frame: str
    action: str
    """With `result`: what the metrics count."""
    result: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AskAuthorise:
    """Ask rule-service, again and again with the same request while it is away, within the time there is."""

    request: str
    driver_token: str
    starts_session: bool
    connector: int | None = None
    """Where the session is to begin; None where none is, or where there is no driver token."""
    token_type: TokenType = TokenType.ID_TAG
    has_own_id: bool = False
    """The session goes by the station's own transaction id (2.x): none is to be given out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AskCsms:
    """Hand a CALL on to the CSMS, now or not at all; then `CsmsAnswered`, in the time a charge point waits."""

    request: str
    call: calls.Call


@dataclass(frozen=True, slots=True, kw_only=True)
class AskAdmit:
    request: str
    command: Command
    version: OcppVersion | None
    """That the charge point speaks: by its schemas the command is checked. None: it never connected."""
    target: ConnectorState
    confirmed_by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SendCall:
    connection: str
    frame: str
    command: Command


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseConnection:
    """The charge point keeps what was not acknowledged."""

    connection: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandTaken:
    """The command is in the journal (or was settled before): whoever brought it may forget it. Not taken: the id
    belongs to another one, and bringing it again changes nothing.
    """

    command_id: str
    content: str
    """Which of those that came with this id: see `identity.py`."""
    taken: bool = True
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandNotTaken:
    """It is not: whoever brought it keeps it."""

    command_id: str
    content: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WordTaken:
    """The word is in the journal, or it was said before; whether it changes anything is said in it."""

    command_id: str
    word: Word
    taken: bool
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WordNotTaken:
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
