"""A small charge point with a ledger: what it was acknowledged, what it executed, what its meter really says.

    driver plugs in -> Authorize -> Start -> Meter ... -> Stop        queue -> one CALL at a time -> answer

Start, Meter and Stop wait in a queue that outlives a reboot; each leaves it only when it is acknowledged. The
ledger is the truth that checkers hold against the archive; it knows nothing of the product.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from holdfast.clock import Clock, iso
from holdfast.ocpp.versions import OcppVersion

CALL_MS_MAX = 10_000
RETRY_MS = 2_000
METER_MS = 5_000
POWER_WH_PER_S = 3


class LineEnded(Exception):
    """The connection is over."""


class CallRefused(Exception):
    """Answered with a CALLERROR."""


class Line(Protocol):
    """The charge point's end of a connection."""

    async def receive(self) -> str: ...
    async def send(self, frame: str) -> None: ...
    def lose(self) -> None: ...
    async def vanish(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """How this make behaves where the standard leaves room."""

    retry_ids: Literal["same", "new"] = "same"
    repeats_ids: bool = False
    """Counts its message ids from 1 again after each boot."""
    boots_on_reconnect: bool = True
    starts_offline: bool = True


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A transactional CALL that got its answer."""

    charge_point: str
    action: str
    payload: str
    at_ms: int
    """World time, monotonic."""
    transaction_id: int | str | None = None
    """As its site knows the session it is of."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A CALL that was answered with a CALLERROR."""

    charge_point: str
    action: str
    payload: str
    code: str


@dataclass(frozen=True, slots=True)
class Executed:
    """A CALL from the other side that this charge point carried out."""

    charge_point: str
    message_id: str
    action: str
    payload: str
    at_ms: int
    """By the site's wall clock: deadlines are told by it."""


@dataclass(slots=True)
class Session:
    """One charging of one car, as the meter saw it."""

    connector: int
    driver_token: str
    meter_start_wh: int
    meter_stop_wh: int | None = None
    transaction_id: int | str | None = None
    next_seq_no: int = 0
    """2.x: of its next event."""


@dataclass(slots=True)
class Queued:
    session: Session
    action: str
    fields: dict[str, Any]
    payload: str | None = None
    """Fixed when it is first sent: a repeat has the same bytes."""
    message_id: str | None = None


@dataclass(slots=True)
class Ledger:
    acknowledged: list[Acknowledged] = field(default_factory=list)
    executed: list[Executed] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    sessions: list[Session] = field(default_factory=list)


class SimChargePoint:
    version = OcppVersion.V16

    def __init__(
        self,
        identity: str,
        *,
        clock: Clock,
        site_clock: Clock,
        rng: random.Random,
        connect: Callable[[str, OcppVersion], Line | None],
        habits: Habits,
    ) -> None:
        self.identity = identity
        self.ledger = Ledger()
        self.session: Session | None = None
        self.queue: deque[Queued] = deque()
        self._clock = clock
        self._site_clock = site_clock
        self._rng = rng
        self._connect = connect
        self._habits = habits
        self._line: Line | None = None
        self._ids = itertools.count(1)
        self._boot = 0
        self._register_wh = rng.randint(1_000, 100_000)
        self._waiting: dict[str, asyncio.Future[str]] = {}
        self._queued = asyncio.Event()
        self._group: asyncio.TaskGroup | None = None

    @property
    def is_settled(self) -> bool:
        return self.session is None and not self.queue

    @property
    def is_connected(self) -> bool:
        return self._line is not None

    # --- what drivers and faults do to it ---

    async def plug(self, driver_token: str) -> bool:
        """True when energy flows."""
        if self.session is not None:
            return False
        if not await self._may_charge(driver_token):
            return False
        self._begin(driver_token)
        return True

    def unplug(self, reason: str = "Local") -> None:
        session = self.session
        if session is None:
            return
        self.session = None
        session.meter_stop_wh = self._register_wh
        self._enqueue(self._stopped(session, reason))
        self._status("Available")

    def drop(self) -> None:
        if self._line:
            self._line.lose()

    async def vanish(self) -> None:
        """As `drop`, and the other end does not see it."""
        if self._line:
            await self._line.vanish()

    def reboot(self) -> None:
        """Its memory goes, its queue and its meter stay; a running session ends, as after a power loss."""
        self.drop()
        self._boot += 1
        if self._habits.repeats_ids:
            self._ids = itertools.count(1)
        self.unplug("PowerLoss")

    # --- its life ---

    async def run(self) -> None:
        """For ever."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            group.create_task(self._meter())
            group.create_task(self._empty_queue())
            await self._stay_connected()

    async def _stay_connected(self) -> None:
        booted = -1
        while True:
            line = self._connect(self.identity, self.version)
            if line is not None:
                self._line = line
                assert self._group is not None
                hello = booted != self._boot or self._habits.boots_on_reconnect
                booted = self._boot
                self._group.create_task(self._greet(hello))
                await self._read(line)
                self._line = None
                self._fail_waiting()
            await self._clock.sleep_ms(self._rng.randint(500, 3_000))

    async def _greet(self, boot: bool) -> None:
        if boot:
            await self._call("BootNotification", self._boot_fields())
        self._status("Charging" if self.session else "Available")

    async def _read(self, line: Line) -> None:
        try:
            while True:
                await self._received(json.loads(await line.receive()), line)
        except LineEnded:
            pass

    async def _received(self, frame: list[Any], line: Line) -> None:
        match frame:
            case [2, message_id, action, payload]:
                await line.send(
                    json.dumps([3, message_id, self._execute(message_id, action, payload)])
                )
            case [3, message_id, payload]:
                self._answered(message_id, json.dumps(payload))
            case [4, message_id, code, *_]:
                self._refused(message_id, code)

    def _answered(self, message_id: str, payload: str) -> None:
        future = self._waiting.pop(message_id, None)
        if future and not future.done():
            future.set_result(payload)

    def _refused(self, message_id: str, code: str) -> None:
        future = self._waiting.pop(message_id, None)
        if future and not future.done():
            future.set_exception(CallRefused(code))

    def _fail_waiting(self) -> None:
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(LineEnded())
        self._waiting.clear()

    # --- CALLs out ---

    async def _call(
        self, action: str, fields: dict[str, Any] | str, message_id: str | None = None
    ) -> dict[str, Any] | None:
        """The answer; None when none came. Nothing is sent while there is no line."""
        line = self._line
        if line is None:
            return None
        message_id = message_id or self._new_id()
        payload = fields if isinstance(fields, str) else json.dumps(fields)
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._waiting[message_id] = future
        try:
            async with asyncio.timeout(CALL_MS_MAX / 1000):
                await line.send(f'[2,"{message_id}","{action}",{payload}]')
                answer: dict[str, Any] = json.loads(await future)
                return answer
        except CallRefused as refused:
            self.ledger.refused.append(Refused(self.identity, action, payload, str(refused)))
            return None
        except (LineEnded, TimeoutError):
            return None
        finally:
            if self._waiting.get(message_id) is future:
                del self._waiting[message_id]

    def _new_id(self) -> str:
        boot = "" if self._habits.repeats_ids else f"{self._boot}-"
        return f"{self.identity}-{boot}{next(self._ids)}"

    def _status(self, status: str) -> None:
        fields = self._status_fields(status)
        if self._group is not None and self._line is not None:
            self._group.create_task(self._say("StatusNotification", fields))

    async def _say(self, action: str, fields: dict[str, Any]) -> None:
        await self._call(action, fields)

    async def _may_charge(self, driver_token: str) -> bool:
        answer = await self._call("Authorize", {"idTag": driver_token})
        if answer is None:
            return self._habits.starts_offline and not self.is_connected
        return bool(answer["idTagInfo"]["status"] == "Accepted")

    # --- sessions ---

    def _begin(self, driver_token: str) -> None:
        session = Session(1, driver_token, self._register_wh)
        self.session = session
        self.ledger.sessions.append(session)
        for queued in self._started(session):
            self._enqueue(queued)
        self._status("Charging")

    async def _meter(self) -> None:
        while True:
            await self._clock.sleep_ms(METER_MS)
            if self.session is None:
                continue
            self._register_wh += POWER_WH_PER_S * METER_MS // 1000
            self._enqueue(self._reading(self.session))

    def _enqueue(self, queued: Queued) -> None:
        self.queue.append(queued)
        self._queued.set()

    async def _empty_queue(self) -> None:
        while True:
            if not self.queue or self._line is None:
                self._queued.clear()
                await self._clock.sleep_ms(500)
                continue
            if not await self._send_first():
                await self._clock.sleep_ms(RETRY_MS)

    async def _send_first(self) -> bool:
        first = self.queue[0]
        if first.payload is None:
            first.payload = json.dumps(first.fields | self._transaction(first))
        if first.message_id is None or self._habits.retry_ids == "new":
            first.message_id = self._new_id()
        boot = self._boot
        answer = await self._call(first.action, first.payload, first.message_id)
        if answer is None or boot != self._boot:
            return False
        self._heard(first, answer)
        self.queue.popleft()
        self.ledger.acknowledged.append(
            Acknowledged(
                self.identity,
                first.action,
                first.payload,
                self._clock.monotonic_ms(),
                first.session.transaction_id,
            )
        )
        return True

    # --- what 2.x says otherwise

    def _boot_fields(self) -> dict[str, Any]:
        return {"chargePointVendor": "Simulated", "chargePointModel": "One"}

    def _status_fields(self, status: str) -> dict[str, Any]:
        return {"connectorId": 1, "status": status, "errorCode": "NoError"}

    def _started(self, session: Session) -> list[Queued]:
        fields = {
            "connectorId": 1,
            "idTag": session.driver_token,
            "meterStart": self._register_wh,
            "timestamp": self._now(),
        }
        return [Queued(session, "StartTransaction", fields)]

    def _reading(self, session: Session) -> Queued:
        sampled = [{"value": str(self._register_wh)}]
        value = [{"timestamp": self._now(), "sampledValue": sampled}]
        return Queued(session, "MeterValues", {"connectorId": 1, "meterValue": value})

    def _stopped(self, session: Session, reason: str) -> Queued:
        fields = {"meterStop": self._register_wh, "timestamp": self._now(), "reason": reason}
        return Queued(session, "StopTransaction", fields)

    def may_be_told(self, driver_token: str) -> tuple[tuple[str, dict[str, Any]], ...]:
        """Commands of its version, sensible ones."""
        running = self.session.transaction_id if self.session else None
        return (
            ("RemoteStartTransaction", {"connectorId": 1, "idTag": driver_token}),
            ("RemoteStopTransaction", {"transactionId": running or 1}),
            ("ChangeAvailability", {"connectorId": 1, "type": "Operative"}),
            ("TriggerMessage", {"requestedMessage": "Heartbeat"}),
        )

    def _transaction(self, queued: Queued) -> dict[str, Any]:
        if queued.action == "StartTransaction":
            return {}
        # Its Start stood before it in the queue, so it was answered.
        assert queued.session.transaction_id is not None
        return {"transactionId": queued.session.transaction_id}

    def _heard(self, queued: Queued, answer: dict[str, Any]) -> None:
        session = queued.session
        if queued.action != "StartTransaction":
            return
        session.transaction_id = answer["transactionId"]
        if answer["idTagInfo"]["status"] != "Accepted" and session is self.session:
            self.unplug("DeAuthorized")

    def _now(self) -> str:
        return iso(self._clock.now_ms())

    # --- CALLs in ---

    def _execute(self, message_id: str, action: str, payload: dict[str, Any]) -> dict[str, Any]:
        self.ledger.executed.append(
            Executed(
                self.identity, message_id, action, json.dumps(payload), self._site_clock.now_ms()
            )
        )
        match action:
            case "RemoteStartTransaction":
                if self.session is not None:
                    return {"status": "Rejected"}
                self._begin(payload["idTag"])
            case "RemoteStopTransaction":
                if self.session is None or self.session.transaction_id != payload["transactionId"]:
                    return {"status": "Rejected"}
                self.unplug("Remote")
            case "Reset":
                assert self._group is not None
                self._group.create_task(self._reset())
            case "UnlockConnector":
                self.unplug("UnlockCommand")
                return {"status": "Unlocked"}
            case "GetConfiguration":
                return {"configurationKey": []}
            case "GetLocalListVersion":
                return {"listVersion": 0}
            case "DataTransfer":
                return {"status": "UnknownVendorId"}
        return {"status": "Accepted"}

    async def _reset(self) -> None:
        """Its answer goes out first."""
        await self._clock.sleep_ms(200)
        self.reboot()
