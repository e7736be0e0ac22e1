"""One WebSocket connection to the central system: CALLs out, their answers back, commands in.

    call(id, action, payload) -> Answered | Refused | None (no answer in time)

An answer to an id that nobody waits for any more is thrown away, as real charge points do.
"""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import NegotiationError
from websockets.typing import Subprotocol

from holdfast_simulators.charge_points.body.config import SUBPROTOCOLS, Behaviour, ChargePointConfig

FRAME_BYTES_MAX = 256 * 1024


@dataclass(frozen=True, slots=True)
class Answered:
    """CALLRESULT."""

    payload: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Refused:
    """CALLERROR."""

    code: str
    description: str


Answer = Answered | Refused


@dataclass(frozen=True, slots=True)
class Call:
    """A CALL of the central system."""

    message_id: str
    action: str
    payload: dict[str, Any]


OnCall = Callable[["Link", Call], Awaitable[None]]


async def open_socket(
    url: str, tls: ssl.SSLContext | None, config: ChargePointConfig, behaviour: Behaviour
) -> ClientConnection:
    """One attempt, no proxy, no compression: as small devices do it."""
    subprotocol = Subprotocol(SUBPROTOCOLS[config.version])
    headers = {}
    if config.security_profile != 3:
        pair = base64.b64encode(f"{config.id}:{config.password}".encode()).decode()
        headers["Authorization"] = f"Basic {pair}"
    socket = await connect(
        f"{url}/{config.encoded_id}",
        subprotocols=[subprotocol],
        additional_headers=headers,
        compression=None,
        proxy=None,
        ssl=tls,
        ping_interval=behaviour.ping_s,
        ping_timeout=behaviour.ping_s,
        open_timeout=behaviour.call_timeout_s,
        close_timeout=1,
        max_size=FRAME_BYTES_MAX,
    )
    if socket.subprotocol != subprotocol:
        socket.transport.abort()
        raise NegotiationError(f"the central system did not agree to {subprotocol}")
    return socket


class Link:
    def __init__(
        self,
        socket: ClientConnection,
        *,
        json_spaces: bool,
        on_call: OnCall,
        on_bad_frame: Callable[[str], None],
    ) -> None:
        self._socket = socket
        self._separators = (", ", ": ") if json_spaces else (",", ":")
        self._on_call = on_call
        self._on_bad_frame = on_bad_frame
        self._waiting: dict[str, asyncio.Future[Answer]] = {}

    def text(self, payload: dict[str, Any]) -> str:
        return json.dumps(payload, separators=self._separators, ensure_ascii=False)

    async def send_call(self, message_id: str, action: str, payload: str) -> asyncio.Future[Answer]:
        """Send without waiting. The payload goes out as the very characters given."""
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting[message_id] = answer
        comma = self._separators[0]
        head = comma.join(("2", json.dumps(message_id), json.dumps(action)))
        await self._socket.send(f"[{head}{comma}{payload}]")
        return answer

    async def send_only(self, message_id: str, action: str, payload: str) -> None:
        """2.1: SEND, which nobody answers."""
        comma = self._separators[0]
        head = comma.join(("6", json.dumps(message_id), json.dumps(action)))
        await self._socket.send(f"[{head}{comma}{payload}]")

    async def answer_to(
        self, message_id: str, answer: asyncio.Future[Answer], timeout_s: float
    ) -> Answer | None:
        try:
            async with asyncio.timeout(timeout_s):
                return await answer
        except TimeoutError:
            return None
        finally:
            if self._waiting.get(message_id) is answer:
                del self._waiting[message_id]

    async def call(
        self, message_id: str, action: str, payload: str, timeout_s: float
    ) -> Answer | None:
        answer = await self.send_call(message_id, action, payload)
        return await self.answer_to(message_id, answer, timeout_s)

    async def reply(self, message_id: str, payload: dict[str, Any]) -> None:
        await self._send([3, message_id, payload])

    async def refuse(self, message_id: str, code: str, description: str) -> None:
        await self._send([4, message_id, code, description, {}])

    async def _send(self, frame: list[Any]) -> None:
        await self._socket.send(json.dumps(frame, separators=self._separators, ensure_ascii=False))

    async def listen(self) -> None:
        """Until the connection ends, which is raised as ConnectionClosed."""
        while True:
            text = await self._socket.recv()
            match _parse(text):
                case [2, str(message_id), str(action), dict(payload)]:
                    await self._on_call(self, Call(message_id, action, payload))
                case [3, str(message_id), dict(payload)]:
                    self._settle(message_id, Answered(payload))
                case [4, str(message_id), code, *rest]:
                    self._settle(message_id, Refused(str(code), str(rest[0]) if rest else ""))
                case _:
                    self._on_bad_frame(str(text)[:200])

    def _settle(self, message_id: str, answer: Answer) -> None:
        waiting = self._waiting.get(message_id)
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)


def _parse(text: str | bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
