"""A small central system and a small station on real websockets, the shipped programs as real processes."""

from __future__ import annotations

import asyncio
import base64
import functools
import json
import sqlite3
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jsonschema_rs
import ocpp
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

FOLDERS = {"ocpp2.0.1": "v201", "ocpp2.1": "v21"}
PATIENCE_S = 60
SILENCE_S = 0.3


@dataclass
class Frame:
    charge_point: str
    connection: int
    message_id: str
    action: str
    raw: str
    payload: dict[str, Any]
    at_s: float = field(default_factory=time.monotonic)


@dataclass
class FakeCsms:
    """Accepts everybody, answers every CALL, remembers all; habits can be changed by the test."""

    port: int = 0
    frames: list[Frame] = field(default_factory=list)
    answers: dict[str, Callable[[Frame], Any]] = field(default_factory=dict)
    """By action: a payload, None for silence, or a string for CALLERROR with that code."""
    results: dict[str, Any] = field(default_factory=dict)
    """Answers of the charge points, by message id."""
    sockets: dict[str, ServerConnection] = field(default_factory=dict)
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    connections: int = 0
    transactions: int = 100
    checked: Callable[[str, str, str, Any], None] | None = None
    """Called with (subprotocol, action, Request or Response, payload) of whatever passes."""
    wrong: list[str] = field(default_factory=list)
    """What it found."""
    ordered: dict[str, str] = field(default_factory=dict)
    """Actions of CALLs sent, by message id."""
    news: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def serve(self, socket: ServerConnection) -> None:
        self.connections += 1
        connection = self.connections
        name = socket.request.path.rsplit("/", 1)[1]
        self.sockets[name] = socket
        self.requests.append(
            (socket.request.path, {k.lower(): v for k, v in socket.request.headers.raw_items()})
        )
        try:
            async for text in socket:
                await self._receive(socket, name, connection, text)
        except ConnectionClosed:
            pass

    def _check(self, socket, action: str, kind: str, payload: Any) -> None:
        if self.checked is None or socket.subprotocol == "ocpp1.6":
            return
        try:
            self.checked(socket.subprotocol, action, kind, payload)
        except ValueError as problem:
            self.wrong.append(f"{action}{kind}: {problem}: {payload}")

    async def _receive(self, socket, name, connection, text) -> None:
        kind, message_id, *rest = json.loads(text)
        if kind == 2:
            self._check(socket, rest[0], "Request", rest[1])
        elif kind == 3 and message_id in self.ordered:
            self._check(socket, self.ordered[message_id], "Response", rest[0])
        if kind == 6:
            self._check(socket, rest[0], "", rest[1])
            self.frames.append(Frame(name, connection, message_id, rest[0], "", rest[1]))
        elif kind == 2:
            raw = text[text.index("{") : text.rindex("}") + 1]
            frame = Frame(name, connection, message_id, rest[0], raw, rest[1])
            self.frames.append(frame)
            answer = self.answer(frame)
            # Who has gone meanwhile may have said more before it went: that is read all the same.
            with suppress(ConnectionClosed):
                if isinstance(answer, str):
                    await socket.send(json.dumps([4, message_id, answer, "", {}]))
                elif answer is not None:
                    await socket.send(json.dumps([3, message_id, answer]))
        else:
            self.results[message_id] = rest[0]
        async with self.news:
            self.news.notify_all()

    def answer(self, frame: Frame) -> Any:
        if frame.action in self.answers:
            return self.answers[frame.action](frame)
        match frame.action:
            case "BootNotification":
                now = "2026-01-01T00:00:00Z"
                return {"status": "Accepted", "currentTime": now, "interval": 300}
            case "Authorize" if "idToken" in frame.payload:
                return {"idTokenInfo": {"status": "Accepted"}}
            case "Authorize" | "StopTransaction":
                return {"idTagInfo": {"status": "Accepted"}}
            case "StartTransaction":
                self.transactions += 1
                info = {"status": "Accepted"}
                return {"transactionId": self.transactions, "idTagInfo": info}
            case "TransactionEvent" if "idToken" in frame.payload:
                return {"idTokenInfo": {"status": "Accepted"}}
            case "OpenPeriodicEventStream":
                return {"status": "Accepted"}
            case "Heartbeat":
                return {"currentTime": "2026-01-01T00:00:00Z"}
            case _:
                return {}

    def of(self, *actions: str) -> list[Frame]:
        return [one for one in self.frames if one.action in actions]

    async def until(self, condition: Callable[[], Any]) -> Any:
        async with asyncio.timeout(PATIENCE_S), self.news:
            await self.news.wait_for(condition)
        return condition()

    async def order(self, name: str, action: str, payload: dict[str, Any]) -> Any:
        """Send a command; the charge point's answer (payload, or code of a CALLERROR)."""
        message_id = f"command-{len(self.ordered)}-{action}"
        self.ordered[message_id] = action
        await self.sockets[name].send(json.dumps([2, message_id, action, payload]))
        await self.until(lambda: message_id in self.results)
        return self.results[message_id]


