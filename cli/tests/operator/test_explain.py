"""`explain`, `decisions` and `rules test`, on the command line, against the shipped monitor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from holdfast.contracts.decision import AuthoriseInputs, CloudAnswer, DecisionMade
from holdfast.contracts.driver_tokens import ListedToken
from holdfast.contracts.mode import Mode
from holdfast.contracts.rules import RulesActivated
from holdfast.standing import parse_rules
from rule_service.domain import authorise

AT_MS = 1_750_000_000_000
TEXT = json.dumps(
    {"version": 1, "authorise": {"autonomous": {"ask_cloud": False, "unknown": "accept-flagged"}}}
)
STRICTER = "version: 2\nname: stricter\n"
both = pytest.mark.parametrize("scope", ["site", "cloud"])


def decided(id: str, *, listed: bool, charge_point: str = "CP-01") -> DecisionMade:
    inputs = AuthoriseInputs(
        at_ms=AT_MS, mode=Mode.AUTONOMOUS, driver_token_hash="5f" * 16, list_version=7,
        listed=ListedToken(driver_token="5f" * 16, as_of_ms=AT_MS - 60_000) if listed else None,
        cached=None, cloud=CloudAnswer.NOT_ASKED, cloud_status=None,
    )  # fmt: skip
    ruling = authorise.evaluate(parse_rules(TEXT), inputs)
    return DecisionMade(
        decision=id, charge_point=charge_point, rules_version=1, clause=ruling.clause,
        inputs=inputs, verdict=ruling.verdict, explanation=ruling.explanation,
        considered=ruling.considered,
    )  # fmt: skip


async def two_drivers(world: Any) -> None:
    await world.tell(RulesActivated(version=1, hash="h", text=TEXT, previous_version=0))
    await world.tell(decided("known-1", listed=True), decided("stranger-1", listed=False))


@both
async def test_a_decision_is_explained_to_people(a_monitor, scope):
    async with a_monitor(scope, two_drivers) as world:
        said = await world.ask("explain", "known-1")
    assert said.code == 0
    assert "may this driver token charge at CP-01?" in said.out
    assert "version 7: Accepted" in said.out
    assert "60 s" in said.out
    assert "authorise.autonomous.list, rules version 1" in said.out
    assert "the rule for unknown driver tokens in autonomous is accept-flagged" in said.out


@both
async def test_a_decision_is_found_by_how_its_id_begins_and_told_to_programs(a_monitor, scope):
    async with a_monitor(scope, two_drivers) as world:
        said = await world.ask("explain", "stran", "--json")
        document = json.loads(said.out)
        assert document["id"] == "stranger-1"
        assert [one["clause"] for one in document["considered"] if one["decided"]] == [
            "authorise.autonomous.unknown"
        ]
        none = await world.ask("explain", "nobody")
        assert (none.code, "no decision 'nobody'" in none.err) == (2, True)
        assert world.asked == []  # only a whole id is looked for in the journal


async def test_a_decision_that_the_monitor_no_longer_keeps_is_found_in_the_journal(
    a_monitor, monkeypatch
):
    monkeypatch.setattr("monitor.domain.fold.DECISIONS_MAX", 1)
    whole = "01KNOWN" + "0" * 19

    async def long_ago(world: Any) -> None:
        await world.tell(decided(whole, listed=True))
        await two_drivers(world)

    async with a_monitor("cloud", long_ago) as world:
        said = await world.ask("explain", whole)
    assert said.code == 0
    assert "authorise.autonomous.list, rules version 1" in said.out
    assert "aaaaaaaa:1" in said.out


@both
async def test_decisions_stand_newest_first(a_monitor, scope):
    async with a_monitor(scope, two_drivers) as world:
        said = await world.ask("decisions")
        lines = said.out.splitlines()
        assert "stranger-1" in lines[1]
        assert "known-1" in lines[2]
        rows = json.loads((await world.ask("decisions", "berlin01", "--json")).out)
        assert [row["id"] for row in rows["decisions"]] == ["known-1", "stranger-1"]


async def test_what_came_from_outside_never_steers_the_terminal(a_monitor):
    async def hostile(world: Any) -> None:
        await two_drivers(world)
        await world.tell(decided("evil", listed=True, charge_point="CP\x1b[2J\u202e\n9"))

    async with a_monitor("site", hostile) as world:
        for words in (("decisions",), ("explain", "evil")):
            said = await world.ask(*words)
            assert "\x1b" not in said.out
            assert "\u202e" not in said.out
            assert "CP\\x1b[2J\\u202e\\n9" in said.out


@both
async def test_every_decision_is_the_same_again_by_its_own_rules(a_monitor, scope):
    async with a_monitor(scope, two_drivers) as world:
        said = await world.ask("rules", "test")
        assert (said.code, "2 equal, 0 different, 0 not evaluable" in said.out) == (0, True)
        later = await world.ask("rules", "test", "--since", "2099-01-01", "--json")
        assert json.loads(later.out)["total"] == 0


async def test_one_that_differs_ends_with_1(a_monitor):
    async def with_a_lie(world: Any) -> None:
        await two_drivers(world)
        lie = decided("lie", listed=True)
        await world.tell(lie.model_copy(update={"clause": "authorise.autonomous.cache"}))

    async with a_monitor("cloud", with_a_lie) as world:
        said = await world.ask("rules", "test", "--json")
    document = json.loads(said.out)
    assert (said.code, document["total"], document["equal"]) == (1, 3, 2)
    assert document["differing"][0]["was"]["clause"] == "authorise.autonomous.cache"
    assert document["differing"][0]["now"]["clause"] == "authorise.autonomous.list"


async def test_a_stricter_candidate_shows_exactly_whom_it_would_have_refused(
    a_monitor, tmp_path: Path
):
    file = tmp_path / "stricter.yaml"
    file.write_text(STRICTER)
    async with a_monitor("cloud", two_drivers) as world:
        said = await world.ask("rules", "test", "--candidate", str(file), "--json")
        document = json.loads(said.out)
        assert (said.code, document["total"], document["equal"]) == (0, 2, 1)
        (one,) = document["differing"]
        assert one["decision"] == "stranger-1"
        assert one["now"]["outcome"] == "Invalid, by unknown-token policy"
        people = await world.ask("rules", "test", "--candidate", str(file))
        assert "1 equal, 1 different" in people.out
        file.write_text("version: 2\nmoods: {}\n")
        refused = await world.ask("rules", "test", "--candidate", str(file))
        assert (refused.code, "moods" in refused.err) == (2, True)


async def test_a_draft_is_a_candidate_too_composed_for_the_site(a_monitor, tmp_path: Path):
    file = tmp_path / "draft.yaml"
    strict = {"authorise": {"autonomous": {"unknown": "refuse"}}}
    loose = json.loads(TEXT)["authorise"]
    draft = {"version": 3, "default": {"authorise": loose}, "sites": {"munich01": strict}}
    file.write_text(json.dumps(draft))
    async with a_monitor("cloud", two_drivers) as world:
        words = ("rules", "test", "--candidate", str(file), "--json")
        assert json.loads((await world.ask(*words)).out)["equal"] == 2
        file.write_text(json.dumps({**draft, "sites": {"berlin01": strict}}))
        assert json.loads((await world.ask(*words)).out)["equal"] == 1
