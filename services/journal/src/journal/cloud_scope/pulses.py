"""Answers pulses, at once and from memory: how far this site is verified, and what it should have.

Nothing here waits for the archive or for a site: what has to be done because of a pulse is begun beside it.
"""

from __future__ import annotations

import logging

from prometheus_client import Counter

from holdfast import rpc, subjects
from holdfast.bus import StreamGone
from holdfast.contracts.envelope import Contract, ContractError
from holdfast.contracts.journal import BindDownlink, Confirm, Confirmed, DownlinkBound
from holdfast.contracts.mode import Head, Mode, Pulse, PulseReply
from holdfast.contracts.rules import SignedRules
from holdfast.service import Context
from journal.cloud_scope import binding
from journal.cloud_scope.archive import Key
from journal.cloud_scope.copies import Copies, Heard, Site
from journal.cloud_scope.csms import CsmsWatch
from journal.config import Config
from journal.domain.statement import Statement

log = logging.getLogger(__name__)

DOWNLINK_WAIT_MS = 1_000


class Pulses:
    def __init__(self, context: Context[Config], copies: Copies, csms: CsmsWatch) -> None:
        self._bus = context.bus
        self._clock = context.clock
        self._copies = copies
        self._csms = csms
        self._desired: dict[str, int] = {}
        self._forged = Counter(
            "holdfast_journal_heads_refused_total",
            "Heads whose signature is not the site's.",
            ["site"],
            registry=context.health.registry,
        )

    async def serve(self) -> None:
        await rpc.serve(self._bus, subjects.up_from_any("pulse"), Pulse, self._pulse)
        await rpc.serve(self._bus, subjects.up_from_any("confirmed"), Confirm, self._confirmed)
        await rpc.serve(self._bus, subjects.up_from_any("downlink"), BindDownlink, self._downlink)

    async def follow_desired_rules(self) -> None:
        """For ever: which rules version each site should have."""
        every_site = subjects.down_rules("*")
        while True:
            try:
                stream = self._bus.follow(
                    subjects.DOWNLINK, subjects=(every_site,), start="last-per-subject"
                )
                async for message in stream:
                    try:
                        version = SignedRules.from_bytes(message.data).version
                    except ContractError as error:
                        log.warning("unreadable rules", extra={"why": str(error)})
                        continue
                    self._desired[subjects.site_of(message.subject)] = version
            except StreamGone as error:
                log.warning("no downlink", extra={"why": str(error)})
                await self._clock.sleep_ms(DOWNLINK_WAIT_MS)

    # --- answers ---

    async def _pulse(self, pulse: Pulse, subject: str) -> Contract:
        name = subjects.site_of(subject)
        site = self._site(name)
        if pulse.head is None:
            self._heard_without_head(site, pulse.mode)
            return self._reply(name, site, site.newest, fork=False)
        statement = self._verified(name, site, pulse.head)
        if statement is None:
            return self._reply(name, site, None, fork=False)
        incarnation = pulse.head.incarnation
        self._take_head(name, site, incarnation, statement, pulse.mode)
        fork = self._is_over(site, incarnation) or self._went_back(site, pulse, statement)
        return self._reply(name, site, incarnation, fork=fork)

    async def _confirmed(self, request: Confirm, subject: str) -> Contract:
        name = subjects.site_of(subject)
        site = self._site(name)
        incarnation = request.head.incarnation
        reader = site.lives.get(incarnation)
        statement = self._verified(name, site, request.head)
        if statement is None or reader is None:
            raise ContractError(
                f"incarnation {incarnation[:40]!r} of site {name!r} is not known here yet"
            )
        last = await self._bus.last(subjects.DOWNLINK, subjects.down_all(name))
        held = await self._bus.held(subjects.DOWNLINK, subjects.down_all(name))
        end = await self._bus.state(subjects.DOWNLINK)
        state = reader.kept.state
        return Confirmed(
            incarnation=incarnation,
            watermark=state.watermark,
            hash=state.watermark_hash.hex(),
            over=self._is_over(site, incarnation),
            downlink_seq=last.seq if last else 0,
            downlink_held=held,
            downlink_end_seq=end.last_seq,
        )

    async def _downlink(self, _: BindDownlink, subject: str) -> Contract:
        name = subjects.site_of(subject)
        self._site(name)
        await binding.bind_downlink(self._bus, name)
        log.info("downlink bound", extra={"site": name})
        return DownlinkBound()

    def _site(self, name: str) -> Site:
        site = self._copies.sites.get(name)
        if site is None:
            raise ContractError(f"site {name!r} is not known here: add its public key to site_keys")
        return site

    def _verified(self, name: str, site: Site, head: Head) -> Statement | None:
        malformed = subjects.INCARNATION.match(head.incarnation) is None
        statement = None if malformed else site.key.statement(name, head.incarnation, head)
        if statement is None:
            self._forged.labels(name).inc()
            log.warning("head refused", extra={"site": name, "incarnation": head.incarnation[:40]})
        return statement

    def _take_head(
        self, name: str, site: Site, incarnation: str, statement: Statement, mode: Mode
    ) -> None:
        self._copies.heard(site, incarnation, statement, self._now(mode))
        if incarnation not in site.lives:
            self._copies.discover(Key(name, incarnation), statement)

    def _heard_without_head(self, site: Site, mode: Mode) -> None:
        if site.newest:
            self._copies.heard(site, site.newest, None, self._now(mode))

    def _now(self, mode: Mode) -> Heard:
        return Heard(
            mode=mode, pulse_at_ms=self._clock.now_ms(), pulse_mono_ms=self._clock.monotonic_ms()
        )

    def _is_over(self, site: Site, incarnation: str) -> bool:
        """A known life that is no longer the site's newest, or whose history is not the one we verified."""
        reader = site.lives.get(incarnation)
        if reader is None:
            return False
        return incarnation != site.newest or reader.kept.state.diverged

    def _went_back(self, site: Site, pulse: Pulse, statement: Statement) -> bool:
        """A head below what we verified, in a pulse sent after one that had reached it: not merely a late one."""
        reader = site.lives.get(pulse.head.incarnation) if pulse.head else None
        if reader is None:
            return False
        heard = site.heard[reader.key.incarnation]
        if statement.seq >= reader.kept.state.watermark:
            heard.reached_at_ms = max(heard.reached_at_ms, pulse.at_ms)
            return False
        return pulse.at_ms > heard.reached_at_ms > 0

    def _reply(self, name: str, site: Site, incarnation: str | None, *, fork: bool) -> PulseReply:
        reader = site.lives.get(incarnation or "")
        return PulseReply(
            at_ms=self._clock.now_ms(),
            incarnation=incarnation if reader else None,
            watermark=reader.kept.state.watermark if reader else 0,
            desired_rules_version=self._desired.get(name, 0),
            csms=self._csms.state(name),
            fork=fork,
        )
