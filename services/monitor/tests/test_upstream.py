"""The CSMS behind a site, as the monitor that ships shows it: out of its bridge in the cloud, out of the mode
at the site, and a csms-bridge that is not there is no fault.
"""

from __future__ import annotations

import asyncio

import httpx
import pytest

from holdfast.contracts.csms import OpenDelivery, Phase, Trouble
from holdfast.contracts.mode import CsmsState
from monitor.domain.upstream import CsmsNow

SITE = "berlin01"

both = pytest.mark.parametrize("scope", ["site", "cloud"])


async def status_of(http: httpx.AsyncClient) -> dict:
    return (await http.get(f"/api/sites/{SITE}")).json()


async def metrics_of(http: httpx.AsyncClient) -> str:
    return (await http.get("/metrics")).text


def test_the_bridge_is_asked_and_what_it_says_is_told(with_monitor) -> None:
    async def look(world, http: httpx.AsyncClient) -> None:
        await world.begin_bridge()
        await asyncio.sleep(20)  # a site that is only heard of is asked about after a while
        csms = (await status_of(http))["csms"]
        assert csms["value"] == {
            "state": "up",
            "instance": "bridge-1",
            "waiting": 7,
            "not_accepted": ["CP-02"],
        }
        assert (csms["known"], csms["source"]) == (True, "csms-bridge")
        assert csms["as_of_ms"] > 0
        text = await metrics_of(http)
        assert 'holdfast_csms_up{site="berlin01"} 1.0' in text
        assert 'holdfast_upstream_waiting_messages{site="berlin01"} 7.0' in text
        assert 'holdfast_csms_up{site="never-heard"}' not in text
        world.csms = CsmsState.DOWN
        await asyncio.sleep(5)
        assert (await status_of(http))["csms"]["value"]["state"] == "down"
        assert 'holdfast_csms_up{site="berlin01"} 0.0' in await metrics_of(http)

    with_monitor("cloud", look)


def test_open_deliveries_stand_among_the_open_points_until_they_are_gone(with_monitor) -> None:
    async def look(world, http: httpx.AsyncClient) -> None:
        assert (await status_of(http))["open_points"]["last_known"] is None
        await world.begin_bridge()
        await asyncio.sleep(20)  # a site that is only heard of is asked about after a while
        points = (await status_of(http))["open_points"]["value"]
        assert points == [
            {
                "step": "csms caught up",
                "what": "CP-02 at main, rejected: BootNotification answered Rejected",
            }
        ]
        page = (await http.get(f"/sites/{SITE}")).text
        assert "CP-02 at main: rejected since" in page
        assert "What is still open?" in page

    with_monitor("cloud", look)


def test_every_charge_point_at_every_backend_is_a_row_page_by_page(with_monitor) -> None:
    async def look(world, http: httpx.AsyncClient) -> None:
        await world.begin_bridge()
        await asyncio.sleep(20)  # a site that is only heard of is asked about after a while
        rows, after = [], ""
        while after is not None:
            got = await http.get(f"/api/sites/{SITE}/upstream", params={"limit": 1, "after": after})
            rows += got.json()["upstream"]
            after = got.json()["next"]
        names = [(row["charge_point"], row["backend"], row["primary"]) for row in rows]
        assert names == [("CP-01", "main", True), ("CP-01", "next", False), ("CP-02", "main", True)]
        assert set(rows[0]) == {
            "charge_point",
            "backend",
            "primary",
            "phase",
            "since_ms",
            "waiting",
            "oldest_at_ms",
            "delivered",
            "transactions",
            "clock_offset_ms",
            "problem",
            "version",
            "left_out_seq",
            "uncounted_seq",
        }
        assert rows[0]["transactions"] == {"1001": 77}
        assert rows[2]["problem"] == "unknown"

    with_monitor("cloud", look)


def test_open_deliveries_stand_whole_on_the_first_page_and_can_be_settled_as_they_stand(
    with_monitor,
) -> None:
    async def look(world, http: httpx.AsyncClient) -> None:
        await world.begin_bridge()
        world.deliveries = (
            OpenDelivery(
                backend="main",
                charge_point="CP-01",
                trouble=Trouble.DOUBLE_START,
                what="a start was sent twice",
                transaction=1001,
                incarnation="aaaaaaaa",
                seq=7,
            ),
            OpenDelivery(
                backend="main", charge_point="CP-02", trouble=Trouble.REJECTED, what="Rejected"
            ),
        )
        await asyncio.sleep(20)  # a site that is only heard of is asked about after a while
        path = f"/api/sites/{SITE}/upstream"
        first = (await http.get(path, params={"limit": 1})).json()
        assert [one["charge_point"] for one in first["open_deliveries"]] == ["CP-01", "CP-02"]
        told = first["open_deliveries"][0]
        assert told == {
            "backend": "main",
            "charge_point": "CP-01",
            "trouble": "double start",
            "what": "a start was sent twice",
            "transaction": 1001,
            "incarnation": "aaaaaaaa",
            "seq": 7,
            "messages": 1,
        }
        second = (await http.get(path, params={"limit": 1, "after": first["next"]})).json()
        assert set(second) == {"upstream", "next"}
        asked = ("backend", "charge_point", "trouble", "incarnation", "seq")
        word = {name: told[name] for name in asked} | {"by": "night desk"}
        assert (await http.post(f"{path}/settle", json=word)).json() == {"settled": 1}

    with_monitor("cloud", look)


