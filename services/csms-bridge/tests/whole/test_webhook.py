"""Goal: one word when a site is cut off, one when it is back and complete; at least once, never the wrong one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from csms_bridge.adapters.webhook import Webhook
from holdfast.clock import SystemClock


@asynccontextmanager
async def listener(
    answers: list[int],
) -> AsyncIterator[tuple[str, list[tuple[dict[str, str], Any]]]]:
    """An HTTP server that answers with these, then 204; its url, and what it heard."""
    heard: list[tuple[dict[str, str], Any]] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[1:-2]
        headers = {
            name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head)
        }
        body = await reader.readexactly(int(headers["content-length"]))
        heard.append((headers, json.loads(body)))
        status = answers.pop(0) if answers else 204
        writer.write(
            f"HTTP/1.1 {status} x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode()
        )
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook", heard


async def test_away_and_back_are_told_once_each():
    async with listener([]) as (url, heard):
        webhook = Webhook(SystemClock(), url, "secret")
        at = await webhook.announced(None, "berlin01", reachable=False, complete=False)
        assert at is not None
        assert await webhook.announced(at, "berlin01", reachable=False, complete=False) == at
        assert await webhook.announced(at, "berlin01", reachable=True, complete=False) == at
        assert await webhook.announced(at, "berlin01", reachable=True, complete=True) is None
        assert await webhook.announced(None, "berlin01", reachable=True, complete=True) is None
    assert [document["event"] for _, document in heard] == ["site-autonomous", "site-back"]
    assert [document["dispatch"] for _, document in heard] == [False, True]
    assert {headers["authorization"] for headers, _ in heard} == {"Bearer secret"}
    assert len({headers["idempotency-key"] for headers, _ in heard}) == 2


async def test_a_word_that_was_not_taken_is_told_again_later():
    class Hasty(SystemClock):
        ahead_ms = 0

        def monotonic_ms(self) -> int:
            return super().monotonic_ms() + self.ahead_ms

    clock = Hasty()
    async with listener([500]) as (url, heard):
        webhook = Webhook(clock, url, "")
        assert await webhook.announced(None, "berlin01", reachable=False, complete=False) is None
        assert await webhook.announced(None, "berlin01", reachable=False, complete=False) is None
        assert len(heard) == 1, "not at every look"
        clock.ahead_ms = 10_000
        assert await webhook.announced(None, "berlin01", reachable=False, complete=False)
        assert len(heard) == 2


async def test_nobody_to_tell_is_no_trouble():
    silent = Webhook(SystemClock(), "", "")
    assert await silent.announced(None, "berlin01", reachable=False, complete=False) is None
    nobody = Webhook(SystemClock(), "http://127.0.0.1:1/hook", "")
    assert await nobody.announced(None, "berlin01", reachable=False, complete=False) is None
