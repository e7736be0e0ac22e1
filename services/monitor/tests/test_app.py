"""The monitor as it ships, in both scopes, on a simulated bus: the API's lists and errors, commands passed
on, readings that go stale, metrics, and that a restart shows the same again.
"""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import httpx
import pytest

from holdfast.contracts.command import (
    Command,
    CommandReceipt,
    CommandReceived,
    Issuer,
    SendCommand,
)
from holdfast.health import Health
from holdfast.service import Context
from holdfast_testkit.sim_bus import SimBus
from holdfast_testkit.sim_clock import SimClock, SimIds, run_virtual
from monitor.app import watch_of
from monitor.config import Config
from monitor.web import make_web

SITE = "berlin01"
RAW = '{"idTag":"TAG-é\\u0000","meterStart":1}'

FRESHNESS = {"known", "as_of_ms", "age_ms", "source", "problem"}
both = pytest.mark.parametrize("scope", ["site", "cloud"])


async def pages(http: httpx.AsyncClient, path: str, limit: int) -> list[dict[str, Any]]:
    name = path.rpartition("/")[2]
    rows: list[dict[str, Any]] = []
    after: str | None = ""
    while after is not None:
        got = await http.get(path, params={"limit": limit, "after": after})
        assert got.status_code == 200, got.text
        of_the_journal = name in ("commands", "decisions", "modes", "disruptions")
        assert set(got.json()) == {name, "next"} | (FRESHNESS if of_the_journal else set())
        rows += got.json()[name]
        after = got.json()["next"]
    return rows


@both
def test_every_list_gives_all_its_rows_page_by_page(with_monitor, scope) -> None:
    async def look(world, http: httpx.AsyncClient) -> None:
        counts = {
            "sessions": 3,
            "events": len(world.entries),
            "decisions": 3,
            "commands": 2,
            "modes": 2,
        }
        counts |= {"disruptions": 1, "copies": 1, "gaps": 1 if scope == "cloud" else 0}
        for name, count in counts.items():
            path = f"/api/sites/{SITE}/{name}"
            assert await pages(http, path, 1) == await pages(http, path, 1000)
            assert len(await pages(http, path, 2)) == count, name

    with_monitor(scope, look)


@both
def test_events_are_the_stored_envelopes_with_the_raw_frame_untouched(with_monitor, scope) -> None:
    async def look(world, http: httpx.AsyncClient) -> None:
        event = (await pages(http, f"/api/sites/{SITE}/events", 500))[1]
        assert list(event) == [
            "incarnation",
            "seq",
            "subject",
            "id",
            "type",
            "at_ms",
            "source",
            "cause",
            "body",
        ]
        assert (event["incarnation"], event["seq"], event["type"]) == (
            "aaaaaaaa",
            2,
            "mode.changed",
        )
        assert event["subject"] == "hf.berlin01.journal.mode.changed"
        assert event["body"]["raw"] == RAW

    with_monitor(scope, look)


@both
def test_a_command_stands_once_with_its_disposition_and_a_masked_token(with_monitor, scope) -> None:
    async def look(world, http: httpx.AsyncClient) -> None:
        rows = await pages(http, f"/api/sites/{SITE}/commands", 10)
        assert [(row["id"], row["disposition"], row["open"]) for row in rows] == [
            ("c1", "expired", False),
            ("c2", None, True),
        ]
        assert rows[0]["payload"] == {"idTag": "••••99"}

    with_monitor(scope, look)


@both
def test_a_decision_is_explained_with_what_it_was_computed_from(with_monitor, scope) -> None:
    async def look(world, http: httpx.AsyncClient) -> None:
        full = (await http.get(f"/api/sites/{SITE}/decisions/d2")).json()
        assert full["inputs"]["mode"] == "autonomous"
        assert full["verdict"]["basis"] == "list"
        missing = await http.get(f"/api/sites/{SITE}/decisions/none")
        assert missing.status_code == 404
        assert "not among the last 3" in missing.json()["error"]

    with_monitor(scope, look)


