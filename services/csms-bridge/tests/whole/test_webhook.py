"""Goal: one word when a site is cut off, one when it is back and complete; at least once, under a stable key,
whatever answers badly or dies in between.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from csms_bridge.adapters.webhook import Webhook
from holdfast.contracts.mode import Mode, ModeChanged, Reason
from holdfast_testkit.sim_clock import virtual_time

SITE = "berlin01"


@asynccontextmanager
async def listener(
    answers: list[int],
) -> AsyncIterator[tuple[str, list[tuple[dict[str, str], Any]]]]:
    """An HTTP server that answers with these, then 204; its url, and what it heard."""
    heard: list[tuple[dict[str, str], Any]] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[1:-2]
        lines = (line.partition(":") for line in head)
        headers = {name.lower(): value.strip() for name, _, value in lines}
        body = await reader.readexactly(int(headers["content-length"]))
        heard.append((headers, json.loads(body)))
        status = answers.pop(0) if answers else 204
        ending = "content-length: 0\r\nconnection: close\r\n\r\n"
        writer.write(f"HTTP/1.1 {status} x\r\n{ending}".encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook", heard


async def test_each_word_says_what_to_do_and_has_a_key_of_its_own():
    async with listener([]) as (url, heard):
        webhook = Webhook(url, "secret")
        assert await webhook.tell_away(SITE, "2026-11-25T10:00:00.000Z")
        assert await webhook.tell_back(SITE, "2026-11-25T10:00:00.000Z")
    assert [document["event"] for _, document in heard] == ["site-autonomous", "site-back"]
    assert [document["dispatch"] for _, document in heard] == [False, True]
    assert {headers["authorization"] for headers, _ in heard} == {"Bearer secret"}
    assert len({headers["idempotency-key"] for headers, _ in heard}) == 2


async def test_a_word_that_was_not_taken_is_said_to_be_so():
    async with listener([500]) as (url, _):
        assert not await Webhook(url, "").tell_away(SITE, "x")
    assert not await Webhook("http://127.0.0.1:1/hook", "").tell_away(SITE, "x")


class Endpoint(Webhook):
    """Takes words or not; in memory, for virtual time."""

    def __init__(self) -> None:
        super().__init__("http://unused", "")
        self.takes = True
        self.words: list[tuple[str, str]] = []

    async def _told(self, site: str, key: str, document: dict[str, object]) -> bool:
        self.words.append((str(document["event"]), key))
        return self.takes


def mode(now: Mode) -> ModeChanged:
    return ModeChanged(
        previous=None, mode=now, reasons=(Reason.STARTED,), since_ms=0, disruption=None
    )


@virtual_time
async def test_away_and_back_are_told_once_each_over_a_restart(new_place, facts):
    place = await new_place()
    place.webhook = endpoint = Endpoint()
    place.begin()
    await place.record(mode(Mode.CONNECTED), facts.connected(), facts.booted())
    await place.until(lambda: "CP-1" in place.csms.ends)
    await place.clock.sleep_ms(30_000)
    assert endpoint.words == []
    place.pulses = False
    await place.until(lambda: endpoint.words)
    await place.clock.sleep_ms(30_000)
    assert [event for event, _ in endpoint.words] == ["site-autonomous"]
    endpoint.takes = False
    place.pulses = True
    await place.until(lambda: len(endpoint.words) > 2)
    await place.kill()
    place.begin()
    await place.clock.sleep_ms(20_000)
    endpoint.takes = True
    await place.clock.sleep_ms(30_000)
    backs = [key for event, key in endpoint.words if event == "site-back"]
    assert len(set(backs)) == 1, "the same word, however often it is told"
    told = len(endpoint.words)
    await place.clock.sleep_ms(60_000)
    assert len(endpoint.words) == told, "taken once, it is told no more"


@virtual_time
async def test_a_bridge_that_begins_while_a_site_is_away_does_not_call_it_back(new_place, facts):
    place = await new_place()
    place.webhook = endpoint = Endpoint()
    place.begin()
    await place.record(mode(Mode.CONNECTED), facts.connected(), facts.booted())
    await place.until(lambda: "CP-1" in place.csms.ends)
    await place.clock.sleep_ms(30_000)
    place.pulses = False
    await place.until(lambda: endpoint.words)
    await place.kill()
    place.begin()
    await place.clock.sleep_ms(60_000)
    assert {event for event, _ in endpoint.words} == {"site-autonomous"}
    place.pulses = True
    await place.until(lambda: endpoint.words[-1][0] == "site-back")


@virtual_time
async def test_a_first_word_that_may_have_been_taken_is_followed_by_the_second(new_place, facts):
    place = await new_place()
    place.webhook = endpoint = Endpoint()
    endpoint.takes = False
    place.begin()
    await place.record(mode(Mode.CONNECTED), facts.connected(), facts.booted())
    await place.until(lambda: "CP-1" in place.csms.ends)
    place.pulses = False
    await place.until(lambda: endpoint.words)
    place.pulses = True
    endpoint.takes = True
    await place.until(lambda: endpoint.words[-1][0] == "site-back")
