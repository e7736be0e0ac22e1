"""Where ocpp-edge's CPU goes, seen from outside by py-spy: a sampler inside the process counts what runs after a call
into C for what the call took.
"""

from __future__ import annotations

import asyncio
import re
from asyncio.subprocess import DEVNULL, PIPE
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from children import say, script

SAMPLES_PER_S = 400
SEND, RECEIVE = "kernel: send", "kernel: receive"
OF_FUNCTIONS = {
    "_SelectorSocketTransport.write": SEND,
    "_SelectorSocketTransport._read_ready__data_received": RECEIVE,
}
PARTS = (
    ("asyncio/", "asyncio's loop"),
    ("selectors.py", "asyncio's loop"),
    ("websockets/", "WebSocket"),
    ("ocpp_edge/adapters/direct.py", "WebSocket"),
    ("ocpp_edge/adapters/ocpp_websocket.py", "WebSocket"),
    ("ocpp_edge/adapters/schemas.py", "read and validate"),
    ("ocpp_edge/domain/calls.py", "read and validate"),
    ("ocpp_edge/domain/readings.py", "read and validate"),
    ("ocpp_edge/domain/opaque.py", "read and validate"),
    ("holdfast/ocpp/", "read and validate"),
    ("ocpp_edge/domain/", "core: decide and fold"),
    ("holdfast/local_state/", "core: decide and fold"),
    ("holdfast/records.py", "core: decide and fold"),
    ("pydantic/", "facts: validate and write"),
    ("holdfast/contracts/", "facts: validate and write"),
    ("holdfast/recorder.py", "facts: validate and write"),
    ("holdfast/nats_bus/", "NATS client"),
    ("nats/", "NATS client"),
    ("ocpp_edge/", "shell of a charge point"),
    ("prometheus_client/", "shell of a charge point"),
    ("holdfast/", "shell of a charge point"),
)
"""By file, the first that fits."""
WAITS = "concurrent/futures/thread.py"
_FRAME = re.compile(r"(?P<function>.+) \((?P<file>.+?)(:\d+)?\)$")


async def samples(pid: int, seconds: float, raw: Path) -> Mapping[str, int]:
    """By part. Empty where nobody may look into a process."""
    child = await asyncio.create_subprocess_exec(
        *(script("py-spy"), "record", "--pid", str(pid), "--duration", str(max(1, round(seconds)))),
        *("--rate", str(SAMPLES_PER_S), "--format", "raw", "--output", raw),
        stdout=DEVNULL,
        stderr=PIPE,
    )
    _, told = await child.communicate()
    if child.returncode:
        last = told.decode(errors="replace").strip().splitlines()[-1:]
        say(f"  no profile: {''.join(last)}; py-spy needs root, or kernel.yama.ptrace_scope=0")
        return {}
    return counted(raw)


def counted(raw: Path) -> Mapping[str, int]:
    """The innermost function that belongs to a part counts for it."""
    counts: Counter[str] = Counter()
    for line in raw.read_text().splitlines():
        stack, _, count = line.rpartition(" ")
        frames = stack.split(";")
        if WAITS not in frames[-1]:  # a thread that waits for work
            counts[part_of(frames)] += int(count)
    raw.unlink()
    return counts


def part_of(frames: list[str]) -> str:
    """What has no file of its own (written by dataclasses and records) is its caller's."""
    for frame in reversed(frames):
        found = _FRAME.match(frame)
        if not found:
            continue
        if found["function"] in OF_FUNCTIONS:
            return OF_FUNCTIONS[found["function"]]
        for place, part in PARTS:
            if place in found["file"]:
                return part
    return "other"
