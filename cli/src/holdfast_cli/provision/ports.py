"""Ports that nobody else takes before the process that shall listen on them does.

A port that was just found free is anybody's again: a connection that goes out is given one, and so is whoever looks
for one next. So they come from below the range that the kernel gives out by itself, and each is claimed on this
machine, by a name that no other process can bind, until it is released or this process ends.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

GIVEN_OUT = Path("/proc/sys/net/ipv4/ip_local_port_range")
LOWEST, BEYOND = 10_000, 32_768
FEW = 1_000
TRIES = 10_000

_claims: dict[int, socket.socket] = {}


class NoPortFree(Exception):
    """Each that was tried is taken."""


def claim(port: int) -> bool:
    """For this process; False when another one has it."""
    if port in _claims:
        return True
    name = socket.socket(socket.AF_UNIX)
    try:
        name.bind(f"\0holdfast-port-{port}")
    except OSError:
        name.close()
        return False
    _claims[port] = name
    return True


def release(port: int) -> None:
    name = _claims.pop(port, None)
    if name is not None:
        name.close()


def free_port() -> int:
    """Claimed, and nobody listens there. Raise NoPortFree."""
    chance, beyond = random.Random(), _beyond()
    for _ in range(TRIES):
        port = chance.randrange(LOWEST, beyond)
        if port in _claims or not claim(port):
            continue
        if _is_free(port):
            return port
        release(port)
    raise NoPortFree(f"no free port from {LOWEST} to {beyond - 1}")


@contextmanager
def free_ports(count: int) -> Iterator[list[int]]:
    """Claimed to the end of the block."""
    ports: list[int] = []
    try:
        for _ in range(count):
            ports.append(free_port())  # noqa: PERF401  those found are released when one is not
        yield ports
    finally:
        for port in ports:
            release(port)


def _beyond() -> int:
    """The first that the kernel gives out by itself."""
    try:
        first = int(GIVEN_OUT.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        first = BEYOND
    return first if first >= LOWEST + FEW else 1 << 16


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
