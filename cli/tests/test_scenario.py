"""Scenarios are hostile until validated: each error names file, field and remedy."""

from importlib.resources import files
from pathlib import Path

import pytest
import yaml

from holdfast_cli.drill import bridge
from holdfast_cli.drill.scenario import ScenarioError, load_scenario, shipped

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

PLUG = {"at_s": 1, "do": "plug", "charge_point": "CP-01", "driver_token": "DRIVER-01"}
COMMAND = {
    "at_s": 1, "do": "command", "id": "c1", "charge_point": "CP-01", "action": "Reset",
    "payload": {"type": "Soft"}, "deadline_s": 3,
}  # fmt: skip


CALL = {
    "at_s": 1, "do": "csms-call", "id": "k1", "charge_point": "CP-01", "action": "Reset",
    "payload": {"type": "Soft"},
}  # fmt: skip


BUNDLE = {"at_s": 1, "do": "publish-rules", "id": "newer"}
BARE_CALL = {key: value for key, value in CALL.items() if key != "payload"}


def quirk(**fields: object) -> dict[str, object]:
    return {"at_s": 1, "do": "csms-quirk", "quirk": fields}


def behaving(**behaviour: object) -> dict[str, object]:
    return {"id": "CP-01", "behaviour": behaviour}


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
        ({"colour": "red"}, "colour: there is no such field"),
        ({"charge_points": "CP-01"}, "charge_points: must be a list"),
        ({"charge_points": ["CP-01"]}, "charge_points.0: must be a mapping such as"),
        ({"charge_points": [behaving(colour=1)]}, "behaviour.colour"),
        ({"charge_points": [behaving(power_w="much")]}, "behaviour.power_w"),
        ({"charge_points": [behaving(attempts=None)]}, "attempts must not be null"),
        ({"charge_points": [behaving(retry_ids="other")]}, "behaviour.retry_ids"),
        ({"charge_points": [behaving(reconnect_s=[])]}, "behaviour.reconnect_s"),
        ({"steps": [{"at_s": 1, "do": "kill", "process": "site/wan"}]}, "use one of site/nats"),
        ({"steps": [{"at_s": 1, "do": "kill", "process": "cloud/ocpp-edge"}]}, "kill.process"),
        ({"steps": ["heal"]}, "steps.0: must be a mapping such as"),
        ({"steps": [{**PLUG, "connector": 2}]}, "steps.0.connector: CP-01 has 1"),
        ({"steps": [{**COMMAND, "action": "Explode"}]}, "steps.0.command.action"),
        ({"steps": [{**COMMAND, "id": "a b"}]}, "steps.0.command.id"),
        ({"steps": [COMMAND, COMMAND]}, "two commands have the id"),
        ({"expect": {"dispositions": {"c9": "delivered"}}}, "c9"),
        ({"expect": {"reasons": {"c9": "late"}}}, "expect.reasons"),
        ({"steps": [{"at_s": 1, "do": "command-word", "id": "c9", "word": "confirm"}]}, "c9"),
        ({"steps": [{"at_s": 1, "do": "command-word", "id": "c9", "word": "shout"}]}, "word"),
        ({"steps": [{**COMMAND, "transaction_of": "CP-01/2"}]}, "steps.0.transaction_of"),
        ({"steps": [{**CALL, "transaction_of": "CP-1"}]}, "csms-call.transaction_of"),
        ({"expect": {"modes": ["offline"]}}, "expect.modes.0"),
        ({"rules": {"modes": {"speed": 1}}}, "modes.speed"),
        ({"csms": {"kind": "mine"}}, "csms.kind"),
        ({"csms": {"colour": "red"}}, "csms.colour: there is no such field"),
        ({"csms": "steve"}, "csms: must be a mapping such as"),
        ({"bridge": {"speed": 1}}, "speed"),
        ({"bridge": {"lease_ms": 1_000}}, "three beats"),
        ({"bridge": {"backends_file": "mine.yaml"}}, "backends_file: is provisioned"),
        ({"steps": [{"at_s": 1, "do": "csms-down", "for_s": 3}]}, "csms-down.for_s"),
        ({"steps": [{"at_s": 1, "do": "csms-quirk", "quirk": "slow"}]}, "csms-quirk.quirk"),
        ({"steps": [quirk(action="StartTransaction")]}, "must have a name"),
        ({"steps": [quirk(name="lose_answer", charge_point="CP-09")]}, "CP-09"),
        ({"steps": [quirk(name="slow")]}, "csms-quirk.quirk: name: there is no quirk 'slow'"),
        ({"steps": [quirk(name="ignore", action=5)]}, "csms-quirk.quirk: action: "),
        ({"steps": [{**CALL, "charge_point": "CP-09"}]}, "CP-09"),
        ({"steps": [{**CALL, "payload": None}]}, "csms-call.payload"),
        ({"steps": [CALL, CALL]}, "two csms-calls have the id 'k1'"),
        ({"steps": [BARE_CALL, BARE_CALL]}, "two csms-calls have the id 'k1'"),
        ({"expect": {"csms_answers": {"k9": "Accepted"}}}, "k9"),
        ({"steps": [{"at_s": 1, "do": "kill", "process": "csms"}]}, "there is no process 'csms'"),
        (
            {"steps": [{"at_s": 1, "do": "kill", "process": "cloud/nats", "for_s": -1}]},
            "kill.for_s",
        ),
        ({"steps": [{**BUNDLE, "how": "evil"}]}, "publish-rules.how"),
        ({"steps": [BUNDLE, BUNDLE]}, "two publish-rules have the id 'newer'"),
        ({"steps": [{**BUNDLE, "how": "older"}]}, "a higher version than 1"),
        ({"steps": [{**BUNDLE, "rules": {"modes": {"speed": 1}}}]}, "modes.speed"),
        ({"expect": {"rules": {"refused": {"forged": "altered"}}}}, "forged"),
        ({"expect": {"rules": {"activated": {"newer": ["offline"]}}}}, "expect.rules.activated"),
        ({"expect": {"rules": "none"}}, "expect.rules: must be a mapping such as"),
        ({"like": ["standard"]}, "like"),
        (
            {"steps": [{"at_s": 1, "do": "cut", "how": "reset", "after_answers": ["k9"]}]},
            "no csms-call has the id 'k9'",
        ),
    ],
)
def test_a_wrong_field_is_named(tmp_path: Path, changes: dict[str, object], field: str):
    path = written(tmp_path, **changes)
    with pytest.raises(ScenarioError) as error:
        load_scenario(path)
    assert str(path) in str(error.value)
    assert field in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["standard", "black-hole", "one-way", "flapping"])
