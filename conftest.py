"""What every test run shares: the options of the simulation, and how Hypothesis explores."""

import os

import pytest
from hypothesis import settings

# CI repeats itself: the same examples every time. A developer's run explores, and shows what it found.
settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)
settings.register_profile("developer", deadline=None, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "developer")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("simulation")
    group.addoption("--seeds", type=int, default=200, metavar="N", help="simulate seeds 0 to N-1")
    group.addoption("--seed", type=int, default=None, metavar="S", help="simulate this seed only")
