"""A charge point as a running thing: powered or not, connected or trying to be.

    power on -> [ connect -> talk and listen -> wait ]* -> reboot -> power on ...

Reconnects for ever, with its own back-off. A power loss takes effect at once; what was in memory is gone.
"""

from __future__ import annotations

import asyncio
import ssl
from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, WebSocketException

from holdfast_simulators.charge_points.body.body import Body
from holdfast_simulators.charge_points.body.core import E
from holdfast_simulators.charge_points.body.device import D
from holdfast_simulators.charge_points.body.link import Call, Link, open_socket


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    is_graceful: bool
    reason: str
    """Why sessions that do not survive it ended."""
    always_stops: bool = False
    """Reset.req: sessions are stopped whatever the behaviour says about reboots."""


class Reconnecting(ABC, Generic[D, E]):
    def __init__(self, body: Body[D, E], url: str, tls: ssl.SSLContext | None) -> None:
        self.body = body
        self.is_connected = False
        self._url = url
        self._tls = tls
        self._restart: Restart | None = None
        self._attempt: asyncio.Task[str] | None = None
        self._interrupted = asyncio.Event()
        self._offline_until_ms = 0
        self._failures = 0
        self._is_failure_said = False
        self._lost_answers: set[str] = set()
        """Actions whose next command is obeyed, and its answer never arrives."""

    @abstractmethod
    def _power_on(self, reason: str) -> None: ...

    @abstractmethod
    async def _talk(self, link: Link) -> None:
        """For as long as the link lives."""

    @abstractmethod
    async def _called(self, link: Link, call: Call) -> None: ...

    def drop_link(self, for_s: float) -> None:
        self._offline_until_ms = self._now_ms() + round(for_s * 1_000)
        if self._attempt is not None:
            self._attempt.cancel()

    def lose_answer(self, action: str) -> None:
        self._lost_answers.add(action)

    async def _answers(self, link: Link, call: Call, payload: dict[str, Any]) -> None:
        """The central system never learns how it went, where the link is lost in that moment."""
        if call.action in self._lost_answers:
            self._lost_answers.discard(call.action)
            self.body.report("answer-lost", action=call.action)
            self.drop_link(0)
        else:
            await link.reply(call.message_id, payload)

    def _restart_with(self, restart: Restart) -> None:
        """The power is off already."""
        self.body.report("rebooting", reason=restart.reason)
        self._restart = restart
        self._interrupted.set()
        if self._attempt is not None:
            self._attempt.cancel()

    async def _stay_connected(self, group: asyncio.TaskGroup) -> None:
        self._power_on("PowerLoss")
        while True:
            self._interrupted.clear()
            self._attempt = group.create_task(self._connect_and_talk())
            await asyncio.wait({self._attempt})
            self._link_lost("dropped" if self._attempt.cancelled() else self._attempt.result())
            await self._wait_to_reconnect()
            if self._restart is not None:
                await asyncio.sleep(self.body.behaviour.reboot_s)
                self._power_on(self._restart.reason)
                self._restart = None

    async def _wait_to_reconnect(self) -> None:
        """By the back-off, and not before an asked-for absence is over; a reboot ends the wait."""
        waits = self.body.behaviour.reconnect_s
        wait_ms = round(waits[min(self._failures, len(waits) - 1)] * 1_000)
        self._failures += 1
        until_ms = self._now_ms() + wait_ms
        while self._restart is None:
            left_ms = max(until_ms, self._offline_until_ms) - self._now_ms()
            if left_ms <= 0:
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(left_ms / 1_000):
                    await self._interrupted.wait()

    def _now_ms(self) -> int:
        return self.body.clock.now().monotonic_ms

    def _link_lost(self, reason: str) -> None:
        body = self.body
        if self.is_connected:
            body.report("disconnected", reason=reason)
            self._is_failure_said = False
        elif not self._is_failure_said:
            # Said once per outage; a back-off of one second would fill the reader's log.
            body.report("not-connected", reason=reason)
            self._is_failure_said = True
        if body.is_online:
            self._failures = 0
        self.is_connected = False
        body.is_online = False
        with body.store.transaction():
            body.store.mark_offline()
        for connector, driver_token in list(body.agenda.authorisations.items()):
            del body.agenda.authorisations[connector]
            body.authorise_offline(connector, driver_token)

    async def _connect_and_talk(self) -> str:
        """Until the connection ends; why it did."""
        body = self.body
        try:
            socket = await open_socket(self._url, self._tls, body.config, body.behaviour)
        except (OSError, WebSocketException, TimeoutError) as error:
            return f"{type(error).__name__}: {error}"
        self.is_connected = True
        body.report("connected")
        link = Link(
            socket,
            json_spaces=body.behaviour.json_spaces,
            on_call=self._called,
            on_bad_frame=lambda frame: body.report("bad-frame", frame=frame),
        )
        reason = "closed"
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(link.listen())
                group.create_task(self._talk(link))
        except* ConnectionClosed as closed:
            reason = str(closed.exceptions[0])
        finally:
            await self._leave(socket)
        return reason

    async def _leave(self, socket: ClientConnection) -> None:
        """A soft reset says goodbye; everything else just stops being there."""
        if self._restart is not None and self._restart.is_graceful:
            await socket.close(1001)
        socket.transport.abort()
