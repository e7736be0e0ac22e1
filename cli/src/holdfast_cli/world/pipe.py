"""A named pipe into the simulated CSMS of a world that is kept running: whoever has a shell there can talk to it.

echo '{"do":"down"}' > WORLD/csms/commands
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from io import FileIO
from pathlib import Path

from holdfast_cli.world.child import Child

LINE_BYTES_MAX = 1 << 20


async def obey(path: Path, child: Child) -> None:
    """Hand on every line, for ever; to what is no command the child itself says so."""
    with _made(path) as pipe:
        reader = asyncio.StreamReader(limit=LINE_BYTES_MAX)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), pipe
        )
        try:
            while True:
                # Too long a line, or nobody there to hear it: the next one may be better.
                with suppress(ValueError, ConnectionError):
                    await child.say((await reader.readline()).rstrip(b"\n"))
        finally:
            transport.close()


def _made(path: Path) -> FileIO:
    """For its owner only, and anew: what was left in it was for another run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    os.mkfifo(path, 0o600)
    # For writing too, so that it does not end when a writer leaves.
    return FileIO(os.open(path, os.O_RDWR | os.O_NONBLOCK), "r")
