"""The CSMS behind a simulated site: a peer with a ledger of its own, which knows nothing of the product.

handshake, open(identity) -> a CALL comes -> it is in the ledger -> it is answered      but for the faults

The ledger outlives its restarts; connections, and what was on its way, do not.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from holdfast.clock import Clock, iso
from simulation.charge_point import LineEnded
from simulation.faults import CsmsFaults

FIRST_ID = 1_000_001
HANDSHAKE_MS, HANDSHAKE_MS_MAX = 20, 2_000
ANSWER_MS = 5
CLOSE_MS_MAX = 2_000
"""So long a closing handshake is waited for; a CSMS that is silent gives none."""

V16 = "1.6"
_TEXT = r'\s*("(?:[^"\\]|\\.)*")\s*'
_CALL = re.compile(rf"\s*\[\s*([26])\s*,{_TEXT},{_TEXT},\s*(.*\S)\s*\]\s*", re.DOTALL)
_ANSWER = re.compile(rf"\s*\[\s*[34]\s*,{_TEXT},.*\]\s*", re.DOTALL)


class Unreached(Exception):
    """No connection came about."""


@dataclass(frozen=True, slots=True)
class Said:
    """A CALL that was taken: the payload is the text that came."""

    charge_point: str
    connection: int
    message_id: str
    action: str
    payload: str
    version: str = V16
    is_send: bool = False
    """A SEND of 2.1."""


@dataclass(slots=True)
class Transaction:
    id: int
    start: Said
    told: list[Said] = field(default_factory=list)
    """Its MeterValues and StopTransactions as they came, repeats too."""


@dataclass(slots=True)
class Asked:
    """A CALL of the CSMS's own."""

    charge_point: str
    action: str
    payload: str
    answer: str | None = None
    """The whole frame."""
    is_overdue: bool = False
    """None came in time, on a connection that lived."""


@dataclass(slots=True)
class Ledger:
    taken: list[Said] = field(default_factory=list)
    transactions: dict[int, Transaction] = field(default_factory=dict)
    strays: list[Said] = field(default_factory=list)
    """MeterValues and StopTransactions of no transaction that was ever begun here."""
    events: dict[tuple[str, str], list[Said]] = field(default_factory=dict)
    """TransactionEvents of 2.x by charge point and the station's own id, as they came, repeats too."""
    asked: list[Asked] = field(default_factory=list)
    overlapping: list[str] = field(default_factory=list)
    """CALLs that came on a connection where one was not answered yet."""
    doubled: list[str] = field(default_factory=list)
    """Connections of a charge point that had one already."""


class Connection:
    """The calling end."""

    def __init__(self, csms: SimCsms, identity: str, number: int, version: str = V16) -> None:
        self.identity = identity
        self.version = version
        self.number = number
        self.is_over = False
        self.unanswered: str | None = None
        """Message id of the CALL that waits for its answer."""
        self.is_accepted = False
        """Its last BootNotification was."""
        self.asked: dict[str, asyncio.Future[str]] = {}
        self._csms = csms
        self._inbox: asyncio.Queue[str | None] = asyncio.Queue()

    async def receive(self) -> str:
        """Raise LineEnded."""
        frame = None if self.is_over else await self._inbox.get()
        if frame is None or self.is_over:
            raise LineEnded
        return frame

    async def send(self, frame: str) -> None:
        """Raise LineEnded."""
        if self.is_over:
            raise LineEnded
        self._csms.hear(self, frame)

    def put(self, frame: str) -> None:
        if not self.is_over:
            self._inbox.put_nowait(frame)

    def lose(self) -> None:
        """Over for both ends; nobody hears what was on its way."""
        if self.is_over:
            return
        self.is_over = True
        self._inbox.put_nowait(None)
        for waiting in self.asked.values():
            if not waiting.done():
                waiting.set_exception(LineEnded())
        self._csms.forget(self)

    async def vanish(self) -> None:
        self.lose()

    async def close(self) -> None:
        """A silent CSMS reads of it later; it is not waited for long."""
        if not self.is_over:
            self._csms.when_it_listens(self.lose)
            await self._csms.until_it_listens(CLOSE_MS_MAX)
        self.lose()


