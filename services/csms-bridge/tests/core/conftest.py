"""A charge point at a backend, driven event by event; whoever tests is the CSMS.

scene.journal(fact); scene.connect(); action, payload = scene.called(); scene.answer({...}); scene.fail("InternalError")
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from csms_bridge.domain.charge_point import decide, restored
from csms_bridge.domain.events import (
    AnswerAuthorise,
    AuthoriseAsked,
    Close,
    CommandEnded,
    CommandNotTaken,
    CommandTaken,
    CommandWaits,
    Connect,
    Effect,
    Ended,
    FrameCame,
    Journaled,
    Note,
    NotOpened,
    Opened,
    Refill,
    Refilled,
    RoleChanged,
    Saved,
    Send,
    SendToSite,
    Settle,
    SiteReach,
    Tick,
)
from csms_bridge.domain.outgoing import Place
from csms_bridge.domain.sending import SETTLE_MS
from csms_bridge.domain.state import Policy, State
from holdfast.contracts.charge_point import (
    ChargePointBooted,
    ChargePointConnected,
    ChargePointDisconnected,
    ConnectorStatusChanged,
)
from holdfast.contracts.command import Disposition
from holdfast.contracts.csms import Phase, Trouble
from holdfast.contracts.decision import Basis
from holdfast.contracts.driver_tokens import TokenStatus
from holdfast.contracts.envelope import Fact
from holdfast.contracts.rules import UpstreamRules
from holdfast.contracts.session import (
    SessionMessageUnmatched,
    SessionMetered,
    SessionStarted,
    SessionStopped,
    SessionStopRepeated,
    session_key,
)

CP = "CP-1"
LIFE = "aaaaaaaa"
BEGUN_MS = 1_790_000_000_000
STOPPED_AT = "2026-09-21T15:00:00Z"


class Scene:
    """`saves=False` holds back what KV would confirm, until `save()`; `ends=False` what a Close ends in."""

    def __init__(self, policy: Policy | None = None, backend: str = "main") -> None:
        self.policy = policy or Policy()
        self.backend = backend
        self.state = State(backend=backend, site="berlin01", charge_point=CP)
        self.saves = True
        self.ends = True
        self.mono_ms = 0
        self.seq = 0
        self.stream: list[tuple[Place, int, Fact, bool]] = []
        """What the bridge reads; a stream sequence is a place in it, from 1."""
        self.life = LIFE
        self.connections = 0
        self.refills_done = 0
        self.effects: list[Effect] = []
        self.frames: list[list[Any]] = []
        """Everything sent upstream, parsed."""
        self.texts: list[str] = []

    # --- what happens ---

    def handle(self, event: Any) -> None:
        self.state, effects = decide(self.policy, self.state, event)
        self.effects += effects
        for effect in effects:
            if isinstance(effect, Send):
                self.texts.append(effect.frame)
                self.frames.append(json.loads(effect.frame))
        for effect in effects:
            if isinstance(effect, Close) and self.ends:
                self.handle(Ended(**self._now, connection=effect.connection, why="closed by us"))
        if self.saves and self.state.kept is not self.state.live.saved:
            self.save()

    def save(self) -> None:
        self.handle(Saved(**self._now, kept=self.state.kept))

    def journal(self, *facts: Fact, live: bool = True) -> None:
        for fact in facts:
            self.seq += 1
            self.stream.append((Place(self.life, self.seq), self._now["at_ms"], fact, live))
            self.handle(self.entry(len(self.stream)))

    def entry(self, stream_seq: int, *, again: bool = False) -> Journaled:
        place, recorded_at_ms, fact, live = self.stream[stream_seq - 1]
        return Journaled(
            **self._now,
            place=place,
            stream_seq=stream_seq,
            recorded_at_ms=recorded_at_ms,
            fact=fact,
            live=live and not again,
            again=again,
        )

    def new_life(self, name: str) -> None:
        """The site's disk was lost: its journal begins anew, the stream goes on."""
        self.life, self.seq = name, 0

    def read_again(self, after: int = 0) -> None:
        """By a process that takes over."""
        for stream_seq in range(after + 1, len(self.stream) + 1):
            self.handle(self.entry(stream_seq))

    def refill(self, gone_to: int = 0) -> None:
        """Do what the newest Refill asks for."""
        asked = self.refills()[-1]
        self.refills_done = len(self.refills())
        first = max(asked.after_seq, gone_to)
        to_seq = min(len(self.stream), first + asked.limit)
        for stream_seq in range(first + 1, to_seq + 1):
            self.handle(self.entry(stream_seq, again=True))
        self.refilled(to_seq, gone_to)

    def open(self) -> str:
        assert self.state.live.phase is Phase.CONNECTING, "nobody asked for a connection"
        self.connections += 1
        connection = f"c{self.connections}"
        self.handle(Opened(**self._now, connection=connection))
        return connection

    def connect(self) -> None:
        """The charge point comes to its site, and is accepted upstream."""
        self.journal(connected(), booted())
        self.open()
        self.accept()

    def reconnect(self) -> None:
        """After whatever back-off there is."""
        self.wait(self.policy.retry_ms_max)
        self.open()
        if self.state.kept.boot:
            self.accept()

    def accept(self, boot: str = "Accepted", interval: object = 300) -> None:
        assert self.called()[0] == "BootNotification"
        self.answer({"status": boot, "currentTime": "2026-09-21T14:13:20Z", "interval": interval})

    def take_all(self) -> list[str]:
        """The CSMS answers everything that comes, as one does that has nothing against it."""
        taken: list[str] = []
        for _ in range(2):
            while not self.is_idle or self.is_refill_due:
                if self.is_refill_due:
                    self.refill()
                    continue
                action, payload = self.called()
                taken.append(action)
                self.answer(self.word_on(action, payload))
            self.wait(SETTLE_MS)
        return taken

    @property
    def is_refill_due(self) -> bool:
        return len(self.refills()) > self.refills_done

    @staticmethod
    def word_on(action: str, payload: Any) -> Any:
        match action:
            case "StartTransaction":
                return {"transactionId": payload["n"] + 1_000, "idTagInfo": {"status": "Accepted"}}
            case "BootNotification":
                return {
                    "status": "Accepted",
                    "currentTime": "2026-09-21T14:13:20Z",
                    "interval": 300,
                }
            case _:
                return {}

    def refused(
        self, why: str = "handshake answered 401", refused: bool = True, local: bool = False
    ) -> None:
        self.handle(NotOpened(**self._now, why=why, refused=refused, local=local))

    def lose(self, why: str = "connection lost", connection: str | None = None) -> None:
        ended = connection or f"c{self.connections}"
        self.handle(Ended(**self._now, connection=ended, why=why))

    def answer(self, payload: Any, message_id: str | None = None) -> None:
        self.say([3, message_id or self.asked(), payload])

    def fail(self, code: str = "InternalError", description: str = "") -> None:
        self.say([4, self.asked(), code, description, {}])

    def say(self, frame: list[Any] | str | bytes, connection: str | None = None) -> None:
        """From the CSMS."""
        text = json.dumps(frame) if isinstance(frame, list) else frame
        where = connection or f"c{self.connections}"
        self.handle(FrameCame(**self._now, connection=where, frame=text))

    def call(self, action: str, payload: Any, message_id: str = "x1") -> None:
        """The CSMS calls."""
        self.say([2, message_id, action, payload])

    def wait(self, ms: int) -> None:
        self.mono_ms += ms
        self.handle(Tick(**self._now))

    def wait_for_call(self) -> tuple[str, Any]:
        """However long the back-off is."""
        waited_ms = 0
        while self.is_idle and waited_ms <= self.policy.retry_ms_max:
            self.wait(500)
            waited_ms += 500
        return self.called()

    def reach(self, reachable: bool, *, behind: bool = False) -> None:
        self.handle(SiteReach(**self._now, reachable=reachable, behind=behind))

    def role(self, primary: bool) -> None:
        self.handle(RoleChanged(**self._now, primary=primary))

    def authorise(
        self, request: str = "r1", token: str = "DRIVER-01", budget_ms: int = 800
    ) -> None:
        asked = AuthoriseAsked(
            **self._now, request=request, driver_token=token, budget_ms=budget_ms
        )
        self.handle(asked)

    def end_command(
        self,
        command_id: str,
        disposition: Disposition = Disposition.DELIVERED,
        answer: str | None = '{"status":"Accepted"}',
        reason: str = "",
    ) -> None:
        ended = CommandEnded(
            **self._now,
            command_id=command_id,
            disposition=disposition,
            reason=reason,
            answer=answer,
        )
        self.handle(ended)

    def hold_command(self, command_id: str, reason: str = "confirm: always") -> None:
        self.handle(CommandWaits(**self._now, command_id=command_id, reason=reason))

    def command_taken(self, command_id: str) -> None:
        self.handle(CommandTaken(**self._now, command_id=command_id))

    def command_not_taken(self, command_id: str, why: str = "no such site") -> None:
        self.handle(CommandNotTaken(**self._now, command_id=command_id, why=why))

    def settle(self, trouble: Trouble, incarnation: str, seq: int) -> None:
        self.handle(
            Settle(**self._now, trouble=trouble, incarnation=incarnation, seq=seq, by="night desk")
        )

    def refilled(self, to_seq: int, gone_to: int = 0) -> None:
        self.handle(Refilled(**self._now, to_seq=to_seq, gone_to=gone_to))

    def take_over(self) -> None:
        """Another process goes on from what was saved; the facts come again from the stream."""
        kept = self.state.live.saved
        fresh = State(backend=self.backend, site="berlin01", charge_point=CP)
        self.state = restored(fresh, kept)
        self.handle(Tick(**self._now))

    # --- what is seen ---

    def called(self) -> tuple[str, Any]:
        """Action and payload of our CALL that waits for its answer."""
        assert self.state.live.outstanding is not None, "nothing is under way"
        frame = next(frame for frame in reversed(self.frames) if frame[0] == 2)
        return frame[2], frame[3]

    def asked(self) -> str:
        outstanding = self.state.live.outstanding
        assert outstanding is not None, "nothing is under way"
        return outstanding.message_id

    @property
    def is_idle(self) -> bool:
        return self.state.live.outstanding is None

    def sent(self, action: str) -> list[list[Any]]:
        return [frame for frame in self.frames if frame[0] == 2 and frame[2] == action]

    def sent_ids(self, action: str) -> list[str]:
        return [frame[1] for frame in self.sent(action)]

    @property
    def actions(self) -> list[str]:
        return [frame[2] for frame in self.frames if frame[0] == 2]

    def to_site(self) -> list[Any]:
        return [one.command for one in self.effects if isinstance(one, SendToSite)]

    def verdicts(self) -> list[AnswerAuthorise]:
        return [one for one in self.effects if isinstance(one, AnswerAuthorise)]

    def refills(self) -> list[Refill]:
        return [one for one in self.effects if isinstance(one, Refill)]

    def closes(self) -> list[Close]:
        return [one for one in self.effects if isinstance(one, Close)]

    def answers(self) -> list[Any]:
        """To CALLs of the CSMS."""
        return [frame for frame in self.frames if frame[0] != 2]

    def notes(self) -> list[str]:
        return [one.what for one in self.effects if isinstance(one, Note)]

    def troubles(self) -> list[str]:
        """One for each message."""
        return [one.trouble.value for one in self.state.kept.open for _ in range(one.messages)]

    def connects(self) -> int:
        return sum(isinstance(one, Connect) for one in self.effects)

    @property
    def _now(self) -> dict[str, int]:
        return {"at_ms": BEGUN_MS + self.mono_ms, "mono_ms": self.mono_ms}


