"""A bench for the core: the shell's part in a few lines, without waiting, with a journal that survives.

bench.start("m1"); bench.answers -> what the charge point was told
bench.crash() -> the state is what the journal says, and nothing else
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest

from holdfast.contracts.command import Command, CommandWord, Disposition, Issuer, Word
from holdfast.contracts.csms import RelayReply
from holdfast.contracts.decision import (
    Admitted,
    AdmitVerdict,
    Authorised,
    AuthoriseVerdict,
    Basis,
)
from holdfast.contracts.envelope import Fact
from holdfast.contracts.rules import TokenStatus
from holdfast.contracts.transaction import TransactionId
from holdfast.ocpp import frames
from holdfast.ocpp.versions import OcppVersion
from ocpp_edge.adapters.schemas import Schemas, read_call
from ocpp_edge.domain import events, thinning
from ocpp_edge.domain.calls import Call, Meter, Stop
from ocpp_edge.domain.charge_point import decide
from ocpp_edge.domain.left_out import Untold
from ocpp_edge.domain.sessions import Origin
from ocpp_edge.domain.state import Policy, State
from ocpp_edge.domain.transactions import LOWEST, Transactions

SCHEMAS = Schemas()


def admission(verdict: bool = True, disposition: Disposition | None = None) -> Admitted:
    return Admitted(
        decision="decision-1",
        verdict=AdmitVerdict(
            admitted=verdict, disposition=disposition, reason="" if verdict else "by rule"
        ),
        clause="commands",
        explanation="",
    )


class Bench:
    def __init__(self, charge_point: str = "CP-1") -> None:
        self.policy = Policy()
        self.state = State(charge_point=charge_point)
        self.transactions = Transactions()
        self.journal: list[tuple[str, int, Fact]] = []
        self.telemetry: list[Fact] = []
        self.answers: list[tuple[str, Any]] = []
        """(message id, payload) of each CALLRESULT; a CALLERROR's payload is its code."""
        self.sent: list[tuple[str, str, Any]] = []
        """(message id, action, payload) of our own CALLs."""
        self.closed: list[str] = []
        self.taken: list[str] = []
        self.not_taken: list[str] = []
        self.refused: list[tuple[str, str]] = []
        """Commands whose id belongs to another one, and what whoever brought them was told."""
        self.words: dict[tuple[str, Word], tuple[bool, str]] = {}
        self.asked: list[events.AskAuthorise] = []
        self.admits: list[events.AskAdmit] = []
        self.relayed: list[Call] = []
        """What was handed on to the CSMS."""
        self.csms: RelayReply | None = RelayReply(reason="away")
        """None: it takes its time."""
        self.at_ms = 1_750_000_000_000
        self.connections = 0
        self.untold: dict[TransactionId, Untold] = {}
        self.status = TokenStatus.ACCEPTED
        self.authorises = True
        """False: rule-service is away, questions stay open."""
        self.admit: Callable[[Command], Admitted | None] = lambda _: admission()
        self.journal_takes: bool | None = True
        """False: it refuses. None: nobody knows whether it took it."""
        self.holds = False
        """The journal takes its time: see `release`."""
        self.crash_before: int | None = None
        """Die before performing so many more effects; then start again."""
        self._queue: deque[events.Event] = deque()
        self._unknown: list[events.Record] = []
        self._held: list[events.Record] = []

    # --- what happens ---

    def feed(self, event: events.Event) -> None:
        self._queue.append(event)
        while self._queue:
            self.state, effects = decide(self.policy, self.state, self._queue.popleft())
            for effect in effects:
                if self.crash_before is not None:
                    if self.crash_before == 0:
                        self.crash()
                        return
                    self.crash_before -= 1
                self._perform(effect)

    def connect(self, version: OcppVersion = OcppVersion.V16) -> str:
        self.connections += 1
        connection = f"connection-{self.connections}"
        self.feed(
            events.Connected(
                **self.now,
                connection=connection,
                protocol=version.subprotocol,
                version=version,
                remote="192.0.2.1:5",
                replaced=None,
                replaced_answered=False,
            )
        )
        return connection

    def disconnect(self, connection: str | None = None) -> None:
        connection = connection or f"connection-{self.connections}"
        self.feed(events.Disconnected(**self.now, connection=connection, reason="lost"))

    def call(
        self, action: str, payload: dict[str, Any], message_id: str, connection: str | None = None
    ) -> Call:
        kind = frames.Send if action == "NotifyPeriodicEventStream" else frames.Call
        call = read_call(
            SCHEMAS,
            connection or f"connection-{self.connections}",
            kind(message_id=message_id, action=action, raw=json.dumps(payload)),
            self.state.live.version,
        )
        assert isinstance(call, Call), call
        request = call.request
        origin = None
        if isinstance(request, Meter | Stop) and request.transaction_id is not None:
            origin = Origin(
                owner=self.transactions.owner(request.transaction_id),
                lowest=LOWEST,
                highest=self.transactions.highest(self.at_ms),
            )
        self.feed(events.CallReceived(**self.now, call=call, origin=origin))
        return call

    def start(
        self, message_id: str, *, connector: int = 1, token: str = "TAG", meter: int = 100,
        at: str = "2025-06-15T15:00:00Z",
    ) -> None:  # fmt: skip
        payload = {"connectorId": connector, "idTag": token, "meterStart": meter, "timestamp": at}
        self.call("StartTransaction", payload, message_id)

    def meter(
        self, message_id: str, transaction: int, *, wh: int = 150, connector: int = 1,
        at: str = "2025-06-15T15:05:00Z",
    ) -> None:  # fmt: skip
        values = [{"timestamp": at, "sampledValue": [{"value": str(wh)}]}]
        payload = {"connectorId": connector, "transactionId": transaction, "meterValue": values}
        self.call("MeterValues", payload, message_id)

    def stop(
        self, message_id: str, transaction: int, *, wh: int = 200, token: str | None = None,
        at: str = "2025-06-15T15:10:00Z",
    ) -> None:  # fmt: skip
        payload: dict[str, Any] = {"transactionId": transaction, "meterStop": wh, "timestamp": at}
        if token:
            payload["idTag"] = token
        self.call("StopTransaction", payload, message_id)

    def command(
        self, id: str, /, action: str = "TriggerMessage", *, deadline_in_ms: int = 60_000,
        issuer: Issuer = Issuer.CLOUD, **payload: Any,
    ) -> Command:  # fmt: skip
        if action == "TriggerMessage":
            payload = payload or {"requestedMessage": "Heartbeat"}
        command = Command(
            id=id,
            charge_point=self.state.charge_point,
            action=action,  # type: ignore[arg-type]
            payload=payload,
            issued_at_ms=self.at_ms,
            deadline_ms=self.at_ms + deadline_in_ms,
            issuer=issuer,
        )
        self.feed(events.CommandArrived(**self.now, command=command, downlink_seq=7))
        return command

    def word(self, id: str, word: Word, by: str = "Ada") -> tuple[bool, str]:
        """What whoever said it was told; the reason of a word that the journal did not take is not told here."""
        said = CommandWord(id=id, word=word, by=by, at_ms=self.at_ms)
        self.feed(events.WordArrived(**self.now, word=said))
        return self.words.get((id, word), (False, "not told"))

    def answer(
        self, message_id: str, payload: dict[str, Any], connection: str | None = None
    ) -> None:
        answer = frames.Result(message_id=message_id, raw=json.dumps(payload))
        connection = connection or f"connection-{self.connections}"
        self.feed(events.CallAnswered(**self.now, connection=connection, answer=answer))

    def tick(self, after_ms: int = 500) -> None:
        self.at_ms += after_ms
        self.feed(events.Tick(**self.now))

    def write_down(self, *, is_whole: bool = False) -> None:
        """What a crash would forget, into the store, as the shell does now and then."""
        self.untold = thinning.to_save(self.state, is_whole=is_whole)

    def crash(self) -> None:
        """The journal is all that is left, and what was written down. What was in doubt may have been stored or not:
        the caller says.
        """
        self.crash_before = None
        self._queue.clear()
        self._unknown.clear()
        self._held.clear()
        self.state = State(charge_point=self.state.charge_point)
        self.transactions = Transactions()
        for seq, (id, at_ms, fact) in enumerate(self.journal, 1):
            event = events.Stored(
                at_ms=at_ms, mono_ms=0, id=id, seq=seq, entry_at_ms=at_ms, fact=fact
            )
            known = decide(self.policy, self.state, event)[0].known
            self.state = State(charge_point=self.state.charge_point, known=known)
        self.transactions.restore(self.state.charge_point, self.state.known.transaction_ids())
        self.feed(events.Restarted(**self.now, untold=self.untold))

    def resolve(self, *, stored: bool) -> None:
        """The outcome of the appends in doubt comes out."""
        in_doubt, self._unknown = self._unknown, []
        for effect in in_doubt:
            if stored:
                self._store(effect)
            else:
                self._refuse(effect, final=True)
        self.tick(0)

    def release(self) -> None:
        """The journal has taken all that was asked for, in its order."""
        while self._held:
            self._store(self._held.pop(0))
            self.tick(0)

    # --- what is found ---

    @property
    def now(self) -> dict[str, int]:
        return {"at_ms": self.at_ms, "mono_ms": self.at_ms - 1_000_000}

    def facts(self, kind: type[Any]) -> list[Any]:
        return [fact for _, _, fact in self.journal if isinstance(fact, kind)]

    def told(self, message_id: str) -> Any:
        return next(payload for id, payload in reversed(self.answers) if id == message_id)

    # --- the shell's part ---

    def _perform(self, effect: events.Effect) -> None:  # noqa: C901, PLR0912  one case per effect
        match effect:
            case events.Record():
                self._record(effect)
            case events.Sample(fact=fact):
                self.telemetry.append(fact)
            case events.Answer(frame=frame):
                kind, message_id, *rest = json.loads(frame)
                self.answers.append((message_id, rest[0]))
                assert kind in (3, 4)
            case events.AskAuthorise():
                self.asked.append(effect)
                if self.authorises:
                    self.authorise(effect)
            case events.AskCsms(request=request, call=call):
                self.relayed.append(call)
                if self.csms is not None:
                    self._queue.append(
                        events.CsmsAnswered(**self.now, request=request, reply=self.csms)
                    )
            case events.AskAdmit(command=command, version=version):
                self.admits.append(effect)
                found = self.admit(command)
                if found is None:
                    self._queue.append(
                        events.NotAdmitted(**self.now, command_id=command.id, reason=None)
                    )
                else:
                    self._queue.append(
                        events.Admitted(
                            **self.now,
                            command_id=command.id,
                            version=version,
                            admission=found,
                        )
                    )
            case events.SendCall(frame=frame):
                _, message_id, action, payload = json.loads(frame)
                self.sent.append((message_id, action, payload))
            case events.CloseConnection(connection=connection):
                self.closed.append(connection)
                self._queue.append(
                    events.Disconnected(**self.now, connection=connection, reason="closed")
                )
            case events.CommandTaken(command_id=id, taken=False, reason=reason):
                self.refused.append((id, reason))
            case events.CommandTaken(command_id=id):
                self.taken.append(id)
            case events.CommandNotTaken(command_id=id):
                self.not_taken.append(id)
            case events.WordTaken(command_id=id, word=word, taken=taken, reason=reason):
                self.words[id, word] = (taken, reason)
            case events.WordNotTaken(command_id=id, why=why):
                self.not_taken.append(f"word about {id}: {why}")

    def authorise(self, effect: events.AskAuthorise) -> None:
        authorisation = Authorised(
            decision=f"decision of {effect.request}",
            verdict=AuthoriseVerdict(status=self.status, basis=Basis.LIST, parent="GROUP"),
            rules_version=1,
            clause="",
            explanation="",
        )
        gives_id = effect.starts_session and not effect.has_own_id
        transaction = self.transactions.allocate(self.at_ms) if gives_id else None
        self._queue.append(
            events.Authorised(
                **self.now,
                request=effect.request,
                authorisation=authorisation,
                transaction_id=transaction,
            )
        )

    def _record(self, effect: events.Record) -> None:
        if self.holds:
            self._held.append(effect)
        elif self.journal_takes is None:
            self._unknown.append(effect)
            self._refuse(effect, final=False)
        elif not self.journal_takes:
            self._refuse(effect, final=True)
        else:
            self._store(effect)

    def _refuse(self, effect: events.Record, *, final: bool) -> None:
        self._queue.append(
            events.NotStored(
                **self.now, id=effect.id, fact=effect.fact, why="disk full", final=final
            )
        )

    def _store(self, effect: events.Record) -> None:
        known = {id: seq for seq, (id, _, _) in enumerate(self.journal, 1)}
        if effect.id not in known:
            self.journal.append((effect.id, self.at_ms, effect.fact))
        seq = known.get(effect.id, len(self.journal))
        self._queue.append(
            events.Stored(
                **self.now,
                id=effect.id,
                seq=seq,
                entry_at_ms=self.journal[seq - 1][1],
                fact=self.journal[seq - 1][2],
            )
        )


@pytest.fixture(scope="session")
def new_bench() -> Callable[[], Bench]:
    return Bench


@pytest.fixture
def bench() -> Bench:
    """Connected."""
    bench = Bench()
    bench.connect()
    return bench


@pytest.fixture(scope="session")
def schemas() -> Schemas:
    return SCHEMAS