class SimCsms:
    def __init__(
        self,
        clock: Clock,
        *,
        faults: CsmsFaults,
        chance: Callable[[str], random.Random],
        note: Callable[[str], None] = lambda _: None,
        tokens: Mapping[str, str] | None = None,
        heartbeat_s: int = 300,
    ) -> None:
        """`tokens`: status by driver token; without them everybody is Accepted, with them the others Invalid."""
        self.ledger = Ledger()
        self.faults = faults
        """May be replaced while it runs."""
        self.is_up = True
        self._deduplicates = faults.deduplicates
        self._clock = clock
        self._tokens = tokens
        self._heartbeat_s = heartbeat_s
        self._note = note
        self._luck = {kind: chance(f"csms {kind}") for kind in ("callerror", "lost", "late")}
        self._numbers = itertools.count(1)
        self._own_ids = itertools.count(1)
        self._open: dict[str, Connection] = {}
        """The newest of each charge point."""
        self._listens = asyncio.Event()
        self._listens.set()
        self._held: list[Callable[[], None]] = []
        """What came, or was to be answered, while it was silent."""

    # --- what faults do to it ---

    def stop(self) -> None:
        """Its process dies: connections end, the ledger stays."""
        self._note("csms down")
        self.is_up = False
        self._held.clear()
        for connection in list(self._open.values()):
            connection.lose()

    def start(self) -> None:
        self._note("csms up")
        self.is_up = True

    def fall_silent(self) -> None:
        """As a black hole: sockets stay open, nothing is read, said or accepted."""
        self._note("csms silent")
        self._listens.clear()

    def listen_again(self) -> None:
        """What was held back is read now, in the order in which it came."""
        self._note("csms listens")
        self._listens.set()
        held, self._held = self._held, []
        for work in held:
            work()

    def drop(self, identity: str) -> None:
        connection = self._open.get(identity)
        if connection is not None:
            self._note(f"csms drops {identity}")
            connection.lose()

    # --- connections ---

    @property
    def connected(self) -> list[str]:
        return list(self._open)

    @property
    def accepted(self) -> list[str]:
        """Those that it may send CALLs to."""
        return [identity for identity, one in self._open.items() if one.is_accepted]

    async def handshake(self) -> None:
        """Raise Unreached."""
        await self._clock.sleep_ms(HANDSHAKE_MS)
        if not await self.until_it_listens(HANDSHAKE_MS_MAX):
            raise Unreached("the handshake is not answered")
        if not self.is_up:
            raise Unreached("connection refused")

    def open(self, identity: str, version: str = V16) -> Connection:
        """After the handshake."""
        connection = Connection(self, identity, next(self._numbers), version)
        other = self._open.get(identity)
        if other is not None:
            self.ledger.doubled.append(
                f"{identity} opened connection {connection.number} beside {other.number}"
            )
        self._note(f"csms opened {identity} {connection.number}")
        self._open[identity] = connection
        return connection

    def forget(self, connection: Connection) -> None:
        self._note(f"csms ended {connection.identity} {connection.number}")
        if self._open.get(connection.identity) is connection:
            del self._open[connection.identity]

    async def until_it_listens(self, within_ms: int) -> bool:
        try:
            async with asyncio.timeout(within_ms / 1000):
                await self._listens.wait()
        except TimeoutError:
            return False
        return True

    def when_it_listens(self, work: Callable[[], None]) -> None:
        if self._listens.is_set():
            work()
        else:
            self._held.append(work)

    # --- frames ---

    def hear(self, connection: Connection, frame: str) -> None:
        call = _CALL.fullmatch(frame)
        if call is None:
            self.when_it_listens(lambda: self._answered(connection, frame))
            return
        said = Said(
            connection.identity,
            connection.number,
            json.loads(call[2]),
            json.loads(call[3]),
            call[4],
            connection.version,
            is_send=call[1] == "6",
        )
        if said.is_send:
            self.when_it_listens(lambda: self.ledger.taken.append(said))
            return
        if connection.unanswered is not None:
            self.ledger.overlapping.append(
                f"{said.charge_point} sent {said.action} {said.message_id} on connection "
                f"{said.connection}, where {connection.unanswered} was not answered"
            )
        connection.unanswered = said.message_id
        self.when_it_listens(lambda: self._take(connection, said))

    def _take(self, connection: Connection, said: Said) -> None:
        """Each kind of fault has its own luck, and draws for every CALL."""
        faults = self.faults
        refuses = self._luck["callerror"].random() < faults.callerror_ratio
        loses = self._luck["lost"].random() < faults.lost_answer_ratio
        late, late_ms = self._luck["late"].random(), self._luck["late"].randint(1, 1_000)
        named = f"{said.charge_point} {said.connection} {said.action} {said.message_id}"
        if said.action == "BootNotification":
            connection.is_accepted = not refuses
        if refuses:
            self._note(f"csms refuses {named}")
            error = f'[4,{json.dumps(said.message_id)},"InternalError","not now",{{}}]'
            self._answer_in(ANSWER_MS, connection, said, error)
            return
        answer = self._committed(said)
        self._note(f"csms took {named}{' and loses its answer' if loses else ''}")
        if not loses:
            is_late = late < faults.late_answer_ratio
            wait_ms = late_ms * faults.late_ms_max // 1_000 if is_late else ANSWER_MS
            frame = f"[3,{json.dumps(said.message_id)},{json.dumps(answer)}]"
            self._answer_in(wait_ms, connection, said, frame)

    def _answer_in(self, ms: int, connection: Connection, said: Said, frame: str) -> None:
        def answer() -> None:
            if connection.unanswered == said.message_id:
                connection.unanswered = None
            connection.put(frame)

        loop = asyncio.get_running_loop()
        loop.call_later(ms / 1000, lambda: self.when_it_listens(answer))

    # --- the ledger ---

    def _committed(self, said: Said) -> dict[str, object]:
        """What it is answered."""
        self.ledger.taken.append(said)
        match said.action:
            case "BootNotification":
                interval = self._heartbeat_s
                return {"status": "Accepted", "currentTime": self._now(), "interval": interval}
            case "Heartbeat":
                return {"currentTime": self._now()}
            case "Authorize" if said.version != V16:
                return self._information_2x(said)
            case "TransactionEvent":
                return self._happened(said)
            case "Authorize":
                return {"idTagInfo": self._information(said)}
            case "StartTransaction":
                transaction = self._started(said)
                return {"transactionId": transaction.id, "idTagInfo": self._information(said)}
            case "MeterValues" | "StopTransaction":
                self._told(said)
                return {}
            case _:
                return {}

    def _started(self, said: Said) -> Transaction:
        if self._deduplicates:
            for known in self.ledger.transactions.values():
                same = known.start.payload == said.payload
                if same and known.start.charge_point == said.charge_point:
                    return known
        transaction = Transaction(FIRST_ID + len(self.ledger.transactions), said)
        self.ledger.transactions[transaction.id] = transaction
        return transaction

    def _told(self, said: Said) -> None:
        id = json.loads(said.payload).get("transactionId")
        if id is None:
            return  # readings of no transaction
        transaction = self.ledger.transactions.get(id)
        if transaction is None or transaction.start.charge_point != said.charge_point:
            self.ledger.strays.append(said)
        else:
            transaction.told.append(said)

    def _information(self, said: Said) -> dict[str, str]:
        if self._tokens is None:
            return {"status": "Accepted"}
        return {"status": self._tokens.get(json.loads(said.payload)["idTag"], "Invalid")}

    def _happened(self, said: Said) -> dict[str, object]:
        transaction = str(json.loads(said.payload)["transactionInfo"]["transactionId"])
        self.ledger.events.setdefault((said.charge_point, transaction), []).append(said)
        return self._information_2x(said)

    def _information_2x(self, said: Said) -> dict[str, object]:
        token = json.loads(said.payload).get("idToken")
        if token is None:
            return {}
        known = "Accepted" if self._tokens is None else "Invalid"
        return {"idTokenInfo": {"status": (self._tokens or {}).get(token["idToken"], known)}}

    def _now(self) -> str:
        return iso(self._clock.now_ms())

    # --- its own CALLs ---

    async def call(self, identity: str, action: str, payload: str, *, within_ms: int) -> Asked:
        """Raise KeyError where the charge point is not connected."""
        connection = self._open[identity]
        asked = Asked(identity, action, payload)
        self.ledger.asked.append(asked)
        message_id = f"csms-{next(self._own_ids)}"
        waiting: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        connection.asked[message_id] = waiting
        connection.put(f'[2,"{message_id}","{action}",{payload}]')
        try:
            async with asyncio.timeout(within_ms / 1000):
                asked.answer = await waiting
        except TimeoutError:
            asked.is_overdue = True
        except LineEnded:
            pass
        finally:
            connection.asked.pop(message_id, None)
        return asked

    def _answered(self, connection: Connection, frame: str) -> None:
        answer = _ANSWER.fullmatch(frame)
        waiting = connection.asked.get(json.loads(answer[1])) if answer else None
        if waiting is not None and not waiting.done():
            waiting.set_result(frame)