def connected(connection: str = "k1") -> Fact:
    return ChargePointConnected(
        charge_point=CP, connection=connection, protocol="ocpp1.6", remote="10.0.0.1:1"
    )


def disconnected(connection: str = "k1") -> Fact:
    return ChargePointDisconnected(charge_point=CP, connection=connection, reason="gone")


def booted(model: str = "M") -> Fact:
    return ChargePointBooted(
        charge_point=CP,
        message_id="b",
        vendor="V",
        model=model,
        serial=None,
        firmware=None,
        status="Accepted",
        raw=f'{{"chargePointVendor":"V","chargePointModel":"{model}"}}',
    )


def status(word: str = "Available", connector: int = 1, error: str = "NoError") -> Fact:
    return ConnectorStatusChanged(
        charge_point=CP,
        connector=connector,
        status=word,
        error_code=error,
        message_id="s",
        raw=f'{{"connectorId":{connector},"status":"{word}","errorCode":"{error}"}}',
    )


def started(local: int = 5, token: str = "DRIVER-01", accepted: bool = True) -> Fact:
    return SessionStarted(
        charge_point=CP,
        connector=1,
        session=session_key(CP, local),
        transaction_id=local,
        driver_token=token,
        meter_start_wh=100,
        at="2026-09-21T14:00:00Z",
        status=TokenStatus.ACCEPTED if accepted else TokenStatus.INVALID,
        basis=Basis.LIST,
        flagged=False,
        decision="d",
        message_id="m",
        raw=f'{{"connectorId":1, "idTag":"{token}","meterStart":100,"timestamp":"2026-09-21T14:00:00Z","n":{local}}}',
    )


