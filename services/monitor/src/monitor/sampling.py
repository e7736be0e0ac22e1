"""Asks services how things are, again and again, and keeps each last answer with its time.

Pages and metrics read these: whoever looks, however often, NATS sees the same few requests.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, TypeVar

from holdfast.bus import Bus, RequestFailed
from holdfast.clock import Clock
from holdfast.contracts.envelope import Contract
from holdfast.rpc import call
from monitor.domain.readings import Reading, never, read_at

TIMEOUT_MS = 1_500

Reply = TypeVar("Reply", bound=Contract)


@dataclass(slots=True)
class Sample(Generic[Reply]):
    """The last answer of one question."""

    source: str
    """Who answers it, for people."""
    value: Reply | None = None
    mono_ms: int | None = None
    problem: str = "not asked yet"

    def reading(self, clock: Clock, fresh_ms: int) -> Reading[Reply]:
        if self.mono_ms is None:
            return never(self.source, self.problem)
        now_ms = clock.now_ms()
        return read_at(
            self.value,
            now_ms - (clock.monotonic_ms() - self.mono_ms),
            now_ms,
            fresh_ms=fresh_ms,
            source=self.source,
            problem=self.problem,
        )


@dataclass(frozen=True, slots=True)
class Question(Generic[Reply]):
    subject: str
    request: Contract
    reply: type[Reply]
    sample: Sample[Reply]


@dataclass(slots=True)
class Sampler:
    bus: Bus
    clock: Clock
    questions: list[Question[Contract]] = field(default_factory=list)

    def add(
        self, source: str, subject: str, request: Contract, reply: type[Reply]
    ) -> Sample[Reply]:
        sample: Sample[Reply] = Sample(source)
        self.questions.append(Question(subject, request, reply, sample))  # type: ignore[arg-type]
        return sample

    async def ask_all(self, every_ms: int, pause_ms: int = 0) -> None:
        """For ever, one question after the other: a service that is away delays by its time-out only."""
        while True:
            begun_ms = self.clock.monotonic_ms()
            for question in list(self.questions):
                await self.ask(question)
                if pause_ms:
                    await self.clock.sleep_ms(pause_ms)
            spent_ms = self.clock.monotonic_ms() - begun_ms
            await self.clock.sleep_ms(max(every_ms - spent_ms, 50))

    async def ask(self, question: Question[Contract]) -> None:
        sample = question.sample
        try:
            value = await call(
                self.bus, question.subject, question.request, question.reply, timeout_ms=TIMEOUT_MS
            )
        except RequestFailed as error:
            sample.problem = f"no answer from {sample.source}: {error}"
        else:
            sample.value, sample.mono_ms, sample.problem = (
                value,
                self.clock.monotonic_ms(),
                f"no answer from {sample.source}",
            )
