"""A 1.6 charge point as a running thing: what people do at it, its meters, what it is told to do."""

from __future__ import annotations

import asyncio
import json
import ssl
from contextlib import suppress
from typing import Any

from holdfast_simulators.charge_points.body.link import Call, Link
from holdfast_simulators.charge_points.body.reconnecting import Reconnecting, Restart
from holdfast_simulators.charge_points.v16.body import Body
from holdfast_simulators.charge_points.v16.commands import obey
from holdfast_simulators.charge_points.v16.events import (
    Elapsed,
    PluggedIn,
    PowerLost,
    PowerReturned,
    ReadingDue,
    Stopped,
)
from holdfast_simulators.charge_points.v16.maintenance import Maintenance
from holdfast_simulators.charge_points.v16.reply import Situation
from holdfast_simulators.charge_points.v16.talker import Talker
from holdfast_simulators.control import CommandError

WAIT_MS_MAX = 3_600_000


class RunningChargePoint(Reconnecting):
    def __init__(self, body: Body, url: str, tls: ssl.SSLContext | None) -> None:
        super().__init__(body, url, tls)
        self.body = body
        self._maintenance = Maintenance(body, self._restart_for_firmware)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._stay_connected(group))
            group.create_task(self._read_meters())
            group.create_task(self._maintenance.run())

    # --- what the person at the charge point, or the test, does

    def plug(self, connector: int, driver_token: str) -> None:
        self._assert_powered()
        self.body.handle(
            PluggedIn(at=self.body.clock.now(), connector=connector, driver_token=driver_token)
        )

    def stop(self, connector: int, reason: str, *, is_unplugged: bool) -> None:
        self._assert_powered()
        self.body.handle(
            Stopped(
                at=self.body.clock.now(),
                connector=connector,
                reason=reason,
                is_unplugged=is_unplugged,
            )
        )

    def stop_all(self) -> None:
        """Sessions end and cables leave; a charge point that is rebooting does it when it is back."""
        for connector in self.body.device.connectors:
            self.body.handle(
                Stopped(
                    at=self.body.clock.now(),
                    connector=connector.number,
                    reason="Local",
                    is_unplugged=True,
                )
            )

    def reboot(self, restart: Restart) -> None:
        self._assert_powered()
        if restart.is_graceful:
            self._stop_for(restart)
        self.body.handle(PowerLost(at=self.body.clock.now()))
        self._restart_with(restart)

    def status(self) -> dict[str, Any]:
        body = self.body
        return {
            "charge_point": body.config.id,
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

    def _stop_for(self, restart: Restart) -> None:
        if self.body.behaviour.session_after_reboot == "resume" and not restart.always_stops:
            return
        for connector in self.body.device.in_session:
            self.body.handle(
                Stopped(
                    at=self.body.clock.now(),
                    connector=connector.number,
                    reason=restart.reason,
                    is_unplugged=False,
                )
            )

    # --- power and meters

    def _power_on(self, reason: str) -> None:
        self.body.ids.boot()
        self.body.boot()
        self.body.agenda.forget(tuple(one.number for one in self.body.device.connectors))
        self.body.handle(PowerReturned(at=self.body.clock.now(), reason=reason))
        self._maintenance.booted()

    async def _read_meters(self) -> None:
        body = self.body
        while True:
            body.sessions_changed.clear()
            now = body.clock.now()
            due = [
                one.session.next_reading_ms
                for one in body.device.connectors
                if one.session is not None and body.device.is_powered
            ]
            if due and min(due) <= now.monotonic_ms:
                body.handle(ReadingDue(at=now))
                continue
            waits_ms = [min(due) - now.monotonic_ms] if due else []
            changes_ms = body.device.changes_ms
            if changes_ms is not None and changes_ms <= now.device_ms:
                body.handle(Elapsed(at=now))
                continue
            if changes_ms is not None:
                # In steps: a single wait of months is more than a timer takes.
                waits_ms.append(min(changes_ms - now.device_ms, WAIT_MS_MAX))
            wait_s = min(waits_ms) / 1_000 if waits_ms else None
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await body.sessions_changed.wait()

    # --- the link

    async def _talk(self, link: Link) -> None:
        await Talker(self.body, link).run()

    async def _called(self, link: Link, call: Call) -> None:
        """Written down, answered, then done: as a device that obeys after it has said yes."""
        body = self.body
        at = body.clock.now()
        situation = Situation(
            behaviour=body.behaviour, device=body.device, at=at, has_room=body.has_room
        )
        reply = obey(situation, call.action, call.payload)
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
            await link.reply(call.message_id, reply.payload)
        finally:
            for event in reply.events:
                body.handle(event)
            if reply.clears_cache:
                body.store.forget_tokens()
            if reply.upload_to is not None:
                self._maintenance.upload(reply.upload_to, reply.upload_request)
            if reply.trigger is not None:
                body.agenda.triggered.append(reply.trigger)
                body.agenda.work.set()
            if reply.restart is not None:
                self._reset(is_hard=reply.restart == "Hard")

    def _restart_for_firmware(self) -> None:
        self.reboot(Restart(is_graceful=True, reason="Reboot", always_stops=True))

    def _reset(self, *, is_hard: bool) -> None:
        if not self.body.device.is_powered:
            return
        if is_hard and self.body.behaviour.hard_reset_loses_queue:
            at_ms = self.body.clock.now().true_ms
            with self.body.store.transaction():
                lost = self.body.store.discard_all("hard reset", at_ms)
            self.body.report("discarded", why="hard reset", messages=lost)
        self.reboot(
            Restart(
                is_graceful=not is_hard,
                reason="HardReset" if is_hard else "SoftReset",
                always_stops=not is_hard,
            )
        )