@pytest.mark.parametrize(
    ("changes", "is_named", "is_shown"),
    [
        ({"problem": "refused", "waiting": 3}, False, True),
        ({"problem": "refused", "waiting": 0}, True, True),
        ({"problem": "refused", "waiting": 0}, False, False),
        ({"problem": "", "waiting": 3}, True, False),
        ({"problem": "refused", "waiting": 3, "primary": False}, True, False),
        ({"problem": "refused", "waiting": 0, "phase": Phase.CONNECTING}, False, True),
    ],
)
def test_who_can_not_be_reached_and_is_needed_is_not_accepted(
    new_upstream_view, changes: dict[str, object], is_named: bool, is_shown: bool
) -> None:
    view = new_upstream_view("CP-01", **{"phase": Phase.CLOSED, **changes})
    deliveries = tuple(
        OpenDelivery(
            backend=backend, charge_point=charge_point, trouble=Trouble.QUARANTINED, what="x"
        )
        for backend, charge_point in (("main", "CP-01"),) * is_named
        + (("next", "CP-01"), ("main", "CP-02"))
    )
    now = CsmsNow(state=CsmsState.DOWN, instance="b1", views=(view,), deliveries=deliveries)
    assert now.not_accepted == ((view,) if is_shown else ())


def test_without_a_bridge_no_csms_is_known_and_nothing_turns_red(with_monitor) -> None:
    async def look(world, http: httpx.AsyncClient) -> None:
        before = await status_of(http)
        csms = before["csms"]
        assert (csms["value"], csms["known"], csms["last_known"]) == (None, False, None)
        assert "no CSMS is known" in csms["problem"]
        assert before["open_points"]["value"] == []
        assert (await http.get(f"/api/sites/{SITE}/upstream")).json() == {
            "upstream": [],
            "next": None,
            "open_deliveries": [],
        }
        assert "No CSMS is known behind this site." in (await http.get(f"/sites/{SITE}")).text
        text = await metrics_of(http)
        assert "holdfast_csms_up{" not in text
        assert "holdfast_upstream_waiting_messages{" not in text

    with_monitor("cloud", look)


def test_a_bridge_that_goes_away_makes_its_reading_old_and_nothing_else(
    with_monitor,
) -> None:
    async def look(world, http: httpx.AsyncClient) -> None:
        await world.begin_bridge()
        await asyncio.sleep(20)  # a site that is only heard of is asked about after a while
        world.bridge.close()
        await asyncio.sleep(20)
        status = await status_of(http)
        assert status["csms"]["value"] is None
        assert status["csms"]["last_known"]["state"] == "up"
        assert status["mode"]["known"]
        assert status["sync"]["known"]
        assert "holdfast_csms_up{" not in await metrics_of(http)
        page = (await http.get(f"/sites/{SITE}")).text
        assert "was up" in page

    with_monitor("cloud", look)


def test_at_a_site_the_last_pulse_tells_and_there_are_no_rows(with_monitor) -> None:
    async def look(world, http: httpx.AsyncClient) -> None:
        world.csms = CsmsState.DOWN
        await asyncio.sleep(5)
        csms = (await status_of(http))["csms"]
        assert csms["value"] == {
            "state": "down",
            "instance": None,
            "waiting": None,
            "not_accepted": None,
        }
        assert csms["source"] == "mode-manager"
        rows = (await http.get(f"/api/sites/{SITE}/upstream")).json()
        assert rows == {"upstream": [], "next": None, "open_deliveries": []}
        text = await metrics_of(http)
        assert 'holdfast_csms_up{site="berlin01"} 0.0' in text
        assert "holdfast_upstream_waiting_messages{" not in text

    with_monitor("site", look)


@both
def test_a_wrong_page_of_the_list_is_refused(with_monitor, scope) -> None:
    async def look(world, http: httpx.AsyncClient) -> None:
        got = await http.get(f"/api/sites/{SITE}/upstream?after=x")
        assert got.status_code == 400
        assert (await http.get("/api/sites/other/upstream")).status_code == 404

    with_monitor(scope, look)
