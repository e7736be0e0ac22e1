"""TLS handshakes by turns: a few steps, then everybody else.

    bytes -> held until its turn -> asyncio's TLS -> through: the socket is made, and asyncio reads for itself

A step costs a signature or the check of one, as much as many frames do. Left to asyncio every ClientHello that has
come is answered in one turn of the loop, so a site's worth of them, or one stranger's, would hold up whoever charges.
Who only connects and says nothing takes no turn; how many do is bounded with all that are half open.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections import deque
from typing import Protocol, cast

log = logging.getLogger(__name__)

STEPS_AT_ONCE = 4
"""Of all handshakes together, in one turn of the loop."""
HELD_BYTES_MAX = 64 * 1024
"""Of one that waits for its turn; then TCP makes it wait. A whole handshake has a few KiB."""


class Made(Protocol):
    """What is behind the TLS."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None: ...
    def data_received(self, data: bytes) -> None: ...
    def never_made(self) -> None:
        """The handshake failed, or was not finished in time."""
        ...


class Turns:
    """Who has something to do, in the order they came."""

    def __init__(self, at_once: int = STEPS_AT_ONCE) -> None:
        self._at_once = at_once
        self._waiting: deque[Handshake] = deque()
        self._is_due = False

    def ask(self, one: Handshake) -> None:
        self._waiting.append(one)
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._take)

    def _take(self) -> None:
        try:
            for _ in range(min(self._at_once, len(self._waiting))):
                self._waiting.popleft().step()
        finally:  # a fault of one step ends no other's
            self._is_due = bool(self._waiting)
            if self._is_due:  # after whatever else is ready by then
                asyncio.get_running_loop().call_soon(self._take)


class Handshakes:
    """Of one listener."""

    def __init__(self, context: ssl.SSLContext, group: asyncio.TaskGroup, within_s: float) -> None:
        self._context, self._group, self._within_s = context, group, within_s
        self._turns = Turns()

    def begin(self, made: Made, raw: asyncio.Transport) -> None:
        one = Handshake(made, raw, self._turns)
        raw.set_protocol(one)
        self._group.create_task(one.run(self._context, self._within_s))


class Handshake(asyncio.Protocol):
    """Stands between a connection and its TLS until that is through."""

    def __init__(self, made: Made, raw: asyncio.Transport, turns: Turns) -> None:
        self._made, self._raw, self._turns = made, raw, turns
        self._tls: asyncio.BufferedProtocol | None = None
        self._early = _Early()
        self._held = bytearray()
        self._is_waiting = self._is_full = False

    async def run(self, context: ssl.SSLContext, within_s: float) -> None:
        loop = asyncio.get_running_loop()
        # What asyncio reads with is put aside as soon as it stands there, before it is given a byte.
        loop.call_soon(self._stand_between)
        tls: asyncio.Transport | None = None
        try:
            tls = await loop.start_tls(
                self._raw, self._early, context, server_side=True, ssl_handshake_timeout=within_s
            )
        except OSError:
            pass  # counted and told where it failed
        except Exception:
            log.exception("a fault of ours")
        finally:
            # None: it was lost meanwhile, whatever the types say.
            if tls is None or self._early.is_lost:
                self._made.never_made()
        if tls is not None and not self._early.is_lost:
            self._through(tls)

    def _stand_between(self) -> None:
        if not self._raw.is_closing():
            self._tls = cast(asyncio.BufferedProtocol, self._raw.get_protocol())
            self._raw.set_protocol(self)

    def step(self) -> None:
        """Its turn: all that has come of it, which is one flight at most."""
        self._is_waiting = False
        tls = self._tls
        if tls is None or self._raw.is_closing():
            return
        held, self._held = self._held, bytearray()
        if self._is_full:
            self._is_full = False
            self._raw.resume_reading()
        while held and not self._raw.is_closing():
            room = memoryview(tls.get_buffer(len(held)))
            size = min(len(room), len(held))
            room[:size] = held[:size]
            tls.buffer_updated(size)
            del held[:size]

    def _through(self, tls: asyncio.Transport) -> None:
        assert self._tls
        self.step()
        self._raw.set_protocol(self._tls)
        self._made.connection_made(tls)
        tls.set_protocol(cast(asyncio.BaseProtocol, self._made))
        if self._early.data:
            self._made.data_received(bytes(self._early.data))

    # --- what the connection says meanwhile ---

    def data_received(self, data: bytes) -> None:
        self._held += data
        if len(self._held) > HELD_BYTES_MAX and not self._is_full:
            self._is_full = True
            self._raw.pause_reading()
        if not self._is_waiting:
            self._is_waiting = True
            self._turns.ask(self)

    def eof_received(self) -> bool | None:
        return self._tls.eof_received() if self._tls else None

    def connection_lost(self, exc: Exception | None) -> None:
        if self._tls:
            self._tls.connection_lost(exc)

    def pause_writing(self) -> None:
        if self._tls:
            self._tls.pause_writing()

    def resume_writing(self) -> None:
        if self._tls:
            self._tls.resume_writing()


class _Early(asyncio.Protocol):
    """What came right behind the handshake, before the socket was made."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.is_lost = False

    def data_received(self, data: bytes) -> None:
        self.data += data

    def connection_lost(self, _: Exception | None) -> None:
        self.is_lost = True
