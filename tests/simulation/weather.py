"""Makes the faults happen: one task per kind, each with its own luck, all ended by cancelling the group."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from simulation.csms import SimCsms
from simulation.process import Process
from simulation.world import SimWorld

Happening = Callable[[random.Random], Awaitable[None]]


def weather(world: SimWorld) -> list[Coroutine[Any, Any, None]]:
    """The tasks that this world's faults ask for; each runs for ever."""
    faults = world.faults
    kinds: list[tuple[str, int, Happening]] = [
        ("site server", faults.site_server_crash_every_ms, lambda rng: _crash(world, "site", rng)),
        (
            "cloud server",
            faults.cloud_server_crash_every_ms,
            lambda rng: _crash(world, "cloud", rng),
        ),
        ("power", faults.power_loss_every_ms, lambda rng: _lose_power(world, rng, wipe=False)),
        ("cut", faults.cut_every_ms, lambda rng: _cut(world, rng)),
        ("flap", faults.flap_every_ms, lambda rng: _flap(world, rng)),
        ("site clock", faults.site_clock_step_every_ms, lambda rng: _step(world, "site", rng)),
        ("cloud clock", faults.cloud_clock_step_every_ms, lambda rng: _step(world, "cloud", rng)),
        ("disk", faults.disk_refuses_every_ms, lambda rng: _refuse(world, rng)),
    ]
    kinds += [
        (process.name, faults.kill_every_ms, _killing(world, process))
        for process in world.processes.values()
    ]
    for number, charge_point in enumerate(world.charge_points):
        name = charge_point.identity
        kinds += [
            (f"drop {name}", faults.charge_point_drops_every_ms, _dropping(world, number)),
            (f"reboot {name}", faults.charge_point_reboots_every_ms, _rebooting(world, number)),
        ]
    if world.csms is not None:
        kinds += _of_csms(world, world.csms)
    return [_often(world, *kind) for kind in kinds if kind[1] > 0]


def _of_csms(world: SimWorld, csms: SimCsms) -> list[tuple[str, int, Happening]]:
    faults = csms.faults

    async def goes_down(rng: random.Random) -> None:
        csms.stop()
        await world.clock.sleep_ms(rng.randint(500, faults.down_ms_max))
        csms.start()

    async def falls_silent(rng: random.Random) -> None:
        csms.fall_silent()
        await world.clock.sleep_ms(rng.randint(500, faults.silent_ms_max))
        csms.listen_again()

    async def drops(rng: random.Random) -> None:
        if csms.connected:
            csms.drop(rng.choice(csms.connected))

    return [
        ("csms down", faults.down_every_ms, goes_down),
        ("csms silent", faults.silent_every_ms, falls_silent),
        ("csms drops", faults.drops_every_ms, drops),
    ]


async def _often(world: SimWorld, name: str, every_ms: int, happens: Happening) -> None:
    rng = world.chance(f"weather {name}")
    while True:
        await world.clock.sleep_ms(round(rng.expovariate(1 / every_ms)))
        await happens(rng)


async def lose_disk(world: SimWorld, rng: random.Random) -> None:
    """The machine comes back with an empty disk after a while."""
    await _lose_power(world, rng, wipe=True)


async def _lose_power(world: SimWorld, rng: random.Random, *, wipe: bool) -> None:
    world.lose_power(wipe=wipe)
    await world.clock.sleep_ms(rng.randint(1_000, 10_000))
    world.power_up()


async def _crash(world: SimWorld, where: str, rng: random.Random) -> None:
    server = world.site if where == "site" else world.cloud
    world.note(f"{where} server crashes")
    server.crash()
    await world.clock.sleep_ms(rng.randint(200, world.faults.server_down_ms_max))
    server.start()


async def _cut(world: SimWorld, rng: random.Random) -> None:
    faults = world.faults
    if rng.random() < faults.cut_one_way_ratio:
        world.link.cut(rng.choice(("up", "down")))
    else:
        world.link.cut(silent=rng.random() < faults.cut_silent_ratio)
    await world.clock.sleep_ms(rng.randint(500, faults.cut_ms_max))
    world.link.heal()


async def _flap(world: SimWorld, rng: random.Random) -> None:
    for _ in range(10):
        world.link.cut(silent=rng.random() < world.faults.cut_silent_ratio)
        await world.clock.sleep_ms(rng.randint(300, 1_500))
        world.link.heal()
        await world.clock.sleep_ms(rng.randint(300, 1_500))


async def _step(world: SimWorld, where: str, rng: random.Random) -> None:
    clock = world.site_clock if where == "site" else world.cloud_clock
    step_ms = rng.randint(-world.faults.clock_step_ms_max, world.faults.clock_step_ms_max)
    world.note(f"{where} clock steps {step_ms}")
    clock.step_ms(step_ms)


async def _refuse(world: SimWorld, rng: random.Random) -> None:
    world.note("site disk refuses")
    world.site.disk.refuse_writes = True
    await world.clock.sleep_ms(rng.randint(500, world.faults.disk_refuses_ms_max))
    world.site.disk.refuse_writes = False
    world.note("site disk takes writes")


def _killing(world: SimWorld, process: Process) -> Happening:
    async def kill(_: random.Random) -> None:
        world.note(f"kill {process.name}")
        process.kill()

    return kill


def _dropping(world: SimWorld, number: int) -> Happening:
    async def drop(rng: random.Random) -> None:
        charge_point = world.charge_points[number]
        if rng.random() < 0.5:
            charge_point.drop()
        else:
            await charge_point.vanish()

    return drop


def _rebooting(world: SimWorld, number: int) -> Happening:
    async def reboot(_: random.Random) -> None:
        world.charge_points[number].reboot()

    return reboot
