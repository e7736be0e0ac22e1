"""A short story told the same way each time: boot, start, meter, stop, cut, a session while cut off, heal.

No fault but the one that a test plants: one process dies of its n-th effect. Told once for every n, it shows
that there is no effect after which a crash breaks a promise.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from pathlib import Path

from holdfast import rpc, subjects
from holdfast.bus import Bus, BusError
from holdfast.contracts.command import Command, CommandReceipt, SendCommand
from holdfast.contracts.mode import Mode, ModeStatus
from holdfast.contracts.rpc import Empty
from holdfast_testkit.sim_clock import run_virtual
from simulation.faults import CsmsFaults, Faults
from simulation.order import drawn_order
from simulation.provisioning import LISTED, SITE
from simulation.story import Lived, scratch_folder, settle, without_gc
from simulation.world import BRIDGES, SimWorld

SCENE_MS_MAX = 60_000
"""A scene that does not come about by then is left out; the liveness phase judges what follows."""


def tell(*, kill_at_effect: int | None = None, csms: bool = False) -> Lived:
    """With a CSMS only what the bridges do is counted as effects; it does not recognise a start that comes twice."""
    with scratch_folder() as folder, without_gc(), drawn_order(random.Random("scripted")):
        return run_virtual(_tell(folder, kill_at_effect, csms))


async def _tell(folder: Path, kill_at_effect: int | None, csms: bool) -> Lived:
    faults = Faults(seed=1, csms=CsmsFaults(deduplicates=False) if csms else None)
    async with SimWorld.open(faults, folder, charge_points=1) as world:
        world.kill_at_effect = kill_at_effect
        if csms:
            world.counted = BRIDGES
        [charge_point] = world.charge_points
        await _until(world, lambda: charge_point.is_connected)
        await until_mode(world, Mode.CONNECTED)
        await _charge(world)
        await _send_command(world)
        world.link.cut()
        await until_mode(world, Mode.AUTONOMOUS)
        await _charge(world)
        world.link.heal()
        await until_mode(world, Mode.CONNECTED)
        return await settle(world)


async def _charge(world: SimWorld) -> None:
    [charge_point] = world.charge_points
    ends_ms = world.clock.monotonic_ms() + SCENE_MS_MAX
    while not await charge_point.plug(LISTED):
        if world.clock.monotonic_ms() > ends_ms:
            return
        await world.clock.sleep_ms(1_000)
    await world.clock.sleep_ms(7_000)
    charge_point.unplug()
    await _until(world, lambda: charge_point.is_settled)


async def _send_command(world: SimWorld) -> None:
    """Tried until its receipt came: a command is one by its id, however often it is sent."""
    now_ms = world.cloud_clock.now_ms()
    command = Command(
        id="c1",
        charge_point=world.charge_points[0].identity,
        action="ChangeAvailability",
        payload={"connectorId": 1, "type": "Operative"},
        issued_at_ms=now_ms,
        deadline_ms=now_ms + 20_000,
    )
    client = world.cloud.client("console")
    request = SendCommand(site=SITE, command=command)
    subject = subjects.cloud_rpc("command")
    for _ in range(10):
        try:
            receipt = await rpc.call(client, subject, request, CommandReceipt, timeout_ms=1_000)
            world.accepted += [command.id] if receipt.accepted else []
            break
        except BusError:
            await world.clock.sleep_ms(500)
    await world.clock.sleep_ms(2_000)


async def _until(world: SimWorld, holds: Callable[[], bool]) -> None:
    ends_ms = world.clock.monotonic_ms() + SCENE_MS_MAX
    while not holds() and world.clock.monotonic_ms() < ends_ms:
        await world.clock.sleep_ms(250)


async def until_mode(world: SimWorld, wanted: Mode) -> None:
    client = world.site.client("looker")
    try:
        async with asyncio.timeout(SCENE_MS_MAX / 1000):
            while await _mode(client) is not wanted:
                await world.clock.sleep_ms(250)
    except TimeoutError:
        world.note(f"scene: {wanted} did not come")


async def _mode(client: Bus) -> Mode | None:
    subject = subjects.rpc(SITE, "mode")
    try:
        status = await rpc.call(client, subject, Empty(), ModeStatus, timeout_ms=500)
    except BusError:
        return None
    return status.mode
