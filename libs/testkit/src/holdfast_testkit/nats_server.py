"""A real nats-server for tests: one alone, or a cloud's with a site's behind a relay that can be cut.

In a container where Docker answers and the image is there (it is never pulled), else as a local process.
`HOLDFAST_TEST_NATS=local` or `container` forces one.
"""

from __future__ import annotations

import asyncio
import functools
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import docker  # type: ignore[import-untyped]
import docker.errors  # type: ignore[import-untyped]
import testcontainers.core.config
from testcontainers.core.container import DockerContainer

from holdfast import subjects
from holdfast.nats_bus import NatsBus, open_bus
from holdfast_cli.nats_server import NatsServer, NatsServerError, find, version_of
from holdfast_cli.provision.certificates import ensure_ca, ensure_server_certificate
from holdfast_cli.provision.nats_conf import (
    CLOUD_USER,
    SITE_USER,
    CloudNode,
    SiteAccess,
    SiteNode,
    cloud_conf,
    site_conf,
)
from holdfast_testkit.ports import free_ports
from holdfast_testkit.tcp_relay import TcpRelay

IMAGE = "nats:2.15-alpine"
READY_S = 60
GONE_S = 60
SECRET = "test-only"


@functools.cache
def backend() -> str:
    """`container` or `local`."""
    forced = os.environ.get("HOLDFAST_TEST_NATS")
    if forced:
        return forced
    try:
        client = docker.from_env(timeout=30)
        try:
            client.images.get(IMAGE)
        finally:
            client.close()
    except (docker.errors.DockerException, OSError):
        return "local"
    return "container"


def describe_backend() -> str:
    """For the test report: which nats-server ran."""
    if backend() == "container":
        return f"container {IMAGE}"
    binary = find()
    return f"local process {binary}, {'.'.join(map(str, version_of(binary)))}"


class Process(Protocol):
    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    async def kill(self) -> None: ...


class ContainerProcess:
    """On the host's network and in the same folders, so that it differs from a process in nothing else."""

    def __init__(self, conf: Path, folder: Path) -> None:
        self._conf = conf
        self._folder = folder
        self._container: DockerContainer | None = None

    async def start(self) -> None:
        # The watchdog container would have to be pulled.
        testcontainers.core.config.testcontainers_config.ryuk_disabled = True
        container = (
            DockerContainer(IMAGE)
            .with_volume_mapping(str(self._folder), str(self._folder), "rw")
            .with_kwargs(network_mode="host", user=f"{os.getuid()}:{os.getgid()}")
            .with_command(["nats-server", "-c", str(self._conf)])
        )
        await asyncio.to_thread(container.start)
        self._container = container
        try:
            async with asyncio.timeout(READY_S):
                # Another process: there is no event of ours to wait for.
                while not await asyncio.to_thread(self._is_ready):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
        except TimeoutError:
            await self.kill()
            raise NatsServerError(f"{IMAGE} with {self._conf} is not ready") from None

    def _is_ready(self) -> bool:
        assert self._container is not None
        out, err = self._container.get_logs()
        return b"Server is ready" in out + err

    async def stop(self) -> None:
        await self._end("SIGTERM")

    async def kill(self) -> None:
        await self._end("SIGKILL")

    async def _end(self, signal: str) -> None:
        container, self._container = self._container, None
        if container is None:
            return

        def end() -> None:
            wrapped = container.get_wrapped_container()
            wrapped.kill(signal)
            wrapped.wait(timeout=GONE_S)
            container.stop()

        await asyncio.to_thread(end)


@dataclass(slots=True)
class RealServer:
    """A nats-server that can be stopped, killed, started again, and given a new disk."""

    url: str
    user: str
    inbox_prefix: str
    store_dir: Path
    process: Process

    def connect(self, name: str = "test") -> AbstractAsyncContextManager[NatsBus]:
        return open_bus(
            self.url,
            user=self.user,
            password=SECRET,
            inbox_prefix=self.inbox_prefix,
            name=name,
        )

    async def kill(self, *, wipe: bool = False) -> None:
        await self.process.kill()
        if wipe:
            shutil.rmtree(self.store_dir, ignore_errors=True)

    async def start(self) -> None:
        await self.process.start()


@dataclass(slots=True)
class LeafPair:
    cloud: RealServer
    site: RealServer
    relay: TcpRelay

    def cut(self, *, silent: bool = True) -> None:
        self.relay.cut(silent=silent)

    def heal(self) -> None:
        self.relay.heal()


@asynccontextmanager
async def single_server(folder: Path) -> AsyncIterator[RealServer]:
    with free_ports(2) as (port, leaf_port):
        async with _running(_cloud(folder, sites=(), port=port, leaf_port=leaf_port)) as server:
            yield server


@asynccontextmanager
async def leaf_pair(
    folder: Path, site: str, *, others: tuple[str, ...] = ()
) -> AsyncIterator[LeafPair]:
    """The cloud and one site with the permissions of production; `others` may connect as well."""
    sites = (site, *others)
    with free_ports(3) as (port, leaf_port, site_port):
        async with (
            _running(_cloud(folder, sites=sites, port=port, leaf_port=leaf_port)) as cloud,
            TcpRelay("127.0.0.1", leaf_port).running() as relay,
            _running(_site(folder, site, site_port, relay.port)) as leaf,
        ):
            yield LeafPair(cloud, leaf, relay)


@asynccontextmanager
async def _running(server: RealServer) -> AsyncIterator[RealServer]:
    await server.process.start()
    try:
        yield server
    finally:
        await server.process.kill()


def _cloud(folder: Path, *, sites: tuple[str, ...], port: int, leaf_port: int) -> RealServer:
    tls = folder / "tls"
    ensure_ca(tls)
    ensure_server_certificate(tls, subjects.CLOUD, ["127.0.0.1", "localhost"])
    node = CloudNode(
        listen=f"127.0.0.1:{port}",
        leaf_listen=f"127.0.0.1:{leaf_port}",
        store_dir=folder / "cloud-data",
        cert_file=tls / "cloud.pem",
        key_file=tls / "cloud.key",
        ca_file=tls / "ca.pem",
        cloud_password=SECRET,
        sys_password=SECRET,
        sites=tuple(SiteAccess(site=site, password=SECRET) for site in sites),
    )
    return RealServer(
        url=f"nats://127.0.0.1:{port}",
        user=CLOUD_USER,
        inbox_prefix="_INBOX.cp",
        store_dir=node.store_dir,
        process=_process(folder, subjects.CLOUD, cloud_conf(node)),
    )


def _site(folder: Path, site: str, port: int, relay_port: int) -> RealServer:
    node = SiteNode(
        site=site,
        listen=f"127.0.0.1:{port}",
        store_dir=folder / f"{site}-data",
        ca_file=folder / "tls" / "ca.pem",
        site_password=SECRET,
        sys_password=SECRET,
        leaf_password=SECRET,
        leaf_urls=(f"127.0.0.1:{relay_port}",),
    )
    return RealServer(
        url=f"nats://127.0.0.1:{port}",
        user=SITE_USER,
        inbox_prefix=f"_INBOX.{site}",
        store_dir=node.store_dir,
        process=_process(folder, site, site_conf(node)),
    )


def _process(folder: Path, name: str, conf: str) -> Process:
    path = folder / f"{name}.conf"
    path.write_text(conf)
    if backend() == "container":
        return ContainerProcess(path, folder)
    return NatsServer(path, log=folder / f"{name}.log")
