"""Commands in, reports out: one JSON object per line on stdin and stdout.

    {"do": "...", ...}  ->  program  ->  {"event": "...", ...}

The end of stdin, SIGTERM and SIGINT all mean `quit`. A line that is no command is answered with an
`error` event and the program goes on. Reports are written at once and in order: whoever stops reading
stdout stops the program, which is what a test that lost its reader wants.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

LINE_BYTES_MAX = 64 * 1024
"""A longer line is refused as a whole; the next one is read normally."""
COMMANDS_WAITING_MAX = 1_000
"""Commands read ahead of the program; beyond it stdin is left unread."""


class CannotStart(Exception):
    """The surroundings do not allow the program to run; the sentence says what to change."""


class CommandError(Exception):
    """A command that cannot be carried out; reported, and the program goes on."""


@dataclass(frozen=True, slots=True)
class Command:
    """One command line, with typed access to its fields."""

    do: str
    fields: dict[str, Any]

    def text(self, field: str, default: str | None = None) -> str:
        value = self.fields.get(field, default)
        if not isinstance(value, str):
            raise CommandError(f"{self.do!r} needs {field!r} as a string, given {value!r}")
        return value

    def whole(self, field: str, default: int | None = None) -> int:
        value = self.fields.get(field, default)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise CommandError(
                f"{self.do!r} needs {field!r} as a whole number >= 0, given {value!r}"
            )
        return value

    def seconds(self, field: str, default: float | None = None) -> float:
        value = self.fields.get(field, default)
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < 1e6:
            raise CommandError(f"{self.do!r} needs {field!r} in seconds, 0 to 1e6, given {value!r}")
        return float(value)

    def one_of(self, field: str, choices: tuple[str, ...], default: str | None = None) -> str:
        value = self.fields.get(field, default)
        if value not in choices:
            raise CommandError(f"{self.do!r} needs {field!r} as one of {choices}, given {value!r}")
        return str(value)


def decode(line: bytes) -> Command:
    if len(line) > LINE_BYTES_MAX:
        raise CommandError(f"a command line has at most {LINE_BYTES_MAX} bytes, this has more")
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise CommandError(f"a command is one JSON object per line: {error}") from error
    if not isinstance(fields, dict) or not isinstance(fields.get("do"), str):
        raise CommandError('a command is an object with the string "do", given something else')
    return Command(do=fields["do"], fields=fields)


class Console:
    """stdin and stdout of this process."""

    def __init__(self) -> None:
        self._lines: asyncio.Queue[bytes | None] = asyncio.Queue(COMMANDS_WAITING_MAX)
        self._stopped = asyncio.Event()

    def begin(self) -> None:
        """From now on signals stop the program in order. Before the first report, so that none is missed."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopped.set)
        _Reader(loop, self._lines).start()

    async def commands(self) -> AsyncIterator[Command]:
        """Yield commands until `quit`, the end of stdin or a signal."""
        while (line := await _next_or_stop(self._lines, self._stopped)) is not None:
            if not line.strip():
                continue
            try:
                command = decode(line)
            except CommandError as error:
                self.report("error", error=str(error))
                continue
            if command.do == "quit":
                return
            yield command

    def report(self, event: str, **fields: Any) -> None:
        sys.stdout.write(json.dumps({"event": event, **fields}, ensure_ascii=False) + "\n")
        sys.stdout.flush()


async def _next_or_stop(lines: asyncio.Queue[bytes | None], stopped: asyncio.Event) -> bytes | None:
    async with asyncio.TaskGroup() as group:
        line = group.create_task(lines.get())
        stop = group.create_task(stopped.wait())
        done, _ = await asyncio.wait({line, stop}, return_when=asyncio.FIRST_COMPLETED)
        line.cancel()
        stop.cancel()
    return None if stop in done else line.result()


class _Reader(threading.Thread):
    """Reads stdin of any kind (pipe, file, terminal) and hands over whole lines, `None` at the end.

    A thread, because an event loop can wait for pipes but not for files; `os.read`, because a daemon
    thread inside `sys.stdin` would hold its lock when the interpreter shuts down.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, lines: asyncio.Queue[bytes | None]) -> None:
        super().__init__(name="stdin", daemon=True)
        self._loop = loop
        self._lines = lines

    def run(self) -> None:
        rest = b""
        while chunk := self._read():
            *whole, rest = (rest + chunk).split(b"\n")
            for line in whole:
                if not self._hand_over(line):
                    return
            # Of an overlong line only so much is kept as proves that it is too long.
            rest = rest[: LINE_BYTES_MAX + 1]
        if rest:
            self._hand_over(rest)
        self._hand_over(None)

    def _read(self) -> bytes:
        try:
            return os.read(sys.stdin.fileno(), LINE_BYTES_MAX)
        except (OSError, ValueError):
            return b""

    def _hand_over(self, line: bytes | None) -> bool:
        """Wait for room in the queue; False when the program is gone."""
        put = self._lines.put(line)
        try:
            asyncio.run_coroutine_threadsafe(put, self._loop).result()
        except (RuntimeError, asyncio.CancelledError):
            put.close()
            return False
        return True
