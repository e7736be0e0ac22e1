"""What asyncio has no order for gets one that the seed draws; and nobody gets a thread: it is as fast as the machine.

    with drawn_order(rng): ...

A TaskGroup keeps its tasks in a set, whose order is that of addresses in memory: which child of a group that ends is
cancelled first was chance that no seed repeats (a bridge that is killed closes its connections in that order). Now it
is luck like any other of the life.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn
from unittest.mock import patch


class Drawn(set[Any]):
    """A set that is gone through in an order drawn anew each time, whatever the addresses of its items."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__()
        self._rng = rng
        self._as_added: dict[Any, None] = {}

    def add(self, item: Any) -> None:
        super().add(item)
        self._as_added[item] = None

    def discard(self, item: Any) -> None:
        super().discard(item)
        self._as_added.pop(item, None)

    def __iter__(self) -> Iterator[Any]:
        items = list(self._as_added)
        self._rng.shuffle(items)
        return iter(items)


@contextmanager
def drawn_order(rng: random.Random) -> Iterator[None]:
    begin = asyncio.TaskGroup.__init__

    def with_order(group: asyncio.TaskGroup) -> None:
        begin(group)
        group._tasks = Drawn(rng)  # type: ignore[attr-defined]

    def refused(thread: threading.Thread) -> NoReturn:
        raise AssertionError(f"a life on virtual time began the thread {thread.name!r}")

    with (
        patch.object(asyncio.TaskGroup, "__init__", with_order),
        patch.object(threading.Thread, "start", refused),
    ):
        yield
