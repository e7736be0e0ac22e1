"""A place for the whole service: a simulated server, a rule-service of two lines, charge points in memory.

place.begin(); charger = await place.connect(); await charger.start()
await place.kill()      as SIGKILL: the server and its disk stay
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from holdfast import rpc, subjects
from holdfast.bus import NotAcknowledged, StreamSpec
from holdfast.clock import Clock
from holdfast.contracts.command import Command, Disposition
from holdfast.contracts.decision import (
    Admit,
    Admitted,
    AdmitVerdict,
    Authorise,
    Authorised,
    AuthoriseVerdict,
    Basis,
)
from holdfast.contracts.rpc import Empty
from holdfast.contracts.rules import TokenStatus
from holdfast.entries import read
from holdfast.health import Health
from holdfast.ocpp.versions import OcppVersion
from holdfast.service import Context
from holdfast_testkit.eventually import eventually
from holdfast_testkit.sim_bus import SimBus
from holdfast_testkit.sim_clock import SimClock, SimIds
from ocpp_edge import app
from ocpp_edge.adapters import ocpp_websocket
from ocpp_edge.adapters.in_memory import Door, InMemoryConnection
from ocpp_edge.config import Config
from ocpp_edge.registry import hash_password

PASSWORD_HASH = hash_password("secret")


def admission(verdict: bool = True, disposition: Disposition | None = None) -> Admitted:
    return Admitted(
        decision="decision-1",
        verdict=AdmitVerdict(
            admitted=verdict, disposition=disposition, reason="" if verdict else "by rule"
        ),
        clause="commands",
        explanation="",
    )


SITE, INCARNATION = "berlin01", "aaaaaaaa"


class Place:
    """A site for the whole service: a simulated server with its streams, rule-service in two lines, and
    the service itself, which can be killed and started again.
    """

    def __init__(self, tmp_path: Path, clock: Clock) -> None:
        self.clock = clock
        self.bus = SimBus(clock)
        self.journal = subjects.journal_stream(SITE, INCARNATION)
        self.registry = tmp_path / "charge-points.json"
        self.register("CP-1", "CP-2", "CP/ä 3")
        self.data_dir = tmp_path
        self.rules_away = False
        self.asked: list[Authorise] = []
        self.admits: list[Admit] = []
        self.verdict: Callable[[Admit], AdmitVerdict] | None = None
        self.energy_wh_max: int | None = None
        """Set: every driver is a stranger, and may take so much."""
        self.health: Health | None = None
        self.door = Door()
        self.port = 0
        self._life: asyncio.Task[None] | None = None
        self._client: SimBus | None = None
        self._starts = 0

    def register(self, *identities: str) -> None:
        hashed = {"password_scrypt": PASSWORD_HASH}
        self.registry.write_text(json.dumps(dict.fromkeys(identities, hashed)))

    async def open(self) -> None:
        for kind, name in (
            ("journal", self.journal),
            ("telemetry", subjects.telemetry_stream(SITE, INCARNATION)),
        ):
            spec = StreamSpec(
                name=name,
                subjects=(f"hf.{SITE}.{kind}.>",),
                bytes_max=1 << 26,
                when_full="refuse",
            )
            await self.bus.ensure_stream(spec)
        rules = self.bus.client("rule-service")
        await rpc.serve(rules, subjects.rpc(SITE, "authorise"), Authorise, self._authorise)
        await rpc.serve(rules, subjects.rpc(SITE, "admit"), Admit, self._admit)

    async def make_downlink(self) -> None:
        await self.bus.ensure_stream(
            StreamSpec(
                name=subjects.DOWNLINK,
                subjects=(subjects.DOWNLINK_SUBJECTS,),
                bytes_max=1 << 24,
                when_full="refuse",
                per_subject_max=1,
            )
        )

    async def send_down(self, command: Command) -> None:
        subject = subjects.down_command(SITE, command.id)
        await self.bus.append(
            subjects.DOWNLINK, subject, command.to_bytes(), id=f"{command.id}-{self.clock.now_ms()}"
        )

    def begin(self, *, sockets: bool = False, told_to_stop: bool = False, **changes: Any) -> None:
        """Start the service; `sockets`: on a real port, else `connect` gives connections in memory. `told_to_stop`:
        then `kill` is a SIGTERM.
        """
        config = Config(
            site=SITE,
            nats_url="nats://unused",
            nats_user="unused",
            nats_password_file=self.data_dir / "unused",
            data_dir=self.data_dir,
            charge_points_file=self.registry,
            **{"port": 0, "snapshot_every_ms": 1_000, **changes},
        )
        self._client = self.bus.client("ocpp-edge")
        self._starts += 1
        rng = random.Random(self._starts)
        self.health = Health("ocpp-edge")
        context = Context(config, self._client, self.clock, SimIds(rng), rng, self.health)
        listen = ocpp_websocket.listen if sockets else self.door.listen
        self._life = asyncio.get_running_loop().create_task(
            app.run(context, listen, is_killed=not told_to_stop)
        )

    async def ready(self) -> None:
        await eventually(self.door.is_open.is_set)

    async def kill(self) -> None:
        assert self._life
        assert self._client
        self._client.close()
        self._life.cancel()
        await asyncio.gather(self._life, return_exceptions=True)

    async def outcome(self) -> BaseException | None:
        """How the service ended by itself."""
        assert self._life
        (ended,) = await asyncio.gather(self._life, return_exceptions=True)
        return ended

    async def connect(
        self, identity: str = "CP-1", version: OcppVersion = OcppVersion.V16
    ) -> Charger:
        await self.ready()
        return Charger(self.door.connect(identity, version))

    def facts(self, kind: type[Any]) -> list[Any]:
        messages = self.bus.disk.streams[self.journal].messages.values()
        found = [read(message).fact for message in messages]
        return [fact for fact in found if isinstance(fact, kind)]

    async def ask(self, verb: str, kind: type[Any], request: Any = None) -> Any:
        subject = subjects.rpc(SITE, verb)
        return await rpc.call(self.bus, subject, request or Empty(), kind, timeout_ms=5_000)

    async def _authorise(self, request: Authorise, _: str) -> Authorised:
        if self.rules_away:
            raise NotAcknowledged("away")
        self.asked.append(request)
        return Authorised(
            decision=f"decision of {request.request}",
            verdict=AuthoriseVerdict(
                status=TokenStatus.ACCEPTED,
                basis=Basis.UNKNOWN_POLICY if self.energy_wh_max else Basis.LIST,
                flagged=bool(self.energy_wh_max),
                energy_wh_max=self.energy_wh_max,
            ),
            rules_version=1,
            clause="",
            explanation="",
        )

    async def _admit(self, request: Admit, _: str) -> Admitted:
        if self.rules_away:
            raise NotAcknowledged("away")
        self.admits.append(request)
        late = self.clock.now_ms() > request.command.deadline_ms
        if self.verdict and not late:
            return admission().model_copy(update={"verdict": self.verdict(request)})
        return admission(not late, Disposition.EXPIRED if late else None)


class Charger:
    """The charge point's end of a connection in memory."""

    def __init__(self, end: InMemoryConnection) -> None:
        self.end = end
        self._ids = iter(range(1, 1_000_000))

    async def call(self, action: str, payload: dict[str, Any], message_id: str = "") -> Any:
        """The payload of the answer."""
        message_id = message_id or f"m{next(self._ids)}"
        await self.end.send(json.dumps([2, message_id, action, payload]))
        return json.loads(await self.end.receive())[2]

    async def start(self, message_id: str = "", **changes: Any) -> int:
        payload = {
            "connectorId": 1,
            "idTag": "TAG",
            "meterStart": 0,
            "timestamp": "2025-06-15T15:00:00Z",
            **changes,
        }
        transaction: int = (await self.call("StartTransaction", payload, message_id))[
            "transactionId"
        ]
        return transaction

    async def stop(self, transaction: int, message_id: str = "") -> Any:
        payload = {
            "transactionId": transaction,
            "meterStop": 9,
            "timestamp": "2025-06-15T16:00:00Z",
        }
        return await self.call("StopTransaction", payload, message_id)


@pytest.fixture
def new_place(tmp_path: Path) -> Callable[[], Awaitable[Place]]:
    """Inside the loop that the test runs on."""

    async def make(clock: Clock | None = None) -> Place:
        place = Place(tmp_path, clock or SimClock())
        await place.open()
        return place

    return make
