"""The mode and the rules that stand at a site now, as its journal last said."""

from __future__ import annotations

import asyncio
import logging

from holdfast import subjects
from holdfast.bus import Bus, RequestFailed
from holdfast.contracts.envelope import ContractError, Fact
from holdfast.contracts.mode import Mode, ModeChanged, ModeStatus, Reason
from holdfast.contracts.rpc import Empty
from holdfast.contracts.rules import Rules, RulesActivated, RulesStatus
from holdfast.entries import read
from holdfast.recorder import Incarnation
from holdfast.rpc import call
from holdfast.rules_text import parse_rules as parse_rules

log = logging.getLogger(__name__)

ASK_MS = 500


class Standing:
    """Kept current by `follow_standing`; a service reads it, nobody but the follower writes it."""

    def __init__(self) -> None:
        self.mode = Mode.AUTONOMOUS
        """What a site without knowledge must assume."""
        self.reasons: tuple[Reason, ...] = ()
        """Of the last change: what came or went since without changing the mode, mode-manager knows (`rpc.mode`)."""
        self.rules = Rules(version=1, name="built-in")
        """The built-in defaults until a signed bundle has been activated."""
        self.rules_hash = ""
        self.rules_version = 0
        """Of the activated bundle; 0 while the built-in defaults stand."""
        self.disruption: str | None = None
        self.since_ms = 0
        """When the mode began, site clock; 0 while none is known."""
        self.known = asyncio.Event()
        """Set once everything stored at start has been read."""

    def take(self, fact: Fact) -> None:
        match fact:
            case ModeChanged():
                self.mode, self.reasons = fact.mode, fact.reasons
                self.disruption, self.since_ms = fact.disruption, fact.since_ms
            case RulesActivated():
                self.rules = parse_rules(fact.text)
                self.rules_hash = fact.hash
                self.rules_version = fact.version
            case _:
                pass


async def _ask(bus: Bus, site: str, standing: Standing) -> None:
    """The journal may be trimmed past the last change: those who decide still know. A new site has neither."""
    try:
        mode = await call(bus, subjects.rpc(site, "mode"), Empty(), ModeStatus, timeout_ms=ASK_MS)
        standing.mode, standing.reasons = mode.mode, mode.reasons
        standing.disruption, standing.since_ms = mode.disruption, mode.since_ms
        rules = await call(
            bus, subjects.rpc(site, "rules"), Empty(), RulesStatus, timeout_ms=ASK_MS
        )
        if rules.text:
            standing.rules = parse_rules(rules.text)
            standing.rules_hash, standing.rules_version = rules.hash, rules.version
    except (RequestFailed, ContractError) as error:
        log.info("nothing stands yet", extra={"why": str(error)})


async def follow_standing(bus: Bus, incarnation: Incarnation, standing: Standing) -> None:
    """For ever: the last mode and rules, then each change. Run it in the service's task group."""
    topics = tuple(
        subjects.journal(incarnation.site, *kind.TYPE.split("."))
        for kind in (ModeChanged, RulesActivated)
    )
    stored = [await bus.last(incarnation.journal, topic) is not None for topic in topics]
    if not all(stored):
        await _ask(bus, incarnation.site, standing)
    if not any(stored):
        standing.known.set()
    stream = bus.follow(incarnation.journal, subjects=topics, start="last-per-subject")
    async for message in stream:
        try:
            standing.take(read(message).fact)
        except ContractError as error:
            # The journal service quarantines it; what stood before goes on standing.
            log.warning("unreadable standing", extra={"seq": message.seq, "why": str(error)})
        if message.pending == 0:
            standing.known.set()
