"""Goal: there is no effect after which a crash breaks a promise.

A short story (boot, start, meter, stop, a command, a cut, a session while cut off, the heal) is told once for
each effect in it (append, acknowledgement, commit, frame, stream made): whoever has the n-th dies of it,
before knowing that it is done. `--seeds` says how many of them are told, spread over the whole story; with
`--seeds 2560` all are.
"""

import pytest

from simulation.judging import judge
from simulation.scripted import tell

EFFECTS_MAX = 640
"""A little more than the story has."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "effect" in metafunc.fixturenames:
        told = min(EFFECTS_MAX, max(1, metafunc.config.getoption("--seeds") // 4))
        step = EFFECTS_MAX / told
        metafunc.parametrize("effect", [1 + round(step * number) for number in range(told)])


def test_the_story_has_no_more_effects_than_are_tried() -> None:
    assert EFFECTS_MAX * 0.7 < tell().effects <= EFFECTS_MAX


def test_a_crash_after_this_effect_breaks_no_promise(effect: int) -> None:
    lived = tell(kill_at_effect=effect)
    broken = judge(lived)
    if broken:
        told = "\n".join(broken)
        pytest.fail(f"{lived.killed} (effect {effect}) broke:\n{told}", pytrace=False)
