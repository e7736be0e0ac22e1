"""The safe point of new rules: a moment with no decision under way.

    decision -> gate -> decided, journaled, answered          new rules -> gate shut -> those inside finish -> activated

New decisions wait outside while the gate is shut, rather than go on by the old rules: with many charge points one is
always under way, and a safe point would never come. They wait `wait_ms_max` and one append at most; whoever is
inside for longer finishes by the rules it began with, which its decision names.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import TypeVar

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


class Gate:
    def __init__(self) -> None:
        self._inside = 0
        self._is_open, self._is_empty = asyncio.Event(), asyncio.Event()
        self._is_open.set()
        self._is_empty.set()

    def through(
        self, decide: Callable[[Asked, str], Awaitable[Answer]]
    ) -> Callable[[Asked, str], Awaitable[Answer]]:
        async def decided(asked: Asked, subject: str) -> Answer:
            await self._enter()
            try:
                return await decide(asked, subject)
            finally:
                self._leave()

        return decided

    async def _enter(self) -> None:
        while not self._is_open.is_set():
            await self._is_open.wait()
        self._inside += 1
        self._is_empty.clear()

    def _leave(self) -> None:
        self._inside -= 1
        if self._inside == 0:
            self._is_empty.set()

    @asynccontextmanager
    async def shut(self, wait_ms_max: int) -> AsyncIterator[int]:
        """Yields how many are still under way: 0 unless the wait was in vain."""
        self._is_open.clear()
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_ms_max / 1000):
                    await self._is_empty.wait()
            yield self._inside
        finally:
            self._is_open.set()
