"""Around a world that runs: words through the pipe, and what a process is called against what it runs."""

import asyncio
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from holdfast_cli.provision.layout import SCRIPTS, port_names
from holdfast_cli.world import pipe
from holdfast_cli.world.talk import Conversation

ECHO = """
import json, sys
for line in sys.stdin:
    print(json.dumps({"event": "heard", "line": line.rstrip()}), flush=True)
"""


def test_the_second_bridge_is_the_same_program_with_a_port_of_its_own():
    assert SCRIPTS["csms-bridge-2"] == SCRIPTS["csms-bridge"] == "csms-bridge"
    names = port_names(("berlin01",))
    assert {"csms.ocpp", "cloud.csms-bridge.health", "cloud.csms-bridge-2.health"} <= set(names)
    assert len(names) == len(set(names))


async def test_each_line_into_the_pipe_reaches_the_child_whoever_writes_it(tmp_path: Path):
    path = tmp_path / "csms" / "commands"
    talk = Conversation(
        "it", [sys.executable, "-u", "-c", ECHO], tmp_path / "log", lambda name, what: None
    )
    await talk.child.start()
    async with asyncio.TaskGroup() as group:
        group.create_task(talk.child.supervise())
        obeying = group.create_task(pipe.obey(path, talk.child))
        await until(path.is_fifo)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        for word in ("one", "two"):
            await asyncio.to_thread(path.write_text, f"{word}\n")
            assert (await heard(talk, word))["line"] == word
        obeying.cancel()
        await talk.child.stop()


async def heard(talk: Conversation, word: str) -> dict[str, Any]:
    return await talk.until(60, event="heard", line=word)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)
