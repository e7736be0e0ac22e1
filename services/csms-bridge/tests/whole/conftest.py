"""A place for the whole bridge: a simulated cloud server, a journal that tests write, CSMSs in memory.

place.begin("bridge-1"); await place.record(facts.connected(), ...); place.csms.transactions
await place.kill("bridge-1")      as SIGKILL: its sockets end, the server and its disk stay
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from csms_bridge import app
from csms_bridge.adapters.backends import Backend
from csms_bridge.adapters.upstream import Dial, NotReached, Upstream
from csms_bridge.adapters.webhook import Webhook
from csms_bridge.config import Config
from holdfast import rpc, subjects
from holdfast.bus import StreamSpec
from holdfast.clock import Clock
from holdfast.contracts.charge_point import (
    ChargePointBooted,
    ChargePointConnected,
    ChargePointDisconnected,
    ConnectorStatusChanged,
)
from holdfast.contracts.command import (
    Command,
    CommandReceipt,
    CommandSettled,
    Disposition,
    SendCommand,
)
from holdfast.contracts.csms import SiteOwned, UpstreamRequest, UpstreamStatus
from holdfast.contracts.decision import Basis
from holdfast.contracts.driver_tokens import TokenStatus
from holdfast.contracts.envelope import Envelope, Fact, body_of
from holdfast.contracts.journal import Copies, CopiesRequest, CopyStatus
from holdfast.contracts.session import SessionMetered, SessionStarted, SessionStopped, session_key
from holdfast.health import Health
from holdfast.ocpp.versions import OcppVersion
from holdfast.ocpp.websocket import ConnectionEnded
from holdfast.service import Context
from holdfast_testkit.eventually import eventually
from holdfast_testkit.sim_bus import SimBus
from holdfast_testkit.sim_clock import SimClock, SimIds

SITE, LIFE = "berlin01", "aaaaaaaa"


class End:
    """The bridge's end of a connection to a CSMS in memory."""

    def __init__(self, csms: Csms, charge_point: str) -> None:
        self.csms = csms
        self.charge_point = charge_point
        self.inbox: asyncio.Queue[str] = asyncio.Queue()
        self.over = asyncio.Event()
        self.answers: dict[str, asyncio.Future[Any]] = {}

    async def receive(self) -> str:
        async with asyncio.TaskGroup() as group:
            frame = group.create_task(self.inbox.get())
            over = group.create_task(self.over.wait())
            await asyncio.wait((frame, over), return_when=asyncio.FIRST_COMPLETED)
            frame.cancel()
            over.cancel()
        if frame.cancelled():
            raise ConnectionEnded("connection lost")
        return frame.result()

    async def send(self, frame: str) -> None:
        if self.over.is_set():
            raise ConnectionEnded("connection lost")
        self.csms.take(self, frame)

    async def close(self, reason: str) -> None:
        await asyncio.sleep(self.csms.closes_ms / 1000)
        self.over.set()
        if self.csms.ends.get(self.charge_point) is self:
            del self.csms.ends[self.charge_point]


