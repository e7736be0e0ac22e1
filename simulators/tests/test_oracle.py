"""Goal: the judge finds what was planted (a loss, a duplicate, wrong energy, a stale command) and nothing else.

Method: a ledger written by a real run of charge points, and an account of it, good or spoilt, served
over HTTP to the shipped process.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from holdfast_simulators.csms import rows

PAGE = 3
"""Entries on a page: small, so that paging is always at work."""


@pytest.fixture
async def truth(csms, charge_points, ledger):
    """Two whole sessions, one of them stopped remotely."""
    async with charge_points() as program:
        await program.event("online")
        for connector in (1, 2):
            await program.tell(
                "plug", charge_point="CP-1", connector=connector, driver_token="TOKEN"
            )
            await program.event("transaction-id")
        await csms.until(lambda: len(csms.of("MeterValues")) >= 4)
        stop = {"transactionId": 101}
        assert await csms.order("CP-1", "RemoteStopTransaction", stop) == {"status": "Accepted"}
        await program.tell("quiesce")
        await program.event("all-quiesced")
    return ledger


@pytest.fixture
def account(truth):
    """What an honest product would say."""
    types = {"StartTransaction": "session.started", "MeterValues": "session.metered"}
    bodies = [
        (
            types.get(one["action"], "session.stopped"),
            {
                "charge_point": "CP-1",
                "message_id": one["message_id"],
                "action": one["action"],
                "raw": one["payload"],
            },
        )
        for one in truth("SELECT * FROM acknowledged WHERE session IS NOT NULL ORDER BY seq")
    ]
    [ordered] = truth("SELECT * FROM command")
    command = {"id": "c-1", "deadline_ms": ordered["at_ms"] + 1_000}
    sent = {"charge_point": "CP-1", "message_id": ordered["message_id"], "command": command}
    bodies.append(("command.dispatched", sent))
    settled = {"charge_point": "CP-1", "command": command, "disposition": "delivered"}
    bodies.append(("command.settled", settled))
    return {
        "events": [
            {
                "incarnation": "a",
                "seq": seq,
                "subject": "hf.s.journal.x",
                "id": f"fact-{seq}",
                "type": kind,
                "at_ms": 0,
                "source": "ocpp-edge",
                "cause": None,
                "body": body,
            }
            for seq, (kind, body) in enumerate(bodies, start=1)
        ],
        "sessions": [
            {
                "session": f"CP-1/{one['transaction_id']}",
                "charge_point": "CP-1",
                "connector": one["connector"],
                "transaction_id": one["transaction_id"],
                "state": "stopped",
                "meter_start_wh": one["meter_start_wh"],
                "meter_stop_wh": one["meter_stop_wh"],
                "energy_wh": one["meter_stop_wh"] - one["meter_start_wh"],
                "started_at": "",
                "stopped_at": "",
            }
            for one in truth("SELECT * FROM session ORDER BY number")
        ],
        "gaps": [],
    }


@contextmanager
def served(account, credential=None):
    """The product's API over real HTTP."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            parts = urlsplit(self.path)
            kind = parts.path.removeprefix("/api/sites/hof%201/")
            if credential and self.headers["Authorization"] != f"Bearer {credential}":
                self.send_error(401)
            elif parts.path == "/api/sites":
                self.page({"sites": [{"site": "hof 1"}]})
            elif kind not in account:
                self.send_error(404)
            else:
                after = int(parse_qs(parts.query).get("after", ["0"])[0])
                entries = account[kind]
                following = str(after + PAGE) if after + PAGE < len(entries) else None
                self.page({kind: entries[after : after + PAGE], "next": following})

        def page(self, document):
            body = json.dumps(document).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def verdict(start, tmp_path):
    """A function from an account and the exit code expected to what the shipped judge says."""

    async def judging(account, expected, *words):
        with served(account) as api:
            folder = tmp_path / "state"
            async with start("oracle", "--state", folder, "--api", api, *words) as program:
                async with asyncio.timeout(60):
                    text = await program.process.stdout.read()
                    assert await program.process.wait() == expected, text
        return json.loads(text) if text else None

    return judging


async def test_an_honest_account_is_clean(account, truth, verdict):
    said = await verdict(account, 0, "--site", "hof 1")
    assert said["clean"]
    assert said["acknowledged_events"] == len(account["events"]) - 2
    assert said["sessions"] == {"started": 2, "stopped": 2, "matched": 2}
    assert said["charge_point_energy_wh"] == said["recorded_energy_wh"] > 0
    assert said == await verdict(account, 0), "without --site the API is asked for the sites"


async def test_a_planted_loss_is_found(account, verdict):
    lost = account["events"].pop(1)
    said = await verdict(account, 1)
    assert [one["message_id"] for one in said["lost"]] == [lost["body"]["message_id"]]
    assert any("missing from 2 to 2" in one for one in said["unexplained"])


async def test_a_loss_in_a_named_gap_is_told_apart(account, truth, verdict):
    lost = account["events"].pop(1)
    [row] = [
        one
        for one in truth("SELECT * FROM acknowledged")
        if one["message_id"] == lost["body"]["message_id"]
    ]
    account["gaps"] = [
        {
            "incarnation": "a",
            "from_seq": 2,
            "to_seq": 2,
            "from_ms": row["acked_at_ms"],
            "to_ms": row["acked_at_ms"],
            "cause": "disk wiped",
        }
    ]
    said = await verdict(account, 0)
    assert said["lost"] == []
    assert [one["cause"] for one in said["lost_in_named_gaps"]] == ["disk wiped"]


