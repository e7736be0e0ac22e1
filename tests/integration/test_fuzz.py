"""Goal: frames at random neither end the shipped process nor keep an honest charge point from being served.

Method: `tests/fuzz/edge_service.py`, a few seconds of it. A million frames,
with bounds on memory and waiting: make fuzz.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

FUZZ = Path(__file__).parents[1] / "fuzz" / "edge_service.py"
A_BUSY_MACHINE_MS = "20000"


@pytest.mark.processes
def test_frames_at_random_harm_no_shipped_process():
    options = ("--frames", "3000", "--seed", "7", "--p99-ms", A_BUSY_MACHINE_MS)
    found = subprocess.run(
        [sys.executable, FUZZ, *options], capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, (found.stdout + found.stderr)[-3_000:]
    assert "no crash" in found.stdout
