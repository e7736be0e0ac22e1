"""What a charge point says on one connection: boot first, then one CALL at a time.

    boot accepted -> [what each version lets overtake] -> head of the queue

OCPP 1.6 4.2: nothing before the boot is accepted. 3.7: transactional messages strictly in order, the
others may overtake. A transmission that times out or is answered with CALLERROR counts as an attempt;
one that ended with the connection does not, since the charge point never learned how it went.
"""

from __future__ import annotations

import asyncio
import json
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import Any, Protocol

from holdfast_simulators.charge_points.body import queue_rules
from holdfast_simulators.charge_points.body.agenda import Agenda
from holdfast_simulators.charge_points.body.clock import Clock
from holdfast_simulators.charge_points.body.config import Behaviour
from holdfast_simulators.charge_points.body.link import Answer, Answered, Link
from holdfast_simulators.charge_points.body.message_ids import MessageIds
from holdfast_simulators.charge_points.body.outbox import Outbox, Queued

HEARTBEAT_DEFAULT_S = 60.0
NOT_SERVED = ("CALLERROR NotImplemented", "CALLERROR NotSupported")
"""Why even a guaranteed message is given up: nobody there will ever take it."""
PENDING_WAIT_S = (0.1, 300.0)
"""Bounds of the wait that a central system may ask for before the next BootNotification."""


class Speaking(Protocol):
    """What a conversation needs of a charge point's body."""

    agenda: Agenda
    behaviour: Behaviour
    """As it is configured now."""
    clock: Clock
    ids: MessageIds
    is_online: bool

    @property
    def outbox(self) -> Outbox: ...
    def report(self, event: str, **fields: Any) -> None: ...
    def queue_changed(self) -> None: ...


class Talking(ABC):
    def __init__(self, speaking: Speaking, link: Link) -> None:
        self._speaking = speaking
        self._link = link
        self._told_heartbeat_s = HEARTBEAT_DEFAULT_S
        self._heard_ms = 0

    # --- what each version says

    @abstractmethod
    def _boot_payload(self) -> str: ...

    @abstractmethod
    def _status_payload(self, number: int, *, is_available: bool = False) -> str:
        """As it is, or as if it were free."""

    @abstractmethod
    def _numbers(self) -> tuple[int, ...]:
        """Of everything that has a status."""

    @abstractmethod
    async def _say_next(self) -> bool:
        """Send one thing; False when there is nothing to send now."""

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
        return self._speaking.behaviour

    @property
    def _heartbeat_at_ms(self) -> int:
        interval_s = self._behaviour.heartbeat_s or self._told_heartbeat_s
        return self._heard_ms + round(interval_s * 1_000)

    async def run(self) -> None:
        agenda = self._speaking.agenda
        if agenda.was_in_flight:
            agenda.was_in_flight = False
            await asyncio.sleep(self._behaviour.in_flight_silence_s)
        if agenda.needs_boot or self._behaviour.boot_on_reconnect:
            await self._boot()
        elif self._behaviour.status_before_queue:
            await self._say_all_available()
        self._speaking.is_online = True
        self._speaking.report("online")
        self._heard_ms = self._now_ms()
        while True:
            agenda.work.clear()
            if not await self._say_next():
                await self._wait_for_work()

    async def _boot(self) -> None:
        """Ask until accepted, as slowly as told."""
        while True:
            accepted, wait_s = await self._boot_once()
            if accepted:
                break
            await asyncio.sleep(wait_s)
        self._speaking.agenda.needs_boot = False
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
        self._speaking.report("boot", status=status)
        if status == "Accepted":
            return True, wait_s
        return False, min(max(wait_s, PENDING_WAIT_S[0]), PENDING_WAIT_S[1])

    async def _boot_pipelined(self, boot_payload: str) -> Answer | None:
        """BootNotification and every StatusNotification in one burst, against OCPP-J 4.1.1."""
        agenda = self._speaking.agenda
        statuses = [self._status_payload(number) for number in sorted(agenda.statuses)]
        burst = [("BootNotification", boot_payload)]
        burst += [("StatusNotification", payload) for payload in statuses]
        agenda.statuses.clear()
        sent = []
        for action, payload in burst:
            message_id = self._speaking.ids.fresh()
            sent.append((message_id, await self._link.send_call(message_id, action, payload)))
        answers = []
        for (action, payload), (message_id, future) in zip(burst, sent, strict=True):
            answer = await self._link.answer_to(message_id, future, self._behaviour.call_timeout_s)
            self._record(message_id, action, payload, answer)
            answers.append(answer)
        return answers[0]

    async def _say_all_available(self) -> None:
        for number in self._numbers():
            payload = self._status_payload(number, is_available=True)
            await self._exchange("StatusNotification", payload)

    def _next_ms(self) -> int:
        """When there is something to send though nothing happens."""
        if self._speaking.outbox.queue_length():
            return min(self._heartbeat_at_ms, self._speaking.agenda.retry_at_ms)
        return self._heartbeat_at_ms

    async def _wait_for_work(self) -> None:
        wait_s = max(0.001, (self._next_ms() - self._now_ms()) / 1_000)
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._speaking.agenda.work.wait()

    # --- the queue

    async def _say_head_of_queue(self) -> bool:
        """What is of no session goes first; it is never in another's way, but waits as long after a failure."""
        if self._now_ms() < self._speaking.agenda.retry_at_ms:
            return False
        outbox = self._speaking.outbox
        chosen = (outbox.head(of_sessions=False), outbox.head())
        queued = min(
            (one for one in chosen if one is not None),
            key=lambda one: (one.attempts, bool(one.message.session)),
            default=None,
        )
        if queued is None:
            return False
        is_same_id = self._behaviour.retry_ids == "same"
        message_id = (queued.message_id if is_same_id else None) or self._speaking.ids.fresh()
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
        agenda = self._speaking.agenda
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
        outbox = self._speaking.outbox
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
                outbox.discard(last, why, self._speaking.clock.now().true_ms)
        if is_over:
            self._speaking.report("discarded", action=queued.message.action, why=why)
            self._speaking.queue_changed()
            return
        self._speaking.agenda.retry_at_ms = self._now_ms() + queue_rules.retry_wait_ms(
            attempts=min(attempts, self._behaviour.attempts),
            interval_s=self._behaviour.retry_interval_s,
        )

    # --- one CALL that is not transactional

    async def _exchange(self, action: str, payload: str) -> Answer | None:
        message_id = self._speaking.ids.fresh()
        answer = await self._link.call(message_id, action, payload, self._behaviour.call_timeout_s)
        self._record(message_id, action, payload, answer)
        return answer

    def _record(self, message_id: str, action: str, payload: str, answer: Answer | None) -> None:
        if isinstance(answer, Answered):
            self._speaking.outbox.record_answer(
                message_id,
                action,
                payload,
                json.dumps(answer.payload),
                self._speaking.clock.now().true_ms,
            )

    def _now_ms(self) -> int:
        return self._speaking.clock.now().monotonic_ms