@dataclass
class Csms:
    """A CSMS with a ledger. Recognises a start that it gets twice."""

    name: str
    up: bool = True
    closes_ms: int = 0
    silent: bool = False
    tokens: dict[str, str] = field(default_factory=dict)
    boot: dict[str, str] = field(default_factory=dict)
    first_id: int = 1_000_001
    ends: dict[str, End] = field(default_factory=dict)
    doubled: int = 0
    log: list[tuple[str, str, Any]] = field(default_factory=list)
    """(charge point, action, payload) of every CALL taken."""
    transactions: dict[int, dict[str, Any]] = field(default_factory=dict)
    events: list[tuple[str, Any]] = field(default_factory=list)
    """(charge point, payload) of every TransactionEvent; one that comes again is the same."""

    async def dial(self, charge_point: str) -> Upstream:
        await asyncio.sleep(0.01)
        if not self.up:
            raise NotReached("connection refused", refused=False)
        end = End(self, charge_point)
        other = self.ends.get(charge_point)
        if other is not None and not other.over.is_set():
            self.doubled += 1
            other.over.set()
        self.ends[charge_point] = end
        return end

    def down(self) -> None:
        self.up = False
        for end in list(self.ends.values()):
            end.over.set()
        self.ends.clear()

    def take(self, end: End, frame: str) -> None:
        parts = json.loads(frame)
        if parts[0] != 2:
            waiting = end.answers.pop(parts[1], None)
            if waiting and not waiting.done():
                waiting.set_result(parts[2] if parts[0] == 3 else {"error": parts[2]})
            return
        if self.silent:
            return
        _, message_id, action, payload = parts
        self.log.append((end.charge_point, action, payload))
        answer = self._answer(end.charge_point, action, payload)
        end.inbox.put_nowait(json.dumps([3, message_id, answer]))

    def _answer(self, charge_point: str, action: str, payload: Any) -> Any:
        match action:
            case "BootNotification":
                word = self.boot.get(charge_point, "Accepted")
                return {"status": word, "currentTime": "2025-06-15T15:06:40Z", "interval": 300}
            case "TransactionEvent" | "Authorize" if "idTag" not in payload:
                return self._answer_2x(charge_point, action, payload)
            case "SignCertificate":
                return {"status": "Accepted"}
            case "Authorize":
                return {"idTagInfo": {"status": self.tokens.get(payload["idTag"], "Accepted")}}
            case "StartTransaction":
                key = {"charge_point": charge_point, **payload}
                same = (id for id, one in self.transactions.items() if one["start"] == key)
                known = next(same, self.first_id + len(self.transactions))
                self.transactions.setdefault(known, {"start": key, "meters": 0, "stop": None})
                status = self.tokens.get(payload["idTag"], "Accepted")
                return {"transactionId": known, "idTagInfo": {"status": status}}
            case "MeterValues":
                self.transactions[payload["transactionId"]]["meters"] += 1
                return {}
            case "StopTransaction":
                self.transactions[payload["transactionId"]]["stop"] = payload["meterStop"]
                return {}
            case _:
                return {}

    def _answer_2x(self, charge_point: str, action: str, payload: Any) -> Any:
        if action == "TransactionEvent" and (charge_point, payload) not in self.events:
            self.events.append((charge_point, payload))
        token = payload.get("idToken")
        if token is None:
            return {}
        return {"idTokenInfo": {"status": self.tokens.get(token["idToken"], "Accepted")}}

    async def call(self, charge_point: str, action: str, payload: Any, message_id: str) -> Any:
        """The CSMS's own CALL, and its answer."""
        end = self.ends[charge_point]
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        end.answers[message_id] = answer
        end.inbox.put_nowait(json.dumps([2, message_id, action, payload]))
        return await answer

    def actions(self, charge_point: str = "CP-1") -> list[str]:
        return [action for who, action, _ in self.log if who == charge_point]


