"""Goal: there is no effect after which a crash breaks a promise.

A short story (boot, start, meter, stop, a command, a cut, a session while cut off, the heal) is told once for
each effect in it (append, acknowledgement, commit, frame, stream made): whoever has the n-th dies of it,
before knowing that it is done. `--seeds` says how many of them are told, spread over the whole story; with
`--seeds 2560` all are. Once more the same with a CSMS behind the site, for what its two bridges do.
"""

import pytest

from simulation.judging import judge
from simulation.scripted import tell

EFFECTS_MAX = 640
"""A little more than the story has."""
BRIDGE_EFFECTS_MAX = 44
"""Of the bridges: their records, and frames to the CSMS."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    seeds = metafunc.config.getoption("--seeds")
    for name, effects_max, told in (
        ("effect", EFFECTS_MAX, seeds // 4),
        ("bridge_effect", BRIDGE_EFFECTS_MAX, seeds // 4),
    ):
        if name in metafunc.fixturenames:
            told = min(effects_max, max(1, told))
            step = effects_max / told
            metafunc.parametrize(name, [1 + round(step * number) for number in range(told)])


def test_the_story_has_no_more_effects_than_are_tried() -> None:
    assert EFFECTS_MAX * 0.7 < tell().effects <= EFFECTS_MAX
    assert BRIDGE_EFFECTS_MAX * 0.7 < tell(csms=True).effects <= BRIDGE_EFFECTS_MAX


def test_a_crash_after_this_effect_breaks_no_promise(effect: int) -> None:
    lived = tell(kill_at_effect=effect)
    broken = judge(lived)
    if broken:
        told = "\n".join(broken)
        pytest.fail(f"{lived.killed} (effect {effect}) broke:\n{told}", pytrace=False)


def test_a_crash_of_a_bridge_after_this_effect_breaks_no_promise(bridge_effect: int) -> None:
    lived = tell(kill_at_effect=bridge_effect, csms=True)
    broken = judge(lived)
    if broken:
        told = "\n".join(broken)
        pytest.fail(f"{lived.killed} (effect {bridge_effect}) broke:\n{told}", pytrace=False)
