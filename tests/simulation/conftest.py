"""One test per seed: each stands alone, and is spread over the machine's cores."""

from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" in metafunc.fixturenames:
        one = metafunc.config.getoption("--seed")
        every = range(metafunc.config.getoption("--seeds"))
        metafunc.parametrize("seed", [one] if one is not None else every)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With `--seed` that life is told again, and nothing else of the simulation."""
    if config.getoption("--seed") is None:
        return
    others = [
        item
        for item in items
        if item.path.is_relative_to(HERE) and "seed" not in getattr(item, "fixturenames", ())
    ]
    config.hook.pytest_deselected(items=others)
    items[:] = [item for item in items if item not in others]
