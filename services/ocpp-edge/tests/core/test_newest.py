"""Goal: of class L the CSMS gets the newest of each key, always in the end and not more often than the bound; it is
answered whatever the disk does, and takes nobody's room.
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.contracts.charge_point import ChargePointSaid, ChargePointSampled
from holdfast.ocpp.versions import OcppVersion
from holdfast.records import replace
from ocpp_edge.domain.newest import CHARACTERS_MAX, EVERY_MS, KEYS_MAX, RECORDING_MAX
from ocpp_edge.domain.state import Policy

FIRMWARE = "FirmwareStatusNotification"


def firmware(bench, status, message_id=None):
    bench.call(FIRMWARE, {"status": status}, message_id or status)
    assert bench.told(message_id or status) == {}


def reads(bench, connector, wh, message_id=None):
    value = {"timestamp": "2025-06-15T15:00:00Z", "sampledValue": [{"value": str(wh)}]}
    message_id = message_id or f"m{connector}-{wh}"
    bench.call("MeterValues", {"connectorId": connector, "meterValue": [value]}, message_id)
    assert bench.told(message_id) == {}


def said(bench):
    return [(one.message_id, one.left_out) for one in bench.facts(ChargePointSaid)]


def test_the_first_is_recorded_at_once_and_of_those_that_follow_the_newest_when_it_is_due(bench):
    for status in ("Downloading", "Downloaded", "Installing"):
        firmware(bench, status)
    assert said(bench) == [("Downloading", 0)]
    bench.tick(EVERY_MS - 1)
    assert said(bench) == [("Downloading", 0)]
    waits = bench.state.waits
    assert [waits(bench.now["mono_ms"] + ms) for ms in (0, 1)] == [False, True]
    bench.tick(1)
    assert said(bench) == [("Downloading", 0), ("Installing", 1)]
    one, other = bench.facts(ChargePointSaid)
    assert (one.key, one.kind) == (other.key, "L")
    bench.tick(EVERY_MS)
    assert len(said(bench)) == 2
    assert not bench.state.live.newest_waiting


def test_how_it_ended_takes_the_place_of_what_waits(bench):
    for status in ("Downloading", "Installing", "Installed"):
        firmware(bench, status)
    bench.tick(10 * EVERY_MS)
    assert [id for id, _ in said(bench)] == ["Downloading", "Installed"]
    assert len({one.key for one in bench.facts(ChargePointSaid)}) == 1


def test_each_connector_is_a_key_of_its_own(bench):
    for connector in (0, 1, 2):
        for wh in (1, 2, 3):
            reads(bench, connector, wh)
    bench.tick(EVERY_MS)
    assert said(bench)[3:] == [(f"m{connector}-3", 1) for connector in (0, 1, 2)]


def test_where_the_rules_thin_it_waits_longer_but_how_things_go_on_does_not(bench):
    bench.policy = replace(Policy(), telemetry_every_ms=60_000)
    for wh in (1, 2):
        reads(bench, 1, wh)
    for status in ("Downloading", "Downloaded"):
        firmware(bench, status)
    bench.tick(EVERY_MS)
    assert [id for id, _ in said(bench)] == ["m1-1", "Downloading", "Downloaded"]
    bench.tick(59_000)
    assert [id for id, _ in said(bench)][3:] == ["m1-2"]


def test_events_about_different_variables_do_not_take_each_others_place(new_bench):
    bench = new_bench()
    bench.connect(OcppVersion.V201)

    def event(name, seq_no):
        about = {
            "eventId": seq_no, "timestamp": "2025-06-15T15:00:00Z", "trigger": "Delta", "actualValue": "1",
            "eventNotificationType": "CustomMonitor", "component": {"name": "C"}, "variable": {"name": name},
        }  # fmt: skip
        payload = {
            "generatedAt": f"2025-06-15T15:00:0{seq_no}Z",
            "seqNo": seq_no,
            "eventData": [about],
        }
        bench.call("NotifyEvent", payload, f"{name}{seq_no}")

    for seq_no in (0, 1, 2):
        for name in ("Power", "Heat"):
            event(name, seq_no)
    bench.tick(EVERY_MS)
    assert said(bench) == [("Power0", 0), ("Heat0", 0), ("Power2", 1), ("Heat2", 1)]


def test_what_waits_is_recorded_though_its_connection_is_gone(bench):
    firmware(bench, "Downloading")
    firmware(bench, "Installing")
    bench.disconnect()
    bench.tick(EVERY_MS)
    assert [id for id, _ in said(bench)] == ["Downloading", "Installing"]


def test_a_journal_in_doubt_is_given_few_of_them_and_the_socket_is_read_on(bench):
    bench.journal_takes = None
    for connector in range(2 * RECORDING_MAX):
        reads(bench, connector, 1)
    live = bench.state.live
    assert (len(live.recording), len(live.newest_waiting)) == (RECORDING_MAX, RECORDING_MAX)
    assert bench.state.has_room
    bench.journal_takes = True
    bench.resolve(stored=True)
    for _ in range(3):
        bench.tick()
    assert len(said(bench)) == 2 * RECORDING_MAX


def test_beyond_the_bound_of_keys_they_are_telemetry(bench):
    for wh in (1, 2):
        for connector in range(3 * KEYS_MAX):
            reads(bench, connector, wh)
    assert len(said(bench)) == KEYS_MAX
    assert len(bench.state.live.newest_waiting) == KEYS_MAX
    sampled = [one for one in bench.telemetry if isinstance(one, ChargePointSampled)]
    replaced = sum(one.left_out for one in bench.state.live.newest_waiting.values())
    assert len(sampled) == 6 * KEYS_MAX - 2 * KEYS_MAX - replaced
    bench.tick(EVERY_MS)
    for _ in range(KEYS_MAX // RECORDING_MAX):  # a few with each look
        bench.tick()
    assert len(said(bench)) == 2 * KEYS_MAX
    assert len(bench.state.live.newest_until) <= KEYS_MAX


def test_what_is_too_long_to_wait_is_recorded_at_once_or_telemetry(bench):
    for wh in ("1", "9" * CHARACTERS_MAX, "2"):
        value = {"timestamp": "2025-06-15T15:00:00Z", "sampledValue": [{"value": wh}]}
        payload = {"connectorId": 1, "meterValue": [value]}
        bench.call("MeterValues", payload, f"m{len(wh)}-{wh[0]}")
    assert [one.message_id for one in bench.telemetry] == [f"m{CHARACTERS_MAX}-9"]
    bench.tick(EVERY_MS)
    assert said(bench) == [("m1-1", 0), ("m1-2", 0)]
    bench.tick(EVERY_MS)
    bench.call("MeterValues", payload | {"meterValue": [value] * 400}, "long")
    assert said(bench)[-1] == ("long", 0)


def test_above_the_soft_storage_limit_they_are_telemetry(bench):
    bench.policy = replace(Policy(), new_sessions=False)
    firmware(bench, "Downloading")
    assert not bench.facts(ChargePointSaid)
    assert [one.message_id for one in bench.telemetry] == ["Downloading"]


@pytest.mark.parametrize("takes", [True, False])
def test_a_restart_forgets_no_more_than_what_waited(bench, takes):
    firmware(bench, "Downloading")
    firmware(bench, "Installing")
    if takes:
        bench.tick(EVERY_MS)
    bench.crash()
    assert [id for id, _ in said(bench)] == ["Downloading", "Installing"][: 1 + takes]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 900)), max_size=40))
def test_the_newest_of_each_key_comes_in_the_end_and_all_are_counted(new_bench, steps):
    bench = new_bench()
    bench.connect()
    newest, count = {}, 0
    for number, (connector, wait_ms) in enumerate(steps):
        reads(bench, connector, number, message_id=f"{number}")
        newest[connector], count = f"{number}", count + 1
        bench.tick(wait_ms)
    bench.tick(EVERY_MS)
    found = {}
    for one in bench.facts(ChargePointSaid):
        found[one.key] = one.message_id
    assert sorted(found.values()) == sorted(newest.values())
    assert sum(1 + left_out for _, left_out in said(bench)) == count
