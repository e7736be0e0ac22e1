"""Goal: the small parts hold what they promise: readings, times, transaction ids, memory, position, registry."""

from __future__ import annotations

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.contracts.envelope import ENVELOPE_BYTES_MAX
from holdfast.contracts.session import SessionMetered
from holdfast.ocpp.moments import moment_ms
from holdfast.settings import ConfigError
from ocpp_edge.domain.dedupe import NEWEST_MAX, Memory
from ocpp_edge.domain.known import Session
from ocpp_edge.domain.readings import energy_readings
from ocpp_edge.domain.running import elsewhere
from ocpp_edge.domain.text import plain, utc_text
from ocpp_edge.domain.transactions import EPOCH_MS, Transactions
from ocpp_edge.position import Position
from ocpp_edge.registry import Registry, hash_password

NOW_MS = 1_750_000_000_000


@pytest.mark.parametrize(
    ("sample", "energy_wh"),
    [
        ({"value": "12"}, 12),
        ({"value": "12.6", "unit": "Wh"}, 13),
        ({"value": "1.2345", "unit": "kWh"}, 1234),
        ({"value": "12", "measurand": "Power.Active.Import"}, None),
        ({"value": "12", "phase": "L1"}, None),
        ({"value": "OCMF|...", "format": "SignedData"}, None),
        ({"value": "n/a"}, None),
        ({"value": "NaN"}, None),
        ({"value": "Infinity"}, None),
        ({"value": "1e999999999"}, None),
        ({"value": "-5"}, -5),
    ],
)
def test_energy_is_the_total_register_in_wh(sample, energy_wh):
    readings = energy_readings([{"timestamp": "t", "sampledValue": [sample]}])
    assert [one.energy_wh for one in readings] == ([] if energy_wh is None else [energy_wh])


def test_readings_are_bounded():
    values = [{"timestamp": "t", "sampledValue": [{"value": "1"}] * 1_000}]
    assert len(energy_readings(values)) == 256


@given(st.integers(0, 4_000_000_000_000))
def test_times_are_written_and_read_back(at_ms):
    assert moment_ms(utc_text(at_ms)) == at_ms


@pytest.mark.parametrize("text", ["", "yesterday", "2025-13-01T00:00:00Z", "9999-99-99"])
def test_what_is_no_time_is_none(text):
    assert moment_ms(text) is None


def test_text_is_fit_for_databases():
    assert plain("a\x00" + "b" * 999) == "a\N{REPLACEMENT CHARACTER}" + "b" * 253


@given(st.lists(st.integers(-10_000_000, 10_000_000), max_size=30))
def test_transaction_ids_only_grow_whatever_the_clock_does(steps_ms):
    transactions, at_ms, given_out = Transactions(), NOW_MS, []
    for step_ms in steps_ms:
        at_ms += step_ms
        given_out.append(transactions.allocate(at_ms))
        assert given_out[-1] <= transactions.highest(at_ms)
    assert given_out == sorted(set(given_out))
    assert all(0 < one < 2**31 for one in given_out)


def test_a_new_life_of_the_disk_does_not_meet_ids_of_the_old_one():
    before = Transactions()
    old = {before.allocate(NOW_MS + 2_000 * n) for n in range(100)}
    after = Transactions()
    assert after.allocate(NOW_MS + 200_000) not in old
    assert max(old) <= after.highest(NOW_MS + 200_000)


def test_an_id_a_charge_point_brought_along_is_not_given_to_another():
    transactions = Transactions()
    taken = (NOW_MS - EPOCH_MS) // 1000
    transactions.owned("CP-1", taken)
    assert transactions.allocate(NOW_MS) == taken + 1


def test_a_mad_clock_does_not_lead_beyond_32_bits():
    assert Transactions().allocate(10**15) < 2**31
    assert Transactions().allocate(0) == 1


@given(st.lists(st.text(max_size=3), max_size=50, unique=True))
def test_memory_keeps_the_newest(keys):
    memory = Memory(limit=5)
    for key in keys:
        memory = memory.remembering(key, key)
    kept = list(memory.all())
    assert kept == keys[-len(kept) :] if kept else not keys
    assert min(5, len(keys)) <= len(kept) <= 5 + NEWEST_MAX
    assert all(memory.get(key) == key for key in kept)


