"""Goal: whatever happens to a site, its promises are kept. One seed is one life: two minutes of work under the
faults that the seed draws, then calm, in which everything must settle.

A seed that fails is replayed by `make sim SEED=...`: the same seed is the same life, to the last line of its
trace.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from simulation.faults import drawn
from simulation.judging import judge
from simulation.story import live

TRACES = Path(__file__).resolve().parents[2] / "build" / "simulation"
SHORT_MS = 30_000


def test_a_site_keeps_its_promises(seed: int) -> None:
    lived = live(drawn(seed))
    broken = judge(lived)
    if broken:
        TRACES.mkdir(parents=True, exist_ok=True)
        trace = TRACES / f"seed-{seed}.trace"
        trace.write_text("\n".join(lived.trace))
        told = "\n".join(broken)
        pytest.fail(
            f"seed {seed} broke:\n{told}\nreplay: make sim SEED={seed}\ntrace: {trace}",
            pytrace=False,
        )


@pytest.mark.parametrize("life", [2, 3, 7])
def test_the_same_seed_is_the_same_life(life: int) -> None:
    """In another process too, where hashes are others, and addresses, by another allocator. In life 2 bridges die."""
    first = _told(life, PYTHONHASHSEED="1")
    again = _told(life, PYTHONHASHSEED="2", PYTHONMALLOC="malloc")
    parts = next((n for n, (a, b) in enumerate(zip(first, again, strict=False)) if a != b), None)
    assert parts is None, f"line {parts}: {first[parts]!r}, and then {again[parts]!r}"
    assert len(first) == len(again)


def _told(seed: int, **environment: str) -> list[str]:
    """The trace of a life. How long it takes is the machine's business: only pytest's own patience ends it."""
    program = (
        "import logging; logging.disable();"
        "from simulation.story import live; from simulation.faults import drawn;"
        f"print(*live(drawn({seed}), safety_ms={SHORT_MS}).trace, sep='\\n')"
    )
    tests = str(Path(__file__).resolve().parents[1])
    ran = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": tests, **environment},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines()