def metered(local: int = 5, wh: int = 150, said: int | None = None) -> Fact:
    return SessionMetered(
        charge_point=CP,
        connector=1,
        session=session_key(CP, local),
        transaction_id=local,
        readings=(),
        message_id="m",
        raw=f'{{"connectorId":1,"transactionId":{local if said is None else said} ,"meterValue":[{wh}]}}',
    )


def stopped(local: int = 5, wh: int = 200, said: int | None = None) -> Fact:
    return SessionStopped(
        charge_point=CP,
        session=session_key(CP, local),
        transaction_id=local,
        meter_stop_wh=wh,
        at=STOPPED_AT,
        reason="Local",
        message_id="m",
        raw=f'{{"meterStop":{wh},"transactionId":{local if said is None else said},"timestamp":"{STOPPED_AT}"}}',
    )


def stop_repeated(local: int = 5, wh: int = 300) -> Fact:
    return SessionStopRepeated(
        charge_point=CP,
        session=session_key(CP, local),
        transaction_id=local,
        meter_stop_wh=wh,
        first_meter_stop_wh=200,
        message_id="m2",
        raw=f'{{"meterStop":{wh},"transactionId":{local}}}',
    )


def unmatched(local: int = 99) -> Fact:
    return SessionMessageUnmatched(
        charge_point=CP,
        transaction_id=local,
        message_id="m3",
        action="StopTransaction",
        reason="never given out",
        raw=f'{{"meterStop":1,"transactionId":{local}}}',
    )


class Facts:
    """So that tests need not import from here."""

    connected = staticmethod(connected)
    disconnected = staticmethod(disconnected)
    booted = staticmethod(booted)
    status = staticmethod(status)
    started = staticmethod(started)
    metered = staticmethod(metered)
    stopped = staticmethod(stopped)
    stop_repeated = staticmethod(stop_repeated)
    unmatched = staticmethod(unmatched)


@pytest.fixture(scope="session")
def facts() -> type[Facts]:
    return Facts


@pytest.fixture
def scene() -> Scene:
    return Scene()


@pytest.fixture
def scene_with() -> Callable[..., Scene]:
    """Under other rules or numbers, as in `scene_with(attempts_max=2, queue_max=20)`."""

    def make(backend: str = "main", **numbers: Any) -> Scene:
        rules = {name: numbers.pop(name) for name in list(numbers) if name in RULES}
        return Scene(Policy(rules=UpstreamRules(**rules), **numbers), backend)

    return make


RULES = frozenset(UpstreamRules.model_fields)