def test_readings_at_times_that_are_none_do_not_fill_a_fact():
    values = [{"timestamp": "\x01" * 255, "sampledValue": [{"value": "1"}] * 300}]
    fact = SessionMetered(
        charge_point="CP-1",
        connector=1,
        session="CP-1/1",
        transaction_id=1,
        readings=energy_readings(values),
        at="\x01" * 255,
        message_id="m",
        raw='\\"' * 32_768,
    )
    assert len(fact.to_bytes()) < ENVELOPE_BYTES_MAX / 2


def test_a_snapshot_stands_below_every_append_on_its_way():
    position = Position(seen=10)
    slow = position.begin()
    quick = position.begin()
    position.end(quick, 12)
    assert position.folded == 10  # the slow one may be 11
    position.saw(15)
    third = position.begin()
    position.end(slow, 11)
    assert position.folded == 15
    position.end(third, None)
    assert position.folded == 15


# --- registry ---


@pytest.fixture
def registry_file(tmp_path):
    path = tmp_path / "charge-points.json"
    path.write_text(json.dumps({"CP-1": {"password_scrypt": hash_password("secret")}}))
    return path


async def test_only_the_right_password_is_right(registry_file):
    registry = Registry(registry_file)
    assert await registry.is_right("CP-1", "secret")
    assert not await registry.is_right("CP-1", "Secret")
    assert not await registry.is_right("CP-2", "secret")
    assert not await registry.is_right("CP-1", "")


async def test_a_storm_of_reconnects_costs_no_scrypt(registry_file, monkeypatch):
    registry = Registry(registry_file)
    assert await registry.is_right("CP-1", "secret")
    monkeypatch.setattr("ocpp_edge.registry.matches", lambda *_: pytest.fail("slow path"))
    assert all(registry.remembers("CP-1", "secret") for _ in range(500))
    assert not registry.remembers("CP-1", "Secret")
    assert not registry.remembers("CP-2", "secret")


async def test_a_changed_password_counts_at_once_and_a_broken_file_changes_nothing(registry_file):
    registry = Registry(registry_file)
    assert await registry.is_right("CP-1", "secret")
    registry_file.write_text(json.dumps({"CP-1": {"password_scrypt": hash_password("other")}}))
    os.utime(registry_file, ns=(1, 1))
    registry.refresh()
    assert not registry.remembers("CP-1", "secret")
    assert not await registry.is_right("CP-1", "secret")
    assert await registry.is_right("CP-1", "other")
    registry_file.write_text("{")
    os.utime(registry_file, ns=(2, 2))
    registry.refresh()
    assert await registry.is_right("CP-1", "other")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"CP-1": {}}',
        '{"CP-1": {"password_scrypt": "plain-secret"}}',
        '{"CP-1": {"security_profile": false}}',
        '{"CP-1": {"security_profile": 3, "next_security_profile": false}}',
        '{"CP-1": {"security_profile": 3, "password_random": "yes"}}',
    ],
)
def test_a_wrong_registry_is_refused_without_showing_what_stands_in_it(tmp_path, text):
    path = tmp_path / "charge-points.json"
    path.write_text(text)
    with pytest.raises(ConfigError) as refused:
        Registry(path)
    assert str(path) in str(refused.value)
    assert "plain-secret" not in str(refused.value)


def test_a_salt_can_be_given():
    assert hash_password("secret", b"salt" * 4) == hash_password("secret", b"salt" * 4)
    assert hash_password("secret") != hash_password("secret")


def open_session(number, driver_token="TAG", connector=1, **more):
    return Session(
        transaction_id=number,
        connector=connector,
        driver_token=driver_token,
        meter_start_wh=0,
        message_id="m",
        at="t",
        started_at_ms=NOW_MS + number,
        **more,
    )


def test_sessions_of_the_same_driver_token_on_other_connectors_are_named():
    sessions = [
        ("CP-1", open_session(1)),
        ("CP-1", open_session(2, "tag", connector=2)),
        ("CP-2", open_session(3, "OTHER")),
        ("CP-3", open_session(4, accepted=False)),
    ]
    found = elsewhere(sessions, "Tag", "CP-1", 1)
    assert [(one.session, one.connector) for one in found] == [("CP-1/2", 2)]
    assert found[0].started_at_ms == NOW_MS + 2
    assert [one.session for one in elsewhere(sessions, "TAG", "CP-9", 1)] == ["CP-1/1", "CP-1/2"]


def test_of_very_many_running_sessions_the_newest_are_named():
    sessions = [(f"CP-{number}", open_session(number)) for number in range(100)]
    found = elsewhere(sessions, "TAG", "CP", 1)
    assert [one.session for one in found] == [f"CP-{n}/{n}" for n in range(68, 100)]
