"""What a station says, and what it makes of the answers; of 2.1 also a periodic event stream."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from holdfast_simulators.charge_points.body.body import Body
from holdfast_simulators.charge_points.body.link import Answered, Link
from holdfast_simulators.charge_points.body.moments import timestamp
from holdfast_simulators.charge_points.body.outbox import Queued
from holdfast_simulators.charge_points.body.talking import Talking, Verdict
from holdfast_simulators.charge_points.v2x import messages, upkeep
from holdfast_simulators.charge_points.v2x.device import Device
from holdfast_simulators.charge_points.v2x.events import Answered as EventAnswered
from holdfast_simulators.charge_points.v2x.events import OfStation

BOOT_REASONS = {"PowerLoss": "PowerUp", "ImmediateReset": "RemoteReset", "Reboot": "LocalReset"}


class Talker(Talking[Device, OfStation]):
    def __init__(self, body: Body[Device, OfStation], link: Link) -> None:
        super().__init__(body, link)
        self._is_streaming: bool | None = None
        """None: not asked yet on this connection."""
        self._streamed_ms = 0

    def _boot_notification(self, *, is_triggered: bool = False) -> dict[str, Any]:
        config, body = self._body.config, self._body
        reason = "Triggered" if is_triggered else BOOT_REASONS.get(body.booted_for, "Unknown")
        firmware = body.device.memory.firmware
        return messages.boot(config.vendor, config.model, config.serial, firmware, reason)

    def _status(self, connector: int, status: str, at_ms: int) -> dict[str, Any]:
        return messages.status(connector, status, at_ms)

    def _token(self, driver_token: str) -> dict[str, Any]:
        return {"idToken": messages.id_token(driver_token)}

    def _verdict(self, payload: dict[str, Any]) -> Verdict:
        info = payload.get("idTokenInfo")
        if not isinstance(info, dict):
            return Verdict(is_accepted=False)
        group = info.get("groupIdToken")
        return Verdict(
            is_accepted=info.get("status") == "Accepted",
            group=str(group["idToken"]) if isinstance(group, dict) else None,
        )

    def _triggered(self, action: str, number: int) -> Iterator[tuple[str, dict[str, Any]]]:
        body = self._body
        match action:
            case "LogStatusNotification":
                yield action, body.upload_status
            case "FirmwareStatusNotification":
                update = body.device.memory.update
                if update is None:
                    yield action, {"status": "Idle"}
                else:
                    yield action, {"status": update.phase, "requestId": update.request_id}
            case "MeterValues":
                for one in body.device.chosen(number):
                    at_ms = body.clock.now().device_ms
                    power_w = body.device.power_w(body.behaviour, one)
                    values = messages.reading(one.register_wh, power_w, at_ms, "Trigger")
                    yield action, {"evseId": one.number, "meterValue": values}
            case _:
                yield action, {}

    def _next_ms(self) -> int:
        next_ms = super()._next_ms()
        return min(next_ms, self._stream_at_ms) if self._is_streaming else next_ms

    # --- 2.1: a periodic event stream

    @property
    def _stream_s(self) -> float | None:
        if self._behaviour.stream_s is None:
            return None
        return self._body.device.memory.stream_s or self._behaviour.stream_s

    @property
    def _stream_at_ms(self) -> int:
        return self._streamed_ms + round((self._stream_s or 0) * 1_000)

    async def _say_more(self) -> bool:
        """Open it once per connection; then one value in each interval, which nobody answers."""
        memory = self._body.device.memory
        if self._stream_s is None or self._is_streaming is False:
            return False
        if self._is_streaming is None:
            told = {"constantStreamData": upkeep.stream(self._stream_s, memory)}
            answer = await self._say("OpenPeriodicEventStream", told)
            status = answer.payload.get("status") if isinstance(answer, Answered) else None
            self._is_streaming = status == "Accepted"
            self._streamed_ms = self._now_ms()
            return True
        if self._now_ms() < self._stream_at_ms:
            return False
        self._streamed_ms = self._now_ms()
        now, device = self._body.clock.now(), self._body.device
        power_w = sum(device.power_w(self._behaviour, one) for one in device.connectors)
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
