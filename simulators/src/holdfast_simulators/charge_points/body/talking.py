"""What a charge point says on one connection: boot first, then one CALL at a time.

    boot accepted -> [authorise, status, notices, asked for, heartbeat] -> head of the queue

OCPP 1.6 4.2: nothing before the boot is accepted. 3.7: transactional messages strictly in order, the
others may overtake. A transmission that times out or is answered with CALLERROR counts as an attempt;
one that ended with the connection does not, since the charge point never learned how it went.
"""

from __future__ import annotations

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic

from holdfast_simulators.charge_points.body import queue_rules
from holdfast_simulators.charge_points.body.body import Body
from holdfast_simulators.charge_points.body.config import Behaviour
from holdfast_simulators.charge_points.body.core import E
from holdfast_simulators.charge_points.body.device import D
from holdfast_simulators.charge_points.body.link import Answer, Answered, Link
from holdfast_simulators.charge_points.body.outbox import Queued

HEARTBEAT_DEFAULT_S = 60.0
NOT_SERVED = ("CALLERROR NotImplemented", "CALLERROR NotSupported")
"""Why even a guaranteed message is given up: nobody there will ever take it."""
AVAILABLE = "Available"
PENDING_WAIT_S = (0.1, 300.0)
"""Bounds of the wait that a central system may ask for before the next BootNotification."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Of the central system, on a driver token."""

    is_accepted: bool
    group: str | None = None


class Talking(ABC, Generic[D, E]):
    def __init__(self, body: Body[D, E], link: Link) -> None:
        self._body = body
        self._link = link
        self._told_heartbeat_s = HEARTBEAT_DEFAULT_S
        self._heard_ms = 0

    # --- what each version says

    @abstractmethod
    def _boot_notification(self, *, is_triggered: bool = False) -> dict[str, Any]: ...

    @abstractmethod
    def _status(self, connector: int, status: str, at_ms: int) -> dict[str, Any]: ...

    @abstractmethod
    def _token(self, driver_token: str) -> dict[str, Any]:
        """The payload of an Authorize."""

    @abstractmethod
    def _verdict(self, payload: dict[str, Any]) -> Verdict:
        """What the answer to it says."""

    @abstractmethod
    def _triggered(self, action: str, number: int) -> Iterator[tuple[str, dict[str, Any]]]:
        """What a TriggerMessage asked for (0: of every connector): each as it is when it is its turn."""

    async def _say_more(self) -> bool:
        """What only this version lets overtake the queue."""
        return False

    @abstractmethod
    def _text(self, queued: Queued) -> str:
        """The payload as it is sent now, for the first time."""

    @abstractmethod
    def _acknowledged(
        self, queued: Queued, message_id: str, payload: str, answer: Answered
    ) -> str | None:
        """Note the answer; or why it is none."""

    # --- the conversation

    @property
    def _behaviour(self) -> Behaviour:
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
            await self._say(action, fields)
        elif agenda.triggered:
            await self._say_triggered(*agenda.triggered.popleft())
        elif self._now_ms() >= self._heartbeat_at_ms:
            self._heard_ms = self._now_ms()
            await self._say("Heartbeat", {})
        elif not await self._say_more():
            return await self._say_head_of_queue()
        return True

    async def _say_triggered(self, action: str, number: int) -> None:
        if action == "StatusNotification":
            self._body.agenda.statuses |= {one.number for one in self._body.device.chosen(number)}
            return
        if action == "BootNotification":
            await self._say(action, self._boot_notification(is_triggered=True))
            return
        for told, fields in self._triggered(action, number):
            await self._say(told, fields)

    async def _authorise(self, connector: int, driver_token: str) -> None:
        """Leaves the agenda only when answered: a link lost on the way is decided offline."""
        answer = await self._say("Authorize", self._token(driver_token))
        self._body.agenda.authorisations.pop(connector, None)
        if answer is None:
            self._body.authorise_offline(connector, driver_token)
            return
        verdict = self._verdict(answer.payload if isinstance(answer, Answered) else {})
        self._body.authorised(
            connector,
            driver_token,
            is_accepted=verdict.is_accepted,
            is_online=True,
            group=verdict.group,
        )

    def _status_payload(self, number: int, *, is_available: bool = False) -> str:
        """As it is, or as if it were free."""
        connector = self._body.device.connector(number)
        assert connector is not None, f"connector {number} left while its status was to be sent"
        said = AVAILABLE if is_available else connector.status
        return self._link.text(self._status(number, said, self._body.clock.now().device_ms))

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
        payload = self._link.text(self._boot_notification())
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
            payload = self._status_payload(connector.number, is_available=True)
            await self._exchange("StatusNotification", payload)

    def _next_ms(self) -> int:
        """When there is something to send though nothing happens."""
        if self._body.store.queue_length():
            return min(self._heartbeat_at_ms, self._body.agenda.retry_at_ms)
        return self._heartbeat_at_ms

    async def _wait_for_work(self) -> None:
        wait_s = max(0.001, (self._next_ms() - self._now_ms()) / 1_000)
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._body.agenda.work.wait()

    # --- the queue

    async def _say_head_of_queue(self) -> bool:
        """What is of no session goes first; it is never in another's way, but waits as long after a failure."""
        if self._now_ms() < self._body.agenda.retry_at_ms:
            return False
        outbox = self._body.store
        chosen = (outbox.head(of_sessions=False), outbox.head())
        queued = min(
            (one for one in chosen if one is not None),
            key=lambda one: (one.attempts, bool(one.message.session)),
            default=None,
        )
        if queued is None:
            return False
        is_same_id = self._behaviour.retry_ids == "same"
        message_id = (queued.message_id if is_same_id else None) or self._body.ids.fresh()
        payload = queued.payload or self._text(queued)
        with outbox.transaction():
            outbox.sending(queued, message_id, payload)
        answer = await self._transmit(queued, message_id, payload)
        if isinstance(answer, Answered):
            why_not = self._acknowledged(queued, message_id, payload, answer)
        else:
            why_not = "no answer" if answer is None else f"CALLERROR {answer.code}"
        if why_not is not None:
            self._failed(queued, why_not)
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

    def _failed(self, queued: Queued, why: str) -> None:
        """Once more after a while, or never again."""
        outbox = self._body.store
        is_of_session = bool(queued.message.session)
        with outbox.transaction():
            attempts = outbox.failed(queued)
            is_over = why in NOT_SERVED
            if is_of_session:
                is_over = queue_rules.is_exhausted(
                    attempts=attempts, attempts_max=self._behaviour.attempts
                )
            if is_over:
                # The row is read anew, so that the ledger has the last payload and the right count.
                last = outbox.head(of_sessions=is_of_session) or queued
                outbox.discard(last, why, self._body.clock.now().true_ms)
        if is_over:
            self._body.report("discarded", action=queued.message.action, why=why)
            self._body.queue_changed()
            return
        self._body.agenda.retry_at_ms = self._now_ms() + queue_rules.retry_wait_ms(
            attempts=min(attempts, self._behaviour.attempts),
            interval_s=self._behaviour.retry_interval_s,
        )

    # --- one CALL that is not transactional

    async def _say(self, action: str, fields: dict[str, Any]) -> Answer | None:
        return await self._exchange(action, self._link.text(fields))

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

    def _now_ms(self) -> int:
        return self._body.clock.now().monotonic_ms
