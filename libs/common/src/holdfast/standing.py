"""The mode and the rules that stand at a site now, as its journal last said."""

from __future__ import annotations

import asyncio
import logging

import yaml
from pydantic import ValidationError

from holdfast import subjects
from holdfast.bus import Bus
from holdfast.contracts.envelope import ContractError, Fact, first_problem
from holdfast.contracts.mode import Mode, ModeChanged
from holdfast.contracts.rules import Rules, RulesActivated
from holdfast.entries import read
from holdfast.recorder import Incarnation

log = logging.getLogger(__name__)

RULES_TEXT_BYTES_MAX = 256 * 1024


def parse_rules(text: str) -> Rules:
    """YAML to rules; raise ContractError naming the first wrong clause."""
    if len(text.encode()) > RULES_TEXT_BYTES_MAX:
        raise ContractError(f"rules of over {RULES_TEXT_BYTES_MAX} bytes are not read")
    try:
        document = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ContractError(f"rules are not YAML: {error}") from error
    try:
        return Rules.model_validate(document)
    except ValidationError as error:
        raise ContractError(f"rules refused as a whole: {first_problem(error)}") from error


class Standing:
    """Kept current by `follow_standing`; a service reads it, nobody but the follower writes it."""

    def __init__(self) -> None:
        self.mode = Mode.AUTONOMOUS
        """What a site without knowledge must assume."""
        self.rules = Rules(version=1, name="built-in")
        """The built-in defaults until a signed bundle has been activated."""
        self.rules_hash = ""
        self.rules_version = 0
        """Of the activated bundle; 0 while the built-in defaults stand."""
        self.disruption: str | None = None
        self.known = asyncio.Event()
        """Set once everything stored at start has been read."""

    def take(self, fact: Fact) -> None:
        match fact:
            case ModeChanged():
                self.mode = fact.mode
                self.disruption = fact.disruption
            case RulesActivated():
                self.rules = parse_rules(fact.text)
                self.rules_hash = fact.hash
                self.rules_version = fact.version
            case _:
                pass


async def follow_standing(bus: Bus, incarnation: Incarnation, standing: Standing) -> None:
    """For ever: the last mode and rules, then each change. Run it in the service's task group."""
    topics = tuple(
        subjects.journal(incarnation.site, *kind.TYPE.split("."))
        for kind in (ModeChanged, RulesActivated)
    )
    if not any([await bus.last(incarnation.journal, topic) for topic in topics]):
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
