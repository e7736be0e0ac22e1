"""What has no order comes in another one; and nobody gets a thread, which would be as fast as the machine.

    with disordered(seed): ...

A life must not show it. asyncio keeps tasks in sets, whose order is that of addresses: which child of a group that ends
is cancelled first, which of several that are done is looked at first.
"""

from __future__ import annotations

import asyncio
import asyncio.tasks
import random
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn
from unittest.mock import patch


class Disordered(set[Any]):
    """A set that is gone through in another order each time."""

    def __init__(self, rng: random.Random, items: Iterable[Any] = ()) -> None:
        super().__init__(items)
        self._rng = rng

    def __iter__(self) -> Iterator[Any]:
        items = list(super().__iter__())
        self._rng.shuffle(items)
        return iter(items)

    def pop(self) -> Any:
        item = next(iter(self))
        self.remove(item)
        return item


@contextmanager
def disordered(seed: int) -> Iterator[None]:
    rng = random.Random(seed)
    begin, wait = asyncio.TaskGroup.__init__, asyncio.tasks.wait

    def in_disorder(group: asyncio.TaskGroup) -> None:
        begin(group)
        group._tasks = Disordered(rng)  # type: ignore[attr-defined]

    async def waited(*args: Any, **kwargs: Any) -> tuple[set[Any], set[Any]]:
        done, pending = await wait(*args, **kwargs)
        return Disordered(rng, done), Disordered(rng, pending)

    def refused(thread: threading.Thread) -> NoReturn:
        raise AssertionError(f"a life on virtual time began the thread {thread.name!r}")

    with (
        patch.object(asyncio.TaskGroup, "__init__", in_disorder),
        patch.object(asyncio, "wait", waited),
        patch.object(threading.Thread, "start", refused),
    ):
        yield
