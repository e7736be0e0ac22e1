"""Goal: between charge points and central system nothing is lost, doubled, changed or invented unseen.

Method: charge points run straight against the simulated central system; both ledgers are then equal. Each
difference is planted in the central system's, and found as what it is and as nothing else.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import pytest

from holdfast_simulators.oracle import csms, csms_ledger, ledger
from holdfast_simulators.oracle.account import CannotJudge, NamedGap

CENTRAL = {"tokens": {"TOKEN": "Accepted"}}
QUICK = {"meter_interval_s": 0.1, "reconnect_s": 0.05, "power_w": 600_000}


@pytest.fixture
def play(start, central, tmp_path):
    """A function that has a charge point run two sessions against a central system of some kind."""

    async def playing(behaviour=None, **config):
        async with central(**(CENTRAL | config)) as (program, port):
            point = {"id": "CP-1", "password": "x", "connectors": 2}
            point["behaviour"] = QUICK | (behaviour or {})
            file = tmp_path / "points.json"
            url = f"ws://127.0.0.1:{port}/ocpp"
            file.write_text(json.dumps({"url": url, "charge_points": [point]}))
            words = ("--config", file, "--state", tmp_path / "state")
            async with start("charge-points", *words) as points:
                await points.event("online")
                for connector in (1, 2):
                    where = {"charge_point": "CP-1", "connector": connector}
                    await points.tell("plug", **where, driver_token="TOKEN")
                    await points.event("session-started")
                await points.event("transaction-id")
                if behaviour is None:
                    await _until_metered(program)
                await points.ask("quiesce", "all-quiesced")

    return playing


async def _until_metered(program):
    while True:
        [point] = (await program.ask("status", "status"))["charge_points"]
        if point["counts"].get("MeterValues", 0) >= 4:
            return


@pytest.fixture
def judged(tmp_path):
    """A function to the judgement; `gap` covers every moment."""

    def judging(gap=False):
        gaps = (
            NamedGap(incarnation="a", from_seq=1, to_seq=9, from_ms=0, to_ms=None, cause="wiped"),
        )
        truth = ledger.read(tmp_path / "state")
        return csms.judge(truth, csms_ledger.read(tmp_path / "csms.db"), gaps if gap else ())

    return judging


@pytest.fixture
async def spoil(play, tmp_path):
    """After two whole sessions: a function that changes the ledger of `central` or `point`."""
    await play()
    files = {"central": tmp_path / "csms.db", "point": tmp_path / "state" / "CP-1.db"}

    def spoiling(statement, *values, whose="central"):
        with closing(sqlite3.connect(files[whose])) as db, db:
            assert db.execute(statement, values).rowcount > 0, "the plant must take root"

    return spoiling


def kinds(verdict):
    return [one["kind"] for one in verdict.differences]


async def test_a_charge_point_straight_at_the_central_system_agrees_with_it(play, judged):
    await play()
    verdict = judged()
    assert verdict.differences == []
    assert (verdict.transactions, verdict.oracle_transactions) == (2, 2)
    said = verdict.meter_values
    assert said["acknowledged"] == said["received"] > 0
    assert (said["missing"], said["repeated"], verdict.doubled_connections) == (0, 0, 0)


async def test_lost_answers_and_retries_leave_one_transaction_each(play, judged):
    behaviour = {"call_timeout_s": 0.2, "retry_interval_s": 0.01, "retry_ids": "new"}
    lost = [{"action": one} for one in ("StartTransaction", "MeterValues", "StopTransaction")]
    await play(behaviour, quirks={"lose_answer": lost})
    verdict = judged()
    assert verdict.differences == []
    assert verdict.transactions == 2
    assert verdict.meter_values["repeated"] == 1


async def test_without_deduplication_a_retried_start_is_doubled(play, judged):
    behaviour = {"call_timeout_s": 0.2, "retry_interval_s": 0.01}
    quirks = {"lose_answer": {"action": "StartTransaction"}, "dedupe": "none"}
    await play(behaviour, quirks=quirks)
    verdict = judged()
    assert kinds(verdict) == ["doubled"]
    assert (verdict.transactions, verdict.oracle_transactions) == (3, 2)


def test_space_and_transaction_id_are_no_content(spoil, judged):
    spoil("UPDATE transactions SET start_payload = replace(start_payload, ',', ' ,  ')")
    spoil("UPDATE transactions SET stop_payload = replace(stop_payload, '100000', '55')")
    spoil("UPDATE meter_value SET payload = replace(payload, '100000', '55')")
    assert judged().differences == []


def test_a_missing_transaction_is_said_once_with_its_readings_counted(spoil, judged):
    spoil("DELETE FROM meter_value WHERE transaction_id = 1000001")
    spoil("DELETE FROM transactions WHERE id = 1000001")
    verdict = judged()
    assert kinds(verdict) == ["missing"]
    assert verdict.differences[0]["action"] == "StartTransaction"
    assert verdict.meter_values["missing"] > 0
    in_gap = judged(gap=True)
    assert (in_gap.differences, in_gap.meter_values["missing"]) == ([], 0)
    assert [one["cause"] for one in in_gap.in_named_gaps] == ["wiped"]


def test_a_doubled_transaction_is_found(spoil, judged):
    columns = "charge_point, connector, id_tag, meter_start, started_at, start_message_id, "
    columns += "start_payload, status, start_arrived_ms"
    spoil(f"INSERT INTO transactions (id, {columns}) SELECT 7, {columns} FROM transactions LIMIT 1")
    assert kinds(judged()) == ["doubled"]
    assert judged().transactions == 3


def test_an_unfinished_transaction_is_found_and_why(spoil, judged):
    spoil(
        "INSERT INTO failed (charge_point, action, message_id, payload, reason, arrived_ms) "
        "SELECT charge_point, 'StopTransaction', 'm', stop_payload, 'not today', 0 "
        "FROM transactions WHERE id = 1000002"
    )
    spoil("UPDATE transactions SET meter_stop = NULL, stop_payload = NULL WHERE id = 1000002")
    [difference] = judged().differences
    assert difference["kind"] == "unfinished"
    assert difference["what"].endswith("not today")
    assert kinds(judged(gap=True)) == []


@pytest.mark.parametrize(
    ("column", "field", "value"),
    [
        ("start_payload", "meterStart", 5_000_000),
        ("start_payload", "idTag", "OTHER"),
        ("stop_payload", "meterStop", 5_000_000),
        ("stop_payload", "reason", "Other"),
        ("stop_payload", "timestamp", "2026-01-01T00:00:00Z"),
    ],
)
def test_a_field_that_differs_is_named_with_both_values(spoil, judged, column, field, value):
    spoil(
        f"UPDATE transactions SET {column} = json_set({column}, ?, ?) WHERE id = 1000001",
        f"$.{field}",
        value,
    )
    [difference] = judged().differences
    assert (difference["kind"], difference["field"]) == ("differs", field)
    assert difference["csms"] == value
    assert difference["true"] not in (None, value)


@pytest.mark.parametrize("what", ["transaction", "stop", "reading", "failed stop"])
def test_what_no_charge_point_ever_sent_is_invented(spoil, judged, what):
    other = '\'{"connectorId":9,"meterStart":1,"meterStop":3,"idTag":"X","timestamp":"2020"}\''
    match what:
        case "transaction":
            spoil(
                "INSERT INTO transactions (id, charge_point, connector, id_tag, meter_start, "
                "started_at, start_message_id, start_payload, status, start_arrived_ms) "
                f"VALUES (9, 'CP-1', 9, 'X', 1, '2020', 'm', {other}, 'Accepted', 0)"
            )
        case "stop":
            spoil("DELETE FROM acknowledged WHERE action = 'StopTransaction'", whose="point")
        case "reading":
            spoil(
                "INSERT INTO meter_value (transaction_id, charge_point, message_id, payload, "
                f"arrived_ms) VALUES (1000001, 'CP-1', 'm', {other}, 0)"
            )
        case _:
            spoil(
                "INSERT INTO failed (charge_point, action, message_id, payload, reason, "
                f"arrived_ms) VALUES ('CP-1', 'StopTransaction', 'm', {other}, 'second', 0)"
            )
    assert set(kinds(judged())) == {"invented"}


def test_a_missing_reading_is_found(spoil, judged):
    spoil("DELETE FROM meter_value WHERE n = 2")
    verdict = judged()
    assert kinds(verdict) == ["missing"]
    assert verdict.differences[0]["action"] == "MeterValues"
    assert verdict.meter_values["missing"] == 1
    assert judged(gap=True).meter_values["missing"] == 0


def test_a_reading_under_another_transaction_is_misfiled(spoil, judged):
    spoil("UPDATE meter_value SET transaction_id = 2000003 - transaction_id WHERE n = 1")
    assert kinds(judged()) == ["misfiled"]


def test_a_reading_kept_twice_is_counted_and_no_difference(spoil, judged):
    spoil(
        "INSERT INTO meter_value (transaction_id, charge_point, message_id, payload, arrived_ms) "
        "SELECT transaction_id, charge_point, message_id, payload, 0 FROM meter_value LIMIT 1"
    )
    verdict = judged()
    assert verdict.differences == []
    assert verdict.meter_values["repeated"] == 1


def test_a_start_that_the_charge_point_gave_up_is_told_apart(spoil, judged):
    spoil(
        "INSERT INTO discarded (action, session, payload, why, attempts, at_ms) "
        "SELECT action, session, payload, 'no answer', 3, 0 FROM acknowledged "
        "WHERE action = 'StartTransaction' LIMIT 1",
        whose="point",
    )
    spoil("DELETE FROM acknowledged WHERE seq = (SELECT min(seq) FROM acknowledged "
          "WHERE action = 'StartTransaction')", whose="point")  # fmt: skip
    verdict = judged()
    assert verdict.differences == []
    assert (verdict.transactions, verdict.oracle_transactions) == (2, 1)
    assert len(verdict.start_never_acknowledged) == 1


def test_other_peoples_charge_points_are_not_judged(spoil, judged):
    for table in ("transactions", "meter_value"):
        spoil(f"UPDATE {table} SET charge_point = 'CP-9' WHERE charge_point = 'CP-1'")
    verdict = judged()
    assert (verdict.transactions, verdict.meter_values["received"]) == (0, 0)
    assert kinds(verdict) == ["missing", "missing"]


def test_two_connections_at_once_are_counted_and_no_difference(spoil, judged):
    spoil("INSERT INTO doubled (at_ms, charge_point, connections) VALUES (0, 'CP-1', 2)")
    assert (judged().doubled_connections, judged().differences) == (1, [])


def test_what_is_no_ledger_cannot_be_judged(tmp_path):
    (tmp_path / "csms.db").write_text("nothing")
    for file in ("csms.db", "nowhere.db"):
        with pytest.raises(CannotJudge, match=file):
            csms_ledger.read(tmp_path / file)
