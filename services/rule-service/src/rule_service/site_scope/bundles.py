"""Which rules are active at this site: performs what `domain/bundle.py` decides, one event at a time.

The journal leads: `rules.activated` is there before a decision names the version. The service's own store
keeps the last good bundle for the day when the journal has been trimmed past it.
"""

from __future__ import annotations

import asyncio
import logging
from hashlib import sha256

from holdfast.backoff import Backoff
from holdfast.bus import Bus
from holdfast.contracts.envelope import ContractError, Fact
from holdfast.contracts.mode import Mode, ModeChanged
from holdfast.contracts.rules import Rules, RulesActivated, RulesRefused
from holdfast.health import Health
from holdfast.ids import derived
from holdfast.recorder import Recorder
from holdfast.standing import parse_rules
from holdfast.store import Snapshots
from rule_service.domain.bundle import (
    Bundle,
    Event,
    ModeStands,
    Policy,
    Recalled,
    State,
    decide,
)
from rule_service.site_scope.metrics import Metrics
from rule_service.site_scope.recording import last_fact, until_recorded

log = logging.getLogger(__name__)

FOLD, FOLD_VERSION = "rules", 1
WAITING_MAX = 16
"""Events waiting for the journal to take one; more wait at their source, nothing is dropped."""
CONDITION = "rules"


class Bundles:
    def __init__(
        self,
        recorder: Recorder,
        snapshots: Snapshots,
        policy: Policy,
        backoff: Backoff,
        health: Health,
        metrics: Metrics,
    ) -> None:
        self._recorder = recorder
        self._snapshots = snapshots
        self._policy = policy
        self._backoff = backoff
        self._health = health
        self._metrics = metrics
        self._state = State()
        self._waiting: asyncio.Queue[Event] = asyncio.Queue(WAITING_MAX)
        self._last_refusal: Fact | None = None
        self.mode = Mode.AUTONOMOUS
        """As the journal last named it: decisions take it from here at once, however long the queue is."""

    @property
    def state(self) -> State:
        """What the journal has."""
        return self._state

    @property
    def rules(self) -> Rules:
        return self._state.rules

    async def recall(self, bus: Bus) -> None:
        """What stood before this process began. Raise RequestFailed while the server does not answer."""
        incarnation = self._recorder.incarnation
        self._last_refusal = await last_fact(bus, incarnation, RulesRefused)
        mode = await last_fact(bus, incarnation, ModeChanged)
        if mode:
            self.mode = mode.mode
            await self.take(ModeStands(mode.mode))
        activated = await last_fact(bus, incarnation, RulesActivated)
        if activated:
            await self._recalled(activated, journaled=True)
            return
        kept = self._snapshots.load(FOLD, incarnation.name, FOLD_VERSION)
        if kept:
            await self._recalled(RulesActivated.from_bytes(kept.state), journaled=False)

    async def _recalled(self, fact: RulesActivated, *, journaled: bool) -> None:
        try:
            bundle = Bundle(fact.text, parse_rules(fact.text))
        except ContractError as error:
            # Another build activated it: this one can't read it, and goes on with what it is offered.
            self._health.wrong(CONDITION, str(error))
            log.error("last rules unreadable: %s", error)  # noqa: TRY400  the sentence is all there is
            return
        await self.take(Recalled(bundle, journaled))

    async def mode_stands(self, mode: Mode) -> None:
        self.mode = mode
        await self.put(ModeStands(mode))

    async def put(self, event: Event) -> None:
        await self._waiting.put(event)

    async def run(self) -> None:
        while True:
            await self.take(await self._waiting.get())

    async def take(self, event: Event) -> None:
        """Perform first, then believe: a decision never names rules that are not in the journal."""
        state, effects = decide(self._policy, self._state, event)
        for effect in effects:
            await self._record(effect.fact)
        self._state = state
        self._metrics.rules_stand(state)
        if state.active:
            self._health.ok(CONDITION)
        else:
            self._health.wrong(CONDITION, "no signed bundle is active: the built-in rules stand")

    async def _record(self, fact: RulesActivated | RulesRefused) -> None:
        if fact == self._last_refusal:
            return  # offered again by a restart, known already
        incarnation = self._recorder.incarnation.name
        id = derived("rules", incarnation, sha256(fact.to_bytes()).hexdigest())
        entry = await until_recorded(
            self._recorder, fact, id, backoff=self._backoff, health=self._health
        )
        if isinstance(fact, RulesRefused):
            self._last_refusal = fact
            log.warning("rules refused", extra={"version": fact.version, "why": fact.reason})
            return
        self._snapshots.save(FOLD, incarnation, FOLD_VERSION, entry.seq, fact.to_bytes())
        log.warning(
            "rules activated",
            extra={"version": fact.version, "previous": fact.previous_version, "hash": fact.hash},
        )
