"""Goal: a configuration from a hostile or hurried hand is refused with file, field and remedy, exit 2."""

from __future__ import annotations

import json

import pytest

from holdfast_simulators import document, main
from holdfast_simulators.charge_points.body import config

GOOD = {"id": "CP-1", "password": "secret"}


def write(tmp_path, document):
    file = tmp_path / "points.json"
    file.write_text(document if isinstance(document, str) else json.dumps(document))
    return file


def with_point(**fields):
    return {"url": "ws://127.0.0.1:1/ocpp", "charge_points": [GOOD | fields]}


def with_behaviour(**fields):
    return with_point(behaviour=fields)


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ("{", "document"),
        ("[" * 100_000, "document"),
        ([], "document"),
        ({}, "charge_points"),
        ({"url": "ws://h/x", "charge_points": []}, "charge_points"),
        ({"url": "http://h", "charge_points": [GOOD]}, "url"),
        ({"url": "ws://user:word@h", "charge_points": [GOOD]}, "url"),
        ({"url": "ws://h:99999", "charge_points": [GOOD]}, "url"),
        ({"url": 1, "charge_points": [GOOD]}, "url"),
        ({"url": "ws://h", "charge_points": [GOOD, GOOD]}, "charge_points[1].id"),
        ({"url": "ws://h", "charge_points": ["x"]}, "charge_points[0]"),
        ({"url": "ws://h", "charge_points": [{"id": "x"}]}, "charge_points[0].password"),
        (with_point(id="a:b"), "charge_points[0].id"),
        (with_point(id=""), "charge_points[0].id"),
        (with_point(connectors=True), "charge_points[0].connectors"),
        (with_point(connectors=0), "charge_points[0].connectors"),
        (with_point(colour="red"), "charge_points[0].colour"),
        (with_behaviour(power_watt=1), "charge_points[0].behaviour.power_watt"),
        (with_behaviour(power_w="much"), "charge_points[0].behaviour.power_w"),
        (with_behaviour(meter_interval_s=0), "charge_points[0].behaviour.meter_interval_s"),
        (with_behaviour(retry_ids="never"), "charge_points[0].behaviour.retry_ids"),
        (with_behaviour(reconnect_s=[]), "charge_points[0].behaviour.reconnect_s"),
        (with_behaviour(reconnect_s=[1, "2"]), "charge_points[0].behaviour.reconnect_s"),
        (with_behaviour(offline_start=1), "charge_points[0].behaviour.offline_start"),
        ('{"url": "ws://h", "charge_points": [{"id": "x", "password": NaN}]}', "password"),
    ],
)
def test_a_wrong_field_is_named_with_its_file_and_a_remedy(tmp_path, capsys, document, field):
    file = write(tmp_path, document)
    words = ["charge-points", "--config", str(file), "--state", str(tmp_path / "state")]
    assert main.run(words) == 2
    said = capsys.readouterr().err
    assert str(file) in said
    assert field in said


def test_a_missing_file_is_named(tmp_path, capsys):
    words = ["charge-points", "--config", str(tmp_path / "no"), "--state", str(tmp_path)]
    assert main.run(words) == 2
    assert "no: file: No such file" in capsys.readouterr().err


def test_a_password_is_never_shown(tmp_path):
    file = write(tmp_path, with_point(password="hush" * 100))
    with pytest.raises(document.ConfigError) as raised:
        config.load(file)
    assert "hush" not in str(raised.value)


def test_one_back_off_and_a_list_are_both_understood(tmp_path):
    one = config.load(write(tmp_path, with_behaviour(reconnect_s=3)))
    many = config.load(write(tmp_path, with_behaviour(reconnect_s=[1, 2])))
    assert one.charge_points[0].behaviour.reconnect_s == (3,)
    assert many.charge_points[0].behaviour.reconnect_s == (1, 2)


async def test_two_processes_never_are_the_same_charge_points(charge_points, start, tmp_path):
    async with charge_points():
        words = ("--config", tmp_path / "charge-points.json", "--state", tmp_path / "state")
        async with start("charge-points", *words) as second:
            assert await second.process.wait() == 2
