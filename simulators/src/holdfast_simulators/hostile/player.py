"""Plays attacks over one connection after the other, and tells what came of each.

async with dialled(target) as player: outcome = await player.plays(attack)
"""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from typing import Any
from urllib.parse import quote
from uuid import uuid4

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from holdfast_simulators.hostile.forms import ANY, NONE, OK
from holdfast_simulators.hostile.frames import Attack, Frame, Text

ANSWER_S = 15.0
UNREAD = "-1"
"""The id under which 2.x answers a CALL whose own can't be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    url: str
    """Without the identity."""
    identity: str
    password: str
    version: str = "1.6"
    """Of OCPP."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    check: str
    name: str
    answer: str
    """CALLRESULT, an error's code, or that none came."""
    closed: int | None
    as_due: bool


@asynccontextmanager
async def dialled(target: Target) -> AsyncIterator[Player]:
    credentials = b64encode(f"{target.identity}:{target.password}".encode()).decode()
    async with connect(
        f"{target.url}/{quote(target.identity, safe='')}",
        subprotocols=[f"ocpp{target.version}"],  # type: ignore[list-item]
        additional_headers={"Authorization": f"Basic {credentials}"},
        compression=None,
        proxy=None,
        max_size=None,
    ) as client:
        yield Player(client)


class Player:
    def __init__(self, client: ClientConnection) -> None:
        self._client = client
        self._ids = count(1)
        self.transaction: int | str = 0
        """Its own newest one."""
        self.others: int | str = 1
        self._events = count()
        """Of that transaction: 2.x counts them."""

    async def plays(self, attack: Attack) -> Outcome:
        """Send it, then ask for the time: whoever answers that is still there."""
        answers: dict[str, Any] = {}
        last = UNREAD
        try:
            for frame in attack.frames:
                last = await self._sends(frame)
                if last != UNREAD and frame is not attack.frames[-1]:
                    await self._hears(last, answers)
            probe = f"probe-{next(self._ids)}"
            await self._client.send(json.dumps([2, probe, "Heartbeat", {}]))
            await self._hears(probe, answers)
            if last not in answers and attack.answer not in (NONE, ANY):
                await self._hears(last, answers)  # a slower lane than the probe's
        except ConnectionClosed as closed:
            code = closed.rcvd.code if closed.rcvd else 1006
            return self._outcome(attack, _said(answers.get(last)), code)
        return self._outcome(attack, _said(answers.get(last)), None)

    async def floods(self, frame: str, every_s: float, for_s: float) -> int:
        """How many went out; what comes back is not looked at."""
        loop = asyncio.get_running_loop()
        until_s, sent = loop.time() + for_s, 0
        while loop.time() < until_s:
            try:
                await self._sends(frame)
                sent += 1
                async with asyncio.timeout(every_s):
                    while True:
                        await self._client.recv()
            except TimeoutError:
                pass
            except ConnectionClosed:
                break
        return sent

    async def _sends(self, frame: Frame) -> str:
        """The message id that is answered, if there is one."""
        if isinstance(frame, Text):
            await self._client.send(frame.data, text=True)
            return UNREAD
        if isinstance(frame, bytes):
            await self._client.send(frame)
            return UNREAD
        id = f"x-{next(self._ids)}"
        if "$NEW" in frame:
            self.transaction, self._events = str(uuid4()), count()
        replaced = (
            ("$ID", id),
            ("$NEW", str(self.transaction)),
            ("$TX", str(self.transaction)),
            ("$OTHERS", str(self.others)),
            ("$NOW", datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")),
        )
        text = frame
        for name, value in replaced:
            text = text.replace(name, value)
        if '"$SEQ"' in text:
            text = text.replace('"$SEQ"', str(next(self._events)))
        await self._client.send(text)
        return id if "$ID" in frame else UNREAD

    async def _hears(self, id: str, answers: dict[str, Any]) -> None:
        async with asyncio.timeout(ANSWER_S):
            while id not in answers:
                message = json.loads(await self._client.recv())
                if message[0] == 2:
                    continue  # a command: a hostile charge point answers none
                answers[message[1]] = message
                if message[0] == 3 and "transactionId" in message[2]:
                    self.transaction = message[2]["transactionId"]

    def _outcome(self, attack: Attack, answer: str, closed: int | None) -> Outcome:
        is_due = attack.answer in (ANY, answer) or (attack.answer == NONE and answer == NONE)
        return Outcome(
            check=attack.check,
            name=attack.name,
            answer=answer,
            closed=closed,
            as_due=is_due and closed == attack.closed,
        )


def _said(message: Any) -> str:
    if message is None:
        return NONE
    return OK if message[0] == 3 else str(message[2])
