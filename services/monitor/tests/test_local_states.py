"""What the API and the page tell of local states: now, at a moment, and what changed during a disruption."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from holdfast.contracts.command import Action, Command, CommandSettled, Disposition

SITE = "berlin01"
BASE = f"/api/sites/{SITE}"

both = pytest.mark.parametrize("scope", ["site", "cloud"])


def settled(action: Action, payload: dict[str, Any], answer: dict[str, Any]) -> CommandSettled:
    command = Command(
        id="k1", charge_point="CP-01", action=action, payload=payload, issued_at_ms=1, deadline_ms=2
    )
    return CommandSettled(
        charge_point="CP-01",
        command=command,
        disposition=Disposition.DELIVERED,
        answer=json.dumps(answer),
    )


def key_set(value: str) -> CommandSettled:
    payload = {"key": "MeterValueSampleInterval", "value": value}
    return settled("ChangeConfiguration", payload, {"status": "Accepted"})


async def read(http: httpx.AsyncClient, path: str, status: int = 200) -> dict[str, Any]:
    got = await http.get(BASE + path)
    assert got.status_code == status, got.text
    document: dict[str, Any] = got.json()
    return document


@both
def test_a_charge_points_state_has_each_value_with_its_age_now_and_at_a_moment(
    with_monitor, scope
) -> None:
    async def look(world, http: httpx.AsyncClient) -> None:
        await world.tell(key_set("60"))
        then_ms = world.clock.now_ms()
        await world.clock.sleep_ms(5_000)
        await world.tell(key_set("5"))
        await world.clock.sleep_ms(1_000)
        now = await read(http, "/charge-points/CP-01/state")
        (key,) = [one for one in now["state"] if one["aspect"] == "configuration"]
        assert (key["key"], key["value"]) == ("configuration/MeterValueSampleInterval", "5")
        assert key["age_ms"] == 1_000
        assert now["known"] is True
        then = await read(http, f"/charge-points/CP-01/state?at={then_ms}")
        assert [one["value"] for one in then["state"] if one["aspect"] == "configuration"] == ["60"]

    with_monitor(scope, look)


@both
def test_what_changed_between_two_moments_is_told_for_all_charge_points(
    with_monitor, scope
) -> None:
    async def look(world, http: httpx.AsyncClient) -> None:
        await world.tell(key_set("60"))
        begin_ms = world.clock.now_ms()
        await world.clock.sleep_ms(5_000)
        await world.tell(key_set("5"))
        await world.clock.sleep_ms(1_000)
        found = await read(http, f"/state-changes?from={begin_ms}")
        (change,) = found["changes"]
        assert (change["charge_point"], change["before"], change["after"]) == ("CP-01", "60", "5")
        assert (await read(http, f"/state-changes?from={begin_ms}&charge_point=CP-02"))[
            "changes"
        ] == []
        assert (await read(http, f"/state-changes?from={begin_ms}&to={begin_ms}"))["changes"] == []

    with_monitor(scope, look)


@both
def test_the_page_shows_what_changed_during_a_disruption(with_monitor, scope) -> None:
    async def look(world, http: httpx.AsyncClient) -> None:
        await world.clock.sleep_ms(5_000)
        await world.tell(key_set("<b>5"))
        await world.clock.sleep_ms(1_000)
        changes = (await read(http, "/state-changes"))["changes"]
        assert [one["after"] for one in changes] == ["<b>5"]
        page = await http.get("/" if scope == "site" else f"/sites/{SITE}")
        assert "configuration/MeterValueSampleInterval" in page.text
        assert "&lt;b&gt;5" in page.text
        assert "<b>5" not in page.text

    with_monitor(scope, look)


@both
@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("/charge-points/NONE/state", 404, "nothing of charge point 'NONE'"),
        ("/charge-points/CP-01/state?at=tomorrow", 400, "is no time"),
        ("/state-changes?from=x", 400, "is no time"),
        ("/state-changes?disruption=none", 404, "is not known here"),
        ("/state-changes?limit=0", 400, "limit"),
    ],
)
def test_what_was_asked_wrongly_is_said(with_monitor, scope, path, status, says) -> None:
    async def look(world, http: httpx.AsyncClient) -> None:
        await world.tell(key_set("60"))
        await world.clock.sleep_ms(1_000)
        assert says in (await read(http, path, status))["error"]

    with_monitor(scope, look)
