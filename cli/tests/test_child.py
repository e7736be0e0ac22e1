"""A supervised process: restarted when it ends unasked, stopped when asked, dead when we are."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from holdfast_cli.world.child import Child

PATIENT = "import time; print('up', flush=True); time.sleep(600)"
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"


async def until(condition: Callable[[], bool], within_s: float = 60) -> None:
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.02)


def child(tmp_path: Path, code: str, told: list[str]) -> Child:
    return Child(
        "it",
        [sys.executable, "-c", code],
        tmp_path / "it.log",
        lambda name, what: told.append(what),
    )


def is_up(path: Path, starts: int) -> Callable[[], bool]:
    return lambda: path.exists() and path.read_text().count("up") == starts


async def test_a_killed_process_is_started_again_and_that_is_said(tmp_path: Path):
    told: list[str] = []
    it = child(tmp_path, PATIENT, told)
    async with asyncio.TaskGroup() as group:
        group.create_task(it.supervise())
        await until(is_up(tmp_path / "it.log", 1))
        it.kill()
        await until(is_up(tmp_path / "it.log", 2))
        await it.stop()
    assert it.starts == 2
    assert told == ["ended with signal SIGKILL, starting it again"]


async def test_a_process_deaf_to_sigterm_is_killed(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("holdfast_cli.world.child.GRACE_S", 0.2)
    it = child(tmp_path, DEAF, [])
    async with asyncio.TaskGroup() as group:
        group.create_task(it.supervise())
        await until(is_up(tmp_path / "it.log", 1))
        await it.stop()
    assert it.starts == 1


async def test_one_held_dead_starts_only_when_released(tmp_path: Path):
    it = child(tmp_path, PATIENT, [])
    async with asyncio.TaskGroup() as group:
        group.create_task(it.supervise())
        await until(is_up(tmp_path / "it.log", 1))
        await it.hold_dead()
        assert it.process is None
        it.release()
        await until(is_up(tmp_path / "it.log", 2))
        await it.stop()


def test_children_die_with_a_killed_parent(tmp_path: Path):
    code = (
        "import asyncio, sys\nfrom pathlib import Path\nfrom holdfast_cli.world.child import Child\n"
        "async def main():\n"
        f"    it = Child('it', [sys.executable, '-c', {PATIENT!r}], Path({str(tmp_path / 'it.log')!r}), print)\n"
        "    process = await it.start()\n    print(process.pid, flush=True)\n    await asyncio.sleep(600)\n"
        "asyncio.run(main())\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    asyncio.run(until(lambda: not is_alive(pid)))


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rsplit(")", 1)[1].split()[0] != "Z"
