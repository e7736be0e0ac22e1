"""The disk of a simulated server: streams with JetStream's semantics as services see them.

A disk outlives its server's crash. `wipe` is a new disk, `refuse_writes` a full or failing one.
"""

from __future__ import annotations

import functools
import heapq
import itertools
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from holdfast.bus import CopySpec, Message, StreamFull, StreamSpec, StreamState

OVERHEAD_BYTES = 34
"""What a file store adds to each message, about."""


@functools.lru_cache(maxsize=65_536)
def matches(pattern: str, subject: str) -> bool:
    """True when the subject (or narrower pattern) falls under the pattern."""
    wanted, given = pattern.split("."), subject.split(".")
    for index, token in enumerate(wanted):
        if token == ">":
            return len(given) > index
        if index >= len(given) or given[index] == ">" or token not in ("*", given[index]):
            return False
    return len(wanted) == len(given)


def collide(one: str, other: str) -> bool:
    """True when some subject falls under both patterns."""
    ones, others = one.split("."), other.split(".")
    for index, (a, b) in enumerate(zip(ones, others, strict=False)):
        if ">" in (a, b):
            return True
        if a != b and "*" not in (a, b):
            return False
        if index + 1 in (len(ones), len(others)):
            break
    return len(ones) == len(others)


def wanted(subjects: Sequence[str], subject: str) -> bool:
    return not subjects or any(matches(pattern, subject) for pattern in subjects)


@dataclass(slots=True)
class SimConsumer:
    """A durable's position: of a pull (`reader_x`, `fold_x`), or of a copy (`deliver` is set)."""

    name: str
    subjects: tuple[str, ...]
    deliver: str = ""
    floor: int = 0
    """Everything wanted up to here is acknowledged."""
    delivered: int = 0
    handed: dict[int, int] = field(default_factory=dict)
    """Handed out and not acknowledged: sequence to the monotonic time it comes again."""
    attempts: dict[int, int] = field(default_factory=dict)
    paused_until_ms: int = 0

    def ack(self, seq: int) -> None:
        self.handed.pop(seq, None)
        self.attempts.pop(seq, None)
        self.floor = max(self.floor, min(self.handed) - 1 if self.handed else self.delivered)

    def stand(self, seq: int) -> None:
        """As if all up to there had been acknowledged."""
        self.floor = self.delivered = seq

    def rewind(self) -> None:
        """A reader begins anew: whatever it had in hand comes again, in order."""
        self.handed.clear()
        self.attempts.clear()
        self.delivered = self.floor


