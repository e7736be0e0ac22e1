"""The bus as services see it: few verbs, one for NATS (`nats_bus.py`), one simulated (the test kit).

Streams are read and written only here. `append` returns after the stream has it on disk and checks
which stream acknowledged; `pull` hands out one message at a time and forgets it only on `ack`.
Everything is delivered at least once: readers are idempotent by (site, incarnation, seq) or id.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol


class BusError(Exception):
    """Root of what a bus can raise."""


class AppendRefused(BusError):
    """The stream did not take it: nothing may be acknowledged onward."""


class StreamFull(AppendRefused):
    """Hard storage limit reached, or the disk refuses."""


class NotAcknowledged(AppendRefused):
    """No answer in time: it may or may not be stored. Append again with the same id."""


class WrongStream(AppendRefused):
    """Another stream than the expected one binds the subject."""


class Conflict(AppendRefused):
    """Somebody else has written this subject since: read it again before writing."""


class StreamGone(BusError):
    """The stream read from or written to no longer exists: the disk was lost or the incarnation changed."""


class BusClosed(BusError):
    """This process's own connection is closed."""


class AdminRefused(BusError):
    """The server refuses to make or change a stream or consumer as asked."""


class RequestFailed(BusError):
    """A request without reply."""


class NoResponder(RequestFailed):
    """Nobody listens: known at once."""


class RequestTimedOut(RequestFailed):
    """Somebody may listen: nothing came back in time."""


class Stored(NamedTuple):
    """Where an append went. `duplicate`: the id was there already, at `seq`."""

    stream: str
    seq: int
    duplicate: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A stored message."""

    stream: str
    seq: int
    subject: str
    id: str
    """Its Nats-Msg-Id; empty when it was written without."""
    data: bytes
    stored_at_ms: int
    headers: Mapping[str, str] = field(default_factory=dict)
    pending: int = 0
    """How many more the stream held for this reader when this one was handed out; 0: caught up."""


class Delivery(Protocol):
    """A message handed out by `pull`; it comes again until `ack`."""

    @property
    def message(self) -> Message: ...
    @property
    def attempts(self) -> int:
        """1 for the first time."""
        ...

    async def ack(self) -> None: ...
    async def again(self, delay_ms: int) -> None:
        """Hand it out again after the delay."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    subject: str
    data: bytes