class Place:
    def __init__(self, folder: Path, clock: Clock) -> None:
        self.clock = clock
        self.folder = folder
        self.bus = SimBus(clock, domain=subjects.CLOUD)
        self.csmss = {"main": Csms("main"), "next": Csms("next", first_id=2_000_001)}
        self.commands: list[Command] = []
        self.refuses_commands = ""
        self.pulses = True
        self.head_seq = 0
        """As its pulses tell it."""
        self.webhook: Webhook | None = None
        self.dial: Dial | None = None
        """Instead of the CSMSs in memory."""
        self._seq = itertools.count(1)
        self._lives: dict[str, tuple[asyncio.Task[None], SimBus]] = {}
        self._starts = 0
        self.versions: list[tuple[str, OcppVersion]] = []
        """Of each upstream connection, as it was opened."""
        self.deduplicates = True
        self.routes({"site": SITE, "primary": "main"})

    @property
    def csms(self) -> Csms:
        return self.csmss["main"]

    def routes(self, *routes: dict[str, Any]) -> None:
        backends = [
            {"name": name, "url": f"ws://{name}/ocpp", "deduplicates_starts": self.deduplicates}
            for name in self.csmss
        ]
        path = self.folder / "backends.yaml"
        path.write_text(yaml.safe_dump({"backends": backends, "routes": list(routes)}))

    async def open(self) -> None:
        for name, bound, per_subject in (
            (subjects.CLOUD_JOURNAL, subjects.CLOUD_JOURNAL_SUBJECTS, -1),
            (subjects.UPSTREAM_KV, subjects.UPSTREAM_KV_SUBJECTS, 1),
        ):
            spec = StreamSpec(
                name=name,
                subjects=(bound,),
                bytes_max=1 << 26,
                when_full="refuse",
                per_subject_max=per_subject,
            )
            await self.bus.ensure_stream(spec)
        others = self.bus.client("others")
        await rpc.serve(others, subjects.cloud_rpc("command"), SendCommand, self._command)
        await rpc.serve(others, subjects.cloud_rpc("copies"), CopiesRequest, self._copies)

    async def open_site(self) -> None:
        """A site's own server instead: its journal, and ocpp-edge in one line."""
        spec = StreamSpec(
            name=subjects.journal_stream(SITE, LIFE),
            subjects=(subjects.journal_all(SITE),),
            bytes_max=1 << 26,
            when_full="refuse",
        )
        await self.bus.ensure_stream(spec)
        edge = self.bus.client("ocpp-edge")
        await rpc.serve(edge, subjects.rpc(SITE, "csms-command"), Command, self._at_site)

    async def _at_site(self, command: Command, _: str) -> CommandReceipt:
        self.commands.append(command)
        return CommandReceipt(id=command.id, accepted=True)

    # --- the bridge ---

    def begin(self, instance: str = "bridge-1", **changes: Any) -> None:
        config = Config(
            nats_url="nats://unused",
            nats_user="unused",
            nats_password_file=self.folder / "unused",
            data_dir=self.folder,
            instance=instance,
            backends_file=self.folder / "backends.yaml",
            **{"scope": "cloud", **changes},
        )
        self._starts += 1
        rng = random.Random(self._starts)
        client = self.bus.client("csms-bridge")
        context = Context(config, client, self.clock, SimIds(rng), rng, Health("csms-bridge"))
        run = app.run(context, self.dial or self._dial, self.webhook)
        life = asyncio.get_running_loop().create_task(run)
        self._lives[instance] = (life, client)

    async def kill(self, instance: str = "bridge-1") -> None:
        life, client = self._lives.pop(instance)
        client.close()
        life.cancel()
        await asyncio.gather(life, return_exceptions=True)

    async def _dial(self, backend: Backend, charge_point: str, version: OcppVersion) -> Upstream:
        upstream = await self.csmss[backend.name].dial(charge_point)
        self.versions.append((charge_point, version))
        return upstream

    # --- the site ---

    async def record(self, *facts: Fact) -> None:
        for fact in facts:
            await self.record_at(next(self._seq), fact)

    def _envelope(self, seq: int, fact: Fact, life: str) -> Envelope:
        return Envelope(
            id=f"{life}-{seq}",
            type=fact.TYPE,
            at_ms=self.clock.now_ms(),
            site=SITE,
            incarnation=life,
            source="test",
            body=body_of(fact),
        )

    async def record_at(self, seq: int, fact: Fact, life: str = LIFE) -> None:
        envelope = self._envelope(seq, fact, life)
        subject = subjects.cloud_journal(SITE, subjects.journal(SITE, *fact.topic()))
        headers = {"Hf-Site": SITE, "Hf-Incarnation": life, "Hf-Seq": str(seq)}
        await self.bus.append(
            subjects.CLOUD_JOURNAL,
            subject,
            envelope.to_bytes(),
            id=f"{SITE}.{life}.{seq}",
            headers=headers,
        )

    async def record_at_site(self, *facts: Fact) -> None:
        for fact in facts:
            envelope = self._envelope(next(self._seq), fact, LIFE)
            subject = subjects.journal(SITE, *fact.topic())
            stream = subjects.journal_stream(SITE, LIFE)
            await self.bus.append(stream, subject, envelope.to_bytes(), id=envelope.id)

    async def _command(self, asked: SendCommand, _: str) -> CommandReceipt:
        if self.refuses_commands:
            return CommandReceipt(id=asked.command.id, accepted=False, reason=self.refuses_commands)
        self.commands.append(asked.command)
        return CommandReceipt(id=asked.command.id, accepted=True)

    async def settle(self, command: Command, disposition: Disposition, answer: str | None) -> None:
        fact = CommandSettled(
            charge_point=command.charge_point,
            command=command,
            disposition=disposition,
            answer=answer,
        )
        await self.record(fact)

    async def _copies(self, _: CopiesRequest, __: str) -> Copies:
        if self.pulses:
            self._pulse_at_ms = self.clock.now_ms()
        copy = CopyStatus(
            site=SITE,
            incarnation=LIFE,
            committed_seq=0,
            watermark=0,
            head_seq=self.head_seq,
            chain_verified=True,
            retired=False,
            pulse_at_ms=self._pulse_at_ms,
        )
        return Copies(copies=(copy,))

    # --- what is seen ---

    async def ask(
        self, subject: str, request: Any, reply: type[Any], timeout_ms: int = 5_000
    ) -> Any:
        return await rpc.call(self.bus, subject, request, reply, timeout_ms=timeout_ms)

    async def status(self) -> UpstreamStatus:
        request = UpstreamRequest(site=SITE)
        status: UpstreamStatus = await self.ask(
            subjects.cloud_rpc("upstream"), request, UpstreamStatus
        )
        return status

    async def owned(self) -> SiteOwned | None:
        message = await self.bus.last(subjects.UPSTREAM_KV, subjects.upstream_site(SITE))
        return SiteOwned.from_bytes(message.data) if message else None

    async def until(self, look: Callable[[], Any], within_s: float = 60) -> Any:
        return await eventually(look, within_s=within_s)


