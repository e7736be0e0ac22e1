"""The shell of one charge point: hands events to the core, performs what it asks for, one fact at a time.

    handle(event): state, effects = decide(policy, state, event); perform each effect

`handle` never waits. Facts go to the journal in order, one in flight per charge point, so what is known of
it is a fold over the stream; a slow charge point or an unanswered question holds up nobody else.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from typing import assert_never

from holdfast.contracts.charge_point import FrameRefused
from holdfast.contracts.command import Command, CommandReceipt, CommandSettled, CommandWord
from holdfast.contracts.envelope import Entry, Fact
from holdfast.contracts.session import (
    SessionCapNotKept,
    SessionMetered,
    SessionStarted,
    SessionStopped,
)
from holdfast.contracts.transaction import TransactionId
from holdfast.ocpp import frames
from ocpp_edge import questions, relaying
from ocpp_edge.adapters.connection import POLICY
from ocpp_edge.adapters.schemas import read_call
from ocpp_edge.domain.calls import Meter, Request, Stop
from ocpp_edge.domain.charge_point import decide
from ocpp_edge.domain.commands import SECOND, UNASKED
from ocpp_edge.domain.events import (
    Admitted,
    Answer,
    AskAdmit,
    AskAuthorise,
    AskCsms,
    Authorised,
    CallAnswered,
    CallReceived,
    CloseConnection,
    CommandArrived,
    CommandNotTaken,
    CommandTaken,
    Connected,
    Disconnected,
    Effect,
    Event,
    FrameWrong,
    NotAdmitted,
    NotAuthorised,
    Record,
    Restarted,
    Sample,
    SendCall,
    Stored,
    Tick,
    WordArrived,
    WordNotTaken,
    WordTaken,
)
from ocpp_edge.domain.express import FRAME_CHARACTERS_MAX
from ocpp_edge.domain.identity import content, content_known
from ocpp_edge.domain.left_out import Untold
from ocpp_edge.domain.sessions import Origin
from ocpp_edge.domain.state import State
from ocpp_edge.domain.transactions import LOWEST
from ocpp_edge.link import Link, Reader
from ocpp_edge.receipts import Receipts
from ocpp_edge.services import Services
from ocpp_edge.throttle import Throttle
from ocpp_edge.writer import Writer

log = logging.getLogger(__name__)


REPLACED = "replaced by a newer connection"
DUPLICATE = "this identity is connected already"


class Attendant:
    __slots__ = (
        "_asking",
        "_door",
        "_knocking",
        "_link",
        "_receipts",
        "_services",
        "_throttle",
        "_writer",
        "heard_at_ms",
        "snapshot_seq",
        "state",
    )

    def __init__(self, services: Services, state: State) -> None:
        self.state = state
        self.heard_at_ms: int | None = None
        """When the last frame came, in this life."""
        self.snapshot_seq = state.known.seq
        """What of it the store has."""
        self._services = services
        self._link: Link | None = None
        self._door = asyncio.Lock()
        self._knocking: asyncio.Timeout | None = None
        """The wait of the newest connection that waits for the door."""
        self._receipts = Receipts()
        self._asking: set[str] = set()
        self._throttle = Throttle(services, self.name)
        self._writer = Writer(services, self.handle, self._note)

    # --- events ---

    def handle(self, event: Event) -> None:
        self.state, effects = decide(self._services.policy, self.state, event)
        for effect in effects:
            self._perform(effect)
        if self._link:
            self._link.made_room()

    def restore(self, entry: Entry, fact: Fact) -> None:
        """Fold an entry of the journal; what it would lead to was done in another life."""
        if entry.seq <= self.state.known.seq:
            return
        at_ms = entry.envelope.at_ms
        event = Stored(
            at_ms=at_ms,
            mono_ms=0,
            id=entry.envelope.id,
            seq=entry.seq,
            entry_at_ms=at_ms,
            fact=fact,
        )
        known = decide(self._services.policy, self.state, event)[0].known
        self.state = State(charge_point=self.state.charge_point, known=known)

    def restarted(self, untold: Mapping[TransactionId, Untold]) -> None:
        self.handle(Restarted(at_ms=self._at_ms, mono_ms=self._mono_ms, untold=untold))

    def tick(self, mono_ms: int) -> None:
        if self.state.waits(mono_ms):
            self.handle(Tick(at_ms=self._at_ms, mono_ms=self._mono_ms))
        if self._throttle.was_late:
            self._throttle.tell()

    async def take(self, command: Command, downlink_seq: int) -> CommandReceipt:
        """Return once the command is in the journal, or its id is known to be another one's. Raise NotTaken."""
        taken = self._receipts.waiting_for(content(command))
        self.handle(
            CommandArrived(
                at_ms=self._at_ms,
                mono_ms=self._mono_ms,
                command=command,
                downlink_seq=downlink_seq,
            )
        )
        return await taken

    def knows(self, command_id: str) -> bool:
        return content_known(self.state, command_id) is not None

    async def word(self, word: CommandWord) -> CommandReceipt:
        """Return once the word is in the journal, with what it came to. Raise NotTaken."""
        said = self._receipts.waiting_for((word.id, word.word))
        self.handle(WordArrived(at_ms=self._at_ms, mono_ms=self._mono_ms, word=word))
        return await said

    # --- the connection ---

    async def serve(self, link: Link) -> None:
        """From the handshake to the end."""
        if not await self._enters():
            link.close(REPLACED)
            return
        try:
            if not await self._take_over(link):
                return
        finally:
            self._door.release()
        reason = "ocpp-edge stops"
        try:
            reader = Reader(
                take=self._taker(link),
                has_room=lambda: self.state.has_room,
                is_late=self._throttle.is_late,
                wait_ms=self._throttle.wait_ms,
            )
            reason = await link.run(reader)
        finally:
            self.handle(
                Disconnected(
                    at_ms=self._at_ms, mono_ms=self._mono_ms, connection=link.id, reason=reason
                )
            )
            if self._link is link:
                self._link = None
                log.debug("disconnected", extra=self._names(connection=link.id, why=reason))

    def turn_out(self, is_right: Callable[[int], bool], reason: str) -> None:
        if self._link and not is_right(self._link.security_profile):
            self._link.close(reason, POLICY)

    async def _enters(self) -> bool:
        """Wait for the door, which is free in the time of one ping. False: a newer connection waits now."""
        if not self._door.locked():
            await self._door.acquire()
            return True
        if self._knocking:
            self._knocking.reschedule(0)
        self._knocking = waiting = asyncio.timeout(None)
        try:
            async with waiting:
                await self._door.acquire()
        except TimeoutError:
            return False
        finally:
            if self._knocking is waiting:
                self._knocking = None
        return True

    async def _take_over(self, link: Link) -> bool:
        """False: the one before is alive and stays, or a newer one waits; this one is closed then."""
        services, rule = self._services, self._services.second_connection
        old, answered = self._link, False
        if old:
            answered = await rule.finds_alive(old, services.clock)
            if self._link is not old:  # it ended by itself meanwhile
                old = None
        if old and answered:
            rule.tell(self.name, old, link, services.metrics, services.notices)
            if rule.refused:
                link.close(DUPLICATE, POLICY)
                return False
        if old:
            old.close(REPLACED)
            if self._knocking:
                link.close(REPLACED)
                return False
        self._link = link
        log.debug("connected", extra=self._names(connection=link.id, remote=link.remote))
        self.handle(
            Connected(
                at_ms=self._at_ms,
                mono_ms=self._mono_ms,
                connection=link.id,
                protocol=link.version.subprotocol,
                version=link.version,
                remote=link.remote,
                security_profile=link.security_profile,
                replaced=old.id if old else None,
                replaced_answered=bool(old) and answered,
            )
        )
        return True

    def _taker(self, link: Link) -> Callable[[str | bytes], None]:
        """What takes the frames of this connection, one by one."""

        def take(frame: str | bytes) -> None:
            at_ms, mono_ms = self._at_ms, self._mono_ms
            self.heard_at_ms, link.heard_mono_ms = at_ms, mono_ms
            self._throttle.took(len(frame), mono_ms)
            parsed = frames.parse(frame)
            match parsed:
                case frames.Send() | frames.ResultError() if wrong := frames.not_served(
                    parsed, link.version
                ):
                    self._refuse(link, wrong, frame)
                    return
                case frames.Call() | frames.Send():
                    if parsed.action == "Authorize":
                        self._throttle.took_authorize()
                    call = read_call(self._services.schemas, link.id, parsed, link.version)
                    if isinstance(call, frames.Wrong):
                        self._refuse(link, call, frame)
                        return
                    event: Event = CallReceived(
                        at_ms=at_ms,
                        mono_ms=mono_ms,
                        call=call,
                        origin=self._origin(call.request, at_ms),
                    )
                case frames.Result() | frames.Error():
                    event = CallAnswered(
                        at_ms=at_ms,
                        mono_ms=mono_ms,
                        connection=link.id,
                        answer=parsed,
                    )
                case frames.Wrong():
                    self._refuse(link, parsed, frame)
                    return
                case frames.ResultError():
                    return  # `not_served` has told it
                case _:
                    assert_never(parsed)
            self.handle(event)

        return take

    def _refuse(self, link: Link, wrong: frames.Wrong, frame: str | bytes) -> None:
        self._services.metrics.refused_frames.labels(reason=wrong.reason.value).inc()
        if wrong.reason not in link.said:
            link.said |= {wrong.reason}
            names = self._names(connection=link.id, reason=wrong.reason.value, why=wrong.sentence)
            log.warning("frame refused", extra=names)
        begin = frame[:FRAME_CHARACTERS_MAX]
        text = begin.decode("utf-8", "replace") if isinstance(begin, bytes) else begin
        self.handle(
            FrameWrong(
                at_ms=self._at_ms,
                mono_ms=self._mono_ms,
                connection=link.id,
                wrong=wrong,
                frame=text,
                version=link.version,
            )
        )

    def _origin(self, request: Request, at_ms: int) -> Origin | None:
        if not isinstance(request, Meter | Stop) or request.transaction_id is None:
            return None
        transactions = self._services.transactions
        return Origin(
            owner=transactions.owner(request.transaction_id),
            lowest=LOWEST,
            highest=transactions.highest(at_ms),
        )

    # --- effects ---

    def _perform(self, effect: Effect) -> None:
        match effect:
            case Record():
                self._writer.put(effect)
            case Sample(fact=fact, cause=cause):
                self._count_unasked(fact)
                self._services.telemetry.offer(fact, cause)
            case Answer() | SendCall() | CloseConnection():
                self._toward_charge_point(effect)
            case AskAuthorise():
                if effect.request not in self._asking:
                    self._asking.add(effect.request)
                    self._begin(self._ask_authorise(effect))
            case AskCsms():
                self._begin(self._ask_csms(effect))
            case AskAdmit():
                self._begin(self._ask_admit(effect))
            case CommandTaken() | CommandNotTaken() | WordTaken() | WordNotTaken():
                self._receipts.tell(effect)
            case _:
                assert_never(effect)

    def _count_unasked(self, fact: Fact) -> None:
        if isinstance(fact, FrameRefused) and fact.reason in (SECOND, UNASKED):
            self._services.metrics.refused_frames.labels(reason=fact.reason).inc()

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        try:
            self._services.group.create_task(work)
        except RuntimeError:  # the service stops: its next life asks
            work.close()

    def _toward_charge_point(self, effect: Answer | SendCall | CloseConnection) -> None:
        """Nothing goes to another connection than it is meant for."""
        link = self._link if self._link and self._link.id == effect.connection else None
        match effect:
            case Answer(frame=frame, action=action, result=result):
                self._services.metrics.answered(action, result)
                if link:
                    link.send(frame)
            case SendCall(frame=frame, command=command):
                if link:
                    link.send(frame)
                    names = self._names(command=command.id, action=command.action)
                    log.info("command sent", extra=names)
            case CloseConnection(reason=reason):
                if link:
                    log.warning("closing", extra=self._names(connection=link.id, why=reason))
                    link.close(reason)
            case _:
                assert_never(effect)

    async def _ask_authorise(self, effect: AskAuthorise) -> None:
        authorisation = await questions.authorise(self._services, self.name, effect)
        self._asking.discard(effect.request)
        at_ms, mono_ms = self._at_ms, self._mono_ms
        if authorisation is None:
            self.handle(NotAuthorised(at_ms=at_ms, mono_ms=mono_ms, request=effect.request))
            return
        transactions = self._services.transactions
        gives_id = effect.starts_session and not effect.has_own_id
        self.handle(
            Authorised(
                at_ms=at_ms,
                mono_ms=mono_ms,
                request=effect.request,
                authorisation=authorisation,
                transaction_id=transactions.allocate(at_ms) if gives_id else None,
            )
        )

    async def _ask_csms(self, effect: AskCsms) -> None:
        self.handle(await relaying.ask(self._services, self.name, effect))

    async def _ask_admit(self, effect: AskAdmit) -> None:
        admission = await questions.admit(self._services, self.name, effect)
        at_ms, mono_ms, id = self._at_ms, self._mono_ms, effect.command.id
        if admission is None or isinstance(admission, str):
            self.handle(NotAdmitted(at_ms=at_ms, mono_ms=mono_ms, command_id=id, reason=admission))
            return
        self.handle(
            Admitted(
                at_ms=at_ms,
                mono_ms=mono_ms,
                command_id=id,
                version=effect.version,
                admission=admission,
            )
        )

    # --- what the log and the site's index want to know ---

    def _note(self, fact: Fact) -> None:
        """Transitions for the log (a driver token is in none of them), and for the site's index."""
        match fact:
            case SessionStarted():
                log.info("session started", extra=self._names(session=fact.session))
            case SessionStopped():
                log.info("session stopped", extra=self._names(session=fact.session))
            case SessionMetered():
                pass
            case SessionCapNotKept(session=session, used_wh=used_wh):
                log.error("energy cap not kept", extra=self._names(session=session, wh=used_wh))
                return
            case CommandSettled(command=command, disposition=disposition):
                labels = {"action": command.action, "disposition": disposition.value}
                self._services.metrics.commands.labels(**labels).inc()
                names = self._names(command=command.id, **labels, why=fact.reason)
                log.info("command settled", extra=names)
                return
            case _:
                return
        if isinstance(fact.transaction_id, int):  # those of 2.x are their charge point's own
            self._services.transactions.owned(self.name, fact.transaction_id)

    # --- names ---

    @property
    def name(self) -> str:
        return self.state.charge_point

    @property
    def _at_ms(self) -> int:
        return self._services.clock.now_ms()

    @property
    def _mono_ms(self) -> int:
        return self._services.clock.monotonic_ms()

    def _names(self, **names: object) -> dict[str, object]:
        return {"charge_point": self.name, **names}
