"""Find a nats-server that will do, start it, wait until it is ready, stop it."""

from __future__ import annotations

import asyncio
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

FLOOR = (2, 14)
READY_S = 60
STOP_S = 10


class NatsServerError(Exception):
    """Root of what can go wrong with a nats-server process."""


class NatsServerMissing(NatsServerError):
    """None that will do; the sentence names the remedy."""


class NatsServerFailed(NatsServerError):
    """It did not start; the sentence has its last words."""


def find() -> Path:
    """The one on PATH, else the one `make nats` put into .tools/. Raise NatsServerMissing."""
    too_old = []
    for candidate in _candidates():
        version = version_of(candidate)
        if version >= FLOOR:
            return candidate
        too_old.append(f"{candidate} is {'.'.join(map(str, version)) or 'not runnable'}")
    found = f" ({'; '.join(too_old)})" if too_old else ""
    raise NatsServerMissing(
        f"no nats-server {'.'.join(map(str, FLOOR))} or newer{found}: run `make nats`, "
        "or put one on PATH"
    )


def _candidates() -> Iterator[Path]:
    on_path = shutil.which("nats-server")
    if on_path:
        yield Path(on_path)
    seen = set()
    for start in (Path.cwd(), Path(__file__).resolve()):
        for folder in (start, *start.parents):
            unpacked = folder / ".tools" / "nats-server"
            if unpacked.is_file() and unpacked not in seen:
                seen.add(unpacked)
                yield unpacked


def version_of(binary: Path) -> tuple[int, ...]:
    """(major, minor, patch); empty when it does not run or says something else."""
    try:
        said = subprocess.run(
            [binary, "--version"], capture_output=True, text=True, timeout=10, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return parse_version(said)


def parse_version(said: str) -> tuple[int, ...]:
    """Out of `nats-server: v2.15.1`."""
    found = re.search(r"v(\d+)\.(\d+)\.(\d+)", said)
    return tuple(int(part) for part in found.groups()) if found else ()


class NatsServer:
    """One process. Its log goes to `log`; it is appended to over restarts."""

    def __init__(self, conf: Path, *, log: Path, binary: Path | None = None) -> None:
        self.conf = conf
        self.log = log
        self._binary = binary
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Return when it takes clients. Raise NatsServerMissing, NatsServerFailed."""
        assert self._process is None, "it runs already"
        binary = self._binary or find()
        said_before = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                binary, "-c", self.conf, stdout=log, stderr=log
            )
        try:
            async with asyncio.timeout(READY_S):
                # Another process: there is no event of ours to wait for.
                while not self._is_ready(said_before):  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
        except TimeoutError:
            await self.kill()
            raise NatsServerFailed(
                f"nats-server with {self.conf} is not ready after {READY_S} s: see {self.log}"
            ) from None

    def _is_ready(self, said_before: int) -> bool:
        """Its own word: a port that answers may still be without its streams. Raise NatsServerFailed."""
        assert self._process is not None
        said = self.log.read_bytes()[said_before:].decode(errors="replace")
        if self._process.returncode is not None:
            self._process = None
            last = (said.strip().splitlines() or ["it said nothing"])[-1]
            raise NatsServerFailed(f"nats-server with {self.conf} did not start: {last}")
        return "Server is ready" in said

    async def stop(self) -> None:
        """As it should stop."""
        await self._end(signal.SIGTERM)

    async def kill(self) -> None:
        """As a power cut would, but for the page cache."""
        await self._end(signal.SIGKILL)

    async def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        process.send_signal(number)
        try:
            async with asyncio.timeout(STOP_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    async def wait(self) -> int:
        """Until it ends by itself: its exit code."""
        assert self._process is not None
        return await self._process.wait()