class Station:
    """A charge point that sends what the test says."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.asked = []
        """CALLs of the central system, not answered by themselves."""
        self.sent = 0

    async def send(self, action, payload, message_id=None):
        self.sent += 1
        message_id = message_id or f"m{self.sent}"
        await self.socket.send(json.dumps([2, message_id, action, payload]))
        return message_id

    async def answer_to(self, message_id, patience_s=PATIENCE_S):
        async with asyncio.timeout(patience_s):
            while True:
                frame = json.loads(await self.socket.recv())
                if frame[0] == 2:
                    self.asked.append(frame)
                elif frame[1] == message_id:
                    return frame

    async def call(self, action, payload, message_id=None):
        """The payload of the answer, or the code of a CALLERROR."""
        frame = await self.answer_to(await self.send(action, payload, message_id))
        return frame[2]

    async def hears_nothing(self, action, payload, message_id=None):
        message_id = await self.send(action, payload, message_id)
        with pytest.raises(TimeoutError):
            await self.answer_to(message_id, SILENCE_S)

    async def is_asked(self):
        async with asyncio.timeout(PATIENCE_S):
            while not self.asked:
                frame = json.loads(await self.socket.recv())
                assert frame[0] == 2, f"not asked, but answered: {frame}"
                self.asked.append(frame)
        return self.asked.pop(0)

    async def ends(self):
        async with asyncio.timeout(PATIENCE_S):
            await self.socket.wait_closed()


class Program:
    """A running `holdfast-sim`, spoken to over its stdin and stdout."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.seen: list[dict[str, Any]] = []

    async def tell(self, do: str, **fields: Any) -> None:
        await self.say(json.dumps({"do": do, **fields}))

    async def say(self, line: str) -> None:
        self.process.stdin.write(line.encode() + b"\n")
        await self.process.stdin.drain()

    async def event(self, event: str, **fields: Any) -> dict[str, Any]:
        """The next report of this kind with these fields; what comes before is left behind."""
        async with asyncio.timeout(PATIENCE_S):
            while line := await self.process.stdout.readline():
                report = json.loads(line)
                self.seen.append(report)
                if report["event"] == event and fields.items() <= report.items():
                    return report
        raise AssertionError(f"ended without {event}: {self.seen}")

    async def ask(self, do: str, event: str, **fields: Any) -> dict[str, Any]:
        await self.tell(do, **fields)
        return await self.event(event)

    async def until_status(self, event: str, condition: Callable[[dict[str, Any]], Any]) -> None:
        """Asks again and again: what it tells may lag behind what was seen outside."""
        async with asyncio.timeout(PATIENCE_S):
            while not condition(await self.ask("status", event)):
                await asyncio.sleep(0.02)

    async def quirk(self, name: str, **values: Any) -> dict[str, Any]:
        await self.tell("quirk", name=name, **values)
        return await self.event("quirk", did="set", name=name)

    async def kill(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()


@pytest.fixture
async def csms() -> AsyncIterator[FakeCsms]:
    fake = FakeCsms()
    async with serve(
        fake.serve,
        "127.0.0.1",
        0,
        subprotocols=["ocpp1.6", "ocpp2.0.1", "ocpp2.1"],
        compression=None,
        close_timeout=0.1,
    ) as server:
        fake.port = server.sockets[0].getsockname()[1]
        yield fake


@pytest.fixture
def start():
    """A function from words to a running program, which is killed at the end of its `async with`."""

    @asynccontextmanager
    async def starting(*words: str) -> AsyncIterator[Program]:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "holdfast_simulators.main",
            *(str(word) for word in words),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=2**20,
        )
        program = Program(process)
        try:
            yield program
        finally:
            await program.kill()

    return starting


