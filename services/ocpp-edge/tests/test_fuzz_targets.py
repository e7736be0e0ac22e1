"""Goal: the fuzz targets run, a bounded number of frames each, and what they look for they would find.

Method: as `make fuzz` runs them, processes of their own, so that the memory looked at is theirs alone.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fuzz.memory import Grew, Memory

FUZZ = Path(__file__).parents[3] / "tests" / "fuzz"
NOT_INSTALLED = 2


def run(target, *options, faulty=False):
    command = [sys.executable, FUZZ / target]
    if faulty:
        planted = (
            "import runpy, sys; from ocpp_edge.adapters import schemas\n"
            "from holdfast.ocpp import frames\n"
            "parse = frames.parse\n"
            "def faulty(text):\n"
            "    parsed = parse(text)\n"
            "    assert getattr(parsed, 'action', '') != 'MeterValues'\n"
            "    return parsed\n"
            "frames.parse = faulty\n"
            "sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
        )
        command = [sys.executable, "-c", planted, FUZZ / target]
    found = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    if found.returncode == NOT_INSTALLED and "atheris is not installed" in found.stderr:
        pytest.skip("atheris has no wheel for this machine")
    return found


def test_frames_by_chance_find_no_fault_and_leave_no_memory_behind():
    found = run("edge_frames.py", "--frames", "9000", "--seed", "7")
    assert found.returncode == 0, found.stderr[-2_000:]
    assert "9000 frames, no fault" in found.stdout


def test_frames_led_by_coverage_find_no_fault(tmp_path):
    found = run("edge_coverage.py", "--frames", "60000", "--seed", "7", "--folder", tmp_path)
    assert found.returncode == 0, found.stderr[-2_000:]
    assert "number_of_executed_units: 6" in found.stderr


@pytest.mark.parametrize("target", ["edge_frames.py", "edge_coverage.py"])
def test_a_fault_that_is_there_is_found(target, tmp_path):
    more = ("--folder", tmp_path) if target == "edge_coverage.py" else ()
    found = run(target, "--frames", "9000", "--seed", "7", *more, faulty=True)
    assert found.returncode not in (0, NOT_INSTALLED)
    assert "AssertionError" in found.stdout + found.stderr


def test_memory_that_grows_is_told():
    memory = Memory(growth_max_mb=20)
    memory.look()
    kept = bytearray(b"x" * 40_000_000)
    with pytest.raises(Grew, match="it may grow by 20 MB"):
        memory.look()
    del kept
