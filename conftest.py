"""Options of the simulation; here, so that a run of all tests knows them too."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("simulation")
    group.addoption("--seeds", type=int, default=200, metavar="N", help="simulate seeds 0 to N-1")
    group.addoption("--seed", type=int, default=None, metavar="S", help="simulate this seed only")
