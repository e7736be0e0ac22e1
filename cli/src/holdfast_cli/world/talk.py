"""A conversation in JSON lines with a simulator process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from holdfast_cli.world.child import Child


class TalkError(Exception):
    """The simulator said no, or fell silent."""


class Conversation:
    """The child, and what it has said."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        log: Path,
        told: Callable[[str, str], None],
        heard: Callable[[dict[str, Any]], None] = lambda line: None,
    ) -> None:
        self.child = Child(name, command, log, told, self._hear)
        self._heard = heard
        self._lines: list[dict[str, Any]] = []
        self._news = asyncio.Event()

    def _hear(self, data: bytes) -> None:
        try:
            line = json.loads(data)
        except ValueError:
            line = {"event": "error", "error": f"no JSON: {data[:200]!r}"}
        self._lines.append(line)
        self._news.set()
        self._heard(line)

    async def say(self, line: dict[str, Any]) -> None:
        try:
            await self.child.say(json.dumps(line).encode())
        except ConnectionError as error:
            raise TalkError(f"{self.child.name} does not listen: {error}") from error

    def said(self, event: str) -> list[dict[str, Any]]:
        """Every line of that event so far."""
        return [line for line in self._lines if line.get("event") == event]

    async def ask(self, line: dict[str, Any], within_s: float, **fields: Any) -> dict[str, Any]:
        """Say a line, then wait for the first answer with these fields."""
        begin = len(self._lines)
        await self.say(line)
        return await self.until(within_s, begin, **fields)

    async def until(self, within_s: float, begin: int = 0, **fields: Any) -> dict[str, Any]:
        """The first line with these fields, from the line number `begin` on. Raise TalkError."""
        try:
            async with asyncio.timeout(within_s):
                while True:
                    for heard in self._lines[begin:]:
                        if all(heard.get(key) == value for key, value in fields.items()):
                            return heard
                    begin = len(self._lines)
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise TalkError(
                f"{self.child.name} did not say {fields} within {within_s:.0f} s"
            ) from None
