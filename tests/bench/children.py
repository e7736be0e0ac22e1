"""What the benches share: shipped programs as child processes."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path


@asynccontextmanager
async def process(
    *command: str | Path, stdin: int = DEVNULL, stdout: int = PIPE, log: Path
) -> AsyncIterator[Process]:
    with log.open("ab") as file:
        child = await asyncio.create_subprocess_exec(
            *map(str, command), stdin=stdin, stdout=stdout, stderr=file
        )
        try:
            yield child
        finally:
            if child.returncode is None:
                child.kill()
            await child.wait()


def script(name: str) -> Path:
    return Path(sys.executable).with_name(name)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
