"""The frame every service stands in: read the configuration, connect, run until signalled, say why it ended.

Exit codes: 0 asked to stop, 2 configuration, 69 the NATS server can't be used, 70 a fault of ours,
75 start me again (the incarnation changed, or a stream went away).
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import signal
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from starlette.applications import Starlette

from holdfast import logs
from holdfast.bus import ServerBus, StreamGone
from holdfast.clock import Clock, SystemClock
from holdfast.health import Health, serve_http
from holdfast.ids import Ids, RandomIds
from holdfast.nats_bus import NatsBus, ServerUnusable
from holdfast.recorder import IncarnationChanged
from holdfast.settings import ConfigError, ServiceConfig

log = logging.getLogger(__name__)

Config = TypeVar("Config", bound=ServiceConfig)

EX_CONFIG, EX_UNAVAILABLE, EX_SOFTWARE, EX_TEMPFAIL = 2, 69, 70, 75


@dataclass(frozen=True, slots=True)
class Context(Generic[Config]):
    """What the outside gives a service; simulation gives the same from its own parts."""

    config: Config
    bus: ServerBus
    clock: Clock
    ids: Ids
    rng: random.Random
    """For jitter only."""
    health: Health


def run(
    name: str,
    description: str,
    config_type: type[Config],
    app: Callable[[Context[Config]], Awaitable[None]],
    argv: Sequence[str] | None = None,
) -> int:
    """The body of every `main`: returns the exit code."""
    parser = argparse.ArgumentParser(prog=name, description=description)
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="TOML file")
    parser.add_argument(
        "--check-config", action="store_true", help="print what was read, then stop"
    )
    arguments = parser.parse_args(argv)
    try:
        config = config_type.load(arguments.config)
        if arguments.check_config:
            print(config.model_dump_json(indent=2))  # noqa: T201  this is the command's answer
            return 0
        logs.configure(config.log_level, config.log_format)
        return asyncio.run(_run(name, config, app))
    except ConfigError as error:
        parser.exit(EX_CONFIG, f"{name}: {error}\n")


async def _run(name: str, config: Config, app: Callable[[Context[Config]], Awaitable[None]]) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    clock = SystemClock()
    health = Health(name)
    try:
        async with NatsBus.connect(config, name=name, clock=clock, health=health) as bus:
            context = Context(config, bus, clock, RandomIds(), random.Random(), health)
            return await _until(stop, context, app)
    except ServerUnusable as error:
        log.error("nats-server unusable: %s", error)  # noqa: TRY400  the sentence is all there is
        return EX_UNAVAILABLE


async def _until(
    stop: asyncio.Event, context: Context[Config], app: Callable[[Context[Config]], Awaitable[None]]
) -> int:
    """Run the app beside its health page until it is told to stop or fails."""

    async def stopped() -> None:
        await stop.wait()
        raise _Stop

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(stopped())
            if context.config.health_port:
                page = Starlette(routes=context.health.routes())
                group.create_task(
                    serve_http(page, context.config.health_host, context.config.health_port)
                )
            log.info("started", extra={"service": context.health.service})
            await app(context)
            raise _Stop
    except BaseExceptionGroup as ended:
        return _exit_code(ended)


def _exit_code(ended: BaseExceptionGroup[BaseException]) -> int:
    """The gravest thing that happened decides; what is not foreseen is said with its traceback."""
    _, rest = ended.split(_Stop)
    if rest is None:
        return 0
    for kinds, code, sentence in (
        ((IncarnationChanged, StreamGone), EX_TEMPFAIL, "starting afresh"),
        ((ServerUnusable,), EX_UNAVAILABLE, "nats-server unusable"),
        ((ConfigError,), EX_CONFIG, "configuration"),
    ):
        expected, unexpected = rest.split(kinds)
        if expected is not None and unexpected is None:
            log.error("%s: %s", sentence, _leaf(expected))
            return code
    log.error("a fault of ours", exc_info=rest)
    return EX_SOFTWARE


def _leaf(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


class _Stop(Exception):
    """Asked to stop."""
