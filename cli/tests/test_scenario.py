"""Scenarios are hostile until validated: each error names file, field and remedy."""

from importlib.resources import files
from pathlib import Path

import pytest
import yaml

from holdfast_cli.drill.scenario import ScenarioError, load_scenario

SHIPPED = sorted(
    Path(str(it))
    for it in (files("holdfast_cli") / "scenarios").iterdir()
    if str(it).endswith(".yaml")
)
GOOD = {
    "name": "small",
    "summary": "one",
    "charge_points": [{"id": "CP-01"}],
    "steps": [{"at_s": 1, "do": "cut", "how": "reset"}, {"at_s": 0, "do": "heal"}],
}


def written(tmp_path: Path, **changes: object) -> Path:
    path = tmp_path / "it.yaml"
    path.write_text(yaml.safe_dump({**GOOD, **changes}))
    return path


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_scenarios_are_valid_and_named_like_their_file(path: Path):
    assert load_scenario(path).name == path.stem


def test_steps_are_played_in_order_of_time(tmp_path: Path):
    assert [step.do for step in load_scenario(written(tmp_path)).ordered] == ["heal", "cut"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"steps": [{"at_s": 1, "do": "dance"}]}, "steps.0"),
        ({"steps": [{"at_s": -1, "do": "heal"}]}, "steps.0.heal.at_s"),
        ({"steps": [{"at_s": 1, "do": "heal", "how": "well"}]}, "steps.0.heal.how"),
        ({"steps": [{"at_s": 1, "do": "stop", "charge_point": "CP-99"}]}, "CP-99"),
        ({"steps": []}, "steps"),
        ({"charge_points": [{"id": "X"}]}, "CP-01"),
        ({"name": "../up"}, "name"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_wrong_field_is_named(tmp_path: Path, changes: dict[str, object], field: str):
    path = written(tmp_path, **changes)
    with pytest.raises(ScenarioError) as error:
        load_scenario(path)
    assert str(path) in str(error.value)
    assert field in str(error.value)


@pytest.mark.parametrize("text", ["[", "\x00", "- - -", "a: &a [*a]"])
def test_what_is_no_scenario_is_refused_with_its_path(tmp_path: Path, text: str):
    path = tmp_path / "it.yaml"
    path.write_text(text)
    with pytest.raises(ScenarioError, match=str(path)):
        load_scenario(path)


def test_a_missing_file_says_which_option_to_give(tmp_path: Path):
    with pytest.raises(ScenarioError, match="--scenario FILE"):
        load_scenario(tmp_path / "none.yaml")
