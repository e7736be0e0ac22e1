"""One test, two buses: the simulated one on virtual time, and a real nats-server (marker `nats`).

@on_both_buses
async def test_something(server: Server) -> None:
    async with server.connect("a-service") as bus: ...

@on_both_links
async def test_a_copy(pair: Pair) -> None:
    pair.cut(); pair.heal(); pair.site.connect(...); pair.cloud.connect(...)
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Protocol

import pytest

from holdfast import subjects
from holdfast.bus import ServerBus
from holdfast_testkit.nats_server import LeafPair, leaf_pair, single_server
from holdfast_testkit.sim_bus import SimBus
from holdfast_testkit.sim_clock import SimClock, run_virtual
from holdfast_testkit.sim_link import SimLink

SITE, OTHER_SITE = "berlin01", "munich01"
BACKENDS = ["sim", pytest.param("nats", marks=pytest.mark.nats)]


class Server(Protocol):
    """A server under test."""

    def connect(self, name: str = "test") -> AbstractAsyncContextManager[ServerBus]: ...
    async def kill(self, *, wipe: bool = False) -> None: ...
    async def start(self) -> None: ...


class Pair(Protocol):
    """A site's server and the cloud's, and the link between."""

    @property
    def cloud(self) -> Server: ...
    @property
    def site(self) -> Server: ...
    def cut(self, *, silent: bool = True) -> None: ...
    def heal(self) -> None: ...


class SimulatedServer:
    def __init__(self, bus: SimBus) -> None:
        self.bus = bus

    @asynccontextmanager
    async def connect(self, name: str = "test") -> AsyncIterator[ServerBus]:
        client = self.bus.client(name)
        try:
            yield client
        finally:
            client.close()

    async def kill(self, *, wipe: bool = False) -> None:
        self.bus.crash(wipe=wipe)

    async def start(self) -> None:
        self.bus.start()


class SimulatedPair:
    def __init__(self, site: SimulatedServer, cloud: SimulatedServer, link: SimLink) -> None:
        self.site = site
        self.cloud = cloud
        self._link = link

    def cut(self, *, silent: bool = True) -> None:
        self._link.cut(silent=silent)

    def heal(self) -> None:
        self._link.heal()


def on_both_buses(test: Callable[[Server], Awaitable[None]]) -> Callable[[str, Path], None]:
    async def simulated() -> None:
        await test(SimulatedServer(SimBus(SimClock())))

    async def real(folder: Path) -> None:
        async with single_server(folder) as server:
            await test(server)

    return _parametrised(test, simulated, real)


def on_both_links(test: Callable[[Pair], Awaitable[None]]) -> Callable[[str, Path], None]:
    async def simulated() -> None:
        clock = SimClock()
        site = SimBus(clock, domain=subjects.domain(SITE))
        cloud = SimBus(clock, domain=subjects.CLOUD)
        async with SimLink(site, cloud, site=SITE) as link:
            await test(SimulatedPair(SimulatedServer(site), SimulatedServer(cloud), link))

    async def real(folder: Path) -> None:
        pair: LeafPair
        async with leaf_pair(folder, SITE, others=(OTHER_SITE,)) as pair:
            await test(pair)

    return _parametrised(test, simulated, real)


def _parametrised(
    test: Callable[..., Awaitable[None]],
    simulated: Callable[[], Awaitable[None]],
    real: Callable[[Path], Awaitable[None]],
) -> Callable[[str, Path], None]:
    @pytest.mark.parametrize("bus_kind", BACKENDS)
    def run(bus_kind: str, tmp_path: Path) -> None:
        async def on_real() -> None:
            await real(tmp_path)

        async def on_simulated() -> None:
            await simulated()

        if bus_kind == "nats":
            asyncio.run(on_real())
        else:
            run_virtual(on_simulated())

    # Not functools.wraps: pytest would look through it and ask for a fixture called `server`.
    run.__name__ = run.__qualname__ = getattr(test, "__name__", "test")
    run.__doc__ = test.__doc__
    run.__module__ = test.__module__
    return run