def test_whatever_stands_for_a_cut_comes_after_the_same_answers(name: str):
    steps = load_scenario(shipped()[name]).ordered
    (awaited,) = [step.after_answers for step in steps if step.do in ("cut", "flap")]
    assert awaited == ("csms-ask-cp03", "csms-limit-cp06")


@pytest.mark.parametrize("text", ["[", "\x00", "- - -", "a: &a [*a]"])
def test_what_is_no_scenario_is_refused_with_its_path(tmp_path: Path, text: str):
    path = tmp_path / "it.yaml"
    path.write_text(text)
    with pytest.raises(ScenarioError, match=str(path)) as error:
        load_scenario(path)
    assert "\n" not in str(error.value)


def test_broken_yaml_is_said_with_its_line(tmp_path: Path):
    path = tmp_path / "it.yaml"
    path.write_text("name: a\nsummary: [b\nsteps: c\n")
    with pytest.raises(ScenarioError, match="line 3: "):
        load_scenario(path)


def test_a_file_that_is_no_mapping_is_told_what_it_must_have(tmp_path: Path):
    path = tmp_path / "it.yaml"
    path.write_text("")
    with pytest.raises(ScenarioError, match="must be a mapping with name, summary"):
        load_scenario(path)


def test_only_the_behaviour_that_was_given_reaches_the_simulator(tmp_path: Path):
    scenario = load_scenario(written(tmp_path, charge_points=[behaving(ping_s=None, power_w=7)]))
    assert scenario.charge_points[0].model_dump()["behaviour"] == {"ping_s": None, "power_w": 7}


def test_only_what_a_scenario_says_of_the_csms_is_laid_over_its_configuration(tmp_path: Path):
    assert load_scenario(written(tmp_path)).csms.given() == {}
    scenario = load_scenario(written(tmp_path, csms={"quirks": {"black_hole": True}}))
    assert scenario.csms.given() == {"quirks": {"black_hole": True}}


def test_a_drill_s_bridge_is_quick_and_a_scenario_s_word_on_it_counts(tmp_path: Path):
    scenario = load_scenario(written(tmp_path, bridge={"answer_ms": 500}))
    settings = bridge.laid_over(scenario.bridge)
    assert settings == {**bridge.TIMES, "answer_ms": 500}


def test_every_step_says_what_it_does(tmp_path: Path):
    steps = [
        *({"at_s": 1, "do": f"csms-{it}"} for it in ("down", "up", "restart", "calm")),
        quirk(name="lose_answer", charge_point="*", count=2), CALL,
        {"at_s": 1, "do": "kill", "process": "cloud/csms-bridge-2", "for_s": 9},
    ]  # fmt: skip
    said = [step.sentence() for step in load_scenario(written(tmp_path, steps=steps)).ordered]
    assert said == [
        "the CSMS goes down",
        "the CSMS is up again",
        "the CSMS restarts",
        "the CSMS behaves again",
        "the CSMS from now on: lose_answer (charge_point *, count 2)",
        "the CSMS sends Reset to CP-01 (k1)",
        "SIGKILL to cloud/csms-bridge-2, and it stays dead for 9 s",
    ]


def test_a_missing_file_says_which_option_to_give(tmp_path: Path):
    with pytest.raises(ScenarioError, match="--scenario FILE"):
        load_scenario(tmp_path / "none.yaml")


@pytest.mark.parametrize("name", sorted(shipped().keys() - {"thinning"}))
def test_every_shipped_scenario_has_charge_points_of_each_version(name: str):
    """`thinning` is about TransactionEvents, which 1.6 does not have."""
    charge_points = load_scenario(shipped()[name]).charge_points
    assert {it.version for it in charge_points} == {"1.6", "2.0.1", "2.1"}
    assert {1, 2} <= {it.security_profile for it in charge_points}
