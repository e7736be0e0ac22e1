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


@pytest.mark.parametrize("life", [3, 7])
def test_the_same_seed_is_the_same_life(life: int) -> None:
    """In another process too, where hashes and addresses are others."""
    told = {_fingerprint(life, hash_seed) for hash_seed in ("1", "2")}
    assert len(told) == 1


def _fingerprint(seed: int, hash_seed: str) -> str:
    program = (
        "import logging; logging.disable();"
        "from simulation.story import live; from simulation.faults import drawn;"
        f"print(live(drawn({seed}), safety_ms={SHORT_MS}).fingerprint)"
    )
    tests = str(Path(__file__).resolve().parents[1])
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": tests}
    ran = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    return ran.stdout.strip()
