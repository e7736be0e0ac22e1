"""Charge points by the hundred in a process of their own, cheap enough not to be what is measured.

    stdin, one JSON object a line              stdout, one JSON object a line
    {"do": "connect", "names": [...], ...}     {"connected": n, "accepted_ms": [...], "tries": n}
    {"do": "run", "connections": 20, ...}      {"begin": true} then {"messages": n, "waited_ms": [...]}
    {"do": "drop"}                             {"dropped": n}

A WebSocket by hand: frames are masked with zeros (legal, and then nothing has to be masked), every CALL has the
same length, and each charge point sends its next message when the one before is answered.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import random
import sys
import time
from array import array
from datetime import UTC, datetime
from typing import Any

CONNECT_WITHIN_S = 60
AGAIN_S = 0.3
"""A refused handshake that does not say when to come again."""
WARM_S = 0.7
WAITED_MAX = 200_000

BOOT = '{"chargePointVendor":"Holdfast","chargePointModel":"Bench"}'
METER = (
    '[2,"%s","MeterValues",{"connectorId":1,"transactionId":%d,"meterValue":[{"timestamp":"%s","sampledValue":['
    '{"value":"%09d","context":"Sample.Periodic","measurand":"Energy.Active.Import.Register","unit":"Wh"},'
    '{"value":"16.0","context":"Sample.Periodic","measurand":"Current.Import","phase":"L1","unit":"A"},'
    '{"value":"16.1","context":"Sample.Periodic","measurand":"Current.Import","phase":"L2","unit":"A"},'
    '{"value":"15.9","context":"Sample.Periodic","measurand":"Current.Import","phase":"L3","unit":"A"},'
    '{"value":"11040","context":"Sample.Periodic","measurand":"Power.Active.Import","unit":"W"}]}]}]'
)
"""A little over 600 bytes, as charge points send them."""


def framed(data: bytes, opcode: int = 0x81) -> bytes:
    size = len(data)
    head = bytes((opcode, 0x80 | size)) if size < 126 else b"%c\xfe" % opcode + size.to_bytes(2)
    return head + b"\0\0\0\0" + data


class ChargePoint(asyncio.Protocol):
    def __init__(self, name: str, path: str, password: str, load: Load) -> None:
        self.name = name
        self.transaction = 1
        self.ended: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        """The handshake's answer: 0, or in how many seconds to come again."""
        self.answers: asyncio.Queue[list[Any] | None] = asyncio.Queue()
        self._upgrade = _upgrade(path, name, password)
        self._load = load
        self._is_open = False
        self._buffer = b""
        self._sent = 0
        self._sent_at = 0.0
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self._upgrade)

    def connection_lost(self, _: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(AGAIN_S)
        elif self._is_open and not self._load.dropping:
            self._load.lost += 1
            self.answers.put_nowait(None)
        self._is_open = False

    def data_received(self, data: bytes) -> None:
        if self._buffer:
            data = self._buffer + data
        if not self._is_open:
            head, end, data = data.partition(b"\r\n\r\n")
            if not end:
                self._buffer = head
                return
            self._is_open = b" 101 " in head[:16]
            if not self.ended.done():
                self.ended.set_result(0.0 if self._is_open else _again_s(head))
        while len(data) >= 2:
            size, begin = data[1] & 0x7F, 2
            if size == 126:
                size, begin = int.from_bytes(data[2:4]), 4
            if len(data) < begin + size:
                break
            self._framed(data[0] & 0x0F, data[begin : begin + size])
            data = data[begin + size :]
        self._buffer = data

    def _framed(self, opcode: int, payload: bytes) -> None:
        if opcode == 1:
            if self._load.running:
                self._load.answered(time.perf_counter() - self._sent_at)
                self.next()
            elif not self._sent:
                self.answers.put_nowait(json.loads(payload))
        elif opcode == 9:
            assert self.transport
            self.transport.write(framed(payload, 0x8A))

    def call(self, action: str, payload: str) -> None:
        assert self.transport
        self.transport.write(
            framed(f'[2,"{random.getrandbits(64):x}","{action}",{payload}]'.encode())
        )

    def next(self) -> None:
        """A reading as none before."""
        self._sent += 1
        load = self._load
        id = f"{load.number():012x}"
        self._sent_at = time.perf_counter()
        assert self.transport
        said = METER % (id, self.transaction, load.moment, 1_000 + self._sent)
        self.transport.write(framed(said.encode()))


class Load:
    def __init__(self) -> None:
        self.running = False
        self.dropping = False
        self.lost = 0
        self.moment = ""
        self.charge_points: list[ChargePoint] = []
        self.messages = 0
        self.waited = array("d")
        self._number = random.getrandbits(24) << 20

    def number(self) -> int:
        self._number += 1
        return self._number

    def answered(self, took_s: float) -> None:
        self.messages += 1
        if len(self.waited) < WAITED_MAX:
            self.waited.append(took_s)

    async def connect(self, asked: dict[str, Any]) -> dict[str, Any]:
        """All at once, or a few at a time."""
        room = asyncio.Semaphore(asked.get("at_once") or len(asked["names"]))
        begun = time.perf_counter()
        accepted: list[float] = []
        tries = 0

        async def come(name: str) -> None:
            nonlocal tries
            async with room:
                while True:
                    tries += 1
                    charge_point = await self._tried(name, asked)
                    if charge_point:
                        break
                accepted.append((time.perf_counter() - begun) * 1_000)
                self.charge_points.append(charge_point)

        async with asyncio.timeout(CONNECT_WITHIN_S), asyncio.TaskGroup() as group:
            for name in asked["names"]:
                group.create_task(come(name))
        return {"connected": len(accepted), "accepted_ms": sorted(accepted), "tries": tries}

    async def _tried(self, name: str, asked: dict[str, Any]) -> ChargePoint | None:
        loop = asyncio.get_running_loop()
        try:
            _, charge_point = await loop.create_connection(
                lambda: ChargePoint(name, asked["path"], asked["password"], self),
                "127.0.0.1",
                asked["port"],
            )
        except OSError:
            await asyncio.sleep(AGAIN_S)
            return None
        again_s = await charge_point.ended
        if again_s:
            assert charge_point.transport
            charge_point.transport.close()
            await asyncio.sleep(again_s * random.uniform(0.5, 1))
            return None
        if asked.get("boot"):
            charge_point.call("BootNotification", BOOT)
            answer = await charge_point.answers.get()
            if answer is None:
                self.lost -= 1  # closed before it was served: it comes again
                return None
            if answer[2].get("status") != "Accepted":
                raise SystemExit(f"{name}: BootNotification was answered {answer}")
        if asked.get("start"):
            start = {"connectorId": 1, "idTag": name, "meterStart": 0, "timestamp": now()}
            charge_point.call("StartTransaction", json.dumps(start))
            answer = await charge_point.answers.get()
            if answer is None:
                raise SystemExit(f"{name}: closed before its start was answered")
            charge_point.transaction = answer[2]["transactionId"]
        return charge_point

    async def run(self, asked: dict[str, Any]) -> dict[str, Any]:
        chosen = self.charge_points[: asked["connections"]]
        self.running, self.moment = True, now()
        for charge_point in chosen:
            charge_point.next()
        await asyncio.sleep(WARM_S)
        self.messages, self.waited = 0, array("d")
        say({"begin": True})
        begun = time.perf_counter()
        await asyncio.sleep(asked["seconds"])
        took_s, messages, waited = time.perf_counter() - begun, self.messages, sorted(self.waited)
        self.running = False
        await asyncio.sleep(0.3)  # what is on its way comes home, and is not counted

        def at(share: float) -> float:
            return round(waited[min(len(waited) - 1, int(len(waited) * share))] * 1_000, 2)

        return {
            "messages": messages,
            "seconds": took_s,
            "p50_ms": at(0.5) if waited else 0,
            "p99_ms": at(0.99) if waited else 0,
            "lost": self.lost,
        }

    async def drop(self) -> dict[str, Any]:
        self.dropping = True
        for charge_point in self.charge_points:
            if charge_point.transport:
                charge_point.transport.abort()
        dropped = len(self.charge_points)
        await asyncio.sleep(0.5)
        self.charge_points, self.dropping = [], False
        return {"dropped": dropped}


def _upgrade(path: str, name: str, password: str) -> bytes:
    pair = base64.b64encode(f"{name}:{password}".encode()).decode()
    key = base64.b64encode(os.urandom(16)).decode()
    return (
        f"GET {path}/{name} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: ocpp1.6\r\n"
        f"Authorization: Basic {pair}\r\n\r\n"
    ).encode()


def _again_s(head: bytes) -> float:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"retry-after":
            return float(value)
    return AGAIN_S


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def say(answer: dict[str, Any]) -> None:
    print(json.dumps(answer), flush=True)


async def main() -> None:
    load = Load()
    loop = asyncio.get_running_loop()
    while True:
        line = await loop.run_in_executor(None, sys.stdin.readline)
        if not line:
            return
        asked = json.loads(line)
        match asked["do"]:
            case "connect":
                say(await load.connect(asked))
            case "run":
                say(await load.run(asked))
            case "drop":
                say(await load.drop())


if __name__ == "__main__":
    asyncio.run(main())