@pytest.fixture
def charge_points(csms: FakeCsms, start, tmp_path: Path):
    """A function from behaviours to one quick charge point `CP-1` with two connectors, running."""

    @asynccontextmanager
    async def starting(**behaviour: Any) -> AsyncIterator[Program]:
        quick = {"meter_interval_s": 0.1, "reconnect_s": 0.05, "reboot_s": 0.05, "power_w": 600_000}
        quick |= {"call_timeout_s": 60, "retry_interval_s": 0.02, "heartbeat_s": 60}
        file = tmp_path / "charge-points.json"
        point = {"id": "CP-1", "password": "secret", "connectors": 2}
        point["version"] = behaviour.pop("version", "1.6")
        document = {
            "url": f"ws://127.0.0.1:{csms.port}/ocpp",
            "charge_points": [{**point, "behaviour": quick | behaviour}],
        }
        file.write_text(json.dumps(document))
        folder = tmp_path / "state"
        async with start("charge-points", "--config", file, "--state", folder) as program:
            await program.event("ready")
            yield program

    return starting


@functools.cache
def _validator(folder: str, name: str) -> Any:
    file = Path(ocpp.__file__).parent / folder / "schemas" / f"{name}.json"
    return jsonschema_rs.validator_for(json.loads(file.read_text()))


@pytest.fixture
def checked(csms: FakeCsms):
    """Every frame of a 2.x station is held against the schemas of the `ocpp` package."""

    def check(subprotocol: str, action: str, kind: str, payload: Any) -> None:
        _validator(FOLDERS[subprotocol], f"{action}{kind}").validate(payload)

    csms.checked = check
    yield csms
    assert csms.wrong == []


@pytest.fixture
def ledger(tmp_path: Path):
    """`ledger("SELECT ...")`: rows of the database of CP-1."""

    def query(statement: str) -> list[dict[str, Any]]:
        with closing(sqlite3.connect(tmp_path / "state" / "CP-1.db")) as db:
            db.row_factory = sqlite3.Row
            return [dict(row) for row in db.execute(statement)]

    return query


@pytest.fixture
def station():
    """A function to a connection as a charge point opens it; to be awaited or entered."""

    def connecting(port: int, identity: str = "CP-1", scheme: str = "ws", **more: Any) -> connect:
        password = more.pop("password", None)
        pair = base64.b64encode(f"{identity}:{password}".encode()).decode()
        headers = {} if password is None else {"Authorization": f"Basic {pair}"}
        usual = {"subprotocols": ["ocpp1.6"], "additional_headers": headers, "close_timeout": 0.2}
        usual |= {"open_timeout": PATIENCE_S}
        plain = {"compression": None, "proxy": None, "ping_interval": None}
        url = f"{scheme}://127.0.0.1:{port}/any/path/{identity}"
        return connect(url, **(usual | plain | more))

    return connecting


@pytest.fixture
def plugged(station):
    """The same as a `Station` that speaks."""

    @asynccontextmanager
    async def plugging(*words: Any, **more: Any) -> AsyncIterator[Station]:
        async with station(*words, **more) as socket:
            yield Station(socket)

    return plugging


@pytest.fixture
def central(start, tmp_path):
    """A function from a configuration to a running central system and its port."""

    @asynccontextmanager
    async def starting(*words, **config):
        file = tmp_path / "csms.json"
        file.write_text(json.dumps({"tokens": {"GOOD": "Accepted", "OLD": "Expired"}} | config))
        state = tmp_path / "csms.db"
        words = ("--listen", "127.0.0.1:0", "--state", state, "--config", file, *words)
        async with start("csms", *words) as program:
            door = await program.event("listening")
            yield program, door["port"]

    return starting


@pytest.fixture
def kept(tmp_path):
    """`kept("SELECT ...")`: rows of its ledger."""

    def query(statement):
        with closing(sqlite3.connect(tmp_path / "csms.db")) as db:
            db.row_factory = sqlite3.Row
            return [dict(row) for row in db.execute(statement)]

    return query