class SimStream:
    """One stream, or the durable copy of one."""

    def __init__(self, spec: StreamSpec | CopySpec, life: int) -> None:
        self.name = spec.name
        self.spec = spec
        self.life = life
        """Differs between two streams of one name: the second is not the first."""
        self.subjects = spec.subjects if isinstance(spec, StreamSpec) else ()
        self.messages: dict[int, Message] = {}
        self.consumers: dict[str, SimConsumer] = {}
        self.last_seq = 0
        self.bytes = 0
        self.removals = 0
        self.heard_at_ms: int | None = None
        """Of a copy, monotonic: when its origin was last heard."""
        self._order: deque[int] = deque()
        self._of_subject: dict[str, deque[int]] = {}
        self._ids: dict[str, tuple[int, int]] = {}
        self._expiring: list[tuple[int, int]] = []

    @property
    def is_copy(self) -> bool:
        return isinstance(self.spec, CopySpec)

    @property
    def bytes_max(self) -> int:
        return self.spec.bytes_max if isinstance(self.spec, StreamSpec) else -1

    @property
    def first_seq(self) -> int:
        while self._order and self._order[0] not in self.messages:
            self._order.popleft()
        return self._order[0] if self._order else self.last_seq + 1

    def state(self, now_ms: int, monotonic_ms: int) -> StreamState:
        self.expire(now_ms)
        heard = self.heard_at_ms
        return StreamState(
            name=self.name,
            subjects=self.subjects,
            first_seq=self.first_seq,
            last_seq=self.last_seq,
            bytes=self.bytes,
            bytes_max=self.bytes_max,
            messages=len(self.messages),
            silent_ms=monotonic_ms - heard if self.is_copy and heard is not None else None,
        )

    def duplicate_of(self, message_id: str, now_ms: int) -> int | None:
        """Sequence of the message with this id inside the window."""
        assert isinstance(self.spec, StreamSpec)
        seen = self._ids.get(message_id)
        if seen and now_ms - seen[1] < self.spec.duplicate_window_s * 1000:
            return seen[0]
        return None

    def store(
        self,
        subject: str,
        data: bytes,
        *,
        id: str,
        headers: Mapping[str, str],
        ttl_s: int | None,
        now_ms: int,
    ) -> int:
        """Raise StreamFull."""
        assert isinstance(self.spec, StreamSpec)
        message = Message(
            stream=self.name,
            seq=self.last_seq + 1,
            subject=subject,
            id=id,
            data=data,
            stored_at_ms=now_ms,
            headers=dict(headers) | ({"Nats-TTL": str(ttl_s)} if ttl_s else {}),
        )
        room = self.spec.bytes_max - self.bytes - size_of(message)
        if self.spec.bytes_max >= 0 and room < 0 and self.spec.when_full == "refuse":
            raise StreamFull(f"{self.name}: maximum bytes exceeded ({self.spec.bytes_max})")
        self.put(message)
        if id:
            self._ids[id] = (message.seq, now_ms)
        while self.spec.bytes_max >= 0 and self.bytes > self.spec.bytes_max and self.messages:
            self.remove(self.first_seq)
        return message.seq

    def put(self, message: Message) -> None:
        """At its own sequence: an append, or a message that a copy received."""
        assert message.seq > self.last_seq
        self.messages[message.seq] = message
        self._order.append(message.seq)
        self.last_seq = message.seq
        self.bytes += size_of(message)
        held = self._of_subject.setdefault(message.subject, deque())
        held.append(message.seq)
        if self.spec.ttl and "Nats-TTL" in message.headers:
            lives_ms = int(message.headers["Nats-TTL"]) * 1000
            heapq.heappush(self._expiring, (message.stored_at_ms + lives_ms, message.seq))
        age_max_s = self.spec.age_max_s if isinstance(self.spec, StreamSpec) else 0
        if age_max_s:
            heapq.heappush(self._expiring, (message.stored_at_ms + age_max_s * 1000, message.seq))
        while 0 < self.spec.per_subject_max < len(held):
            self.remove(held[0])

    def skip_to(self, seq: int) -> None:
        """A copy leaves out what its origin will not send."""
        if seq > self.last_seq:
            self.last_seq = seq

    def remove(self, seq: int) -> None:
        message = self.messages.pop(seq, None)
        if message is None:
            return
        self.removals += 1
        self.bytes -= size_of(message)
        held = self._of_subject[message.subject]
        held.remove(seq)
        if not held:
            del self._of_subject[message.subject]

    def expire(self, now_ms: int) -> None:
        while self._expiring and self._expiring[0][0] <= now_ms:
            self.remove(heapq.heappop(self._expiring)[1])

    def trim(self, below_seq: int) -> None:
        while self.messages and self.first_seq < below_seq:
            self.remove(self.first_seq)
        # As JetStream: purging up to beyond the end leaves the next sequence where it was.

    def last_of(self, subject: str) -> Message | None:
        if "*" not in subject and ">" not in subject:
            held = self._of_subject.get(subject)
            return self.messages[held[-1]] if held else None
        seqs = [held[-1] for name, held in self._of_subject.items() if matches(subject, name)]
        return self.messages[max(seqs)] if seqs else None

    def held(self, subject: str) -> int:
        return sum(len(held) for name, held in self._of_subject.items() if matches(subject, name))

    def last_per_subject(self, subjects: Sequence[str]) -> list[int]:
        return sorted(held[-1] for name, held in self._of_subject.items() if wanted(subjects, name))

    def retire(self, parked: str) -> None:
        """A copy becomes an ordinary stream; an ordinary one lets go of its subjects."""
        if isinstance(self.spec, CopySpec):
            self.spec = StreamSpec(
                name=self.name, subjects=(parked,), bytes_max=-1, when_full="drop-oldest"
            )
        self.subjects = (parked,)


def size_of(message: Message) -> int:
    headers = sum(len(key) + len(value) + 4 for key, value in message.headers.items())
    return len(message.subject) + len(message.data) + len(message.id) + headers + OVERHEAD_BYTES


class Cursor:
    """Reads a stream forward: which sequences come next, and how many are left."""

    def __init__(self, stream: SimStream, subjects: Sequence[str], start: int) -> None:
        self._stream = stream
        self._subjects = tuple(subjects)
        self._scanned = start - 1
        self._ahead: deque[int] = deque()
        self._removals = stream.removals

    def put_first(self, seqs: Sequence[int]) -> None:
        self._ahead.extendleft(reversed(seqs))

    def next(self) -> Message | None:
        """The next message, with `pending` filled; None when there is none yet."""
        self._look()
        if not self._ahead:
            return None
        message = self._stream.messages[self._ahead.popleft()]
        return _with_pending(message, len(self._ahead))

    def _look(self) -> None:
        stream = self._stream
        if stream.removals != self._removals:
            self._removals = stream.removals
            self._ahead = deque(seq for seq in self._ahead if seq in stream.messages)
        for seq in range(max(self._scanned + 1, stream.first_seq), stream.last_seq + 1):
            message = stream.messages.get(seq)
            if message and wanted(self._subjects, message.subject):
                self._ahead.append(seq)
        self._scanned = max(self._scanned, stream.last_seq)


def _with_pending(message: Message, pending: int) -> Message:
    return Message(
        stream=message.stream,
        seq=message.seq,
        subject=message.subject,
        id=message.id,
        data=message.data,
        stored_at_ms=message.stored_at_ms,
        headers=message.headers,
        pending=pending,
    )


class SimDisk:
    """Everything of one server that a crash leaves behind."""

    def __init__(self) -> None:
        self.streams: dict[str, SimStream] = {}
        self.refuse_writes = False
        self._lives = itertools.count(1)

    def wipe(self) -> None:
        """A new, empty disk. Crash the server first, as one does."""
        self.streams.clear()

    def make(self, spec: StreamSpec | CopySpec) -> SimStream:
        stream = SimStream(spec, next(self._lives))
        self.streams[spec.name] = stream
        return stream
