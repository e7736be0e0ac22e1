"""At a site: fold the own journal, run the recovery, answer for both."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import assert_never

from prometheus_client import Gauge

from holdfast import subjects
from holdfast.bus import AppendRefused, Message
from holdfast.contracts.envelope import Contract, ContractError
from holdfast.contracts.recovery import RecoveryStatus, RecoveryStepped
from holdfast.contracts.rpc import Empty
from holdfast.contracts.session import SessionsRequest
from holdfast.ids import derived
from holdfast.recorder import Recorder, wait_for_incarnation
from holdfast.rpc import serve
from holdfast.service import Context
from holdfast.standing import Standing, follow_standing
from reconciler.adapters import recovery_state
from reconciler.adapters.looking import Looking
from reconciler.adapters.store import Life, ReadTo, SessionStore
from reconciler.config import Config
from reconciler.domain.doubts import doubted
from reconciler.domain.recovery import (
    Answered,
    Ask,
    Effect,
    Event,
    Journaled,
    Record,
    State,
    Tick,
    decide,
)
from reconciler.folding import Placed, fold_and_commit, read_message
from reconciler.reading import catch_up, read_in_order, state_when_there

log = logging.getLogger(__name__)

SERVICE = "reconciler"


async def run(context: Context[Config], store: SessionStore) -> None:
    site = context.config.site
    incarnation = await wait_for_incarnation(context.bus, context.clock, site)
    recorder = Recorder(context.bus, context.clock, context.ids, incarnation, source=SERVICE)
    at_site = _AtSite(context, store, recorder)
    await at_site.run()


class _AtSite:
    def __init__(self, context: Context[Config], store: SessionStore, recorder: Recorder) -> None:
        self._context = context
        self._bus = context.bus
        self._clock = context.clock
        self._store = store
        self._recorder = recorder
        incarnation = recorder.incarnation
        self._life = Life(incarnation.site, incarnation.name)
        self._stream = incarnation.journal
        self._standing = Standing()
        self._state = State()
        self._moved = asyncio.Event()
        """Set when the journal said something new: the next tick need not wait."""
        self._looking = Looking(
            self._bus,
            self._clock,
            incarnation.site,
            incarnation.name,
            lambda seq: store.digest(self._life, seq),
        )
        registry = context.health.registry
        self._folded = Gauge(
            "holdfast_reconciler_folded_seq", "Journal folded up to", registry=registry
        )
        self._open = Gauge(
            "holdfast_recovery_open_points", "Named and not settled", registry=registry
        )

    async def run(self) -> None:
        read_up_to = self._store.read_to(self._stream).seq
        self._state = recovery_state.load(self._store.recovery(self._life))
        held = await state_when_there(
            self._bus,
            self._stream,
            subjects.journal_all(self._life.site),
            clock=self._clock,
            rng=self._context.rng,
        )
        await catch_up(self._bus, self._stream, read_up_to, held.last_seq, self._take)
        durable = subjects.fold_consumer(SERVICE)
        async with asyncio.TaskGroup() as group:
            group.create_task(
                follow_standing(self._bus, self._recorder.incarnation, self._standing)
            )
            group.create_task(
                read_in_order(
                    self._bus, self._stream, durable, max(read_up_to, held.last_seq), self._take
                )
            )
            await self._serve()
            await self._act()

    # --- journal in ---

    async def _take(self, messages: Sequence[Message]) -> None:
        batch = []
        state = self._state
        for message in messages:
            placed = Placed(
                life=self._life, seq=message.seq, read=read_message(message, message.seq)
            )
            batch.append(placed)
            state = self._step(state, _journaled(message, placed))[0]
        last = messages[-1]
        await fold_and_commit(
            self._store,
            self._stream,
            ReadTo(last.seq, last.id),
            batch,
            clock=self._clock,
            health=self._context.health,
            recovery=recovery_state.dump(state),
        )
        self._remember(state)
        self._folded.set(last.seq)

    def _remember(self, state: State) -> None:
        # What only this process knows may have moved on in `_act` while the batch was written.
        state = replace(state, live=self._state.live)
        _log_steps(self._state, state)
        self._state = state
        self._open.set(len(state.settling.points) if state.settling else 0)
        self._moved.set()

    def _step(self, state: State, event: Event) -> tuple[State, list[Effect]]:
        return decide(self._standing.rules.recovery, state, event)

    # --- what is to be done ---

    async def _act(self) -> None:
        await self._standing.known.wait()
        while True:
            self._moved.clear()
            tick = Tick(at_ms=self._clock.now_ms(), mono_ms=self._clock.monotonic_ms())
            for effect in self._now(tick):
                await self._perform(effect)
            await self._until_moved(self._standing.rules.recovery.step_poll_ms)

    def _now(self, event: Event) -> list[Effect]:
        self._state, effects = self._step(self._state, event)
        return effects

    async def _perform(self, effect: Effect) -> None:
        match effect:
            case Ask():
                evidence = await self._looking.look(effect.step, effect.head_seq)
                answer = Answered(
                    step=effect.step,
                    cause=effect.cause,
                    evidence=evidence,
                    mono_ms=self._clock.monotonic_ms(),
                )
                for further in self._now(answer):
                    await self._perform(further)
            case Record():
                await self._record(effect)
            case _:
                assert_never(effect)

    async def _record(self, effect: Record) -> None:
        step, outcome = "", ""
        if isinstance(effect.fact, RecoveryStepped):
            step, outcome = effect.fact.step.value, effect.fact.outcome.value
        id = derived(self._life.incarnation, effect.cause, effect.fact.TYPE, step, outcome)
        try:
            await self._recorder.record(effect.fact, id=id, cause=effect.cause)
        except AppendRefused as error:
            # The next tick asks for the same fact under the same id.
            self._context.health.wrong("journal", f"{effect.fact.TYPE} not stored: {error}")
            log.warning(
                "fact not stored, tried again",
                extra={"type": effect.fact.TYPE, "why": str(error)},
            )
        else:
            self._context.health.ok("journal")

    async def _until_moved(self, wait_ms: int) -> None:
        try:
            async with asyncio.timeout(wait_ms / 1000):
                await self._moved.wait()
        except TimeoutError:
            pass

    # --- answers ---

    async def _serve(self) -> None:
        site = self._life.site

        async def sessions(request: SessionsRequest, _: str) -> Contract:
            if request.site != site:
                raise ContractError(f"this is site {site!r}, not {request.site[:40]!r}")
            page, billing = self._store.page(request), self._standing.rules.billing
            shown = tuple(doubted(view, billing) for view in page.sessions)
            return page.model_copy(update={"sessions": shown})

        async def recovery(_: Empty, __: str) -> Contract:
            return self._status()

        await serve(self._bus, subjects.rpc(site, "sessions"), SessionsRequest, sessions)
        await serve(self._bus, subjects.rpc(site, "recovery"), Empty, recovery)

    def _status(self) -> RecoveryStatus:
        procedure, settling = self._state.procedure, self._state.settling
        return RecoveryStatus(
            disruption=procedure.disruption if procedure else None,
            steps=procedure.steps if procedure else (),
            open_points=settling.points if settling else (),
        )


def _journaled(message: Message, placed: Placed) -> Journaled:
    if placed.read is None:
        return Journaled(seq=message.seq, id=message.id, cause=None, fact=None)
    envelope = placed.read.entry.envelope
    return Journaled(seq=message.seq, id=envelope.id, cause=envelope.cause, fact=placed.read.fact)


def _log_steps(before: State, after: State) -> None:
    known = before.procedure.steps if before.procedure else ()
    procedure = after.procedure
    if procedure is None:
        return
    if before.procedure is None or before.procedure.id != procedure.id:
        known = ()
        log.info(
            "recovery begun",
            extra={"disruption": procedure.disruption, "head_seq": procedure.head_seq},
        )
    for stepped in procedure.steps[len(known) :]:
        log.info(
            "recovery step",
            extra={
                "disruption": stepped.disruption,
                "step": stepped.step.value,
                "outcome": stepped.outcome.value,
                "evidence": stepped.evidence,
            },
        )
