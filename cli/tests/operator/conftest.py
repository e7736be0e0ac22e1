"""The shipped monitor on a loopback port, in either scope, over a simulated bus with a journal, the other services as
responders; `ask("decisions", ...)` runs the command line against it as a shell would.
"""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from holdfast import subjects
from holdfast.bus import StreamSpec
from holdfast.contracts.envelope import Contract, Entry, Envelope, Fact, body_of
from holdfast.contracts.journal import Copies, CopiesRequest, CopyStatus, Entries, EntriesRequest
from holdfast.health import Health, serve_http
from holdfast.recorder import Incarnation
from holdfast.rpc import serve
from holdfast.service import Context
from holdfast_cli.main import _parser
from holdfast_cli.operator.arguments import parse
from holdfast_cli.operator.problem import OperatorError
from holdfast_testkit.eventually import eventually
from holdfast_testkit.ports import free_ports
from holdfast_testkit.sim_bus import SimBus
from holdfast_testkit.sim_clock import SimClock, SimIds
from monitor.app import watch_of
from monitor.config import Config
from monitor.web import make_web

SITE = "berlin01"
LIFE = Incarnation(SITE, "aaaaaaaa")
CREDENTIAL = "open-sesame-0123456789"


@dataclass
class Said:
    """What a command printed, and how it ended."""

    code: int
    out: str
    err: str


@dataclass
class World:
    scope: str
    clock: SimClock
    bus: SimBus
    folder: Path
    capsys: Any
    url: str = ""
    entries: list[Entry] = field(default_factory=list)
    asked: list[tuple[str, Contract]] = field(default_factory=list)
    """What services were asked, by verb."""

    @property
    def credential(self) -> Path:
        path = self.folder / "credential"
        path.write_text(CREDENTIAL + "\n")
        return path

    async def begin(self) -> None:
        in_cloud = self.scope == "cloud"
        name = subjects.CLOUD_JOURNAL if in_cloud else LIFE.journal
        bound = subjects.CLOUD_JOURNAL_SUBJECTS if in_cloud else subjects.journal_all(SITE)
        spec = StreamSpec(name=name, subjects=(bound,), bytes_max=1 << 24, when_full="refuse")
        await self.bus.ensure_stream(spec)

        async def entries(request: EntriesRequest, _: str) -> Contract:
            self.asked.append(("entries", request))
            begin = int(request.after or 0)
            end = begin + min(request.limit, 3)  # pages smaller than asked for, as a full answer is
            return Entries(
                entries=tuple(self.entries[begin:end]),
                subjects=("unused",) * len(self.entries[begin:end]),
                next=str(end) if end < len(self.entries) else None,
            )

        async def copies(_: CopiesRequest, __: str) -> Contract:
            seq = len(self.entries)
            status = CopyStatus(
                site=SITE, incarnation=LIFE.name, committed_seq=seq, watermark=seq, head_seq=seq,
                chain_verified=True, retired=False, pulse_at_ms=self.clock.now_ms(),
            )  # fmt: skip
            return Copies(copies=(status,))

        await serve(self.bus.client("others"), self.subject("entries"), EntriesRequest, entries)
        if in_cloud:
            await serve(self.bus.client("others"), self.subject("copies"), CopiesRequest, copies)

    def subject(self, verb: str) -> str:
        return subjects.cloud_rpc(verb) if self.scope == "cloud" else subjects.rpc(SITE, verb)

    async def serve(
        self, verb: str, kind: type[Any], reply: Callable[[Any], Contract], *, at_site: bool = False
    ) -> None:
        """A service that answers so, and remembers what it was asked."""

        async def answer(asked: Any, _: str) -> Contract:
            self.asked.append((verb, asked))
            return reply(asked)

        subject = subjects.rpc(SITE, verb) if at_site else self.subject(verb)
        await serve(self.bus.client(f"others-{verb}"), subject, kind, answer)

    async def tell(self, *facts: Fact, at_ms: int | None = None) -> None:
        for fact in facts:
            seq = len(self.entries) + 1
            envelope = Envelope(
                id=f"id-{seq}", type=fact.TYPE, at_ms=at_ms or self.clock.now_ms(), site=SITE,
                incarnation=LIFE.name, source="test", body=body_of(fact),
            )  # fmt: skip
            self.entries.append(Entry(seq=seq, envelope=envelope))
            stream, subject, headers = LIFE.journal, subjects.journal(SITE, *fact.topic()), {}
            if self.scope == "cloud":
                stream, subject = subjects.CLOUD_JOURNAL, subjects.cloud_journal(SITE, subject)
                headers = {"Hf-Site": SITE, "Hf-Incarnation": LIFE.name, "Hf-Seq": str(seq)}
            await self.bus.append(
                stream, subject, envelope.to_bytes(), id=f"id-{seq}", headers=headers
            )

    async def ask(self, *words: str, where: tuple[str, ...] | None = None) -> Said:
        """The command line as a shell runs it, but for the process."""
        self.capsys.readouterr()
        given = ("--api", self.url, "--credential-file", str(self.credential))
        arguments = parse(_parser(), [*words, *(given if where is None else where)])
        try:
            code = await arguments.run(arguments)
        except OperatorError as error:
            told = self.capsys.readouterr()
            return Said(error.code, told.out, told.err + str(error))
        told = self.capsys.readouterr()
        return Said(code, told.out, told.err)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        with free_ports(1) as (port,):
            async with self._running_at(port):
                yield

    @asynccontextmanager
    async def _running_at(self, port: int) -> AsyncIterator[None]:
        self.url = f"http://127.0.0.1:{port}"
        config = Config(
            scope=self.scope, site=SITE if self.scope == "site" else "", nats_url="nats://sim",
            sites=(SITE,) if self.scope == "cloud" else (),
            nats_user="u", nats_password_file=self.folder / "none", data_dir=self.folder,
            api_port=port, credential_file=self.credential, sample_ms=100,
        )  # fmt: skip
        client = self.bus.client("monitor")
        context = Context(
            config, client, self.clock, SimIds(random.Random(1)), random.Random(1), Health("m")
        )
        watch = watch_of(context)
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(watch.run()),
                group.create_task(serve_http(make_web(context, watch), "127.0.0.1", port)),
            ]
            try:
                await eventually(
                    lambda: watch.state(SITE).positions.get(LIFE.name) == len(self.entries)
                )
                await eventually(lambda: _listens(port))
                yield
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)
                client.close()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


Prepare = Callable[[World], Awaitable[None]]


@pytest.fixture
def a_monitor(tmp_path: Path, capsys: Any) -> Callable[..., Any]:
    """To be entered with a scope, and what is done before the monitor begins."""

    @asynccontextmanager
    async def make(scope: str, prepare: Prepare) -> AsyncIterator[World]:
        clock = SimClock()
        world = World(scope, clock, SimBus(clock), tmp_path, capsys)
        await world.begin()
        await prepare(world)
        async with world.running():
            yield world

    return make
