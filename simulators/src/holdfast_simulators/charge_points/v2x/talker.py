"""What a station says, in which order: [authorise, status, notices, asked for, heartbeat] overtake the queue."""

from __future__ import annotations

import json
from typing import Any

from holdfast_simulators.charge_points.body.link import Answered, Link
from holdfast_simulators.charge_points.body.moments import timestamp
from holdfast_simulators.charge_points.body.outbox import Queued
from holdfast_simulators.charge_points.body.talking import Talking
from holdfast_simulators.charge_points.v2x import messages, upkeep
from holdfast_simulators.charge_points.v2x.body import Body
from holdfast_simulators.charge_points.v2x.device import ConnectorStatus
from holdfast_simulators.charge_points.v2x.events import Answered as EventAnswered


class Talker(Talking):
    def __init__(self, body: Body, link: Link) -> None:
        super().__init__(body, link)
        self._body = body
        self._is_streaming: bool | None = None
        """None: not asked yet on this connection."""
        self._streamed_ms = 0

    async def _say_next(self) -> bool:
        agenda = self._body.agenda
        if agenda.authorisations:
            await self._authorise(*next(iter(agenda.authorisations.items())))
        elif agenda.statuses:
            number = min(agenda.statuses)
            agenda.statuses.discard(number)
            await self._exchange("StatusNotification", self._status_payload(number))
        elif agenda.notices:
            action, fields = agenda.notices.popleft()
            await self._exchange(action, self._link.text(fields))
        elif agenda.triggered:
            await self._say_triggered(*agenda.triggered.popleft())
        elif self._now_ms() >= self._heartbeat_at_ms:
            self._heard_ms = self._now_ms()
            await self._exchange("Heartbeat", "{}")
        elif await self._stream():
            return True
        else:
            return await self._say_head_of_queue()
        return True

    def _next_ms(self) -> int:
        next_ms = super()._next_ms()
        return min(next_ms, self._stream_at_ms) if self._is_streaming else next_ms

    async def _authorise(self, evse: int, driver_token: str) -> None:
        """Leaves the agenda only when answered: a link lost on the way is decided offline."""
        payload = self._link.text({"idToken": messages.id_token(driver_token)})
        answer = await self._exchange("Authorize", payload)
        self._body.agenda.authorisations.pop(evse, None)
        if answer is None:
            self._body.authorise_offline(evse, driver_token)
            return
        info = answer.payload.get("idTokenInfo") if isinstance(answer, Answered) else None
        group = info.get("groupIdToken") if isinstance(info, dict) else None
        self._body.authorised(
            evse,
            driver_token,
            is_accepted=isinstance(info, dict) and info.get("status") == "Accepted",
            is_online=True,
            group=str(group["idToken"]) if isinstance(group, dict) else None,
        )

    async def _say_triggered(self, action: str, number: int) -> None:
        body = self._body
        chosen = [one for one in body.device.evses if number in (0, one.number)]
        match action:
            case "BootNotification":
                await self._exchange(action, self._boot_payload("Triggered"))
            case "LogStatusNotification":
                await self._exchange(action, self._link.text(body.log_status))
            case "FirmwareStatusNotification":
                update = body.device.memory.update
                told: dict[str, Any] = {"status": "Idle"}
                if update is not None:
                    told = {"status": update.phase, "requestId": update.request_id}
                await self._exchange(action, self._link.text(told))
            case "StatusNotification":
                body.agenda.statuses |= {one.number for one in chosen}
            case "MeterValues":
                for one in chosen:
                    at_ms = body.clock.now().device_ms
                    power_w = body.device.power_w(body.behaviour, one)
                    values = messages.reading(one.register_wh, power_w, at_ms, "Trigger")
                    reading = {"evseId": one.number, "meterValue": values}
                    await self._exchange(action, self._link.text(reading))
            case _:
                await self._exchange(action, "{}")

    # --- 2.1: a periodic event stream

    @property
    def _stream_s(self) -> float | None:
        if self._behaviour.stream_s is None:
            return None
        return self._body.device.memory.stream_s or self._behaviour.stream_s

    @property
    def _stream_at_ms(self) -> int:
        return self._streamed_ms + round((self._stream_s or 0) * 1_000)

    async def _stream(self) -> bool:
        """Open it once per connection; then one value in each interval, which nobody answers."""
        memory = self._body.device.memory
        if self._stream_s is None or self._is_streaming is False:
            return False
        if self._is_streaming is None:
            told = {"constantStreamData": upkeep.stream(self._stream_s, memory)}
            answer = await self._exchange("OpenPeriodicEventStream", self._link.text(told))
            status = answer.payload.get("status") if isinstance(answer, Answered) else None
            self._is_streaming = status == "Accepted"
            self._streamed_ms = self._now_ms()
            return True
        if self._now_ms() < self._stream_at_ms:
            return False
        self._streamed_ms = self._now_ms()
        now, device = self._body.clock.now(), self._body.device
        power_w = sum(device.power_w(self._behaviour, one) for one in device.evses)
        value: dict[str, Any] = {
            "id": 1,
            "pending": 0,
            "basetime": timestamp(now.device_ms),
            "data": [{"t": 0, "v": str(power_w)}],
        }
        text = self._link.text(value)
        await self._link.send_only(self._body.ids.fresh(), "NotifyPeriodicEventStream", text)
        return True

    # --- the queue

    def _text(self, queued: Queued) -> str:
        is_event = queued.message.action == messages.TRANSACTION_EVENT
        offline = {"offline": True} if is_event and queued.is_offline else {}
        return self._link.text(queued.message.fields | offline)

    def _acknowledged(
        self, queued: Queued, message_id: str, payload: str, answer: Answered
    ) -> str | None:
        at, store = self._body.clock.now(), self._body.store
        fields = queued.message.fields
        text = json.dumps(answer.payload)

        def acknowledge() -> None:
            store.acknowledged(queued, message_id, payload, text, at.true_ms)

        info = answer.payload.get("idTokenInfo")
        if "idToken" not in fields or not isinstance(info, dict) or fields["eventType"] == "Ended":
            with store.transaction():
                acknowledge()
            self._body.queue_changed()
            return None
        is_accepted = info.get("status") == "Accepted"

        def acknowledge_and_remember() -> None:
            acknowledge()
            if self._body.has_cache:
                store.remember_token(fields["idToken"]["idToken"], accepted=is_accepted)

        self._body.handle(
            EventAnswered(at=at, transaction=queued.message.session, is_accepted=is_accepted),
            together_with=acknowledge_and_remember,
        )
        return None

    # --- payloads

    def _boot_payload(self, reason: str | None = None) -> str:
        config, body = self._body.config, self._body
        reason = reason or body.boot_reason
        firmware = body.device.memory.firmware
        return self._link.text(
            messages.boot(config.vendor, config.model, config.serial, firmware, reason)
        )

    def _numbers(self) -> tuple[int, ...]:
        return tuple(one.number for one in self._body.device.evses)

    def _status_payload(self, number: int, *, is_available: bool = False) -> str:
        evse = self._body.device.evse(number)
        assert evse is not None, f"EVSE {number} left while its status was to be sent"
        said = ConnectorStatus.AVAILABLE if is_available else evse.status
        at_ms = self._body.clock.now().device_ms
        return self._link.text(messages.status(number, said, at_ms))
