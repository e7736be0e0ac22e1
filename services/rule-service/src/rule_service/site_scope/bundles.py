"""Which rules are active at this site: performs what `domain/bundle.py` decides, one event at a time.

The journal leads: `rules.activated` is there before a decision names the version. The service's own store
keeps the last good bundle for the day when the journal has been trimmed past it, and the staged one, which may name
the key that signs the next.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from hashlib import sha256

from holdfast.backoff import Backoff
from holdfast.bus import AppendRefused, Bus
from holdfast.clock import Clock
from holdfast.contracts.envelope import Contract, ContractError, Entry
from holdfast.contracts.mode import Mode, ModeChanged
from holdfast.contracts.rules import Rules, RulesActivated, RulesRefused, RulesStatus, SignedRules
from holdfast.health import Health
from holdfast.ids import derived
from holdfast.recorder import Recorder
from holdfast.standing import parse_rules
from holdfast.store import Snapshots
from rule_service.domain.bundle import (
    Bundle,
    Effect,
    Event,
    Keep,
    ModeStands,
    Offered,
    Policy,
    Recalled,
    RecalledRefusal,
    RecalledStaged,
    RecalledUnread,
    Record,
    Refusal,
    SafePoint,
    State,
    Unread,
    Unreadable,
    decide,
    trusted,
    why_not_now,
)
from rule_service.domain.named_keys import named_keys
from rule_service.site_scope.gate import Gate
from rule_service.site_scope.metrics import Metrics
from rule_service.site_scope.recording import CONDITION as JOURNAL
from rule_service.site_scope.recording import last_read, until_recorded

log = logging.getLogger(__name__)

FOLD, STAGED, FOLD_VERSION = "rules", "staged rules", 1
KEY_SHOWN = 16
"""Characters of a key that people compare."""
WAITING_MAX = 16
"""Events waiting for the journal to take one; more wait at their source, nothing is dropped."""
CONDITION = "rules"


class Staged(Contract):
    """A staged bundle as this service keeps it."""

    text: str
    key: str
    since_ms: int


class Bundles:
    def __init__(
        self,
        clock: Clock,
        recorder: Recorder,
        snapshots: Snapshots,
        policy: Policy,
        gate: Gate,
        backoff: Backoff,
        health: Health,
        metrics: Metrics,
    ) -> None:
        self._clock = clock
        self._recorder = recorder
        self._snapshots = snapshots
        self._policy = policy
        self._gate = gate
        self._backoff = backoff
        self._health = health
        self._metrics = metrics
        self._state = State()
        self._waiting: asyncio.Queue[Event] = asyncio.Queue(WAITING_MAX)
        self.last_offered: SignedRules | None = None
        """By the cloud, taken or not."""
        self.mode = Mode.AUTONOMOUS
        """As the journal last named it: decisions take it from here at once, however long the queue is."""

    @property
    def state(self) -> State:
        """What the journal has."""
        return self._state

    @property
    def rules(self) -> Rules:
        return self._state.rules

    # --- what stood before this process began ---

    async def recall(self, bus: Bus) -> None:
        """Raise RequestFailed while the server does not answer."""
        incarnation = self._recorder.incarnation
        mode = await last_read(bus, incarnation, ModeChanged)
        if mode:
            self.mode = mode.fact.mode
            await self._take(ModeStands(self.mode))
        activated = await last_read(bus, incarnation, RulesActivated)
        kept = None if activated else self._snapshots.load(FOLD, incarnation.name, FOLD_VERSION)
        if activated:
            since_ms = activated.fact.since_ms or activated.entry.envelope.at_ms
            await self._recalled(activated.fact, since_ms, journaled=True)
        elif kept:
            fact = RulesActivated.from_bytes(kept.state)
            await self._recalled(fact, fact.since_ms, journaled=False)
        await self._recall_staged()
        refused = await last_read(bus, incarnation, RulesRefused)
        if refused and refused.entry.seq > (activated.entry.seq if activated else 0):
            refusal = Refusal(refused.fact, refused.entry.envelope.at_ms)
            await self._take(RecalledRefusal(refusal))
        await self._activate_staged()

    async def _recalled(
        self, fact: RulesActivated, since_ms: int | None, *, journaled: bool
    ) -> None:
        try:
            bundle = Bundle(fact.text, parse_rules(fact.text), fact.key)
        except ContractError as error:
            # Another build activated it: the safe defaults decide until something newer comes.
            log.error("last rules unreadable: %s", error)  # noqa: TRY400  the sentence is all there is
            keys = frozenset(named_keys(fact.text))
            await self._take(RecalledUnread(Unread(fact.version, keys, str(error))))
            return
        await self._take(Recalled(bundle, journaled, since_ms))

    async def _recall_staged(self) -> None:
        kept = self._snapshots.load(STAGED, self._recorder.incarnation.name, FOLD_VERSION)
        if kept is None:
            return
        try:
            staged = Staged.from_bytes(kept.state)
            bundle = Bundle(staged.text, parse_rules(staged.text), staged.key)
        except ContractError as error:
            log.warning("staged rules unreadable", extra={"why": str(error)})
            return
        await self._take(RecalledStaged(bundle, staged.since_ms))

    # --- what happens ---

    async def mode_stands(self, mode: Mode) -> None:
        self.mode = mode
        await self.put(ModeStands(mode))

    async def offer(self, signed: SignedRules) -> None:
        self.last_offered = signed
        await self.put(Offered(signed, self._clock.now_ms()))

    async def unreadable(self, reason: str) -> None:
        await self.put(Unreadable(reason, self._clock.now_ms()))

    async def put(self, event: Event) -> None:
        await self._waiting.put(event)

    async def run(self) -> None:
        while True:
            await self.take(await self._waiting.get())

    async def take(self, event: Event) -> None:
        await self._take(event)
        await self._activate_staged()

    async def _take(self, event: Event) -> None:
        """Perform first, then believe: a decision never names rules that are not in the journal."""
        state, effects = decide(self._policy, self._state, event)
        for effect in effects:
            match effect:
                case Record(fact=fact):
                    entry = await until_recorded(
                        self._recorder,
                        fact,
                        self._id(fact),
                        backoff=self._backoff,
                        health=self._health,
                    )
                    self._recorded(fact, entry)
                case Keep(staged=bundle, since_ms=since_ms):
                    self._keep(bundle, since_ms)
        self._believe(state)

    async def _activate_staged(self) -> None:
        """At a safe point, if the mode allows one. A journal that refuses holds no decision up for longer than one
        append: they go on by the old rules, and it is tried again.
        """
        while self._state.staged and not why_not_now(replace(self._state, mode=self.mode)):
            async with self._gate.shut(self._state.rules.activation.wait_ms_max) as under_way:
                if under_way:
                    log.warning("decisions under way end by the old rules: %s", under_way)
                event = SafePoint(self.mode, self._clock.now_ms())
                state, effects = decide(self._policy, self._state, event)
                if await self._record_at_once(effects):
                    self._believe(state)
                    return
            await self._backoff.wait()

    async def _record_at_once(self, effects: tuple[Effect, ...]) -> bool:
        for effect in effects:
            if not isinstance(effect, Record):
                continue
            fact = effect.fact
            try:
                entry = await self._recorder.record(fact, id=self._id(fact))
            except AppendRefused as error:
                self._health.wrong(JOURNAL, f"{fact.TYPE} is not stored: {error}")
                log.warning("not stored, tried again", extra={"type": fact.TYPE, "why": str(error)})
                return False
            self._health.ok(JOURNAL)
            self._backoff.reset()
            self._recorded(fact, entry)
        return True

    def _id(self, fact: RulesActivated | RulesRefused) -> str:
        """The same fact under the same active rules is the same event, however often it is tried."""
        life, active = self._recorder.incarnation.name, self._state.version
        return derived("rules", life, active, sha256(fact.to_bytes()).hexdigest())

    def _recorded(self, fact: RulesActivated | RulesRefused, entry: Entry) -> None:
        if isinstance(fact, RulesRefused):
            self._metrics.refused(fact)
            log.warning("rules refused", extra={"version": fact.version, "why": fact.reason})
            return
        life = self._recorder.incarnation.name
        since_ms = fact.since_ms or entry.envelope.at_ms
        kept = fact.model_copy(update={"since_ms": since_ms})
        self._snapshots.save(FOLD, life, FOLD_VERSION, entry.seq, kept.to_bytes())
        log.warning(
            "rules activated",
            extra={"version": fact.version, "previous": fact.previous_version, "hash": fact.hash},
        )

    def _keep(self, bundle: Bundle, since_ms: int) -> None:
        staged = Staged(text=bundle.text, key=bundle.key, since_ms=since_ms)
        life = self._recorder.incarnation.name
        self._snapshots.save(STAGED, life, FOLD_VERSION, 0, staged.to_bytes())
        log.info("rules staged", extra={"version": bundle.version, "hash": bundle.hash})

    def _believe(self, state: State) -> None:
        self._state = state
        self._metrics.rules_stand(state)
        if state.active:
            self._health.ok(CONDITION)
        elif state.unread:
            version, why = state.unread.version, state.unread.why
            self._health.wrong(
                CONDITION,
                f"version {version} is active and this build can't read it ({why}): the built-in rules decide; "
                "publish a newer bundle that it can read, or go back to the build that activated it",
            )
        else:
            self._health.wrong(CONDITION, "no signed bundle is active: the built-in rules stand")

    # --- what is said of it ---

    def status(self) -> RulesStatus:
        """Without what concerns driver tokens."""
        state, rules = self._state, self._state.rules
        refusal = state.refusal
        newest = state.staged or state.active
        named = newest.rules.signing.keys if newest else state.unread and state.unread.keys
        keys = sorted(trusted(self._policy, state))
        return RulesStatus(
            version=state.version,
            hash=state.active.hash if state.active else "",
            name=rules.name,
            valid_until_ms=rules.valid_until_ms,
            after_expiry=rules.after_expiry,
            driver_tokens_version=0,
            active_since_ms=state.active_since_ms,
            staged_version=state.staged.version if state.staged else None,
            staged_since_ms=state.staged_since_ms,
            staged_why=(why_not_now(state) or "a safe point") if state.staged else None,
            desired_version=state.desired_version,
            refused=state.refused,
            refused_kind=refusal.fact.kind if refusal else None,
            refused_version=refusal.fact.version if refusal else None,
            refused_at_ms=refusal.at_ms if refusal else None,
            trusted_keys=tuple(key[:KEY_SHOWN] for key in keys),
            trusted_by="bundle" if named else "provisioned",
            text=state.active.text if state.active else "",
        )