@both
@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/sites/other", 404),
        ("/api/sites/..%2f..%2fetc", 404),
        ("/api/sites/%2A", 404),
        ("/api/sites/berlin01/nothing", 404),
        ("/nothing", 404),
        ("/static/..%2fmain.py", 404),
        ("/api/sites/berlin01/decisions?limit=0", 400),
        ("/api/sites/berlin01/decisions?limit=x", 400),
        ("/api/sites/berlin01/decisions?after=x", 400),
        ("/api/sites/berlin01/modes?after=zzzzzzzz:1", 400),
        ("/api/sites/berlin01/events?after=%00", 400),
        ("/api/sites/berlin01/events?after=" + "9" * 500, 400),
        ("/api/sites/berlin01/gaps?after=-1", 400),
        ("/api/sites?after=x", 400),
    ],
)
def test_a_wrong_question_gets_a_sentence_and_the_right_status(
    with_monitor, scope, path: str, status: int
) -> None:
    async def look(world, http: httpx.AsyncClient) -> None:
        got = await http.get(path)
        assert got.status_code == status
        assert len(got.json()["error"]) > 10

    with_monitor(scope, look)


@both
def test_a_service_that_is_away_is_named(with_monitor, scope) -> None:
    async def look(world, http: httpx.AsyncClient) -> None:
        assert world.others is not None
        world.others.close()
        for name, who in (("events", "journal"), ("sessions", "reconciler")):
            got = await http.get(f"/api/sites/{SITE}/{name}")
            assert got.status_code == 503
            assert who in got.json()["error"]
        page = await http.get("/" if scope == "site" else f"/sites/{SITE}")
        assert page.status_code == 200
        assert "sessions can&#x27;t be shown" in page.text

    with_monitor(scope, look)


@both
def test_a_command_goes_to_the_service_that_may_take_it(with_monitor, scope) -> None:
    async def look(world, http: httpx.AsyncClient) -> None:
        path = f"/api/sites/{SITE}/commands"
        sent = await http.post(
            path,
            json={"charge_point": "CP-01", "action": "Reset", "id": "mine", "by": "night desk"},
        )
        assert (sent.status_code, sent.json()["id"]) == (202, "mine")
        (taken,) = world.commands
        given = taken.command if isinstance(taken, SendCommand) else taken
        assert isinstance(given, Command)
        assert given.issuer is (Issuer.CLOUD if scope == "cloud" else Issuer.OPERATOR_AT_SITE)
        assert given.deadline_ms - given.issued_at_ms == 60_000
        assert given.by == "night desk"
        world.receipt = CommandReceipt(id="x", accepted=False, reason="too late")
        refused = await http.post(path, json={"charge_point": "CP-01", "action": "Reset"})
        assert refused.status_code == 409
        assert "too late" in refused.json()["error"]

    with_monitor(scope, look)


@both
@pytest.mark.parametrize("name", ["commands", "decisions", "modes", "disruptions"])
def test_a_list_of_the_journal_says_how_fresh_it_is(with_monitor, scope, name) -> None:
    async def look(world, http: httpx.AsyncClient) -> None:
        path = f"/api/sites/{SITE}/{name}"
        now = (await http.get(path)).json()
        assert (now["known"], now["problem"]) == (True, "")
        assert now["age_ms"] < 5_000
        never = (await http.get(f"/api/sites/never-heard/{name}")).json()
        if scope == "cloud":
            assert (never[name], never["known"]) == ([], False)
            assert never["problem"]

    with_monitor(scope, look)


@both
def test_who_gave_a_command_is_told_from_the_journal(with_monitor, scope) -> None:
    async def look(world, http: httpx.AsyncClient) -> None:
        of = Command(
            id="named", charge_point="CP-01", action="Reset", payload={}, issued_at_ms=1,
            deadline_ms=2, by="<i>Ada</i>",
        )  # fmt: skip
        await world.tell(CommandReceived(charge_point="CP-01", command=of, downlink_seq=9))
        await asyncio.sleep(1)
        rows = (await http.get(f"/api/sites/{SITE}/commands")).json()["commands"]
        assert {row["id"]: row["by"] for row in rows} == {"c1": "", "c2": "", "named": "<i>Ada</i>"}
        page = (await http.get("/" if scope == "site" else f"/sites/{SITE}")).text
        assert "by cloud, &lt;i&gt;Ada&lt;/i&gt;" in page

    with_monitor(scope, look)


@both
def test_an_id_that_the_site_knows_as_another_commands_is_not_sent(with_monitor, scope) -> None:
    async def look(world, http: httpx.AsyncClient) -> None:
        issuer = Issuer.CLOUD if scope == "cloud" else Issuer.OPERATOR_AT_SITE
        of = Command(
            id="x1", charge_point="CP-01", action="UnlockConnector", payload={"connectorId": 1},
            issued_at_ms=1, deadline_ms=2, issuer=issuer,
        )  # fmt: skip
        await world.tell(CommandReceived(charge_point="CP-01", command=of, downlink_seq=0))
        await asyncio.sleep(1)
        same = of.model_dump(mode="json", include={"id", "charge_point", "action", "payload"})
        path = f"/api/sites/{SITE}/commands"
        for other in (
            {"charge_point": "CP-02"},
            {"action": "Reset"},
            {"payload": {"connectorId": 2}},
        ):
            refused = await http.post(path, json={**same, **other})
            assert refused.status_code == 409
            assert "UnlockConnector for CP-01" in refused.json()["error"]
        assert not world.commands
        assert (await http.post(path, json=same)).status_code == 202

    with_monitor(scope, look)


