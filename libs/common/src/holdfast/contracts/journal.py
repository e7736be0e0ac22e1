"""The journal's own facts and questions: incarnations, checkpoints, trimming, gaps, quarantine."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar, Literal

from pydantic import Field

from holdfast.contracts.envelope import Contract, Entry, Fact
from holdfast.contracts.mode import Head


class IncarnationOpened(Fact):
    """The first fact of a journal: a disk's life begins."""

    TYPE: ClassVar[str] = "journal.incarnation-opened"

    cause: Literal["new disk", "fork"]
    previous: str | None
    """The incarnation before, where the site still knows it."""


class Checkpoint(Fact):
    """Signed: up to `seq` the chain's hash is `hash`."""

    TYPE: ClassVar[str] = "journal.checkpoint"

    seq: int
    hash: str
    signature: str


class Trimmed(Fact):
    """Signed anchor: everything up to `seq` has left this disk, and the chain goes on from `hash`."""

    TYPE: ClassVar[str] = "journal.trimmed"

    seq: int
    hash: str
    signature: str
    watermark: int


class StorageLevel(StrEnum):
    OK = "ok"
    SOFT = "soft"
    """No new session begins; running ones finish in the reserve."""
    HARD = "hard"
    """Writes are refused: nothing is acknowledged."""


class StorageLevelChanged(Fact):
    TYPE: ClassVar[str] = "journal.storage-level-changed"

    level: StorageLevel
    bytes: int
    bytes_max: int


class MessageQuarantined(Fact):
    """A stream message or frame that could not be processed: kept with its reason, later ones go on."""

    TYPE: ClassVar[str] = "journal.message-quarantined"

    stream: str
    seq: int
    subject: str
    reason: str
    data_base64: str = Field(max_length=100_000)
    """The bytes, the first 64 KiB of them."""


class JournalDamaged(Fact):
    """The site's own stored stream is not what it was: the disk lost or changed entries."""

    TYPE: ClassVar[str] = "journal.damaged"

    what: Literal["missing", "altered"]
    """`altered`: the chain no longer meets a checkpoint that this site signed."""
    from_seq: int
    to_seq: int


class GapCause(StrEnum):
    DISK_LOST = "disk lost"
    """A new incarnation came; what the old disk had beyond the watermark is gone."""
    NOT_AT_ORIGIN = "not at origin"
    """The site no longer has an entry that the cloud never got."""
    ALTERED = "altered"
    """Site and cloud differ, or the chain does not meet a signed checkpoint."""


class Gap(Contract):
    """A named range of a journal that the cloud does not have and will not get."""

    site: str
    incarnation: str
    from_seq: int
    to_seq: int | None
    """None: unknown, the disk that could tell is gone."""
    from_ms: int
    """Time of the last entry before the gap."""
    to_ms: int
    """Time of the first entry after it (of the next incarnation, where the disk is lost)."""
    cause: GapCause


class Gaps(Contract):
    gaps: tuple[Gap, ...]


class Confirm(Contract):
    """Request of `up.confirmed`: the site's journal asks the cloud's how far the cloud has it."""

    head: Head


class Confirmed(Contract):
    """Reply of `up.confirmed`. The site compares, and opens a new incarnation when the two differ."""

    incarnation: str
    """The one asked about. One that the cloud does not know yet is answered by a `Failure`."""
    watermark: int
    """Everything up to here is verified and committed durably."""
    hash: str
    """The cloud's chain hash at `watermark`, hex."""
    over: bool
    """The cloud has seen a later incarnation of this site, or another history for this one."""
    downlink_seq: int
    """The newest entry of DOWNLINK that is for this site; 0: there is none."""
    downlink_held: int = 0
    """How many entries of DOWNLINK are for this site and not expired: a copy that holds fewer has a hole."""
    downlink_end_seq: int
    """The end of DOWNLINK: a copy beyond it is one of a stream that is no more."""


class BindDownlink(Contract):
    """Request of `up.downlink`: the site is about to make its copy of DOWNLINK, and needs its consumer anew.

    A copy made over a used consumer leaves out for good what that one saw acknowledged (`bus.CopySpec`).
    """


class DownlinkBound(Contract):
    """Reply of `up.downlink`: make the copy now."""


class HeadRequest(Contract):
    """Request of `rpc.head`; the reply is a `mode.Head`."""


class StorageStatus(Contract):
    """Reply of `rpc.storage`."""

    level: StorageLevel
    bytes: int
    bytes_max: int
    first_seq: int
    last_seq: int
    watermark: int


class EntriesRequest(Contract):
    """Request of `rpc.entries` (site: this disk) and `hf.cloud.rpc.entries` (the archive)."""

    site: str
    after: str = ""
    """Cursor of the reply before; empty for the beginning."""
    limit: int = Field(500, ge=1, le=1000)


class Entries(Contract):
    entries: tuple[Entry, ...]
    subjects: tuple[str, ...]
    next: str | None


class CopyStatus(Contract):
    """The cloud's view of one incarnation of one site."""

    site: str
    incarnation: str
    committed_seq: int
    watermark: int
    """Verified and committed."""
    head_seq: int
    """The last that a pulse reported."""
    chain_verified: bool
    retired: bool
    pulse_at_ms: int | None
    """Cloud clock."""


class CopiesRequest(Contract):
    """Request of `hf.cloud.rpc.copies`."""

    site: str | None = None


class Copies(Contract):
    copies: tuple[CopyStatus, ...]
