"""What all connections share: the quirks, the book, the ledger, who is connected, what is reported."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from holdfast_simulators.control import CommandError, Console
from holdfast_simulators.csms import answers, forms
from holdfast_simulators.csms.answers import Decision, Desk
from holdfast_simulators.csms.config import Config
from holdfast_simulators.csms.frames import Call
from holdfast_simulators.csms.ledger import Ledger
from holdfast_simulators.csms.quirks import Quirks
from holdfast_simulators.csms.rows import Row, Write

if TYPE_CHECKING:
    # A connection knows the house it is in; the house only names its type.
    from holdfast_simulators.csms.connection import Connection

QUIET_EVENTS = ("listening", "down", "quirk", "answered", "status", "error")
"""What is reported under --quiet: the answers to commands."""


@dataclass(slots=True)
class Memory:
    """Of one charge point, since the start of this process."""

    connections: list[Connection] = field(default_factory=list)
    """Newest last."""
    boot: dict[str, Any] | None = None
    counts: Counter[str] = field(default_factory=Counter)


class House:
    def __init__(
        self, config: Config, ledger: Ledger, console: Console, *, quiet: bool, wire_log: bool
    ) -> None:
        self.config = config
        self.quirks = config.quirks
        self._ledger = ledger
        self._console = console
        self._is_quiet = quiet
        self._has_wire_log = wire_log
        self._connections = ledger.last_connection()
        self._air = asyncio.Event()
        if not config.quirks.black_hole:
            self._air.set()
        self._known: dict[str, Memory] = {}
        self.forget()

    def forget(self) -> None:
        """Everything that is not in the ledger, as at a start. Quirks belong to whoever sets them."""
        book = self._ledger.book(self.config.first_transaction_id)
        self._desk = Desk(config=self.config, book=book, events=self._ledger.events())
        for memory in self._known.values():
            memory.boot = None
            memory.counts.clear()

    # --- what a connection needs

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def decide(self, call: Call) -> Decision:
        self.quirks, decision = answers.decide(self._desk, self.quirks, call)
        self._ledger.add(decision.rows)
        memory = self._known[call.charge_point]
        memory.counts[call.action] += 1
        if decision.boot_status is not None:
            memory.boot = {"status": decision.boot_status, "at_ms": call.at_ms} | call.payload
        return decision

    async def committed(self) -> None:
        await self._ledger.committed()

    async def clear_air(self) -> None:
        """Wait until there is no black hole."""
        if not self._air.is_set():
            await self._air.wait()

    def log_wire(self, connection: Connection, direction: str, frame: str | bytes) -> None:
        if self._has_wire_log:
            text = frame if isinstance(frame, str) else frame.decode(errors="replace")
            place = (connection.charge_point, connection.number)
            self._ledger.add([Row(Write.WIRE, (self.now_ms(), *place, direction, text))])

    def report(self, event: str, **fields: Any) -> None:
        if not self._is_quiet or (event in QUIET_EVENTS and fields.get("did") != "happened"):
            self._console.report(event, **fields)

    # --- coming and going

    def next_connection(self) -> int:
        self._connections += 1
        return self._connections

    def enter(self, connection: Connection) -> None:
        name = connection.charge_point
        memory = self._known.setdefault(name, Memory())
        older = [one for one in memory.connections if one.is_open]
        memory.connections.append(connection)
        if not self._air.is_set():
            connection.hold()
        number, version = connection.number, connection.version
        self.report("connected", charge_point=name, connection=number, version=version)
        if older:
            together = len(older) + 1
            self._ledger.add([Row(Write.DOUBLED, (self.now_ms(), name, together))])
            self.report("doubled", charge_point=name, connections=together)
        if self.quirks.older_connection == "close":
            for one in older:
                one.replace()

    def leave(self, connection: Connection) -> None:
        self._known[connection.charge_point].connections.remove(connection)
        self.report(
            "disconnected", charge_point=connection.charge_point, connection=connection.number
        )

    def newest(self, charge_point: str) -> Connection:
        memory = self._known.get(charge_point, Memory())
        for connection in reversed(memory.connections):
            if connection.is_open:
                return connection
        raise CommandError(f"charge point {charge_point!r} has no connection; wait for `connected`")

    # --- quirks

    def set_quirk(self, name: str, values: dict[str, Any]) -> None:
        try:
            self._change(forms.apply(self.quirks, name, values))
        except forms.QuirkError as error:
            raise CommandError(f"'quirk' {name!r}: {error}") from error

    def calm(self) -> None:
        """As configured, without what was to happen a number of times."""
        self._change(self.config.quirks.calm())

    def _change(self, quirks: Quirks) -> None:
        was_black, self.quirks = self.quirks.black_hole, quirks
        if was_black == quirks.black_hole:
            return
        if quirks.black_hole:
            self._air.clear()
            for one in self._everybody():
                one.hold()
        else:
            self._air.set()
            for one in self._everybody():
                one.release()

    @contextmanager
    def lifted(self) -> Iterator[None]:
        """While the door closes nobody waits in a black hole; a socket there ends without a goodbye."""
        if self.quirks.black_hole:
            for one in self._everybody():
                one.abort()
        self._air.set()
        try:
            yield
        finally:
            if self.quirks.black_hole:
                self._air.clear()

    def _everybody(self) -> list[Connection]:
        return [one for memory in self._known.values() for one in memory.connections]

    # --- what is said of it

    def status(self) -> dict[str, Any]:
        points = [self._status_of(name, memory) for name, memory in sorted(self._known.items())]
        return {
            "connections": sum(one["connections"] for one in points),
            "transactions": len(self._desk.book) + len(self._desk.events),
            "quirks": self.quirks.changed(),
            "charge_points": points,
        }

    def _status_of(self, name: str, memory: Memory) -> dict[str, Any]:
        count = sum(one.is_open for one in memory.connections)
        return {
            "charge_point": name,
            "connected": count > 0,
            "connections": count,
            "boot": memory.boot,
            "open_transactions": [*self._desk.book.open_of(name), *self._desk.events.open_of(name)],
            "version": memory.connections[-1].version if memory.connections else None,
            "counts": dict(memory.counts),
        }
