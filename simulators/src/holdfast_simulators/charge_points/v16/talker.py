"""What a 1.6 charge point says, in which order: [authorise, status, asked for, heartbeat] overtake the queue."""

from __future__ import annotations

import json
from typing import Any

from holdfast_simulators.charge_points.body.link import Answered, Link
from holdfast_simulators.charge_points.body.outbox import Queued
from holdfast_simulators.charge_points.body.talking import Talking
from holdfast_simulators.charge_points.v16 import maintenance, messages, outbox, security
from holdfast_simulators.charge_points.v16.body import Body
from holdfast_simulators.charge_points.v16.device import Status
from holdfast_simulators.charge_points.v16.events import StartAnswered
from holdfast_simulators.charge_points.v16.outbox import Action


class Talker(Talking):
    def __init__(self, body: Body, link: Link) -> None:
        super().__init__(body, link)
        self._body = body

    # --- what is next

    async def _say_next(self) -> bool:
        """Send one thing; False when there is nothing to send now."""
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
        else:
            return await self._say_head_of_queue()
        return True

    async def _authorise(self, connector: int, driver_token: str) -> None:
        """Leaves the agenda only when answered: a link lost on the way is decided offline."""
        payload = self._link.text({"idTag": driver_token})
        answer = await self._exchange("Authorize", payload)
        self._body.agenda.authorisations.pop(connector, None)
        if answer is None:
            self._body.authorise_offline(connector, driver_token)
            return
        is_accepted = isinstance(answer, Answered) and _is_accepted(answer.payload)
        info = answer.payload.get("idTagInfo") if isinstance(answer, Answered) else None
        parent = info.get("parentIdTag") if isinstance(info, dict) else None
        self._body.authorised(
            connector,
            driver_token,
            is_accepted=is_accepted,
            is_online=True,
            parent_id_tag=parent if isinstance(parent, str) else None,
        )

    async def _say_triggered(self, action: str, number: int) -> None:
        chosen = [one for one in self._body.device.connectors if number in (0, one.number)]
        match action:
            case "BootNotification":
                await self._exchange(action, self._boot_payload())
            case "DiagnosticsStatusNotification":
                status = {"status": self._body.diagnostics}
                await self._exchange(action, self._link.text(status))
            case "FirmwareStatusNotification":
                update = self._body.device.memory.firmware.update
                status = {"status": "Idle" if update is None else update.phase}
                if update is not None and update.request is not None:
                    signed = {**status, "requestId": update.request}
                    await self._exchange(maintenance.SIGNED_FIRMWARE, self._link.text(signed))
                else:
                    await self._exchange(action, self._link.text(status))
            case "LogStatusNotification":
                await self._exchange(action, self._link.text({"status": "Idle"}))
            case "SignCertificate":
                await self._exchange(action, self._link.text({"csr": security.CSR}))
            case "StatusNotification":
                self._body.agenda.statuses |= {one.number for one in chosen}
            case "MeterValues":
                for one in chosen:
                    at_ms = self._body.clock.now().device_ms
                    reading = messages.meter(one.number, one.register_wh, 0, at_ms, "Trigger")
                    await self._exchange(action, self._link.text(reading))
            case _:
                await self._exchange(action, "{}")

    # --- the queue

    def _text(self, queued: Queued) -> str:
        transaction_id = self._body.store.transaction_id(queued.message.session)
        return self._link.text(outbox.payload(queued.message, transaction_id))

    def _acknowledged(
        self, queued: Queued, message_id: str, payload: str, answer: Answered
    ) -> str | None:
        at = self._body.clock.now()
        store = self._body.store
        is_start = queued.message.action == Action.START
        transaction_id = answer.payload.get("transactionId")
        if is_start and (not isinstance(transaction_id, int) or isinstance(transaction_id, bool)):
            return "answer without transactionId"

        def acknowledge() -> None:
            text = json.dumps(answer.payload)
            store.acknowledged(queued, message_id, payload, text, at.true_ms)
            if is_start:
                store.set_transaction_id(queued.message.session, int(transaction_id or 0))

        if not is_start:
            with store.transaction():
                acknowledge()
            self._body.queue_changed()
            return None
        is_accepted = _is_accepted(answer.payload)
        self._body.report(
            "transaction-id",
            session=queued.message.session,
            transaction_id=transaction_id,
            accepted=is_accepted,
        )
        self._body.handle(
            StartAnswered(
                at=at,
                session=queued.message.session,
                transaction_id=int(transaction_id or 0),
                is_accepted=is_accepted,
            ),
            together_with=acknowledge,
        )
        return None

    # --- payloads

    def _boot_payload(self) -> str:
        config, firmware = self._body.config, self._body.device.memory.firmware
        return self._link.text(
            messages.boot(config.vendor, config.model, config.serial, firmware.version)
        )

    def _numbers(self) -> tuple[int, ...]:
        return tuple(one.number for one in self._body.device.connectors)

    def _status_payload(self, number: int, *, is_available: bool = False) -> str:
        connector = self._body.device.connector(number)
        assert connector is not None, f"connector {number} left while its status was to be sent"
        said = Status.AVAILABLE if is_available else connector.status
        at_ms = self._body.clock.now().device_ms
        return self._link.text(messages.status(number, said, at_ms))


def _is_accepted(payload: dict[str, Any]) -> bool:
    info = payload.get("idTagInfo")
    return isinstance(info, dict) and info.get("status") == "Accepted"
