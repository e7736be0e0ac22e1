"""What stands beside ocpp-edge in its bench: a raw echo, and the broker that everybody would write first.

    python edge_beside.py echo
    python edge_beside.py naive <nats url> <user> <password> <subject> <charge points' password>

Naive: websockets, the `ocpp` package's ChargePoint with its own jsonschema validation, and `js.publish` awaited
before the answer. Prints the port it listens on.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import nats
from nats.js import JetStreamContext
from ocpp.routing import on
from ocpp.v16 import ChargePoint, call_result
from ocpp.v16.enums import Action, RegistrationStatus
from websockets.asyncio.server import ServerConnection, basic_auth, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

logging.getLogger("ocpp").setLevel(logging.WARNING)
quiet = logging.getLogger("bench.websockets")
quiet.setLevel(logging.CRITICAL)


async def echo(socket: ServerConnection) -> None:
    with suppress(ConnectionClosed):
        async for message in socket:
            await socket.send(message)


class Naive(ChargePoint):  # type: ignore[misc]  its package has no types
    def __init__(self, id: str, socket: ServerConnection, js: JetStreamContext, subject: str):
        super().__init__(id, socket)
        self._js = js
        self._subject = f"{subject}.{id}"

    async def _store(self, action: str, payload: dict[str, Any]) -> None:
        said = json.dumps({"charge_point": self.id, "action": action, "payload": payload})
        await self._js.publish(self._subject, said.encode())

    @on(Action.boot_notification)  # type: ignore[untyped-decorator]
    async def on_boot(self, **payload: Any) -> call_result.BootNotification:
        await self._store("BootNotification", payload)
        at = datetime.now(UTC).isoformat()
        return call_result.BootNotification(
            current_time=at, interval=300, status=RegistrationStatus.accepted
        )

    @on(Action.meter_values)  # type: ignore[untyped-decorator]
    async def on_meter_values(self, **payload: Any) -> call_result.MeterValues:
        await self._store("MeterValues", payload)
        return call_result.MeterValues()


async def listen(handle: Callable[[ServerConnection], Awaitable[None]], **options: Any) -> None:
    async with serve(
        handle,
        "127.0.0.1",
        0,
        subprotocols=[Subprotocol("ocpp1.6")],
        compression=None,
        logger=quiet,
        **options,
    ) as server:
        print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
        await asyncio.get_running_loop().create_future()


async def naive(url: str, user: str, password: str, subject: str, secret: str) -> None:
    client = await nats.connect(url, user=user, password=password, inbox_prefix="_INBOX.naive")
    js = client.jetstream()

    async def handle(socket: ServerConnection) -> None:
        assert socket.request is not None
        identity = socket.request.path.rpartition("/")[2]
        with suppress(ConnectionClosed):
            await Naive(identity, socket, js, subject).start()

    await listen(
        handle,
        process_request=basic_auth(
            realm="ocpp", check_credentials=lambda _, given: given == secret
        ),
    )


if __name__ == "__main__":
    if sys.argv[1] == "echo":
        asyncio.run(listen(echo))
    else:
        asyncio.run(naive(*sys.argv[2:]))
