"""Where the evidence of each recovery step comes from: the services of the site, and the cloud."""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

from holdfast import subjects
from holdfast.bus import Bus, BusError, StreamGone
from holdfast.clock import Clock
from holdfast.contracts.command import CommandLanes
from holdfast.contracts.csms import CaughtUp, CaughtUpRequest
from holdfast.contracts.envelope import ContractError
from holdfast.contracts.mode import CsmsState, ModeStatus
from holdfast.contracts.recovery import Digest, DigestRequest, Step
from holdfast.contracts.rpc import Empty
from holdfast.contracts.rules import Desired, RulesStatus, SiteLimit
from holdfast.rpc import call
from reconciler.domain.evidence import (
    CsmsSeen,
    DigestsSeen,
    Evidence,
    LanesSeen,
    LimitSeen,
    LinkSeen,
    RulesSeen,
    Silent,
    WatermarkSeen,
)
from reconciler.domain.sessions import FOLD_VERSION

LOCAL_MS = 1_000
UPLINK_MS = 3_000
"""A slow link (2 kB/s, 600 ms) still answers in time."""


class Looking:
    def __init__(
        self,
        bus: Bus,
        clock: Clock,
        site: str,
        incarnation: str,
        own_digest: Callable[[int], Digest],
    ) -> None:
        self._bus = bus
        self._clock = clock
        self._site = site
        self._incarnation = incarnation
        self._own_digest = own_digest

    async def look(self, step: Step, head_seq: int) -> Evidence:
        """Whoever gives no answer is named; nothing raises."""
        try:
            return await self._look(step, head_seq)
        except BusError as error:
            return Silent(f"whom step {step.value!r} asks: {error}")
        except ContractError as error:
            return Silent(f"the downlink copy, unreadable: {error}")

    async def _look(self, step: Step, head_seq: int) -> Evidence:
        match step:
            case Step.LINK_STABLE:
                return LinkSeen((await self._mode()).stable_link)
            case Step.JOURNAL_COPIED:
                return WatermarkSeen((await self._mode()).watermark)
            case Step.RULES_CURRENT:
                rules = await call(
                    self._bus, self._rpc("rules"), Empty(), RulesStatus, timeout_ms=LOCAL_MS
                )
                return RulesSeen(rules.version, (await self._desired()).rules_version)
            case Step.LIMITS_FRESH:
                return await self._limit()
            case Step.COMMANDS_TRIAGED:
                return await self._lanes()
            case Step.CSMS_CAUGHT_UP:
                return await self._csms(head_seq)
            case Step.DIGESTS_AGREE:
                return await self._digests(head_seq)
            case Step.REPORT_WRITTEN:
                raise AssertionError("the report is written, not looked for")
            case _:
                assert_never(step)

    async def _mode(self) -> ModeStatus:
        return await call(self._bus, self._rpc("mode"), Empty(), ModeStatus, timeout_ms=LOCAL_MS)

    async def _desired(self) -> Desired:
        subject = subjects.up(self._site, "desired")
        return await call(self._bus, subject, Empty(), Desired, timeout_ms=UPLINK_MS)

    async def _limit(self) -> Evidence:
        desired = await self._desired()
        if desired.limit_id is None:
            return LimitSeen(self._clock.now_ms(), None, None)
        message = await self._bus.last(subjects.DOWNLINK, subjects.down_limit(self._site))
        held = SiteLimit.from_bytes(message.data) if message else None
        return LimitSeen(self._clock.now_ms(), desired.limit_id, held)

    async def _lanes(self) -> Evidence:
        lanes = await call(
            self._bus, self._rpc("lanes"), Empty(), CommandLanes, timeout_ms=LOCAL_MS
        )
        try:
            newest = await self._bus.last(subjects.DOWNLINK, subjects.down_commands(self._site))
        except StreamGone:
            newest = None  # no copy yet: no command ever came down
        copied_seq = newest.seq if newest else 0
        return LanesSeen(lanes.pending, lanes.downlink_seq, copied_seq, lanes.waiting)

    async def _csms(self, head_seq: int) -> Evidence:
        """Where there is one, its bridge is asked, whatever the last pulse said: it knows better."""
        if (await self._mode()).csms is CsmsState.NONE:
            return CsmsSeen(None)
        request = CaughtUpRequest(incarnation=self._incarnation, seq=head_seq)
        subject = subjects.up(self._site, "csms")
        return CsmsSeen(await call(self._bus, subject, request, CaughtUp, timeout_ms=UPLINK_MS))

    async def _digests(self, head_seq: int) -> Evidence:
        request = DigestRequest(
            incarnation=self._incarnation, seq=head_seq, fold_version=FOLD_VERSION
        )
        subject = subjects.up(self._site, "digest")
        cloud = await call(self._bus, subject, request, Digest, timeout_ms=UPLINK_MS)
        return DigestsSeen(site=self._own_digest(head_seq), cloud=cloud)

    def _rpc(self, verb: str) -> str:
        return subjects.rpc(self._site, verb)