async def test_a_planted_duplicate_fact_is_found(account, verdict):
    again = {**account["events"][0], "seq": len(account["events"]) + 1, "id": "other"}
    account["events"].append(again)
    said = await verdict(account, 1)
    assert len(said["duplicated_effects"]) == 1


async def test_a_redelivery_of_one_fact_is_no_duplicate(account, verdict):
    account["events"].append({**account["events"][0], "seq": len(account["events"]) + 1})
    account["events"].append(account["events"][0])
    assert (await verdict(account, 0))["duplicated_effects"] == []


async def test_a_session_recorded_twice_is_found(account, verdict):
    twin = {**account["sessions"][0], "transaction_id": 999, "session": "CP-1/999"}
    account["sessions"].append(twin)
    said = await verdict(account, 1)
    assert said["duplicated_effects"] == ["hof 1: CP-1/999 is another session once more"]


async def test_a_planted_energy_difference_is_found(account, verdict):
    account["sessions"][0]["energy_wh"] += 1
    [difference] = (await verdict(account, 1))["energy_differences"]
    assert difference["transaction_id"] == 101
    assert difference["recorded_wh"] == difference["true_wh"] + 1


async def test_a_session_that_is_missing_or_invented_is_unexplained(account, verdict):
    account["sessions"][0] |= {"charge_point": "CP-1", "transaction_id": 5, "meter_start_wh": 7}
    said = await verdict(account, 1)
    assert said["sessions"]["matched"] == 1
    assert any("acknowledged in full, not recorded" in one for one in said["unexplained"])
    assert any("no charge point had this session" in one for one in said["unexplained"])


async def test_a_fact_that_was_never_sent_is_unexplained(account, verdict):
    account["events"][0]["body"]["raw"] = account["events"][0]["body"]["raw"] + " "
    assert (await verdict(account, 0))["clean"], "space around the payload is not content"
    account["events"][0]["body"]["raw"] = '{"connectorId":1}'
    said = await verdict(account, 1)
    assert any("never sent this StartTransaction" in one for one in said["unexplained"])


@pytest.mark.parametrize("how", ["late", "expired"])
async def test_a_stale_command_is_found(account, verdict, how):
    if how == "late":
        account["events"][-2]["body"]["command"]["deadline_ms"] -= 2_000
    else:
        account["events"][-1]["body"]["disposition"] = how
    assert (await verdict(account, 1))["stale_commands_executed"] == 1


async def test_a_command_that_nobody_says_was_sent_is_found(account, verdict):
    account["events"][-2]["body"]["message_id"] = "another"
    said = await verdict(account, 1)
    assert said["stale_commands"] == [
        "CP-1: RemoteStopTransaction was executed, no fact says that it was sent"
    ]


async def test_a_session_that_never_got_an_id_is_matched_by_its_readings(
    account, verdict, tmp_path
):
    with closing(sqlite3.connect(tmp_path / "state" / "CP-1.db")) as db, db:
        db.execute(
            "UPDATE session SET transaction_id = NULL, start_acked_at_ms = NULL WHERE number = 1"
        )
    said = await verdict(account, 0)
    assert said["sessions"]["matched"] == 2


async def test_a_queue_that_is_not_empty_is_said(account, verdict, tmp_path):
    with closing(sqlite3.connect(tmp_path / "state" / "CP-1.db")) as db, db:
        db.execute(
            "INSERT INTO queue (action, session, fields) VALUES ('StopTransaction', '1-1', '{}')"
        )
    assert any("quiesce" in one for one in (await verdict(account, 1))["unexplained"])


async def test_without_an_account_or_a_ledger_there_is_no_verdict(
    account, verdict, tmp_path, start
):
    assert await verdict(account, 2, "--site", "elsewhere") is None
    account["sessions"][0].pop("energy_wh")
    assert await verdict(account, 2) is None
    async with start("oracle", "--state", tmp_path, "--api", "http://127.0.0.1:1") as program:
        assert await program.process.wait() == 2


async def test_a_central_systems_ledger_is_judged_as_well(account, truth, verdict, tmp_path):
    file = tmp_path / "csms.db"
    with closing(sqlite3.connect(file)) as db, db:
        db.executescript(rows.SCHEMA)
        for one in truth("SELECT * FROM acknowledged WHERE action = 'MeterValues'"):
            number = json.loads(one["payload"])["transactionId"]
            values = (number, 1, "CP-1", one["message_id"], one["payload"], 0)
            db.execute(rows.Write.METER, values)
    said = await verdict(account, 1, "--csms", file)
    assert [one["kind"] for one in said["csms"]["differences"]] == ["missing", "missing"]
    assert said["csms"]["oracle_transactions"] == 2
    assert said["csms"]["meter_values"]["missing"] == 0
    assert not said["clean"]
    assert (await verdict(account, 0))["csms"] is None
    assert await verdict(account, 2, "--csms", tmp_path / "nowhere.db") is None


async def test_the_credential_is_shown(account, start, tmp_path):
    secret = tmp_path / "credential"
    secret.write_text("abc\n")
    with served(account, credential="abc") as api:
        words = ("oracle", "--state", tmp_path / "state", "--api", api)
        async with start(*words, "--credential", secret) as program:
            assert await program.process.wait() == 0
        async with start(*words) as program:
            assert await program.process.wait() == 2
