"""What can happen to one charge point at one backend, and what the shell may be asked to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from csms_bridge.domain.kept import Kept
from csms_bridge.domain.outgoing import Place
from holdfast.contracts.command import Command, Disposition
from holdfast.contracts.csms import RelayReply, Trouble
from holdfast.contracts.decision import CloudVerdict
from holdfast.contracts.driver_tokens import TokenType
from holdfast.contracts.envelope import Fact
from holdfast.ocpp.versions import OcppVersion


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """`mono_ms` for durations, `at_ms` for what carries a time."""

    at_ms: int
    mono_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Journaled(Happened):
    """A fact about this charge point, in the order of its site's journal."""

    place: Place
    stream_seq: int
    recorded_at_ms: int
    fact: Fact
    live: bool
    """Recorded while the site was connected to the cloud."""
    again: bool = False
    """Read by a Refill."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refilled(Happened):
    """What was left in the stream has been read again up to `to_seq`."""

    to_seq: int
    gone_to: int = 0
    """The stream no longer holds what stood up to here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved(Happened):
    """This record is in KV."""

    kept: Kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened(Happened):
    connection: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NotOpened(Happened):
    why: str
    refused: bool
    """The CSMS answered the handshake, with no."""
    local: bool = False
    """With `refused`: it was not even asked, so whether it is up is not known."""
    jitter: float = 0.0
    """0 to 1, drawn by the shell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended(Happened):
    connection: str
    why: str
    jitter: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameCame(Happened):
    connection: str
    frame: str | bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick(Happened):
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteReach(Happened):
    """Whether the site's pulses reach the cloud."""

    reachable: bool
    behind: bool = False
    """It is known to have journaled more than has been read here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleChanged(Happened):
    primary: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthoriseAsked(Happened):
    request: str
    driver_token: str
    token_type: TokenType = TokenType.ID_TAG
    budget_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayAsked(Happened):
    """A charge point asks something that only the CSMS can answer, and waits for it."""

    request: str
    version: OcppVersion
    action: str
    raw: str
    budget_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandTaken(Happened):
    """rule-service has it in DOWNLINK."""

    command_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandNotTaken(Happened):
    """rule-service did not take the command on its way."""

    command_id: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandWaits(Happened):
    """The site holds the command until an operator says a word, from the journal."""

    command_id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandEnded(Happened):
    """The site's disposition of a command, from the journal."""

    command_id: str
    disposition: Disposition
    reason: str
    answer: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settle(Happened):
    """A person has seen to what is open about this entry; `seq` 0: about the charge point as a whole."""

    trouble: Trouble
    incarnation: str
    seq: int
    by: str


Event = (
    Journaled
    | Refilled
    | Saved
    | Opened
    | NotOpened
    | Ended
    | FrameCame
    | Tick
    | SiteReach
    | RoleChanged
    | AuthoriseAsked
    | RelayAsked
    | CommandTaken
    | CommandNotTaken
    | CommandWaits
    | CommandEnded
    | Settle
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Connect:
    """Effect: open an upstream connection; ends in Opened or NotOpened."""

    version: OcppVersion = OcppVersion.V16


@dataclass(frozen=True, slots=True, kw_only=True)
class Close:
    """Effect: close this connection; ends in Ended."""

    connection: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """Effect."""

    connection: str
    frame: str
    what: str
    """For metrics: the action, or `answer`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refill:
    """Effect: read this charge point's facts after `after_seq` of the stream, at most so many; ends in Refilled."""

    after_seq: int
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerAuthorise:
    """Effect: the CSMS's word, or None where it gave none."""

    request: str
    verdict: CloudVerdict | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerRelay:
    """Effect: the CSMS's answer to what was relayed, or why there is none."""

    request: str
    reply: RelayReply


@dataclass(frozen=True, slots=True, kw_only=True)
class SendToSite:
    """Effect: give the command to rule-service, for DOWNLINK; ends in CommandTaken or CommandNotTaken."""

    command: Command


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Effect: something worth a log line and a counter."""

    level: Literal["info", "warning"]
    what: str
    names: tuple[tuple[str, object], ...] = ()


Effect = Connect | Close | Send | Refill | AnswerAuthorise | AnswerRelay | SendToSite | Note
