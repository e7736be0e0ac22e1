"""The shell of one charge point at one backend: hands events to the core and performs what it asks for.

    handle(event): state, effects = decide(policy, state, event); perform each; save what must be durable

`handle` never waits. One task saves (`keeping.py`), one per connection reads, one writes (`line.py`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import TypeVar, assert_never

from csms_bridge.adapters.backends import Backend
from csms_bridge.adapters.source import Found
from csms_bridge.adapters.upstream import NotReached
from csms_bridge.domain.charge_point import decide, restored
from csms_bridge.domain.events import (
    AnswerAuthorise,
    AnswerRelay,
    AuthoriseAsked,
    Close,
    Connect,
    Effect,
    Ended,
    Event,
    FrameCame,
    Journaled,
    Note,
    NotOpened,
    Opened,
    Refill,
    Refilled,
    RelayAsked,
    RoleChanged,
    Saved,
    Send,
    SendToSite,
    SiteReach,
    Tick,
)
from csms_bridge.domain.kept import Kept
from csms_bridge.domain.state import Policy, State
from csms_bridge.keeping import Keeping
from csms_bridge.line import Line
from csms_bridge.reading_again import read_again
from csms_bridge.services import Services
from holdfast.bus import BusError
from holdfast.contracts.command import Command
from holdfast.contracts.csms import Phase, RelayReply, RelayRequest
from holdfast.contracts.decision import CloudVerdict
from holdfast.contracts.driver_tokens import TokenType
from holdfast.ocpp.versions import OcppVersion
from holdfast.ocpp.websocket import ConnectionEnded

log = logging.getLogger(__name__)

Word = TypeVar("Word")


class Attendant:
    def __init__(
        self,
        services: Services,
        group: asyncio.TaskGroup,
        state: State,
        backend: Backend,
        *,
        policy: Callable[[], Policy],
        give: Callable[[Attendant, Command], None],
    ) -> None:
        """`give` sends a command on its way."""
        self.state = state
        self.backend = backend
        self._services = services
        self._group = group
        self._policy = policy
        self._give = give
        self._lines: dict[str, Line] = {}
        self._asking: dict[str, asyncio.Future[CloudVerdict | None]] = {}
        self._relaying: dict[str, asyncio.Future[RelayReply]] = {}
        self._running: asyncio.Task[None] | None = None
        self._early: list[Coroutine[None, None, None]] | None = []
        """Work asked for before `_run` has its group."""
        self._is_over = False
        """It is being let go: what ends meanwhile is still heard of, and nothing is begun any more."""
        self._keeping = Keeping(services, lambda: self.state, self._saved, self._names)

    def begin(self, kept: Kept | None, revision: int) -> None:
        """Take up what is kept, then serve until cancelled."""
        self._keeping.revision = revision
        if kept is not None:
            self.state = restored(self.state, kept)
        self._running = self._group.create_task(self._run())

    async def end(self) -> None:
        """The backend is no longer this charge point's: its connection is closed first, and its record written.

        Raise Fenced.
        """
        if self._running:
            self._running.cancel()
            await asyncio.wait([self._running])
        try:
            await self._keeping.hand_over()
        except BusError as error:
            log.warning("record not written", extra=self._names(why=str(error)))

    # --- events ---

    def handle(self, event: Event) -> None:
        self.state, effects = decide(self._policy(), self.state, event)
        for effect in effects:
            self._perform(effect)
        self._keeping.changed()

    def journaled(self, found: Found, *, live: bool, again: bool = False) -> None:
        assert found.fact is not None
        self.handle(
            Journaled(
                at_ms=self._at_ms,
                mono_ms=self._mono_ms,
                place=found.place,
                stream_seq=found.stream_seq,
                recorded_at_ms=found.at_ms,
                fact=found.fact,
                live=live,
                again=again,
            )
        )

    def needs_tick(self) -> bool:
        """Something may become due by time alone."""
        live = self.state.live
        idle = live.phase is Phase.ACCEPTED and live.outstanding is None and not self.state.waiting
        since_ms = self._mono_ms - live.heard_mono_ms
        away = live.away_since_mono_ms is not None or self.state.kept.connection is None
        watched = away or live.commands or live.asked
        return not idle or bool(watched) or since_ms >= live.heartbeat_ms

    def tick(self) -> None:
        self.handle(Tick(at_ms=self._at_ms, mono_ms=self._mono_ms))

    def reach(self, reachable: bool, behind: bool) -> None:
        live = self.state.live
        if (live.away_since_mono_ms is None, live.is_behind) != (reachable, behind):
            now = {"at_ms": self._at_ms, "mono_ms": self._mono_ms}
            self.handle(SiteReach(**now, reachable=reachable, behind=behind))

    def role(self, primary: bool) -> None:
        if self.state.live.primary != primary:
            self.handle(RoleChanged(at_ms=self._at_ms, mono_ms=self._mono_ms, primary=primary))

    async def authorise(
        self, driver_token: str, token_type: TokenType, budget_ms: int
    ) -> CloudVerdict | None:
        """The CSMS's word within the budget; None: it gave none."""
        request = self._services.ids.new()
        asked: asyncio.Future[CloudVerdict | None] = asyncio.get_running_loop().create_future()
        self._asking[request] = asked
        self.handle(
            AuthoriseAsked(
                at_ms=self._at_ms,
                mono_ms=self._mono_ms,
                request=request,
                driver_token=driver_token,
                token_type=token_type,
                budget_ms=budget_ms,
            )
        )
        try:
            async with asyncio.timeout(budget_ms / 1000):
                return await asked
        except TimeoutError:
            return None
        finally:
            self._asking.pop(request, None)

    async def relay(self, asked: RelayRequest) -> RelayReply:
        """The CSMS's answer to it, or why there is none within the budget."""
        request = self._services.ids.new()
        answer: asyncio.Future[RelayReply] = asyncio.get_running_loop().create_future()
        self._relaying[request] = answer
        self.handle(
            RelayAsked(
                at_ms=self._at_ms,
                mono_ms=self._mono_ms,
                request=request,
                version=asked.version,
                action=asked.action,
                raw=asked.raw,
                budget_ms=asked.budget_ms,
            )
        )
        try:
            async with asyncio.timeout(asked.budget_ms / 1000):
                return await answer
        except TimeoutError:
            return RelayReply(reason="the CSMS has not answered in time")
        finally:
            self._relaying.pop(request, None)

    # --- effects ---

    def _perform(self, effect: Effect) -> None:
        match effect:
            case Connect(version=version):
                self._spawn(self._connect(version))
            case Close(connection=connection):
                self._put(connection, None)
            case Send(connection=connection, frame=frame, what=what):
                self._services.metrics.calls.labels(self.backend.name, what).inc()
                self._put(connection, frame)
            case Refill():
                self._spawn(self._refill(effect))
            case AnswerAuthorise(request=request, verdict=verdict):
                self._tell(self._asking, request, verdict)
            case AnswerRelay(request=request, reply=reply):
                self._tell(self._relaying, request, reply)
            case SendToSite(command=command):
                self._give(self, command)
            case Note():
                self._note(effect)
            case _:
                assert_never(effect)

    def _note(self, note: Note) -> None:
        self._services.metrics.notes.labels(self.backend.name, note.what).inc()
        level = logging.WARNING if note.level == "warning" else logging.INFO
        log.log(level, note.what, extra=self._names(**dict(note.names)))

    def _tell(self, asking: dict[str, asyncio.Future[Word]], request: str, word: Word) -> None:
        asked = asking.get(request)
        if asked and not asked.done():
            asked.set_result(word)

    def _put(self, connection: str, frame: str | None) -> None:
        """None closes it. A full queue is a socket that takes nothing: its frames may be lost, its end may not."""
        line = self._lines.get(connection)
        if line is not None and not line.put(frame):
            self._note(Note(level="warning", what="frame dropped", names=()))

    # --- the connection ---

    async def _connect(self, version: OcppVersion) -> None:
        """One connection from the handshake to the end."""
        try:
            upstream = await self._services.dial(self.backend, self.state.charge_point, version)
        except NotReached as error:
            if str(error)[:200] != self.state.live.problem:
                log.warning("upstream not reached", extra=self._names(why=str(error)))
            self.handle(
                NotOpened(
                    at_ms=self._at_ms,
                    mono_ms=self._mono_ms,
                    why=str(error),
                    refused=error.refused,
                    local=error.local,
                    jitter=self._services.rng.random(),
                )
            )
            return
        connection = self._services.ids.new()
        line = self._lines[connection] = Line()
        names = self._names(connection=connection, version=version.value)
        log.info("upstream opened", extra=names)
        self.handle(Opened(at_ms=self._at_ms, mono_ms=self._mono_ms, connection=connection))
        why = "closed"
        try:
            why = await line.talk(upstream, partial(self._heard, connection))
        finally:
            self._lines.pop(connection, None)
            with suppress(ConnectionEnded):
                await upstream.close("the bridge lets go")
        log.info("upstream ended", extra=self._names(connection=connection, why=why))
        self.handle(
            Ended(
                at_ms=self._at_ms,
                mono_ms=self._mono_ms,
                connection=connection,
                why=why,
                jitter=self._services.rng.random(),
            )
        )

    def _heard(self, connection: str, frame: str | bytes) -> None:
        self.handle(
            FrameCame(at_ms=self._at_ms, mono_ms=self._mono_ms, connection=connection, frame=frame)
        )

    # --- saving ---

    async def _run(self) -> None:
        """Save for ever. Raise Fenced. What this attendant began ends with it."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            early, self._early = self._early or [], None
            for work in early:
                group.create_task(work)
            self.tick()
            try:
                await self._keeping.run()
            finally:
                self._is_over = True

    @property
    def revision(self) -> int:
        """Of its record."""
        return self._keeping.revision

    def _saved(self, kept: Kept) -> None:
        self.handle(Saved(at_ms=self._at_ms, mono_ms=self._mono_ms, kept=kept))

    async def save_at_end(self) -> None:
        """Once, after the last event. Raise Conflict, BusError."""
        await self._keeping.save_at_end()

    # --- reading again ---

    async def _refill(self, effect: Refill) -> None:
        """Raise StreamGone. What does not answer now is asked again by the core."""
        take = partial(self.journaled, live=False, again=True)
        source = self._services.source
        read = await read_again(source, self.state, effect, take, self._names)
        self._refilled(read.to_seq, read.gone_to)

    def read_again(self, after_seq: int, to_seq: int) -> None:
        """What the site's reader has passed while nobody attended here."""
        self.state = self.state.with_live(spilled_after=after_seq, spilled_to=to_seq)

    def lost(self, after_seq: int, to_seq: int) -> None:
        """Gone from the stream before anybody read it: named."""
        self.state = self.state.with_live(
            spilled_after=after_seq, spilled_to=to_seq, refilling_after=after_seq
        )
        self._refilled(to_seq, to_seq)

    def _refilled(self, to_seq: int, gone_to: int) -> None:
        self.handle(
            Refilled(at_ms=self._at_ms, mono_ms=self._mono_ms, to_seq=to_seq, gone_to=gone_to)
        )

    # --- names ---

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        if self._is_over:
            work.close()
        elif self._early is not None:
            self._early.append(work)
        else:
            self._group.create_task(work)

    @property
    def _at_ms(self) -> int:
        return self._services.clock.now_ms()

    @property
    def _mono_ms(self) -> int:
        return self._services.clock.monotonic_ms()

    def _names(self, **names: object) -> dict[str, object]:
        return {
            "site": self.state.site,
            "charge_point": self.state.charge_point,
            "backend": self.state.backend,
            **names,
        }
