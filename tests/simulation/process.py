"""One service as a process under its supervisor: started, killed hard, started again a second later.

A kill is a SIGKILL as far as an event loop can play one: its connection is dead first, so that nothing more
goes out, and its task is cancelled at whatever await it stands.
"""

from __future__ import annotations

import asyncio
import random
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from holdfast.bus import StreamGone
from holdfast.clock import Clock
from holdfast.health import Health
from holdfast.recorder import IncarnationChanged
from holdfast.service import Context
from holdfast.settings import ServiceConfig
from holdfast_testkit.sim_bus import SimBus
from holdfast_testkit.sim_clock import SimIds

RESTART_MS = 1_000
"""As the real supervisor waits."""

App = Callable[[Context[Any]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Died:
    """A process ended by itself, for a reason that no service should end for."""

    process: str
    at_ms: int
    why: str


class Process:
    def __init__(
        self,
        *,
        scope: str,
        service: str,
        app: App,
        config: ServiceConfig,
        bus: SimBus,
        clock: Clock,
        seed: int,
        on_end: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_end`: what the kernel does at once for a process that dies, e.g. close its sockets."""
        self.name = f"{scope}.{service}"
        self.scope = scope
        self.config = config
        self.lives = 0
        self.died: list[Died] = []
        self._app = app
        self._bus = bus
        self._clock = clock
        self._seed = seed
        self._on_end = on_end
        self._client: SimBus | None = None
        self._task: asyncio.Task[None] | None = None
        self._killed = False
        self._stays_down = asyncio.Event()
        self._stays_down.set()

    async def supervise(self) -> None:
        """For ever."""
        while True:
            await self._stays_down.wait()
            await self._live()
            await self._clock.sleep_ms(RESTART_MS)

    def kill(self) -> None:
        if self._task is None or self._client is None or self._killed:
            return
        self._killed = True
        self._client.close()
        self._on_end()
        self._task.cancel()

    def keep_down(self) -> None:
        """Kill it, and leave it dead until `let_up`: the machine has no power."""
        self._stays_down.clear()
        self.kill()

    def let_up(self) -> None:
        self._stays_down.set()

    def owns(self, client: SimBus) -> bool:
        return client is self._client

    async def _live(self) -> None:
        self.lives += 1
        self._killed = False
        self._client = self._bus.client(self.name)
        rng = random.Random(f"{self._seed} {self.name} {self.lives}")
        context = Context(
            self.config, self._client, self._clock, SimIds(rng), rng, Health(self.name)
        )
        self._task = asyncio.get_running_loop().create_task(self._run(context))
        try:
            await asyncio.wait([self._task])
        finally:  # also when the whole simulation ends
            self._client.close()
            self._on_end()
            self._task.cancel()
        self._task = self._client = None

    async def _run(self, context: Context[Any]) -> None:
        try:
            await self._app(context)
            self._note_death("it returned")
        except* asyncio.CancelledError:
            pass
        except* (IncarnationChanged, StreamGone):
            pass  # "start me again"
        except* BaseException as unexpected:  # noqa: BLE001  a supervisor sees every end
            self._note_death("".join(traceback.format_exception(unexpected)))

    def _note_death(self, why: str) -> None:
        if not self._killed:
            self.died.append(Died(self.name, self._clock.monotonic_ms(), why))
