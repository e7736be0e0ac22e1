"""Holds the state, feeds events to the core one at a time, and performs what comes of them."""

from __future__ import annotations

import logging

from holdfast.clock import Clock
from holdfast.contracts.mode import Mode, ModeStatus, Override
from holdfast.contracts.rules import ModeRules
from holdfast.ids import Ids
from holdfast.recorder import Incarnation
from holdfast.standing import Standing
from mode_manager.domain.events import (
    Effect,
    EndOverride,
    Event,
    Moment,
    PulseAnswered,
    Started,
)
from mode_manager.domain.modes import decide
from mode_manager.domain.report import status
from mode_manager.memory import Recalled
from mode_manager.metrics import Metrics
from mode_manager.writer import Writer

log = logging.getLogger(__name__)


class Manager:
    """Between two awaits nothing else runs, so one event is one step."""

    def __init__(
        self,
        clock: Clock,
        ids: Ids,
        incarnation: Incarnation,
        standing: Standing,
        writer: Writer,
        metrics: Metrics,
        recalled: Recalled,
    ) -> None:
        self._clock = clock
        self._ids = ids
        self._standing = standing
        self._writer = writer
        self._metrics = metrics
        moment = self.moment()
        started = Started(
            moment=moment,
            incarnation=incarnation.name,
            last=recalled.last,
            # A wall clock that was set back makes them recent: then the bound holds longer than it must.
            changed_ago_ms=tuple(max(0, moment.at_ms - at_ms) for at_ms in recalled.counted_at_ms),
            fell_ago_ms=tuple(max(0, moment.at_ms - at_ms) for at_ms in recalled.fell_at_ms),
            overrides=recalled.overrides,
            overrides_seq=recalled.overrides_seq,
        )
        self._state, effects = decide(self.policy, None, started)
        writer.overrides = lambda: self.overrides
        self._metrics.stands(self._state.mode)
        self._perform(effects)

    @property
    def policy(self) -> ModeRules:
        return self._standing.rules.uplink

    @property
    def mode(self) -> Mode:
        return self._state.mode

    @property
    def overrides(self) -> tuple[Override, ...]:
        """Announced or standing."""
        return self._state.overrides

    @property
    def overrides_seq(self) -> int:
        return self._state.overrides_seq

    @property
    def rules_version(self) -> int:
        return self._standing.rules_version

    @property
    def backlog(self) -> int:
        """Entries that the cloud has not confirmed."""
        return max(0, (self._state.head_seq or 0) - self._state.sync.watermark)

    def moment(self) -> Moment:
        return Moment(self._clock.now_ms(), self._clock.monotonic_ms(), self._ids.new())

    def feed(self, event: Event) -> None:
        if isinstance(event, PulseAnswered):
            self._metrics.answered(event.moment.at_ms)
        self._state, effects = decide(self.policy, self._state, event)
        self._perform(effects)

    def status(self) -> ModeStatus:
        return status(self.policy, self._state, self.moment(), journaled=self._writer.is_done)

    def _perform(self, effects: tuple[Effect, ...]) -> None:
        for effect in effects:
            self._writer.add(effect)
            if isinstance(effect, EndOverride):
                log.warning("override over", extra={"kind": effect.override.kind.value})
                continue
            fact = effect.fact
            log.warning(
                "mode changed",
                extra={
                    "from": fact.previous and fact.previous.value,
                    "to": fact.mode.value,
                    "reasons": ", ".join(fact.reasons),
                    "disruption": fact.disruption,
                    "detail": fact.detail,
                    "id": effect.id,
                },
            )
            self._metrics.changed(fact)
