"""Goal: what operators change goes, validated and in a name, to the service whose it is, and nowhere in the other
scope; what stands is told with where it comes from.

Method: the shipped monitor on a simulated bus; the services are responders that remember what they were asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from holdfast import subjects
from holdfast.contracts.command import CommandReceipt, CommandWord, SendWord, Word
from holdfast.contracts.envelope import Contract, ContractError
from holdfast.contracts.mode import (
    BeginOverride,
    EndOverride,
    Mode,
    Override,
    OverrideKind,
    OverrideReceipt,
)
from holdfast.contracts.rollout import (
    BundleRecord,
    Rollback,
    RolledOut,
    Rollout,
    RulesHistory,
    RulesHistoryRequest,
    SiteRollout,
)
from holdfast.contracts.rpc import Empty
from holdfast.contracts.rules import Desired, Publish, Published, RulesStatus
from holdfast.rpc import serve
from monitor.changes import rollout_ms

SITE = "berlin01"
NOW = 1_750_000_000_000
both = pytest.mark.parametrize("scope", ["site", "cloud"])


async def answer_with(
    world: Any, subject: str, kind: type[Any], reply: Callable[[Any], Contract]
) -> list[Any]:
    """A service; returns the list in which what it is asked will stand."""
    asked: list[Any] = []

    async def answer(request: Any, _: str) -> Contract:
        asked.append(request)
        return reply(request)

    await serve(world.bus.client(f"service-{subject}"), subject, kind, answer)
    return asked


def path(rest: str) -> str:
    return f"/api/sites/{SITE}/{rest}"


@both
@pytest.mark.parametrize("word", Word)
def test_a_word_about_a_command_goes_to_whoever_holds_the_command(with_monitor, scope, word):
    async def look(world: Any, http: httpx.AsyncClient) -> None:
        in_cloud = scope == "cloud"
        verb = "command-word"
        subject = subjects.cloud_rpc(verb) if in_cloud else subjects.rpc(SITE, verb)
        receipts = {"c2": True, "c9": False}

        def reply(asked: Any) -> CommandReceipt:
            said = asked.word if in_cloud else asked
            return CommandReceipt(id=said.id, accepted=receipts[said.id], reason="it is over")

        asked = await answer_with(world, subject, SendWord if in_cloud else CommandWord, reply)
        taken = await http.post(path(f"commands/c2/{word}"), json={"by": "night desk"})
        assert (taken.status_code, taken.json()["id"]) == (202, "c2")
        said = asked[0].word if in_cloud else asked[0]
        assert (said.id, said.word, said.by) == ("c2", word, "night desk")
        late = await http.post(path(f"commands/c9/{word}"), json={"by": "night desk"})
        assert (late.status_code, "it is over" in late.json()["error"]) == (409, True)
        none = await http.post(path(f"commands/a.b/{word}"), json={"by": "night desk"})
        assert none.status_code == 404
        assert len(asked) == 2

    with_monitor(scope, look)


def test_a_draft_is_rolled_out_and_each_site_has_its_result(with_monitor):
    async def look(world: Any, http: httpx.AsyncClient) -> None:
        def reply(asked: Rollout) -> Contract:
            if "moods" in asked.draft:
                raise ContractError("line 3: moods is no clause")
            done = SiteRollout(site=SITE, version=4, hash="h", seq=None, problem="not newer")
            return RolledOut(results=(done,))

        asked = await answer_with(world, subjects.cloud_rpc("rollout"), Rollout, reply)
        body = {"draft": "version: 4\n", "percent": 20, "by": "rules desk"}
        done = await http.post("/api/rules/rollouts", json=body)
        assert done.json()["results"][0]["problem"] == "not newer"
        assert (asked[0].percent, asked[0].by) == (20, "rules desk")
        refused = await http.post("/api/rules/rollouts", json={**body, "draft": "moods: {}"})
        assert (refused.status_code, "moods" in refused.json()["error"]) == (400, True)

    with_monitor("cloud", look)


@pytest.mark.parametrize(
    ("choice", "takes_s", "code"),
    [
        ({"percent": 100}, 40, 200),
        ({"group": "all"}, 40, 200),
        ({"sites": [f"s{n}" for n in range(500)]}, 40, 200),
        ({"sites": [SITE]}, 5, 200),
        ({"sites": [SITE]}, 7, 504),
        ({"percent": 100}, 70, 504),
    ],
)
def test_a_rollouts_answer_is_waited_for_as_long_as_its_size_may_need(
    with_monitor, choice, takes_s, code
):
    async def look(world: Any, http: httpx.AsyncClient) -> None:
        async def slow(_: Rollout, __: str) -> Contract:
            await asyncio.sleep(takes_s)
            return RolledOut(results=())

        await serve(world.bus.client("slow"), subjects.cloud_rpc("rollout"), Rollout, slow)
        body = {"draft": "version: 4\n", "by": "rules desk", **choice}
        assert (await http.post("/api/rules/rollouts", json=body)).status_code == code

    with_monitor("cloud", look)


def test_no_rollout_is_waited_for_longer_than_callers_do():
    assert rollout_ms("x" * 10**6, 10**6) <= 66_000
    assert rollout_ms("", 0) == 5_000


def test_rules_tokens_and_limits_are_published_by_the_one_who_may(with_monitor):
    async def look(world: Any, http: httpx.AsyncClient) -> None:
        def published(_: Any) -> Published:
            return Published(site=SITE, version="5", seq=9)

        asked = await answer_with(world, subjects.cloud_rpc("publish"), Publish, published)
        back = await answer_with(world, subjects.cloud_rpc("rollback"), Rollback, published)
        by = {"by": "rules desk"}
        done = await http.post(path("rules/rollback"), json={**by, "to_version": 3})
        assert (done.json()["version"], back[0].to_version, back[0].site) == ("5", 3, SITE)
        signed = {"version": 5, "text": "version: 5", "key": "ab", "signature": "cd"}
        bodies: dict[str, dict[str, Any]] = {
            "rules": {"signed": signed},
            "driver-tokens": {"full": {"version": 2, "tokens": [{"driver_token": "A"}]}},
            "limit": {"limit_a": 32.0},
        }
        for name, body in bodies.items():
            assert (await http.post(path(name), json={**by, **body})).status_code == 200, name
        changes = {"version": 3, "base_version": 2, "removed": [{"driver_token": "A"}]}
        assert (
            await http.post(path("driver-tokens"), json={**by, "changes": changes})
        ).status_code == 200
        kinds = ["signed-rules", "driver-tokens", "limit", "driver-token-changes"]
        assert [one.kind for one in asked] == kinds
        assert {one.by for one in asked} == {"rules desk"}
        assert asked[1].text == '{"version":2,"tokens":[{"driver_token":"A"}]}'

    with_monitor("cloud", look)


def test_what_comes_down_to_a_site_is_not_made_there(with_monitor):
    async def look(world: Any, http: httpx.AsyncClient) -> None:
        paths = [path(rest) for rest in ("rules", "rules/rollback", "driver-tokens", "limit")]
        for where in [*paths, "/api/rules/rollouts"]:
            got = await http.post(where, json={"by": "x"})
            assert got.status_code == 404
            assert "cloud's monitor" in got.json()["error"]

    with_monitor("site", look)


@both
def test_an_override_is_the_sites_own_from_wherever_it_is_asked(with_monitor, scope):
    async def look(world: Any, http: httpx.AsyncClient) -> None:
        one = Override(
            id="o1",
            kind=OverrideKind.MAINTENANCE,
            from_ms=NOW,
            until_ms=NOW + 1,
            by="x",
            why="y",
        )

        def begun(asked: BeginOverride) -> OverrideReceipt:
            if asked.why == "never":
                return OverrideReceipt(accepted=False, reason="it ends before it begins")
            return OverrideReceipt(accepted=True, override=one)

        subject = subjects.rpc(SITE, "override")
        asked = await answer_with(world, subject, BeginOverride, begun)
        body = {"kind": "maintenance", "until_ms": NOW + 1, "by": "site crew", "why": "new fuse"}
        done = await http.post(path("override"), json=body)
        assert (done.status_code, done.json()["override"]["id"]) == (200, "o1")
        assert (asked[0].by, asked[0].why) == ("site crew", "new fuse")
        refused = await http.post(path("override"), json={**body, "why": "never"})
        assert (refused.status_code, "ends before" in refused.json()["error"]) == (409, True)
        away = await http.post(path("override/end"), json={"by": "site crew"})
        assert away.status_code == 503
        assert "nothing was changed" in away.json()["error"]
        ended = await answer_with(
            world,
            subjects.rpc(SITE, "override-end"),
            EndOverride,
            lambda _: OverrideReceipt(accepted=True, override=one),
        )
        assert (await http.post(path("override/end"), json={"by": "c"})).status_code == 200
        assert ended[0].kind is None

    with_monitor(scope, look)


@pytest.mark.parametrize(
    ("rest", "body", "status"),
    [
        ("commands/c2/cancel", {}, 400),
        ("commands/c2/cancel", {"by": ""}, 400),
        ("commands/c2/cancel", {"by": "x" * 101}, 400),
        ("commands/c2/cancel", {"by": "x", "force": True}, 400),
        ("commands/c2/delete", {"by": "x"}, 404),
        ("rules", {"by": "x", "signed": "yes"}, 400),
        ("rules/rollback", {"by": "x", "to_version": 0}, 400),
        ("driver-tokens", {"by": "x"}, 400),
        ("driver-tokens", {"by": "x", "full": {"version": 1, "tokens": [{}]}}, 400),
        (
            "driver-tokens",
            {
                "by": "x",
                "full": {"version": 1, "tokens": []},
                "changes": {"version": 2, "base_version": 1},
            },
            400,
        ),
        ("limit", {"by": "x", "limit_a": -1}, 400),
        ("limit", {"by": "x", "limit_a": 5, "valid_until_ms": 5}, 400),
        ("limit", {"by": "x", "limit_a": 10**9}, 400),
        ("limit", {"by": "x", "limit_a": 5, "valid_until_ms": 10**30}, 400),
        ("driver-tokens", {"by": "x", "full": {"version": 10**20, "tokens": []}}, 400),
        ("rules/rollback", {"by": "x", "to_version": 10**20}, 400),
        ("override", {"by": "x", "kind": "maintenance", "until_ms": 10**30, "why": "y"}, 400),
        ("override", {"by": "x", "kind": "holiday", "until_ms": 1, "why": "y"}, 400),
        ("override", {"by": "x" * 20_000}, 413),
    ],
)
def test_a_change_that_is_none_reaches_nobody(with_monitor, rest, body, status):
    async def look(world: Any, http: httpx.AsyncClient) -> None:
        got = await http.post(path(rest), json=body)
        assert got.status_code == status
        assert len(got.json()["error"]) > 10

    with_monitor("cloud", look)


def test_the_rules_of_a_site_are_told_with_what_is_wanted_what_waits_and_what_was(with_monitor):
    async def look(world: Any, http: httpx.AsyncClient) -> None:
        records = tuple(
            BundleRecord(
                version=version,
                hash=f"h{version}",
                name="default",
                text=f"version: {version}",
                key="ab",
                published_at_ms=NOW,
                by="rules desk",
            )
            for version in (5, 4)
        )

        def history(asked: RulesHistoryRequest) -> RulesHistory:
            """As the registry does it: a whole history may come without texts, one version never."""
            if asked.version is None:
                cut = [one.model_copy(update={"text": ""}) for one in records]
                return RulesHistory(site=asked.site, bundles=tuple(cut))
            found = tuple(one for one in records if one.version == asked.version)
            if not found:
                raise ContractError(f"version {asked.version} was not published")
            return RulesHistory(site=asked.site, bundles=found)

        await answer_with(
            world,
            subjects.cloud_rpc("rules-history"),
            RulesHistoryRequest,
            history,
        )
        cut_off = (await http.get(path("rules"))).json()
        assert (cut_off["known"], cut_off["active"]) == (False, None)
        assert "cut off" in cut_off["problem"]
        assert cut_off["desired"] == {"version": 5, "hash": "h5"}
        status = RulesStatus(
            version=4, hash="h4", name="default", valid_until_ms=None, driver_tokens_version=7,
            staged_version=5, staged_why="a session runs", refused="older", refused_version=2,
            trusted_keys=("abcdef",),
        )  # fmt: skip
        await answer_with(world, subjects.rpc(SITE, "rules"), Empty, lambda _: status)
        await answer_with(
            world,
            subjects.up(SITE, "desired"),
            Empty,
            lambda _: Desired(rules_version=5, driver_tokens_version=8, limit_id=None),
        )
        told = (await http.get(path("rules"))).json()
        assert (told["active"]["version"], told["staged"]["why"]) == (4, "a session runs")
        assert told["refused"]["version"] == 2
        assert [one["version"] for one in told["history"]] == [5, 4]
        assert "text" not in told["history"][0]
        assert (await http.get(path("rules/4"))).json()["text"] == "version: 4"
        for none in (3, 0, 10**30):
            assert (await http.get(path(f"rules/{none}"))).status_code == 404
        tokens = (await http.get(path("driver-tokens"))).json()
        assert (tokens["version"], tokens["desired_version"]) == (7, 8)

    with_monitor("cloud", look)


def test_a_site_tells_its_own_rules_and_that_their_history_is_in_the_cloud(with_monitor):
    async def look(world: Any, http: httpx.AsyncClient) -> None:
        told = (await http.get(path("rules"))).json()
        assert (told["known"], told["active"]["version"]) == (True, 3)
        assert (told["history"], "cloud" in told["history_problem"]) == (None, True)
        for none in (3, 0, 10**30):
            assert (await http.get(path(f"rules/{none}"))).status_code == 404
        overrides = (await http.get(path("override"))).json()
        assert (overrides["mode"], overrides["overrides"]) == (Mode.AUTONOMOUS, [])

    with_monitor("site", look)
