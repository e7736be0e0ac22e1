"""A site on paper: drives the pure core through minutes and hours with a link that comes and goes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from holdfast.contracts.journal import StorageLevel
from holdfast.contracts.mode import (
    BeginOverride,
    CsmsState,
    EndOverride,
    Head,
    Mode,
    ModeChanged,
    Override,
    OverrideKind,
    PulseReply,
    Reason,
)
from holdfast.contracts.recovery import OpenPoint
from holdfast.contracts.rules import ModeRules
from mode_manager.domain import events, overrides
from mode_manager.domain.events import (
    ChangeMode,
    Event,
    LocallyBuffered,
    Moment,
    OverridesStand,
    PulseAnswered,
    PulseMissed,
    PulseSent,
    RecoveryEnded,
    RulesStand,
    Started,
    StorageChanged,
    Tick,
)
from mode_manager.domain.modes import decide
from mode_manager.domain.state import State

WALL_MS = 1_750_000_000_000


@dataclass
class Change:
    """One effect and when it came."""

    mono_ms: int
    effect: ChangeMode

    @property
    def fact(self) -> ModeChanged:
        return self.effect.fact

    @property
    def mode(self) -> Mode:
        return self.fact.mode

    @property
    def why(self) -> Reason:
        return self.fact.reasons[0]


@dataclass
class PaperSite:
    """Everything is well unless a test says otherwise."""

    policy: ModeRules = field(default_factory=ModeRules)
    incarnation: str = "aaaaaaaa"
    mono_ms: int = 1_000
    tick_ms: int = 250
    up: Callable[[int], bool] = lambda mono_ms: True
    """Whether a pulse sent at this moment is answered."""
    head_seq: int = 10
    writes_per_pulse: int = 1
    copying: bool = True
    has_head: bool = True
    csms: CsmsState = CsmsState.NONE
    cloud_ahead_ms: int = 0
    desired: int = 1
    recovers_in_ms: int | None = 3_000
    """How long the reconciler takes; None: it never ends."""
    open_points: tuple[OpenPoint, ...] = ()
    state: State | None = None
    changes: list[Change] = field(default_factory=list)
    ended: list[events.EndOverride] = field(default_factory=list)
    """By themselves."""
    events: list[Event] = field(default_factory=list)
    watermark: int = 0
    journal_seq: int = 1_000
    _next_pulse_ms: int = 0
    _answers: list[tuple[int, int, Head | None]] = field(default_factory=list)
    _recovering_since_ms: int | None = None
    _ids: int = 0

    def moment(self) -> Moment:
        self._ids += 1
        return Moment(WALL_MS + self.mono_ms, self.mono_ms, f"id-{self.incarnation}-{self._ids}")

    def feed(self, event: Event) -> None:
        self.events.append(event)
        self.state, effects = decide(self.policy, self.state, event)
        assert sum(isinstance(effect, ChangeMode) for effect in effects) <= 1
        for effect in effects:
            if isinstance(effect, ChangeMode):
                self.changes.append(Change(self.mono_ms, effect))
            else:
                self.ended.append(effect)

    def start(
        self,
        last: Mode | None = None,
        *,
        disruption: str | None = None,
        ago: tuple[int, ...] = (),
        fell: tuple[int, ...] = (),
        standing: tuple[Override, ...] = (),
    ) -> PaperSite:
        fact = last and ModeChanged(
            previous=Mode.AUTONOMOUS,
            mode=last,
            reasons=(Reason.STARTED,),
            since_ms=WALL_MS - 5_000,
            disruption=disruption,
        )
        self.feed(
            Started(
                moment=self.moment(),
                incarnation=self.incarnation,
                last=fact,
                changed_ago_ms=ago,
                fell_ago_ms=fell,
                overrides=standing,
                overrides_seq=len(standing),
            )
        )
        self.feed(RulesStand(moment=self.moment(), version=1, valid_until_ms=None))
        self._next_pulse_ms = self.mono_ms
        return self

    def connected(self) -> PaperSite:
        """Started, and connected for so long that nothing of the way there counts any more."""
        self.start(Mode.CONNECTED)
        self.run(2 * self.policy.changes_window_ms)
        assert self.mode is Mode.CONNECTED
        assert not self.changes
        return self

    @property
    def mode(self) -> Mode:
        assert self.state is not None
        return self.state.mode

    @property
    def modes(self) -> list[Mode]:
        return [change.mode for change in self.changes]

    def run(self, duration_ms: int) -> PaperSite:
        ends_ms = self.mono_ms + duration_ms
        while self.mono_ms < ends_ms:
            self.mono_ms += self.tick_ms
            self._pulse()
            self.feed(Tick(moment=self.moment()))
            self._recover()
        return self

    def until(self, mode: Mode, *, within_ms: int) -> PaperSite:
        ends_ms = self.mono_ms + within_ms
        while self.mode is not mode:
            assert self.mono_ms < ends_ms, f"{self.mode} and not {mode} within {within_ms} ms"
            self.run(self.tick_ms)
        return self

    def cut(self) -> PaperSite:
        self.up = lambda mono_ms: False
        return self

    def heal(self) -> PaperSite:
        self.up = lambda mono_ms: True
        return self

    def storage(self, level: StorageLevel) -> PaperSite:
        self.feed(StorageChanged(moment=self.moment(), level=level, cause="entry-storage"))
        return self

    def rules(self, version: int, valid_until_ms: int | None = None) -> PaperSite:
        self.feed(RulesStand(moment=self.moment(), version=version, valid_until_ms=valid_until_ms))
        return self

    def override(
        self, kind: OverrideKind, *, for_ms: int, in_ms: int = 0
    ) -> overrides.Beginning | overrides.Refusal:
        """As the shell does it: judged, journaled, told."""
        moment = self.moment()
        asked = BeginOverride(
            kind=kind,
            from_ms=moment.at_ms + in_ms,
            until_ms=moment.at_ms + in_ms + for_ms,
            by="an operator",
            why="switchgear",
        )
        assert self.state is not None
        found = overrides.begin(self.state.overrides, asked, moment.at_ms, moment.fresh_id)
        if isinstance(found, overrides.Beginning):
            self._stand(found.standing, cause=found.override.id)
        return found

    def end_override(self, kind: OverrideKind | None = None) -> PaperSite:
        assert self.state is not None
        at_ms = self.moment().at_ms
        asked = EndOverride(by="an operator", kind=kind)
        found = overrides.end(self.state.overrides, asked, at_ms)
        if not isinstance(found, overrides.Refusal):
            for one in found:
                left = tuple(other for other in self.state.overrides if other is not one)
                self._stand(left, cause=overrides.ended_id(one))
        return self

    def _stand(self, standing: tuple[Override, ...], *, cause: str) -> None:
        self.journal_seq += 1
        self.feed(
            OverridesStand(
                moment=self.moment(), seq=self.journal_seq, overrides=standing, cause=cause
            )
        )

    def decided_locally(self) -> PaperSite:
        self.feed(LocallyBuffered(moment=self.moment()))
        return self

    def end_recovery(self, disruption: str | None = None) -> PaperSite:
        assert self.state is not None
        named = disruption or self.state.disruption
        assert named is not None
        self.feed(
            RecoveryEnded(
                moment=self.moment(),
                disruption=named,
                open_points=self.open_points,
                cause="entry-recovered",
            )
        )
        return self

    def _pulse(self) -> None:
        due = [answer for answer in self._answers if answer[0] <= self.mono_ms]
        for _, sent_ms, head in due:
            self._end_pulse(sent_ms, head)
        self._answers = [answer for answer in self._answers if answer not in due]
        if self.mono_ms < self._next_pulse_ms:
            return
        self._next_pulse_ms = self.mono_ms + self.policy.pulse_ms
        self.head_seq += self.writes_per_pulse
        head = Head(incarnation=self.incarnation, seq=self.head_seq, hash="", signature="")
        sent = head if self.has_head else None
        self.feed(PulseSent(moment=self.moment(), head=sent))
        takes_ms = 0 if self.up(self.mono_ms) else self.policy.pulse_timeout_ms
        self._answers.append((self.mono_ms + takes_ms, self.mono_ms, sent))

    def _end_pulse(self, sent_ms: int, head: Head | None) -> None:
        if not self.up(sent_ms):
            self.feed(PulseMissed(moment=self.moment()))
            return
        reply = PulseReply(
            at_ms=WALL_MS + self.mono_ms + self.cloud_ahead_ms,
            incarnation=self.incarnation,
            watermark=self.watermark,
            desired_rules_version=self.desired,
            csms=self.csms,
        )
        if self.copying:
            self.watermark = max(self.watermark, head.seq if head else 0)
        self.feed(
            PulseAnswered(
                moment=self.moment(), sent_at_ms=WALL_MS + sent_ms, head=head, reply=reply
            )
        )

    def _recover(self) -> None:
        if self.mode is not Mode.RECOVERY:
            self._recovering_since_ms = None
            return
        if self._recovering_since_ms is None:
            self._recovering_since_ms = self.mono_ms
        if self.recovers_in_ms is None:
            return
        if self.mono_ms - self._recovering_since_ms >= self.recovers_in_ms:
            self.end_recovery()
            self._recovering_since_ms = self.mono_ms


def _fresh(**given: object) -> PaperSite:
    return replace(PaperSite(), **given, changes=[], ended=[], events=[], _answers=[])  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def paper_site() -> Callable[..., PaperSite]:
    """A maker of sites, so that Hypothesis can make many in one test."""
    return _fresh
