"""The CSMS behind a site: what the bridge keeps of each charge point's delivery, and what others ask it.

A *backend* is one CSMS that the bridge speaks to. One of them is a charge point's primary: its answers
count. Any number of followers get a copy, and their answers are recorded, not acted on.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from pydantic import Field, model_validator

from holdfast.contracts.driver_tokens import TokenType
from holdfast.contracts.envelope import Contract
from holdfast.contracts.mode import CsmsState
from holdfast.contracts.transaction import TransactionId
from holdfast.ocpp.versions import OcppVersion


class InstanceAlive(Contract):
    """In KV under `instance.<id>`: written anew every beat. Who sees no new one for the lease's time, by its
    own monotonic clock, takes the instance for dead.
    """

    instance: str
    beat: int


class SiteOwned(Contract):
    """In KV under `site.<site>`: which instance speaks upstream for this site, and how its CSMS is."""

    site: str
    owner: str | None
    """None: let go in order, free for the next."""
    epoch: int
    """Raised with each owner: what an earlier one still writes is refused."""
    csms: CsmsState = CsmsState.NONE
    read_seq: int = 0
    """Everything up to here in the stream that the bridge reads is delivered, or kept with its charge point."""
    read_id: str = ""
    """Id of the message there: a stream that holds another one is not the one that was read."""
    live: bool = True
    """Whether the site was connected where it was read up to: what it buffered is replayed, not told as news."""
    announced: str | None = None
    """Since when (ISO-8601) the site is called cut off to the webhook; None: it is not. Noted before it is told, so
    that whatever dies in between the word that it is back is never left out."""
    announced_told: bool = False
    """The webhook has taken the first word."""


class AskCsms(Contract):
    """Request of `hf.cloud.rpc.csms-authorise`: rule-service asks on behalf of a site."""

    site: str
    charge_point: str
    driver_token: str = Field(min_length=1, max_length=255)
    token_type: TokenType = TokenType.ID_TAG
    """idTag: the charge point speaks 1.6. A typed one can be asked about in 2.x only, and the other way round."""
    budget_ms: int = Field(ge=1, le=60_000)
    """After it nobody waits for the answer any more."""


class RelayRequest(Contract):
    """Request of `up.relay`: a charge point asks its CSMS something that only the CSMS can answer (class R)."""

    site: str = ""
    """The subject names it; filled in where one instance asks another."""
    charge_point: str
    version: OcppVersion
    action: str
    message_id: str
    raw: str
    """The CALL's payload, byte for byte."""
    budget_ms: int = Field(ge=1, le=60_000)
    """After it nobody waits for the answer any more."""


class RelayReply(Contract):
    """Reply of `up.relay`: exactly one of `raw`, `code` and `reason`."""

    raw: str | None = None
    """Payload of the CSMS's CALLRESULT."""
    code: str | None = None
    """Of the CSMS's CALLERROR."""
    description: str = ""
    """Of the CALLERROR."""
    reason: str | None = None
    """Why there is no answer: away, not attached, too late."""

    @model_validator(mode="after")
    def _one_of_three(self) -> Self:
        if sum(part is not None for part in (self.raw, self.code, self.reason)) != 1:
            raise ValueError("exactly one of raw, code and reason")
        return self


class CaughtUpRequest(Contract):
    """Request of `up.csms`, step 6 of recovery: has the CSMS everything up to this entry?"""

    site: str = ""
    """The subject names it; filled in where one instance asks another."""
    incarnation: str
    seq: int


class CaughtUp(Contract):
    """Reply of `up.csms`."""

    csms: CsmsState
    read: bool
    """The bridge has read the site's journal up to the entry asked about."""
    behind: tuple[str, ...]
    """Charge points with messages up to that entry that the CSMS can still take, the first of them."""
    behind_count: int
    waiting: int
    """Messages of theirs not yet delivered."""
    open_points: tuple[str, ...]
    """What the CSMS refuses: named, and nothing that recovery waits for."""


class Trouble(StrEnum):
    """What can be wrong with a delivery, beyond being late."""

    QUARANTINED = "quarantined"
    """The CSMS did not take one message; it is kept, the others go on."""
    REFUSED_START = "refused start"
    """The CSMS did not accept a start that the site had accepted."""
    DOUBLE_START = "double start"
    """The CSMS may have opened a second transaction for one session."""
    REJECTED = "rejected"
    """The CSMS does not accept this charge point."""


class OpenDelivery(Contract):
    """One named thing that is not as it should be upstream."""

    backend: str
    charge_point: str
    trouble: Trouble
    what: str
    transaction: TransactionId | None = None
    """The local id of the session it is about (2.x: the station's own)."""
    incarnation: str = ""
    seq: int = 0
    """The journal entry it is about; 0: about the charge point as a whole."""
    messages: int = 1
    """Of one session: the entry is the first of so many."""


class SettleDelivery(Contract):
    """Request of `hf.cloud.rpc.upstream-settle`: a named person has seen to an open delivery, outside Holdfast.

    Nothing is sent for it. The message stays in the journal as it was.
    """

    site: str
    backend: str = Field(min_length=1, max_length=32)
    charge_point: str = Field(min_length=1, max_length=255)
    trouble: Trouble
    incarnation: str = ""
    seq: int = Field(0, ge=0)
    by: str = Field(min_length=1, max_length=100)
    """Who says so."""


class DeliverySettled(Contract):
    """Reply of `hf.cloud.rpc.upstream-settle`."""

    settled: int
    """How many that were open by this description; 0: there was none."""


class Phase(StrEnum):
    """Of one upstream connection."""

    CLOSED = "closed"
    """Nobody needs it."""
    CONNECTING = "connecting"
    BOOTING = "booting"
    """Waits for the answer to BootNotification."""
    PENDING = "pending"
    REJECTED = "rejected"
    ACCEPTED = "accepted"


class UpstreamView(Contract):
    """One charge point at one backend."""

    backend: str
    primary: bool
    charge_point: str
    phase: Phase
    since_ms: int
    problem: str = ""
    waiting: int
    """Messages not yet delivered."""
    oldest_at_ms: int | None = None
    """When the oldest of them happened."""
    delivered: int
    """Messages the CSMS answered, since the bridge first knew this charge point."""
    version: OcppVersion = OcppVersion.V16
    """Of the connection; while there is none, of the charge point's own last one."""
    transactions: dict[str, TransactionId] = Field(default_factory=dict)
    """Local transaction id to the CSMS's, of sessions that run. In 2.x they are one."""
    left_out_seq: dict[str, tuple[tuple[int, int], ...]] = Field(default_factory=dict)
    """Of 2.x, by transaction: ranges of seqNo (both ends included) that the site left out by rule, so that the CSMS
    never gets them: no loss. Of those that run and of the last that ended."""
    uncounted_seq: dict[str, tuple[tuple[int, int], ...]] = Field(default_factory=dict)
    """As `left_out_seq`, where nobody knows: left out by rule right before ocpp-edge was restarted, or never came."""
    clock_offset_ms: int | None = None
    """CSMS clock less ours, from its last answer that carried a time. Measured, never applied."""


class UpstreamRequest(Contract):
    """Request of `hf.cloud.rpc.upstream`."""

    site: str


class UpstreamStatus(Contract):
    """Reply of `hf.cloud.rpc.upstream`: every charge point of the site at every backend."""

    at_ms: int
    csms: CsmsState
    instance: str
    """Which bridge instance speaks for this site."""
    charge_points: tuple[UpstreamView, ...]
    open_deliveries: tuple[OpenDelivery, ...]
