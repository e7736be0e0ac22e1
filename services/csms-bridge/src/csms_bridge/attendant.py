"""The shell of one charge point at one backend: hands events to the core and performs what it asks for.

    handle(event): state, effects = decide(policy, state, event); perform each; save what must be durable

`handle` never waits. One task saves, one per connection reads, one writes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import aclosing, suppress
from typing import TypeVar, assert_never

from csms_bridge.adapters.backends import Backend
from csms_bridge.adapters.records import bytes_of
from csms_bridge.adapters.source import Found
from csms_bridge.adapters.upstream import NotReached, Upstream
from csms_bridge.domain import sending
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
from csms_bridge.services import Services
from holdfast import subjects
from holdfast.backoff import Backoff
from holdfast.bus import AppendRefused, BusError, Conflict, RequestFailed
from holdfast.contracts.command import Command
from holdfast.contracts.csms import Phase, RelayReply, RelayRequest
from holdfast.contracts.decision import CloudVerdict
from holdfast.contracts.driver_tokens import TokenType
from holdfast.ocpp.versions import OcppVersion
from holdfast.ocpp.websocket import ConnectionEnded

log = logging.getLogger(__name__)

SAVE_PAUSE_MS = 200
"""Between two records of one charge point, unless a message waits for it."""
FRAMES_AHEAD_MAX = 64
REFILL_S = 10


Word = TypeVar("Word")


class Fenced(Exception):
    """Another instance has written this charge point's record: it speaks for the site now."""


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
        self.revision = 0
        """Of its record in KV."""
        self._subject = subjects.upstream_charge_point(
            state.backend, state.site, state.charge_point
        )
        self._under_way = b""
        """What was last given to be written; whether it was may not be known."""
        self._dirty = asyncio.Event()
        self._hurry = asyncio.Event()
        self._links: dict[str, _Link] = {}
        self._asking: dict[str, asyncio.Future[CloudVerdict | None]] = {}
        self._relaying: dict[str, asyncio.Future[RelayReply]] = {}
        self._running: asyncio.Task[None] | None = None
        self._early: list[Coroutine[None, None, None]] | None = []
        """Work asked for before `_run` has its group."""
        self._is_over = False
        """It is being let go: what ends meanwhile is still heard of, and nothing is begun any more."""

    def begin(self, kept: Kept | None, revision: int) -> None:
        """Take up what is kept, then serve until cancelled."""
        self.revision = revision
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
            newest = await self._services.records.newest(self._subject)
            if newest.revision != self.revision:
                if newest.data != self._under_way:
                    raise Fenced(f"{self.state.charge_point}: another has written its record")
                self.revision = newest.revision
            await self.save_at_end()
        except Conflict as error:
            raise Fenced(f"{self.state.charge_point}: {error}") from error
        except BusError as error:
            log.warning("record not written", extra=self._names(why=str(error)))

    # --- events ---

    def handle(self, event: Event) -> None:
        self.state, effects = decide(self._policy(), self.state, event)
        for effect in effects:
            self._perform(effect)
        if self.state.kept is not self.state.live.saved:
            self._dirty.set()
            if sending.waits_for_saving(self.state):
                self._hurry.set()

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
        link = self._links.get(connection)
        if link is not None and not link.put(frame):
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
        link = _Link()
        self._links[connection] = link
        names = self._names(connection=connection, version=version.value)
        log.info("upstream opened", extra=names)
        self.handle(Opened(at_ms=self._at_ms, mono_ms=self._mono_ms, connection=connection))
        why = "closed"
        try:
            why = await self._talk(connection, upstream, link)
        finally:
            self._links.pop(connection, None)
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

    async def _talk(self, connection: str, upstream: Upstream, link: _Link) -> str:
        """Until either side ends it; says how."""
        why = "closed by us"
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._listen(connection, upstream, link))
                while (frame := await link.next()) is not None:
                    await upstream.send(frame)
                raise _Closed
        except* _Closed:
            pass
        except* ConnectionEnded as ended:
            why = str(ended.exceptions[0])
        return why

    async def _listen(self, connection: str, upstream: Upstream, link: _Link) -> None:
        """Whoever asks faster than it takes the answers is read no further."""
        while True:
            await link.room()
            frame = await upstream.receive()
            self.handle(
                FrameCame(
                    at_ms=self._at_ms, mono_ms=self._mono_ms, connection=connection, frame=frame
                )
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
                await self._keep_saving()
            finally:
                self._is_over = True

    async def _keep_saving(self) -> None:
        while True:
            await self._dirty.wait()
            if not sending.waits_for_saving(self.state):
                with suppress(TimeoutError):
                    async with asyncio.timeout(SAVE_PAUSE_MS / 1000):
                        await self._hurry.wait()
            self._dirty.clear()
            self._hurry.clear()
            await self._save()

    async def _save(self) -> None:
        kept = self.state.kept
        backoff = Backoff(self._services.clock, self._services.rng)
        while True:
            try:
                async with self._services.saving:
                    self._under_way = bytes_of(kept)
                    self.revision = await self._services.records.write(
                        self._subject, self._under_way, self.revision
                    )
            except Conflict as error:
                raise Fenced(f"{self.state.charge_point}: {error}") from error
            except (AppendRefused, RequestFailed) as error:
                # Nothing that rests on it is sent meanwhile.
                log.warning("record not written", extra=self._names(why=str(error)))
                await backoff.wait()
            else:
                break
        self.handle(Saved(at_ms=self._at_ms, mono_ms=self._mono_ms, kept=kept))

    async def save_at_end(self) -> None:
        """Once, after the last event: whoever takes over does not send again what was answered."""
        kept = self.state.kept
        if kept is not self.state.live.saved:
            self.revision = await self._services.records.write(
                self._subject, bytes_of(kept), self.revision
            )

    # --- reading again ---

    async def _refill(self, effect: Refill) -> None:
        """Raise StreamGone. What does not answer now is asked again by the core."""
        state, source = self.state, self._services.source
        to_seq, gone_to, left = effect.after_seq, 0, effect.limit
        through = state.live.spilled_to
        """Up to here everything was in the stream before it is looked at."""
        try:
            gone_to = await source.gone_to()
            newest = await source.newest_seq(state.site, state.charge_point)
            if newest > effect.after_seq:
                stream = source.follow_charge_point(
                    state.site, state.charge_point, effect.after_seq + 1
                )
                async with asyncio.timeout(REFILL_S), aclosing(stream) as entries:
                    async for found, _ in entries:
                        to_seq, left = found.stream_seq, left - 1
                        if found.fact is not None:
                            self.journaled(found, live=False, again=True)
                        if to_seq >= newest or left <= 0:
                            break
            if to_seq >= newest:
                to_seq = max(to_seq, through)
        except (TimeoutError, RequestFailed) as error:
            log.warning("backlog not read on", extra=self._names(why=str(error) or "time is up"))
        self._refilled(to_seq, gone_to)

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


class _Link:
    """Frames on their way to one socket, and its end."""

    def __init__(self) -> None:
        self._frames: asyncio.Queue[str | None] = asyncio.Queue(FRAMES_AHEAD_MAX)
        self._taken = asyncio.Event()

    def put(self, frame: str | None) -> bool:
        """False: the socket takes nothing, and the frame is dropped. Its end never is."""
        if frame is None and self._frames.full():
            self._frames.get_nowait()
        try:
            self._frames.put_nowait(frame)
        except asyncio.QueueFull:
            return False
        return True

    async def next(self) -> str | None:
        frame = await self._frames.get()
        self._taken.set()
        return frame

    async def room(self) -> None:
        while self._frames.qsize() >= FRAMES_AHEAD_MAX // 2:
            self._taken.clear()
            await self._taken.wait()


class _Closed(Exception):
    """By us."""
