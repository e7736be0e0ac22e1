"""A world that runs: two NATS servers, the WAN between them, every service as a process of its own, a CSMS behind."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from holdfast_cli.nats_server import find
from holdfast_cli.provision.layout import CLOUD, CSMS, SCRIPTS, World
from holdfast_cli.provision.streams import provision_streams
from holdfast_cli.world.child import Child
from holdfast_cli.world.ports import check_ports_free
from holdfast_cli.world.talk import Conversation, TalkError

READY_S = 120.0
CSMS_READY_S = 60.0
Heard = Callable[[dict[str, Any]], None]


class WorldError(Exception):
    """The world can't run; the sentence names the process and where its log is."""


class RunningWorld:
    def __init__(
        self, world: World, told: Callable[[str, str], None], heard_csms: Heard = lambda line: None
    ) -> None:
        self.world = world
        self._told = told
        self.children: dict[str, Child] = {}
        self.wan: dict[str, Conversation] = {}
        csms: list[str | Path] = [
            _script("holdfast-sim"), "csms", "--listen", f"127.0.0.1:{world.port(f'{CSMS}.ocpp')}",
            "--state", world.csms_ledger, "--config", world.csms_config,
        ]  # fmt: skip
        self.csms = Conversation(CSMS, csms, world.log(CSMS), told, heard_csms)
        self._group: asyncio.TaskGroup | None = None

    async def start(self, group: asyncio.TaskGroup) -> None:
        """Return once every part has said that it is ready."""
        self._group = group
        server = find()
        check_ports_free(self.world)
        await self._start(f"{CLOUD}/nats", [server, "-c", self.world.nats_conf(CLOUD)])
        await provision_streams(self.world)
        await self._start_csms()
        for site in self.world.plan.sites:
            listen = f"127.0.0.1:{self.world.port(f'{site}.wan')}"
            leaf = f"127.0.0.1:{self.world.port('cloud.leaf')}"
            wan: list[str | Path] = [
                _script("holdfast-sim"),
                "wan",
                "--listen",
                listen,
                "--to",
                leaf,
            ]
            name = f"{site}/wan"
            self.wan[site] = Conversation(name, wan, self.world.log(name), self._told)
            await self.run(self.wan[site].child)
            await self._start(f"{site}/nats", [server, "-c", self.world.nats_conf(site)])
        for scope in self.world.scopes:
            for service in self.world.services(scope):
                command: list[str | Path] = [
                    _script(SCRIPTS.get(service, service)),
                    "--config",
                    self.world.config(scope, service),
                ]
                await self._start(f"{scope}/{service}", command)
        await self._ready()

    async def _start_csms(self) -> None:
        await self.run(self.csms.child)
        try:
            await self.csms.until(CSMS_READY_S, event="listening")
        except TalkError as error:
            raise WorldError(
                f"{error}; its log {self.world.log(CSMS)} ends:\n" + self.csms.child.last_lines()
            ) from None

    async def _start(self, name: str, command: list[str | Path]) -> None:
        await self.run(Child(name, command, self.world.log(name), self._told))

    async def run(self, child: Child) -> None:
        """Start it and watch over it as part of this world."""
        await child.start()
        self.children[child.name] = child
        assert self._group is not None
        self._group.create_task(child.supervise())

    async def _ready(self) -> None:
        """Every service's health page answers 200, within a bound."""
        waiting = {
            f"{scope}/{service}": f"http://127.0.0.1:{self.world.port(f'{scope}.{service}.health')}/health"
            for scope in self.world.scopes
            for service in self.world.services(scope)
        }
        try:
            async with asyncio.timeout(READY_S), httpx.AsyncClient(timeout=2) as client:
                while waiting:
                    for name, url in list(waiting.items()):
                        if await _answers(client, url):
                            del waiting[name]
                    await asyncio.sleep(0.2)
        except TimeoutError:
            name = next(iter(waiting))
            raise WorldError(
                f"{name} is not ready after {READY_S:.0f} s; its log {self.world.log(name)} ends:\n"
                + self.children[name].last_lines()
            ) from None

    def kill(self, name: str, for_s: float = 0.0) -> None:
        """It is started again at once, or only after so long."""
        if name not in self.children:
            raise WorldError(f"no process {name!r}; there are {', '.join(sorted(self.children))}")
        self.children[name].kill()
        if for_s:
            assert self._group is not None
            self._group.create_task(self._hold_dead(self.children[name], for_s))

    async def _hold_dead(self, child: Child, for_s: float) -> None:
        await child.hold_dead()
        await asyncio.sleep(for_s)
        child.release()

    async def wipe(self, site: str) -> None:
        """The site's disk is lost: everything on it dies at once, the disk comes back bare."""
        parts = [f"{site}/nats", *(f"{site}/{service}" for service in self.world.services(site))]
        members = [self.children[part] for part in parts]
        await asyncio.gather(*(child.hold_dead() for child in members))
        shutil.rmtree(self.world.data(site))
        for child in members:
            child.release()

    async def stop(self) -> None:
        """Services first, then what they stand on."""
        servers = {CSMS, *(f"{scope}/nats" for scope in self.world.scopes)}
        await asyncio.gather(
            *(c.stop() for name, c in self.children.items() if name not in servers)
        )
        await asyncio.gather(*(c.stop() for name, c in self.children.items() if name in servers))


def _script(name: str) -> Path:
    """A console script of this very environment."""
    return Path(sys.executable).with_name(name)


async def _answers(client: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await client.get(url)).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


@asynccontextmanager
async def running(
    world: World, told: Callable[[str, str], None], heard_csms: Heard = lambda line: None
) -> AsyncIterator[RunningWorld]:
    """Start it, hand it over, leave no process behind."""
    async with asyncio.TaskGroup() as group:
        it = RunningWorld(world, told, heard_csms)
        try:
            await it.start(group)
            yield it
        finally:
            await it.stop()
