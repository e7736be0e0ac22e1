"""What a charge point says on one connection: boot first, then one CALL at a time.

    boot accepted -> [authorise, status, asked for, heartbeat] overtake -> head of the queue

OCPP 1.6 4.2: nothing before the boot is accepted. 3.7: transactional messages strictly in order, the
others may overtake. A transmission that times out or is answered with CALLERROR counts as an attempt;
one that ended with the connection does not, since the charge point never learned how it went.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any

from holdfast_simulators.charge_point import messages, outbox
from holdfast_simulators.charge_point.body import Body
from holdfast_simulators.charge_point.config import Behaviour
from holdfast_simulators.charge_point.device import Status
from holdfast_simulators.charge_point.events import StartAnswered
from holdfast_simulators.charge_point.link import Answer, Answered, Link
from holdfast_simulators.charge_point.outbox import Action
from holdfast_simulators.charge_point.store import Queued

HEARTBEAT_DEFAULT_S = 60.0
PENDING_WAIT_S = (0.1, 300.0)
"""Bounds of the wait that a central system may ask for before the next BootNotification."""


class Talker:
    def __init__(self, body: Body, link: Link) -> None:
        self._body = body
        self._link = link
        self._told_heartbeat_s = HEARTBEAT_DEFAULT_S
        self._heard_ms = 0

    @property
    def _behaviour(self) -> Behaviour:
        """As it is configured now."""
        return self._body.behaviour

    @property
    def _heartbeat_at_ms(self) -> int:
        interval_s = self._behaviour.heartbeat_s or self._told_heartbeat_s
        return self._heard_ms + round(interval_s * 1_000)

    async def run(self) -> None:
        agenda = self._body.agenda
        if agenda.was_in_flight:
            agenda.was_in_flight = False
            await asyncio.sleep(self._behaviour.in_flight_silence_s)
        if agenda.needs_boot or self._behaviour.boot_on_reconnect:
            await self._boot()
        elif self._behaviour.status_before_queue:
            await self._say_all_available()
        self._body.is_online = True
        self._body.report("online")
        self._heard_ms = self._now_ms()
        while True:
            agenda.work.clear()
            if not await self._say_next():
                await self._wait_for_work()

    # --- boot

    async def _boot(self) -> None:
        """Ask until accepted, as slowly as told."""
        while True:
            accepted, wait_s = await self._boot_once()
            if accepted:
                break
            await asyncio.sleep(wait_s)
        self._body.agenda.needs_boot = False
        self._told_heartbeat_s = wait_s or HEARTBEAT_DEFAULT_S
        if self._behaviour.status_before_queue:
            await self._say_all_available()

    async def _boot_once(self) -> tuple[bool, float]:
        payload = self._boot_payload()
        if self._behaviour.boot_pipelined:
            answer = await self._boot_pipelined(payload)
        else:
            answer = await self._exchange("BootNotification", payload)
        if not isinstance(answer, Answered):
            return False, max(PENDING_WAIT_S[0], self._behaviour.retry_interval_s)
        status = answer.payload.get("status")
        interval = answer.payload.get("interval")
        wait_s = float(interval) if isinstance(interval, int | float) and interval > 0 else 0.0
        self._body.report("boot", status=status)
        if status == "Accepted":
            return True, wait_s
        return False, min(max(wait_s, PENDING_WAIT_S[0]), PENDING_WAIT_S[1])

    async def _boot_pipelined(self, boot_payload: str) -> Answer | None:
        """BootNotification and every StatusNotification in one burst, against OCPP-J 4.1.1."""
        agenda = self._body.agenda
        statuses = [self._status_payload(number) for number in sorted(agenda.statuses)]
        burst = [("BootNotification", boot_payload)]
        burst += [("StatusNotification", payload) for payload in statuses]
        agenda.statuses.clear()
        sent = []
        for action, payload in burst:
            message_id = self._body.ids.fresh()
            sent.append((message_id, await self._link.send_call(message_id, action, payload)))
        answers = []
        for (action, payload), (message_id, future) in zip(burst, sent, strict=True):
            answer = await self._link.answer_to(message_id, future, self._behaviour.call_timeout_s)
            self._record(message_id, action, payload, answer)
            answers.append(answer)
        return answers[0]

    async def _say_all_available(self) -> None:
        for connector in self._body.device.connectors:
            payload = self._status_payload(connector.number, Status.AVAILABLE)
            await self._exchange("StatusNotification", payload)

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
            action, status = agenda.notices.popleft()
            await self._exchange(action, self._link.text({"status": status}))
        elif agenda.triggered:
            await self._say_triggered(*agenda.triggered.popleft())
        elif self._now_ms() >= self._heartbeat_at_ms:
            self._heard_ms = self._now_ms()
            await self._exchange("Heartbeat", "{}")
        else:
            return await self._say_head_of_queue()
        return True

    async def _wait_for_work(self) -> None:
        next_ms = self._heartbeat_at_ms
        if self._body.store.queue_length():
            next_ms = min(next_ms, self._body.agenda.retry_at_ms)
        wait_s = max(0.001, (next_ms - self._now_ms()) / 1_000)
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._body.agenda.work.wait()

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
                await self._exchange(action, self._link.text(status))
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

    async def _say_head_of_queue(self) -> bool:
        if self._now_ms() < self._body.agenda.retry_at_ms:
            return False
        queued = self._body.store.head()
        if queued is None:
            return False
        is_same_id = self._behaviour.retry_ids == "same"
        message_id = (queued.message_id if is_same_id else None) or self._body.ids.fresh()
        payload = queued.payload or self._link.text(
            outbox.payload(queued.message, queued.transaction_id)
        )
        with self._body.store.transaction():
            self._body.store.sending(queued, message_id, payload)
        answer = await self._transmit(queued, message_id, payload)
        self._settle(queued, message_id, payload, answer)
        return True

    async def _transmit(self, queued: Queued, message_id: str, payload: str) -> Answer | None:
        agenda = self._body.agenda
        agenda.in_flight = queued.place
        agenda.was_in_flight = True
        try:
            answer = await self._link.call(
                message_id, queued.message.action, payload, self._behaviour.call_timeout_s
            )
        finally:
            agenda.in_flight = None
        agenda.was_in_flight = False
        return answer

    def _settle(self, queued: Queued, message_id: str, payload: str, answer: Answer | None) -> None:
        at = self._body.clock.now()
        store = self._body.store
        is_start = queued.message.action is Action.START
        if not isinstance(answer, Answered):
            self._failed(queued, "no answer" if answer is None else f"CALLERROR {answer.code}")
            return
        transaction_id = answer.payload.get("transactionId")
        if is_start and (not isinstance(transaction_id, int) or isinstance(transaction_id, bool)):
            self._failed(queued, "answer without transactionId")
            return

        def acknowledge() -> None:
            text = json.dumps(answer.payload)
            store.acknowledged(queued, message_id, payload, text, at.true_ms)
            if is_start:
                store.set_transaction_id(queued.message.session, int(transaction_id or 0))

        if not is_start:
            with store.transaction():
                acknowledge()
            self._body.queue_changed()
            return
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

    def _failed(self, queued: Queued, why: str) -> None:
        """Once more after a while, or never again."""
        store = self._body.store
        with store.transaction():
            attempts = store.failed(queued)
            is_over = outbox.is_exhausted(attempts=attempts, attempts_max=self._behaviour.attempts)
            if is_over:
                # The row is read anew, so that the ledger has the last payload and the right count.
                last = store.head() or queued
                store.discard(last, why, self._body.clock.now().true_ms)
        if is_over:
            self._body.report("discarded", action=queued.message.action, why=why)
            self._body.queue_changed()
            return
        self._body.agenda.retry_at_ms = self._now_ms() + outbox.retry_wait_ms(
            attempts=attempts, interval_s=self._behaviour.retry_interval_s
        )

    # --- one CALL that is not transactional

    async def _exchange(self, action: str, payload: str) -> Answer | None:
        message_id = self._body.ids.fresh()
        answer = await self._link.call(message_id, action, payload, self._behaviour.call_timeout_s)
        self._record(message_id, action, payload, answer)
        return answer

    def _record(self, message_id: str, action: str, payload: str, answer: Answer | None) -> None:
        if isinstance(answer, Answered):
            self._body.store.record_answer(
                message_id,
                action,
                payload,
                json.dumps(answer.payload),
                self._body.clock.now().true_ms,
            )

    def _boot_payload(self) -> str:
        config, firmware = self._body.config, self._body.device.memory.firmware
        return self._link.text(
            messages.boot(config.vendor, config.model, config.serial, firmware.version)
        )

    def _status_payload(self, number: int, status: Status | None = None) -> str:
        connector = self._body.device.connector(number)
        assert connector is not None, f"connector {number} left while its status was to be sent"
        said = connector.status if status is None else status
        at_ms = self._body.clock.now().device_ms
        return self._link.text(messages.status(number, said, at_ms))

    def _now_ms(self) -> int:
        return self._body.clock.now().monotonic_ms


def _is_accepted(payload: dict[str, Any]) -> bool:
    info = payload.get("idTagInfo")
    return isinstance(info, dict) and info.get("status") == "Accepted"
