"""A charge point as a running thing: what people do at it, its meters, what it is told to do."""

from __future__ import annotations

import asyncio
import json
import ssl
from abc import abstractmethod
from contextlib import suppress
from typing import Any

from holdfast_simulators.charge_points.body.body import Body
from holdfast_simulators.charge_points.body.clock import Instant
from holdfast_simulators.charge_points.body.core import E
from holdfast_simulators.charge_points.body.device import D
from holdfast_simulators.charge_points.body.events import (
    Elapsed,
    PluggedIn,
    PowerLost,
    PowerReturned,
    ReadingDue,
    Stopped,
)
from holdfast_simulators.charge_points.body.link import Call, Link
from holdfast_simulators.charge_points.body.maintenance import Maintenance
from holdfast_simulators.charge_points.body.reconnecting import Reconnecting, Restart
from holdfast_simulators.charge_points.body.reply import Reply
from holdfast_simulators.control import CommandError

WAIT_MS_MAX = 3_600_000


class Running(Reconnecting[D, E]):
    _maintenance: Maintenance[D, E, Any]

    def __init__(self, body: Body[D, E], url: str, tls: ssl.SSLContext | None) -> None:
        super().__init__(body, url, tls)
        self.body = body

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._stay_connected(group))
            group.create_task(self._read_meters())
            group.create_task(self._maintenance.run())

    # --- what each version does so

    @abstractmethod
    def _obeyed(self, at: Instant, call: Call) -> Reply: ...

    @abstractmethod
    def _reset(self, kind: str) -> None:
        """As told by a Reset of this type, while there is power."""

    def _booted(self) -> None:
        """What is said of the boot besides the BootNotification."""

    def _turned(self) -> None:
        """Sessions have changed, or time has passed."""

    # --- what the person at the charge point, or the test, does

    def plug(self, connector: int, driver_token: str) -> None:
        self._assert_powered()
        self.body.handle(
            PluggedIn(
                at=self.body.clock.now(),
                connector=connector,
                driver_token=driver_token,
                has_room=self.body.has_room,
            )
        )

    def stop(self, connector: int, reason: str, *, is_unplugged: bool) -> None:
        self._assert_powered()
        self._stop(connector, reason, is_unplugged=is_unplugged)

    def _stop(self, connector: int, reason: str, *, is_unplugged: bool) -> None:
        at = self.body.clock.now()
        self.body.handle(
            Stopped(at=at, connector=connector, reason=reason, is_unplugged=is_unplugged)
        )

    def stop_all(self) -> None:
        """Sessions end and cables leave; a charge point that is rebooting does it when it is back."""
        for connector in self.body.device.connectors:
            self._stop(connector.number, "Local", is_unplugged=True)

    def reboot(self, restart: Restart) -> None:
        self._assert_powered()
        stays = self.body.behaviour.session_after_reboot == "resume" and not restart.always_stops
        if restart.is_graceful and not stays:
            for connector in self.body.device.in_session:
                self._stop(connector.number, restart.reason, is_unplugged=False)
        self.body.handle(PowerLost(at=self.body.clock.now()))
        self._restart_with(restart)

    def status(self) -> dict[str, Any]:
        body = self.body
        return {
            "charge_point": body.config.id,
            "version": body.config.version,
            "connected": self.is_connected,
            "online": body.is_online,
            "powered": body.device.is_powered,
            "queue": body.store.queue_length(),
            "connectors": [
                {
                    "connector": one.number,
                    "status": one.status,
                    "power_w": body.device.power_w(body.behaviour, one),
                    "register_wh": one.register_wh,
                    "session": None if one.session is None else one.session.key,
                    "transaction_id": None if one.session is None else one.session.transaction_id,
                }
                for one in body.device.connectors
            ],
        }

    def _assert_powered(self) -> None:
        if not self.body.device.is_powered:
            raise CommandError(f"charge point {self.body.config.id!r} has no power; wait for boot")

    # --- power and meters

    def _power_on(self, reason: str) -> None:
        self.body.boot(reason)
        self.body.handle(PowerReturned(at=self.body.clock.now(), reason=reason))
        self._booted()
        self._maintenance.booted()

    def _restart_for_firmware(self) -> None:
        self.reboot(Restart(is_graceful=True, reason="Reboot", always_stops=True))

    async def _read_meters(self) -> None:
        body = self.body
        while True:
            body.sessions_changed.clear()
            now = body.clock.now()
            self._turned()
            due_ms, changes_ms = body.device.reading_ms, body.device.changes_ms
            if due_ms is not None and due_ms <= now.monotonic_ms:
                body.handle(ReadingDue(at=now))
                continue
            if changes_ms is not None and changes_ms <= now.device_ms:
                body.handle(Elapsed(at=now))
                continue
            waits_ms = [] if due_ms is None else [due_ms - now.monotonic_ms]
            if changes_ms is not None:
                # In steps: a single wait of months is more than a timer takes.
                waits_ms.append(min(changes_ms - now.device_ms, WAIT_MS_MAX))
            wait_s = min(waits_ms) / 1_000 if waits_ms else None
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await body.sessions_changed.wait()

    # --- the central system's commands

    async def _called(self, link: Link, call: Call) -> None:
        """Written down, answered, then done: as a device that obeys after it has said yes."""
        body = self.body
        at = body.clock.now()
        reply = self._obeyed(at, call)
        answer = json.dumps(reply.payload) if reply.payload is not None else reply.code
        body.store.record_command(
            call.message_id,
            call.action,
            json.dumps(call.payload),
            at.true_ms,
            executed=reply.executed,
            answer=answer,
        )
        body.report("command", action=call.action, executed=reply.executed)
        if reply.payload is None:
            await link.refuse(call.message_id, reply.code, f"{call.action} is not served here")
            return
        try:
            await self._answers(link, call, reply.payload)
        finally:
            self._follow(reply)

    def _follow(self, reply: Reply) -> None:
        body = self.body
        for event in reply.events:
            body.handle(event)
        if reply.clears_cache:
            body.store.forget_tokens()
        if reply.upload is not None:
            self._maintenance.upload(reply.upload)
        for action, payload in reply.notices:
            body.notice(action, payload)
        if reply.trigger is not None:
            body.agenda.triggered.append(reply.trigger)
            body.agenda.work.set()
        if reply.restart is not None and body.device.is_powered:
            self._reset(reply.restart)