def test_an_open_delivery_is_settled_in_the_name_of_a_person(with_monitor) -> None:
    async def look(world, http: httpx.AsyncClient) -> None:
        await world.begin_bridge()
        path = f"/api/sites/{SITE}/upstream/settle"
        word = {
            "backend": "main",
            "charge_point": "CP-01",
            "trouble": "double start",
            "incarnation": "aaaaaaaa",
            "seq": 7,
            "by": "night desk",
        }
        assert (await http.post(path, json=word)).json() == {"settled": 1}
        (asked,) = world.settled
        assert (asked.site, asked.by, asked.seq) == (SITE, "night desk", 7)
        none = await http.post(path, json={**word, "seq": 8})
        assert none.status_code == 404
        assert "nothing is open" in none.json()["error"]
        nobody = await http.post(path, json={**word, "by": ""})
        assert nobody.status_code == 400
        assert (await http.post(path, json={**word, "by": "x" * 9_000})).status_code == 413

    with_monitor("cloud", look)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"nonsense", 400),
        (b"[]", 400),
        (b'{"charge_point":"CP-01"}', 400),
        (b'{"charge_point":"CP-01","action":"FormatDisk"}', 400),
        (b'{"charge_point":"CP-01","action":"Reset","issuer":"cloud"}', 400),
        (b'{"charge_point":"CP-01","action":"Reset","id":"../x"}', 400),
        (b'{"charge_point":"CP-01","action":"Reset","deadline_ms":5}', 400),
        (b'{"charge_point":"CP-01","action":"Reset","deadline_ms":1%s}' % (b"0" * 30), 400),
        (b'{"charge_point":"CP-01","action":"Reset","payload":{"a":[1%s]}}' % (b"0" * 30), 400),
        (b'{"charge_point":"CP-01","action":"Reset","payload":{"a":NaN}}', 400),
        (b" " * 40_000, 413),
    ],
)
def test_a_command_that_is_none_is_refused_before_anyone_sees_it(
    with_monitor, body: bytes, status: int
) -> None:
    async def look(world, http: httpx.AsyncClient) -> None:
        headers = {"content-type": "application/json"}
        got = await http.post(f"/api/sites/{SITE}/commands", content=body, headers=headers)
        assert got.status_code == status
        assert got.json()["error"]
        assert world.commands == []

    with_monitor("site", look)


def test_nothing_but_a_command_can_be_posted(with_monitor) -> None:
    async def look(world, http: httpx.AsyncClient) -> None:
        for path in ("/", "/api/sites", f"/api/sites/{SITE}/events"):
            got = await http.post(path, json={})
            assert got.status_code == 405

    with_monitor("site", look)


@both
def test_status_has_a_time_and_a_source_for_everything(with_monitor, scope) -> None:
    async def look(world, http: httpx.AsyncClient) -> None:
        await asyncio.sleep(30)  # sessions are counted less often than the rest
        status = (await http.get(f"/api/sites/{SITE}")).json()
        assert status["mode"]["value"]["mode"] == "autonomous"
        assert status["sync"]["value"]["backlog"] == (5 if scope == "site" else 1)
        assert len(status["answers"]) == 4
        for name in ("mode", "uplink", "sync", "charge_points", "sessions", "open_points"):
            reading = status[name]
            assert reading["known"], name
            assert reading["as_of_ms"] > 0
            assert reading["source"]
        (summary,) = [
            row for row in (await http.get("/api/sites")).json()["sites"] if row["site"] == SITE
        ]
        assert summary["mode"]["known"]

    with_monitor(scope, look)


@both
def test_sessions_without_their_beginning_are_counted_and_open_on_page_and_api_alike(
    with_monitor, scope
) -> None:
    async def look(world, http: httpx.AsyncClient) -> None:
        words = "2 sessions known without the beginning"
        for counts, fragments in (({"stopped": 3}, 0), ({"stopped": 1, "fragment": 2}, 2)):
            world.counts = counts
            await asyncio.sleep(30)
            status = (await http.get(f"/api/sites/{SITE}")).json()
            assert status["sessions"]["value"] == {**counts, "fragments": fragments}
            assert (words in status["answers"][3]["points"]) == bool(fragments)
            page = (await http.get("/" if scope == "site" else f"/sites/{SITE}")).text
            assert (words in page) == bool(fragments)

    with_monitor(scope, look)


