"""Frames of charge points made at random, structured and torn: nothing in ocpp-edge may fail over one, nor keep it.

    python tests/fuzz/edge_frames.py [--seconds 60 | --frames N] [--seed N]      make fuzz

This is the part without a service, for as long as one likes: parser and schemas of all versions. Led by coverage it is
in `edge_coverage.py`; against the shipped process, with an honest charge point beside, in `edge_service.py`.
services/ocpp-edge/tests/whole/checks/test_fuzz.py is what CI plays of all three.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a program, too

from fuzz.memory import Memory
from holdfast.ocpp import frames
from holdfast.ocpp.actions import Sender, rows
from holdfast.ocpp.versions import OcppVersion
from holdfast_simulators.hostile.frames import attacks
from holdfast_testkit.ocpp_negatives import good, negatives
from ocpp_edge.adapters.schemas import Schemas, read_call
from ocpp_edge.domain import calls

TORN = [
    '"',
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\\",
    "\x00",
    "\ud7ff",
    "1e999",
    "null",
    "NaN",
    "-",
    "\\ud800",
]
FRAME_CHARACTERS_MAX = 60_000
WARM_AFTER, LOOK_EVERY = 2_000, 1_000
"""Frames: by then every schema is compiled; so often memory is looked at."""


class Maker:
    """Frames for one version, each from its seed."""

    def __init__(self, version: OcppVersion, seed: int) -> None:
        self.version = version
        self._rng = random.Random(seed)
        self._bases = [
            json.dumps([6 if row.send else 2, "$ID", row.action, payload])
            for row in rows(version, Sender.CHARGE_POINT)
            for payload in (
                *good(version, row.action),
                *(one.payload for one in negatives(version, row.action, 20)),
            )
        ]
        hostile = [one for each in attacks(version) for one in each.frames]
        self._bases += [one for one in hostile if isinstance(one, str)]

    def frame(self, number: int) -> str:
        rng = self._rng
        text = rng.choice(self._bases).replace("$ID", f"z{number}")[:FRAME_CHARACTERS_MAX]
        for _ in range(rng.choice((0, 0, 1, 1, 2, 5))):
            text = self._torn(text)
        return text[:FRAME_CHARACTERS_MAX]

    def _torn(self, text: str) -> str:
        rng = self._rng
        at, upto = sorted((rng.randrange(len(text) + 1), rng.randrange(len(text) + 1)))
        match rng.randrange(6):
            case 0:
                return text[:at] + rng.choice(TORN) + text[at:]
            case 1:
                return text[:at] + text[min(upto, at + 5) :]
            case 2:
                return text[:at] + text[at:upto][:500] + text[at:]
            case 3:
                other = rng.choice(self._bases)
                return text[:at] + other[rng.randrange(len(other) + 1) :][:500]
            case 4:
                return text[:at] + chr(rng.randrange(0xD800)) + text[at + 1 :]
            case _:
                return text[:at]


def judged(schemas: Schemas, version: OcppVersion, text: str | bytes) -> str | None:
    """The id of the one answer that is due at once, if one is; raises where the service would fail."""
    parsed = frames.parse(text)
    if isinstance(parsed, frames.Call | frames.Send):
        found = read_call(schemas, "c", parsed, version)
        assert isinstance(found, calls.Call | frames.Wrong)
        if isinstance(found, calls.Call):
            return None  # answered in its own time
        parsed = found
    return parsed.message_id if isinstance(parsed, frames.Wrong) else None


def run(seconds: float, frames_max: int, seed: int, memory: Memory) -> int:
    """Parser and schemas of all versions, until either bound; how many frames. Raise what fails, and Grew."""
    schemas, count = Schemas(), 0
    makers = [Maker(version, seed) for version in OcppVersion]
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s and count < frames_max:
        for maker in makers:
            text = maker.frame(count)
            try:
                judged(schemas, maker.version, text)
                judged(schemas, maker.version, text.encode("utf-8", "replace"))
            except Exception:
                print(f"seed {seed}, frame {count}, {maker.version}: {text!r}", file=sys.stderr)
                raise
            count += 1
        if count >= WARM_AFTER and count % LOOK_EVERY < len(makers):
            memory.look()
    return count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=None, help="60, unless --frames says when")
    parser.add_argument("--frames", type=int, default=None, metavar="N", help="so many in all")
    parser.add_argument("--seed", type=int, default=None)
    arguments = parser.parse_args()
    seed = random.randrange(1 << 32) if arguments.seed is None else arguments.seed
    for_ever = float("inf")
    seconds = arguments.seconds or (for_ever if arguments.frames else 60)
    memory = Memory()
    count = run(seconds, arguments.frames or sys.maxsize, seed, memory)
    print(f"seed {seed}: {count} frames, no fault; {memory}")


if __name__ == "__main__":
    main()
