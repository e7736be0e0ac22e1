"""All charge points of one configuration in one process, under command of stdin.

    {"do": "plug", "charge_point": "CP-1", "connector": 1, "driver_token": "..."}  ->  events

The table of commands and events is in README.md.
"""

from __future__ import annotations

import asyncio
import fcntl
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from holdfast_simulators.charge_points.body.config import ChargePointConfig, Config
from holdfast_simulators.charge_points.body.reconnecting import Restart
from holdfast_simulators.charge_points.body.running import Running
from holdfast_simulators.charge_points.v2x import running as v2x
from holdfast_simulators.charge_points.v16 import running as v16
from holdfast_simulators.control import CannotStart, Command, CommandError, Console

RESTARTS = {
    "soft": Restart(is_graceful=True, reason="Reboot"),
    "power-loss": Restart(is_graceful=False, reason="PowerLoss"),
}


async def run(config: Config, state_folder: Path, console: Console) -> int:
    console.begin()
    with _held(state_folder):
        points = ChargePoints(config, state_folder, console)
        try:
            await points.run()
        finally:
            points.close()
    console.report("stopped")
    return 0


@contextmanager
def _held(state_folder: Path) -> Iterator[None]:
    """Two processes on one folder would both be the same charge points."""
    try:
        state_folder.mkdir(parents=True, exist_ok=True)
        lock = (state_folder / "lock").open("w")
    except OSError as error:
        raise CannotStart(
            f"--state {state_folder}: {error.strerror}; name a writable folder"
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            problem = "another process simulates these charge points"
            raise CannotStart(f"--state {state_folder}: {problem}; stop it first") from error
        yield


def _url(config: Config, one: ChargePointConfig) -> str:
    is_secure = one.security_profile is not None and one.security_profile > 1
    return config.tls_url if is_secure and config.tls_url else config.url


class _Trust:
    """One TLS context for all that show no certificate: two thousand would each read the file."""

    def __init__(self, ca_file: Path | None) -> None:
        self._ca_file = ca_file
        self._plain: ssl.SSLContext | None = None

    def context(self, url: str, one: ChargePointConfig) -> ssl.SSLContext | None:
        if not url.startswith("wss:"):
            return None
        if one.security_profile == 3:
            return self._certified(one)
        if self._plain is None:
            self._plain = self._made()
        return self._plain

    def _made(self) -> ssl.SSLContext:
        try:
            return ssl.create_default_context(cafile=self._ca_file)
        except OSError as error:
            raise CannotStart(f"ca_file {self._ca_file}: {error}; name a PEM file") from error

    def _certified(self, one: ChargePointConfig) -> ssl.SSLContext:
        context = self._made()
        assert one.certificate_file is not None, "the configuration was checked"
        try:
            context.load_cert_chain(one.certificate_file, one.key_file)
        except OSError as error:
            what = f"charge point {one.id}: {one.certificate_file}, {one.key_file}: {error}"
            raise CannotStart(f"{what}; name a PEM certificate and its key") from error
        return context


class ChargePoints:
    def __init__(self, config: Config, state_folder: Path, console: Console) -> None:
        self._console = console
        trust = _Trust(config.ca_file)
        self._points: dict[str, Running[Any, Any]] = {}
        for one in config.charge_points:
            file, url = state_folder / f"{one.encoded_id}.db", _url(config, one)
            version = v16 if one.version == "1.6" else v2x
            self._points[one.id] = version.made(
                one, file, console.report, url, trust.context(url, one)
            )
        self._is_quiescing = False

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(point.run()) for point in self._points.values()]
            self._console.report("ready", charge_points=len(self._points))
            async for command in self._console.commands():
                try:
                    self._obey(command, group, tasks)
                except CommandError as error:
                    self._console.report("error", error=str(error))
            for task in tasks:
                task.cancel()

    def close(self) -> None:
        for point in self._points.values():
            point.body.store.close()

    def _obey(
        self, command: Command, group: asyncio.TaskGroup, tasks: list[asyncio.Task[None]]
    ) -> None:
        match command.do:
            case "plug":
                self._point(command).plug(_connector(command), command.text("driver_token"))
            case "unplug":
                reason = command.text("reason", "EVDisconnected")
                self._point(command).stop(_connector(command), reason, is_unplugged=True)
            case "stop":
                reason = command.text("reason", "Local")
                self._point(command).stop(_connector(command), reason, is_unplugged=False)
            case "reboot":
                kind = command.one_of("kind", tuple(RESTARTS))
                self._point(command).reboot(RESTARTS[kind])
            case "drop-link":
                self._point(command).drop_link(command.seconds("for_s", 0))
            case "lose-answer":
                self._point(command).lose_answer(command.text("action"))
            case "status":
                states = [point.status() for point in self._points.values()]
                self._console.report("status", charge_points=states)
            case "quiesce":
                if self._is_quiescing:
                    raise CommandError("already quiescing; wait for the event 'all-quiesced'")
                self._is_quiescing = True
                tasks.append(group.create_task(self._quiesce()))
            case other:
                raise CommandError(f"unknown command {other!r}; the README lists them")

    def _point(self, command: Command) -> Running[Any, Any]:
        name = command.text("charge_point")
        point = self._points.get(name)
        if point is None:
            raise CommandError(f"no charge point {name!r} in the configuration")
        return point

    async def _quiesce(self) -> None:
        """Stop every session and say when each queue is empty, all acknowledged or discarded."""
        for point in self._points.values():
            point.stop_all()
        async with asyncio.TaskGroup() as group:
            for point in self._points.values():
                group.create_task(self._say_when_settled(point))
        self._console.report("all-quiesced", charge_points=len(self._points))
        self._is_quiescing = False

    async def _say_when_settled(self, point: Running[Any, Any]) -> None:
        await point.body.settled.wait()
        point.body.report("quiesced")


def _connector(command: Command) -> int:
    return command.whole("connector", 1)