@both
@pytest.mark.parametrize(
    ("path", "status"), [("/nothing<b>", 404), ("/sites/other", 404), ("/api/sites?after=x", 400)]
)
def test_a_browser_at_a_wrong_path_is_shown_a_page(
    with_monitor, scope, path: str, status: int
) -> None:
    async def look(world, http: httpx.AsyncClient) -> None:
        browser = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
        got = await http.get(path, headers=browser)
        assert got.status_code == status
        assert got.headers["content-type"].startswith("text/html")
        assert 'href="/"' in got.text
        assert "<b>" not in got.text
        program = await http.get(path, headers={"accept": "*/*"})
        assert program.status_code == status
        assert len(program.json()["error"]) > 10

    with_monitor(scope, look)


@both
def test_readings_go_stale_and_are_then_unknown(with_monitor, scope) -> None:
    async def look(world, http: httpx.AsyncClient) -> None:
        assert world.others is not None
        world.others.close()
        await asyncio.sleep(61)
        status = (await http.get(f"/api/sites/{SITE}")).json()
        assert status["mode"]["value"] is None
        assert status["mode"]["last_known"]["mode"] == "autonomous"
        assert status["mode"]["age_ms"] > 50_000
        assert status["answers"][0]["verdict"] == "unknown"
        page = (await http.get("/" if scope == "site" else f"/sites/{SITE}")).text
        assert "unknown now, last as of" in page

    with_monitor(scope, look)


@both
def test_metrics_say_what_is_known_and_leave_out_what_is_not(with_monitor, scope) -> None:
    async def look(world, http: httpx.AsyncClient) -> None:
        await asyncio.sleep(30)
        text = (await http.get("/metrics")).text
        for line in (
            'holdfast_mode{mode="autonomous",site="berlin01"} 1.0',
            'holdfast_mode{mode="connected",site="berlin01"} 0.0',
            'holdfast_journal_head_seq{site="berlin01"} 9.0',
            'holdfast_sessions{site="berlin01",state="stopped"} 3.0',
            'holdfast_commands_total{kind="RemoteStartTransaction",outcome="expired",site="berlin01"} 1.0',
            'kind="authorise",mode="autonomous",outcome="Accepted",site="berlin01"} 3.0',
            'holdfast_quarantined_events{site="berlin01"} 0.0',
        ):
            assert line in text
        assert 'mode="connected",site="never-heard"' not in text
        assert world.others is not None
        world.others.close()
        await asyncio.sleep(61)
        assert "holdfast_mode{" not in (await http.get("/metrics")).text

    with_monitor(scope, look)


def test_a_restart_shows_the_same_again(world_of) -> None:
    async def main() -> None:
        world = await world_of("site")
        shown = []
        for _ in range(2):
            async with world.running() as http:
                names = ("decisions", "commands", "modes", "disruptions")
                shown.append([await pages(http, f"/api/sites/{SITE}/{name}", 10) for name in names])
        assert shown[0] == shown[1]

    run_virtual(main())


def test_the_page_is_there_before_the_journal_is(tmp_path: Path) -> None:
    async def main() -> None:
        clock = SimClock()
        config = Config(
            site=SITE,
            nats_url="nats://sim",
            nats_user="u",
            nats_password_file=tmp_path / "none",
            data_dir=tmp_path,
        )
        rng = random.Random(1)
        context = Context(config, SimBus(clock), clock, SimIds(rng), rng, Health("monitor"))
        web = make_web(context, watch_of(context))
        transport = httpx.ASGITransport(app=web)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
            page = await http.get("/")
            assert page.status_code == 200
            assert "Unknown" in page.text
            assert (
                (await http.get("/static/style.css")).headers["content-type"].startswith("text/css")
            )
            assert (await http.get("/health")).status_code == 200

    run_virtual(main())


def test_the_cloud_lists_sites_it_was_told_of_and_sites_it_heard(with_monitor) -> None:
    async def look(world, http: httpx.AsyncClient) -> None:
        page = (await http.get("/")).text
        assert "/sites/berlin01" in page
        assert "/sites/never-heard" in page
        assert (await http.get("/sites/never-heard")).status_code == 200
        assert (await http.get("/sites/other")).status_code == 404

    with_monitor("cloud", look)
