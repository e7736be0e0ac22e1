"""One child process: started, watched, started again when it ends unasked, and gone when we are.

A child is in a session of its own, so that Ctrl-C reaches us alone and we stop things in order; the
kernel kills it when this process dies in whatever way.
"""

from __future__ import annotations

import asyncio
import ctypes
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Sequence
from pathlib import Path

RESTART_MS = 500
RESTART_MS_MAX = 5_000
GRACE_S = 5.0
PR_SET_PDEATHSIG = 1


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Child:
    """`told(name, sentence)` hears of every start and unasked end."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        log: Path,
        told: Callable[[str, str], None],
        heard: Callable[[bytes], None] | None = None,
    ) -> None:
        self.name = name
        self._command = [str(part) for part in command]
        self._log = log
        self._told = told
        self._heard = heard
        """Given: it takes lines on stdin, and each line it prints is handed over; else it prints into the log."""
        self.process: Process | None = None
        self.starts = 0
        self._stopping = False
        self._free = asyncio.Event()
        self._free.set()
        self._gone = asyncio.Event()

    async def start(self) -> Process:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=PIPE if self._heard else asyncio.subprocess.DEVNULL,
                stdout=PIPE if self._heard else log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_die_with_parent,
                limit=1 << 20,
            )
        self.starts += 1
        self._gone.clear()
        return self.process

    async def supervise(self) -> None:
        """Keep it running until `stop`; each restart waits longer when it dies young."""
        loop = asyncio.get_running_loop()
        delay_ms = RESTART_MS
        while not self._stopping:
            began = loop.time()
            process = self.process or await self.start()
            await self._listen(process)
            code = await process.wait()
            self.process = None
            self._gone.set()
            if self._stopping:
                return
            self._told(self.name, f"ended with {_how(code)}, starting it again")
            delay_ms = RESTART_MS if loop.time() - began > 10 else min(2 * delay_ms, RESTART_MS_MAX)
            await asyncio.sleep(delay_ms / 1000)
            await self._free.wait()

    async def _listen(self, process: Process) -> None:
        """Until it closes its stdout, which is when it ends."""
        if self._heard is not None:
            assert process.stdout is not None
            async for line in process.stdout:
                self._heard(line)

    async def say(self, line: bytes) -> None:
        """Raise ConnectionError when it is not there to hear."""
        process = self.process
        if process is None or process.stdin is None:
            raise ConnectionError(f"{self.name} is not running")
        process.stdin.write(line + b"\n")
        await process.stdin.drain()

    def kill(self) -> None:
        """SIGKILL, as a power cut would; the supervisor starts it again."""
        if self.process and self.process.returncode is None:
            self.process.kill()

    async def hold_dead(self) -> None:
        """Kill it, and keep it from starting again until `release`."""
        self._free.clear()
        self.kill()
        if self.process is not None:
            await self._gone.wait()

    def release(self) -> None:
        self._free.set()

    async def stop(self) -> None:
        """Ask, then insist."""
        self._stopping = True
        self._free.set()
        process = self.process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            async with asyncio.timeout(GRACE_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    def last_lines(self, count: int = 5) -> str:
        try:
            lines = self._log.read_text(errors="replace").splitlines()
        except OSError:
            return ""
        return "\n".join(lines[-count:])


def _how(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
