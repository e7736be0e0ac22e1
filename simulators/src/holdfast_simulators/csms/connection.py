"""One connection of one charge point: its CALLs in, answers out, and our own CALLs one after the other.

    text -> frame -> decision -> (commit) -> (delay) -> reply

Reading goes on while an answer waits, so that a second CALL is seen. In a black hole nothing is read, and
what was decided before is not sent.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from holdfast_simulators.control import CommandError
from holdfast_simulators.csms import frames
from holdfast_simulators.csms.answers import Decision, Fate
from holdfast_simulators.csms.frames import Answer, Call, ResultError
from holdfast_simulators.csms.house import House

IDS_REMEMBERED_MAX = 10_000
"""Of one socket, for `repeated_message_id_error`."""
OWN_CALLS_WAITING_MAX = 1_000
ANSWERS_WAITING_MAX = 1_000
"""More at once, pipelined without waiting, and the reading of this socket pauses."""
REPLACED = 1008


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordered:
    """An own CALL, and the name under which its answer is reported."""

    id: str
    action: str
    payload: dict[str, Any]
    timeout_s: float


class Connection:
    def __init__(
        self,
        socket: ServerConnection,
        charge_point: str,
        number: int,
        house: House,
        version: str = frames.V16,
    ) -> None:
        self.charge_point = charge_point
        self.version = version
        self.number = number
        self._socket = socket
        self._house = house
        self._group = asyncio.TaskGroup()
        self._replies: set[asyncio.Task[None]] = set()
        self._ids: dict[str, None] = {}
        self._own_turn = asyncio.Lock()
        self._own_waiting = 0
        self._own_calls = 0
        self._answers: dict[str, asyncio.Future[Answer | None]] = {}
        self._is_over = False

    @property
    def is_open(self) -> bool:
        return not self._is_over and self._socket.state.name == "OPEN"

    async def run(self) -> None:
        async with self._group:
            try:
                while True:
                    await self._house.clear_air()
                    text = await self._socket.recv()
                    await self._house.clear_air()
                    if not self.is_open:
                        # It went down in a black hole: what had arrived was never read.
                        break
                    await self._receive(text)
            except ConnectionClosed:
                pass
            finally:
                self._end()

    def replace(self) -> None:
        """A newer connection of the same identity has come."""
        self._group.create_task(self._socket.close(REPLACED, "replaced by a newer connection"))

    def hold(self) -> None:
        self._socket.transport.pause_reading()

    def release(self) -> None:
        self._socket.transport.resume_reading()

    def abort(self) -> None:
        self._socket.transport.abort()

    def _end(self) -> None:
        self._is_over = True
        for task in self._replies:
            task.cancel()
        for answer in self._answers.values():
            if not answer.done():
                answer.set_result(None)

    # --- frames in

    async def _receive(self, text: str | bytes) -> None:
        self._house.log_wire(self, "in", text)
        frame = frames.parse(text, self.charge_point, self._house.now_ms(), self.version)
        if isinstance(frame, Call):
            await self._take(frame)
        elif isinstance(frame, ResultError):
            told = {"message_id": frame.message_id, "code": frame.code}
            self._house.report("result-error", charge_point=self.charge_point, **told)
        elif frame is None:
            self._house.report("bad-frame", charge_point=self.charge_point, frame=str(text)[:200])
        elif (waiting := self._answers.get(frame.message_id)) and not waiting.done():
            waiting.set_result(frame)

    async def _take(self, call: Call) -> None:
        decision = self._refusal(call) or self._house.decide(call)
        for report in decision.reports:
            self._house.report(**report)
        if not (decision.is_durable or decision.delay_s):
            await self._perform(decision)
            return
        task = self._group.create_task(self._perform_later(decision))
        self._replies.add(task)
        task.add_done_callback(self._replies.discard)
        if len(self._replies) >= ANSWERS_WAITING_MAX:
            await asyncio.wait(self._replies, return_when=asyncio.FIRST_COMPLETED)

    def _refusal(self, call: Call) -> Decision | None:
        """What some central systems refuse before they look at the content."""
        quirks = self._house.quirks
        if quirks.one_call_at_a_time and self._replies:
            problem = ("RpcFrameworkError", "Call already in progress")
            return Decision(reply=frames.error(call.id_text, *problem))
        if call.message_id in self._ids and quirks.repeated_message_id_error:
            problem = ("GenericError", "message id was used before on this connection")
            return Decision(reply=frames.error(call.id_text, *problem))
        self._ids[call.message_id] = None
        if len(self._ids) > IDS_REMEMBERED_MAX:
            del self._ids[next(iter(self._ids))]
        return None

    # --- frames out

    async def _perform_later(self, decision: Decision) -> None:
        if decision.is_durable:
            await self._house.committed()
        if decision.delay_s:
            await asyncio.sleep(decision.delay_s)
        try:
            await self._perform(decision)
        except ConnectionClosed:
            return

    async def _perform(self, decision: Decision) -> None:
        if decision.fate is Fate.CRASH:
            self._socket.transport.abort()
        elif decision.fate is Fate.SEND and decision.reply is not None:
            await self._send(decision.reply)
            for one in decision.calls:
                self.order(Ordered(id="", action=one.action, payload=one.payload, timeout_s=60))
            if decision.calls:
                # Its first step sends, so it is out before the next CALL is read.
                await asyncio.sleep(0)

    async def _send(self, text: str) -> None:
        await self._house.clear_air()
        await self._socket.send(text)
        self._house.log_wire(self, "out", text)

    # --- our own CALLs

    def order(self, ordered: Ordered) -> None:
        if self._own_waiting >= OWN_CALLS_WAITING_MAX:
            problem = f"{OWN_CALLS_WAITING_MAX} calls already wait for {self.charge_point!r}"
            raise CommandError(f"{problem}; wait for their answers")
        self._own_waiting += 1
        self._group.create_task(self._call(ordered))

    async def _call(self, ordered: Ordered) -> None:
        begun_s = time.monotonic()
        answer: Answer | None = None
        async with self._own_turn:
            try:
                # The time limit and the duration reported begin when its turn has come.
                begun_s = time.monotonic()
                async with asyncio.timeout(ordered.timeout_s):
                    answer = await self._exchange(ordered)
            except TimeoutError:
                problem = f"no answer within {ordered.timeout_s:g} s"
                answer = Answer(message_id="", code="NoAnswer", description=problem)
            except ConnectionClosed:
                answer = None
            finally:
                self._own_waiting -= 1
        self._report(ordered, answer, round((time.monotonic() - begun_s) * 1_000))

    async def _exchange(self, ordered: Ordered) -> Answer | None:
        """None: the connection ended first."""
        if self._is_over:
            return None
        self._own_calls += 1
        message_id = f"csms-{self.number}-{self._own_calls}"
        answer: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()
        self._answers[message_id] = answer
        try:
            await self._send(frames.call(message_id, ordered.action, ordered.payload))
            return await answer
        finally:
            del self._answers[message_id]

    def _report(self, ordered: Ordered, answer: Answer | None, after_ms: int) -> None:
        if answer is None:
            problem = "the connection ended before the answer"
            answer = Answer(message_id="", code="ConnectionLost", description=problem)
        refused = {"code": answer.code, "description": answer.description}
        self._house.report(
            "answered",
            id=ordered.id or None,
            charge_point=self.charge_point,
            action=ordered.action,
            result=answer.result,
            error=None if answer.code is None else refused,
            after_ms=after_ms,
        )