Handler = Callable[[Request], Awaitable[bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamState:
    name: str
    subjects: tuple[str, ...]
    first_seq: int
    """The first still held; last_seq + 1 when empty."""
    last_seq: int
    bytes: int
    bytes_max: int
    """-1: no limit."""
    messages: int
    silent_ms: int | None = None
    """Of a copy: since its origin was last heard; None when never or when this is no copy."""


Appending = asyncio.Future[Stored] | Coroutine[Any, Any, Stored]
"""To be awaited. A future is on its way already; a coroutine has to wait for something else first."""


class Bus(Protocol):
    def append(
        self,
        stream: str,
        subject: str,
        data: bytes,
        *,
        id: str,
        ttl_s: int | None = None,
        headers: Mapping[str, str] | None = None,
        last_seq: int | None = None,
    ) -> Appending:
        """Store durably; whoever awaits it may hear AppendRefused (see its kinds) when that is not certain.

        With `last_seq` only if that is still the newest sequence of this very subject (0: there is none);
        else raise Conflict. That comes before the id is looked at: who wrote and heard no acknowledgement reads
        the newest, and knows its own by the id.
        """
        ...

    def pull(
        self, stream: str, durable: str, *, subjects: Sequence[str] = (), batch: int = 100
    ) -> AsyncIterator[Delivery]:
        """From the durable's position, for ever, in order; at most `batch` unacknowledged.

        The durable is made at the stream's beginning when it is missing. Raise StreamGone.
        A pull that begins gets at once, in order, everything its durable has not seen acknowledged; so
        after any trouble. What a reader walks past without `ack` comes again after 30 s, out of order.
        One reader per durable. `async with aclosing(bus.pull(...))` where the loop may end early.
        """
        ...

    def follow(
        self,
        stream: str,
        *,
        subjects: Sequence[str] = (),
        start: int | Literal["last-per-subject", "new"] = 1,
    ) -> AsyncIterator[Message]:
        """From `start`, for ever, in order, without acknowledgement: for folds and views. Raise StreamGone."""
        ...

    async def folded(self, stream: str, durable: str, seq: int) -> None:
        """Of a fold that keeps a snapshot of its own: it needs nothing up to `seq` any more.

        The durable stands there as if all of it had been pulled and acknowledged, and none of it was sent; it is
        made when it is missing. Not for one that is pulled as well. Raise StreamGone or RequestFailed.
        """
        ...

    async def last(self, stream: str, subject: str) -> Message | None: ...
    async def get(self, stream: str, seq: int) -> Message | None: ...
    async def state(self, stream: str) -> StreamState:
        """Raise StreamGone."""
        ...

    async def held(self, stream: str, subject: str) -> int:
        """How many messages the stream holds whose subject matches. Raise StreamGone."""
        ...

    async def stream_of(self, subject: str) -> str | None:
        """Name of the stream that binds this subject (wildcards as bound), on this server."""
        ...

    async def request(self, subject: str, data: bytes, *, timeout_ms: int) -> bytes:
        """Raise RequestFailed (see its kinds)."""
        ...

    async def respond(self, subject: str, handler: Handler) -> None:
        """Answer requests until the bus closes. A handler that raises is logged and answers `Failure`.

        Once it returns, whoever asks at the same server is answered; over a leaf a little later.
        """
        ...


# --- what the journal service and provisioning need beyond it ---


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamSpec:
    """A stream as it shall be."""

    name: str
    subjects: tuple[str, ...]
    bytes_max: int
    when_full: Literal["refuse", "drop-oldest"]
    atomic: bool = False
    """Atomic batches; a copy refuses the setting."""
    per_subject_max: int = -1
    ttl: bool = False
    duplicate_window_s: int = 3600
    age_max_s: int = 0
    replicas: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class CopySpec:
    """A durable copy of a stream of another domain, under the same name.

    Order matters (measured on nats-server 2.15.1). When a copy is made, or connects again, it takes over
    the position of its origin's consumer. Made over a consumer that has acknowledged up to n, it begins at
    n + 1 for good (`first_seq` n + 1, `messages` 0), and binding the consumer anew does not help: what
    comes again is older than where the copy believes to stand. So:

        bind_consumer at the origin, answered, then ensure_copy
        a spoiled copy: delete_stream, bind_consumer, ensure_copy

    Made before there is a consumer, a copy looks for one over and over and mostly comes right; about one in
    twenty stayed empty for good when the consumer came just as it looked. Binding again
    under a live, full copy does no harm.
    """

    name: str
    origin_domain: str
    consumer: str
    deliver: str
    per_subject_max: int = -1
    ttl: bool = False
    replicas: int = 1


class StreamAdmin(Protocol):
    """Making, copying, trimming. `domain=None` is this server's own; another goes through the leaf."""

    async def streams(self, prefix: str) -> Sequence[StreamState]: ...
    async def ensure_stream(self, spec: StreamSpec) -> bool:
        """True when something was made or changed."""
        ...

    async def ensure_copy(self, spec: CopySpec) -> bool: ...
    async def bind_consumer(
        self, stream: str, consumer: str, deliver: str, subject: str, *, domain: str | None = None
    ) -> None:
        """(Re)create the origin's durable push consumer with flow-control acks, from the first message on.

        Always before the copy is made: see `CopySpec`.
        """
        ...

    async def has_consumer(
        self, stream: str, consumer: str, *, domain: str | None = None
    ) -> bool: ...
    async def release_subjects(self, stream: str, parked: str) -> None:
        """Let go of the live subjects, so that the next incarnation can bind them; content stays."""
        ...

    async def retire_copy(self, stream: str, parked: str) -> None:
        """Make a copy an ordinary stream: it keeps its messages and stops listening."""
        ...

    async def delete_stream(self, stream: str) -> None: ...
    async def trim(self, stream: str, below_seq: int) -> None:
        """Remove every message below `below_seq`."""
        ...

    async def fold_floor(self, stream: str) -> int | None:
        """Lowest acknowledged sequence of all `fold_*` consumers; None when there are none."""
        ...

    async def fetch(self, stream: str, seq: int, *, domain: str) -> Message | None:
        """One message straight from its origin; None when the origin does not have it."""
        ...

    async def pause_consumer(self, stream: str, consumer: str, until_ms: int | None) -> None: ...


class ServerBus(Bus, StreamAdmin, Protocol):
    """All of it: what the frame of a service hands over. A service asks for `Bus` unless it needs more."""
