"""What was answered before, so that a repeat gets the same answer and takes no second effect.

    the same effect  <=>  the same business key:
        StartTransaction   connector, idTag, meterStart, timestamp    (*)
        MeterValues        the payload (which names the transaction, or the connector)
        StopTransaction    the transaction

(*) A session that ended before the charge point booted is of an old life: a start with its key is the start
of a new session, unless its message id is the same, too. A charge point without a clock may have nothing
else to tell two sessions apart. A session that has not ended lives on over a boot: its start, sent again out
of a queue that was kept, is a repeat.

Else message ids decide nothing. Some firmware retries with the same id, some with a new one, and some uses
the same ids again after every boot. A message with a known id *and* the same payload has a known business
key, and one with a known id and another payload is another message: the key covers all three.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from itertools import islice

from holdfast.empty import nothing

NEWEST_MAX = 16


def digest(*parts: str | int | None) -> str:
    """Stands for the parts, in every process and every life: a key, or a fact's id."""
    joined = "\x1f".join(map(str, parts))
    return sha256(joined.encode("utf-8", "surrogatepass")).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Memory:
    """The newest `limit` keys (and up to `NEWEST_MAX` more) with what each was answered. At the bound the oldest are
    forgotten: then the stream's own window (an hour) drops a repeat, and after it the folds do.
    """

    limit: int
    held: Mapping[str, str] = field(default_factory=nothing)
    newest: Mapping[str, str] = field(default_factory=nothing)
    """Those that came last: a few, so that remembering one more copies only a few."""

    def get(self, key: str) -> str | None:
        answer = self.newest.get(key)
        return self.held.get(key) if answer is None else answer

    def all(self) -> Mapping[str, str]:
        """The oldest first."""
        return {**self.held, **self.newest} if self.newest else self.held

    def __contains__(self, key: str) -> bool:
        return key in self.newest or key in self.held

    def remembering(self, key: str, answer: str) -> Memory:
        if self.get(key) == answer:
            return self
        newest = {**self.newest, key: answer}
        if len(newest) <= NEWEST_MAX:
            return Memory(self.limit, self.held, newest)
        held = {**self.held, **newest}
        return Memory(self.limit, dict(islice(held.items(), max(0, len(held) - self.limit), None)))

    def without(self, keys: Collection[str]) -> Memory:
        held = self.all()
        left = {key: answer for key, answer in held.items() if key not in keys}
        return Memory(self.limit, left)


@cache
def no_memory(limit: int) -> Memory:
    """One for all records that have none yet."""
    return Memory(limit=limit)
