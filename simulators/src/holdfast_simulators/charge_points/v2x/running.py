"""A station as a running thing: what people do at it, its meters, what it is told to do."""

from __future__ import annotations

import asyncio
import json
import ssl
from contextlib import suppress
from typing import Any

from holdfast_simulators.charge_points.body.link import Call, Link
from holdfast_simulators.charge_points.body.reconnecting import Reconnecting, Restart
from holdfast_simulators.charge_points.v2x.body import Body
from holdfast_simulators.charge_points.v2x.commands import obey
from holdfast_simulators.charge_points.v2x.events import (
    Elapsed,
    PluggedIn,
    PowerLost,
    PowerReturned,
    ReadingDue,
    SecurityNoted,
    Stopped,
)
from holdfast_simulators.charge_points.v2x.maintenance import Maintenance
from holdfast_simulators.charge_points.v2x.reply import Reply, Situation
from holdfast_simulators.charge_points.v2x.talker import Talker
from holdfast_simulators.control import CommandError

WAIT_MS_MAX = 3_600_000
BOOT_REASONS = {"PowerLoss": "PowerUp", "ImmediateReset": "RemoteReset", "Reboot": "LocalReset"}
RESET = Restart(is_graceful=True, reason="ImmediateReset", always_stops=True)


class RunningStation(Reconnecting):
    def __init__(self, body: Body, url: str, tls: ssl.SSLContext | None) -> None:
        super().__init__(body, url, tls)
        self.body = body
        self._maintenance = Maintenance(body, self._restart_for_firmware)
        self._resets_when_idle = False

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._stay_connected(group))
            group.create_task(self._read_meters())
            group.create_task(self._maintenance.run())

    # --- what the person at the station, or the test, does

    def plug(self, connector: int, driver_token: str) -> None:
        self._assert_powered()
        self.body.handle(
            PluggedIn(
                at=self.body.clock.now(),
                evse=connector,
                driver_token=driver_token,
                has_room=self.body.has_room,
            )
        )

    def stop(self, connector: int, reason: str, *, is_unplugged: bool) -> None:
        self._assert_powered()
        self._stop(connector, reason, is_unplugged=is_unplugged)

    def _stop(self, evse: int, reason: str, *, is_unplugged: bool) -> None:
        at = self.body.clock.now()
        self.body.handle(Stopped(at=at, evse=evse, reason=reason, is_unplugged=is_unplugged))

    def stop_all(self) -> None:
        """Transactions end and cables leave; a station that is rebooting does it when it is back."""
        for evse in self.body.device.evses:
            self._stop(evse.number, "Local", is_unplugged=True)

    def reboot(self, restart: Restart) -> None:
        self._assert_powered()
        stays = self.body.behaviour.session_after_reboot == "resume" and not restart.always_stops
        if restart.is_graceful and not stays:
            for evse in self.body.device.in_transaction:
                self._stop(evse.number, restart.reason, is_unplugged=False)
        self._resets_when_idle = False
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
                    "session": None if one.transaction is None else one.transaction.key,
                    "transaction_id": None if one.transaction is None else one.transaction.id,
                }
                for one in body.device.evses
            ],
        }

    def _assert_powered(self) -> None:
        if not self.body.device.is_powered:
            raise CommandError(f"charge point {self.body.config.id!r} has no power; wait for boot")

    # --- power and meters

    def _power_on(self, reason: str) -> None:
        body = self.body
        body.ids.boot()
        body.boot()
        body.boot_reason = BOOT_REASONS.get(reason, "Unknown")
        body.agenda.forget(tuple(one.number for one in body.device.evses))
        body.handle(PowerReturned(at=body.clock.now(), reason=reason))
        body.handle(SecurityNoted(at=body.clock.now(), type="StartupOfTheDevice"))
        self._maintenance.booted()

    async def _read_meters(self) -> None:
        body = self.body
        while True:
            body.transactions_changed.clear()
            now = body.clock.now()
            if self._resets_when_idle and body.device.is_powered and not body.device.in_transaction:
                self.reboot(RESET)
            due = [
                one.transaction.next_reading_ms
                for one in body.device.evses
                if one.transaction is not None and body.device.is_powered
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
                    await body.transactions_changed.wait()

    # --- the link

    async def _talk(self, link: Link) -> None:
        await Talker(self.body, link).run()

    async def _called(self, link: Link, call: Call) -> None:
        """Written down, answered, then done: as a device that obeys after it has said yes."""
        body = self.body
        at = body.clock.now()
        situation = Situation(
            version=body.config.version,
            behaviour=body.behaviour,
            device=body.device,
            at=at,
            has_room=body.has_room,
            queued_transactions=body.store.queued_transactions(),
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
            self._obey(reply)

    def _obey(self, reply: Reply) -> None:
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

    def _reset(self, kind: str) -> None:
        if kind == "OnIdle" and self.body.device.in_transaction:
            self._resets_when_idle = True
            return
        is_resumed = kind == "ImmediateAndResume"
        self.reboot(Restart(is_graceful=True, reason="ImmediateReset", always_stops=not is_resumed))

    def _restart_for_firmware(self) -> None:
        self.reboot(Restart(is_graceful=True, reason="Reboot", always_stops=True))
