"""The pulse: one small request to the cloud every `pulse_ms`, answered or missed, never a TCP state.

Each pulse is sent at its time whatever became of the one before; at most two are under way, a third is
left out. The interval is jittered a little, so that a link that comes and goes in step with the pulse
does not look always up or always down.
"""

from __future__ import annotations

import asyncio
import random

from holdfast import subjects
from holdfast.bus import Bus, RequestFailed
from holdfast.clock import Clock
from holdfast.contracts.csms import CaughtUp, CaughtUpRequest
from holdfast.contracts.journal import HeadRequest
from holdfast.contracts.mode import CsmsState, Head, Pulse, PulseReply
from holdfast.contracts.rules import ModeRules
from holdfast.recorder import Incarnation, IncarnationChanged
from holdfast.rpc import call
from mode_manager.domain.events import PulseAnswered, PulseMissed, PulseSent
from mode_manager.manager import Manager

UNDER_WAY_MAX = 2
HEAD_WITHIN_MS = 500
"""A local answer takes milliseconds; a journal service that hangs must not hold the pulse up."""
JITTER_RATIO = 0.1


class Pulses:
    def __init__(
        self,
        bus: Bus,
        clock: Clock,
        rng: random.Random,
        incarnation: Incarnation,
        manager: Manager,
        *,
        csms_at_site: bool = False,
    ) -> None:
        self._bus = bus
        self._clock = clock
        self._rng = rng
        self._incarnation = incarnation
        self._manager = manager
        self._csms_at_site = csms_at_site
        self._under_way = 0

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            while True:
                if self._under_way < UNDER_WAY_MAX:
                    self._under_way += 1
                    group.create_task(self._pulse(self._manager.policy))
                await self._clock.sleep_ms(self._interval_ms(self._manager.policy))

    def _interval_ms(self, policy: ModeRules) -> int:
        jitter = 1 + JITTER_RATIO * (2 * self._rng.random() - 1)
        return round(policy.pulse_ms * jitter)

    async def _pulse(self, policy: ModeRules) -> None:
        try:
            head = await self._head(policy)
            self._manager.feed(PulseSent(moment=self._manager.moment(), head=head))
            sent_at_ms = self._clock.now_ms()
            reply = await self._ask(policy, head, sent_at_ms)
            moment = self._manager.moment()
            if reply is None:
                self._manager.feed(PulseMissed(moment=moment))
            else:
                self._manager.feed(
                    PulseAnswered(moment=moment, sent_at_ms=sent_at_ms, head=head, reply=reply)
                )
        finally:
            self._under_way -= 1

    async def _head(self, policy: ModeRules) -> Head | None:
        """Raise IncarnationChanged when the journal is of another life of the disk than this process."""
        within_ms = min(HEAD_WITHIN_MS, policy.pulse_ms)
        subject = subjects.rpc(self._incarnation.site, "head")
        try:
            head = await call(self._bus, subject, HeadRequest(), Head, timeout_ms=within_ms)
        except RequestFailed:
            return None
        if head.incarnation != self._incarnation.name:
            raise IncarnationChanged(
                f"the journal is of incarnation {head.incarnation}, this process of {self._incarnation.name}"
            )
        return head

    async def _ask(
        self, policy: ModeRules, head: Head | None, sent_at_ms: int
    ) -> PulseReply | None:
        pulse = Pulse(
            at_ms=sent_at_ms,
            mode=self._manager.mode,
            head=head,
            rules_version=self._manager.rules_version,
            backlog=self._manager.backlog,
        )
        subject = subjects.up(self._incarnation.site, "pulse")
        try:
            reply = await call(
                self._bus, subject, pulse, PulseReply, timeout_ms=policy.pulse_timeout_ms
            )
        except RequestFailed:
            return None
        if self._csms_at_site:
            return reply.model_copy(update={"csms": await self._csms()})
        return reply

    async def _csms(self) -> CsmsState:
        """As this site's own bridge has it; a bridge that says nothing reaches no CSMS."""
        asked = CaughtUpRequest(incarnation=self._incarnation.name, seq=0)
        subject = subjects.up(self._incarnation.site, "csms")
        try:
            said = await call(self._bus, subject, asked, CaughtUp, timeout_ms=HEAD_WITHIN_MS)
        except RequestFailed:
            return CsmsState.DOWN
        return said.csms
