"""Around a world that runs: words through the pipe, and what a process is called against what it runs."""

import asyncio
import json
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from holdfast_cli.provision.layout import SCRIPTS, World, port_names
from holdfast_cli.provision.rules import default_rules_text
from holdfast_cli.provision.step import provision
from holdfast_cli.world import pipe, simulated
from holdfast_cli.world.simulated import Kind
from holdfast_cli.world.talk import Conversation
from holdfast_simulators.charge_points.body import config

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


KINDS = {"CP-01": Kind("1.6", 1), "CP-02": Kind("2.0.1", 2), "CP-03": Kind("2.1", 3)}


def made(root: Path, **profiles: int) -> World:
    world, _ = provision(
        root,
        sites=("berlin01",),
        charge_points=3,
        rules_text=default_rules_text(),
        security_profiles={name.replace("_", "-"): profile for name, profile in profiles.items()},
    )
    return world


def kinds_at(world: World) -> dict[str, Kind]:
    return {
        one["id"]: Kind(one["version"], one["security_profile"])
        for one in simulated.calm_devices(world, "berlin01", KINDS)
    }


def test_simulated_charge_points_are_of_the_kinds_they_are_given(tmp_path: Path):
    world = made(tmp_path, CP_02=2, CP_03=3)
    assert kinds_at(world) == KINDS
    simulated.charge_points(
        world, "berlin01", simulated.calm_devices(world, "berlin01", KINDS), lambda name, what: None
    )
    written = config.load(world.secrets / "berlin01.simulated.json")
    assert [one.version for one in written.charge_points] == ["1.6", "2.0.1", "2.1"]


def test_in_a_world_that_stood_before_they_come_by_the_registry(tmp_path: Path):
    world = made(tmp_path)
    assert made(tmp_path, CP_02=2).plan == world.plan  # for charge points that are there: no change
    assert [kind.security_profile for kind in kinds_at(world).values()] == [1, 1, 1]
    path = world.conf / "berlin01" / "charge-points.json"
    registry = json.loads(path.read_text())
    registry["CP-01"]["security_profile"] = 2
    del registry["CP-03"]
    path.write_text(json.dumps(registry))
    assert [kind.security_profile for kind in kinds_at(world).values()] == [2, 1, 3]


async def heard(talk: Conversation, word: str) -> dict[str, Any]:
    return await talk.until(60, event="heard", line=word)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)