class Facts:
    """Of charge point CP-1, unless said otherwise."""

    @staticmethod
    def connected(charge_point: str = "CP-1", connection: str = "k1") -> Fact:
        return ChargePointConnected(
            charge_point=charge_point, connection=connection, protocol="ocpp1.6", remote="x"
        )

    @staticmethod
    def disconnected(charge_point: str = "CP-1", connection: str = "k1") -> Fact:
        return ChargePointDisconnected(
            charge_point=charge_point, connection=connection, reason="gone"
        )

    @staticmethod
    def booted(charge_point: str = "CP-1") -> Fact:
        return ChargePointBooted(
            charge_point=charge_point,
            message_id="b",
            vendor="V",
            model="M",
            serial=None,
            firmware=None,
            status="Accepted",
            raw='{"chargePointVendor":"V","chargePointModel":"M"}',
        )

    @staticmethod
    def status(word: str, charge_point: str = "CP-1") -> Fact:
        return ConnectorStatusChanged(
            charge_point=charge_point,
            connector=1,
            status=word,
            error_code="NoError",
            message_id="s",
            raw=f'{{"connectorId":1,"status":"{word}","errorCode":"NoError"}}',
        )

    @staticmethod
    def started(local: int, charge_point: str = "CP-1", token: str = "DRIVER-01") -> Fact:
        return SessionStarted(
            charge_point=charge_point,
            connector=1,
            session=session_key(charge_point, local),
            transaction_id=local,
            driver_token=token,
            meter_start_wh=local,
            at="2025-06-15T15:00:00Z",
            status=TokenStatus.ACCEPTED,
            basis=Basis.LIST,
            flagged=False,
            decision="d",
            message_id="m",
            raw=f'{{"connectorId":1,"idTag":"{token}","meterStart":{local},"timestamp":"t"}}',
        )

    @staticmethod
    def metered(local: int, charge_point: str = "CP-1") -> Fact:
        return SessionMetered(
            charge_point=charge_point,
            connector=1,
            session=session_key(charge_point, local),
            transaction_id=local,
            readings=(),
            message_id="m",
            raw=f'{{"connectorId":1,"transactionId":{local},"meterValue":[]}}',
        )

    @staticmethod
    def stopped(local: int, charge_point: str = "CP-1") -> Fact:
        return SessionStopped(
            charge_point=charge_point,
            session=session_key(charge_point, local),
            transaction_id=local,
            meter_stop_wh=local + 100,
            at="2025-06-15T16:00:00Z",
            reason="Local",
            message_id="m",
            raw=f'{{"transactionId":{local},"meterStop":{local + 100},"timestamp":"t"}}',
        )

    @staticmethod
    def settled(command: Command, disposition: Disposition) -> Fact:
        return CommandSettled(
            charge_point=command.charge_point,
            command=command,
            disposition=disposition,
            answer='{"status":"Accepted"}' if disposition is Disposition.DELIVERED else None,
        )

    @classmethod
    def session(cls, local: int, charge_point: str = "CP-1", meters: int = 2) -> list[Fact]:
        middle = [cls.metered(local, charge_point) for _ in range(meters)]
        return [cls.started(local, charge_point), *middle, cls.stopped(local, charge_point)]


@pytest.fixture
def facts() -> type[Facts]:
    return Facts


@pytest.fixture
def new_place(tmp_path: Path) -> Callable[[], Awaitable[Place]]:
    """Inside the loop that the test runs on."""

    async def make() -> Place:
        place = Place(tmp_path, SimClock())
        await place.open()
        return place

    return make
