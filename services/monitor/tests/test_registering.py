"""Goal: who may connect is changed through the API in a name; a password in clear goes no further than this process."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from holdfast import subjects
from holdfast.contracts.registry import RegistryReply, RegistryRequest
from holdfast.passwords import matches
from holdfast.rpc import serve

SITE = "berlin01"
HERE = f"/api/sites/{SITE}/charge-points"
both = pytest.mark.parametrize("scope", ["site", "cloud"])


async def a_registry(world: Any, reply: RegistryReply) -> list[RegistryRequest]:
    asked: list[RegistryRequest] = []

    async def answer(request: RegistryRequest, _: str) -> RegistryReply:
        asked.append(request)
        return reply

    subject = subjects.rpc(SITE, "charge-point-registry")
    await serve(world.bus.client("ocpp-edge"), subject, RegistryRequest, answer)
    return asked


@both
def test_changes_go_to_the_site_s_registry_with_a_hash_in_place_of_the_password(
    with_monitor, scope, caplog
):
    async def look(world: Any, http: httpx.AsyncClient) -> None:
        asked = await a_registry(world, RegistryReply(status="done"))
        by = {"by": "gate desk"}
        secret = "a-password-of-20-ch."
        added = await http.post(HERE, json={**by, "charge_point": "CP-9", "password": secret})
        assert (added.status_code, added.json()["status"]) == (200, "done")
        for verb in ("accept", "reject"):
            assert (await http.post(f"{HERE}/CP-9/{verb}", json=by)).status_code == 200
        await http.post(f"{HERE}/CP-9/profile", json={**by, "security_profile": 2})
        gone = await http.request("DELETE", f"{HERE}/CP-9", json=by)
        assert gone.status_code == 200
        waiting = await http.get(f"/api/sites/{SITE}/pending-charge-points")
        assert waiting.json()["pending"] == []
        verbs = [one.verb.value for one in asked]
        assert verbs == ["add", "accept", "reject", "profile", "remove", "pending"]
        assert {one.charge_point for one in asked[:-1]} == {"CP-9"}
        assert {one.by for one in asked[:-1]} == {"gate desk"}
        assert matches(asked[0].password_scrypt or "", secret)
        assert secret not in added.text + caplog.text + asked[0].model_dump_json()

    with_monitor(scope, look)


@pytest.mark.parametrize(
    "body",
    [
        {"password": "short"},
        {"password": "secret-in-the-wrong-place", "pasword": "secret-of-a-typo"},
        {"password": ["secret-in-a-list"]},
        {"security_profile": "secret-profile"},
        {"password_scrypt": 5},
        {"security_profile": True},
        {"at_once": "yes"},
    ],
)
def test_what_is_not_expected_is_refused_without_repeating_it(with_monitor, body):
    async def look(world: Any, http: httpx.AsyncClient) -> None:
        asked = await a_registry(world, RegistryReply(status="done"))
        got = await http.post(HERE, json={"by": "x", "charge_point": "CP-9", **body})
        assert got.status_code == 400
        assert "secret" not in got.text
        assert not asked

    with_monitor("site", look)


def test_a_refusal_is_a_conflict_and_a_site_that_is_away_is_said(with_monitor):
    async def look(world: Any, http: httpx.AsyncClient) -> None:
        away = await http.post(f"{HERE}/CP-9/accept", json={"by": "x"})
        assert (away.status_code, "nothing was changed" in away.json()["error"]) == (503, True)
        await a_registry(world, RegistryReply(status="refused", reason="'CP-9' is not pending"))
        refused = await http.post(f"{HERE}/CP-9/accept", json={"by": "x"})
        assert (refused.status_code, "not pending" in refused.json()["error"]) == (409, True)

    with_monitor("site", look)
