"""One test per seed: each stands alone, and is spread over the machine's cores."""

import pytest


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" in metafunc.fixturenames:
        one = metafunc.config.getoption("--seed")
        every = range(metafunc.config.getoption("--seeds"))
        metafunc.parametrize("seed", [one] if one is not None else every)
