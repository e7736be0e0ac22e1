"""The verbs against the shipped monitor: what people read, what programs read, what services are asked, what the exit
code says.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from holdfast import subjects
from holdfast.contracts.charge_point import ChargePointConnected, ConnectorStatusChanged
from holdfast.contracts.command import (
    Command,
    CommandHeld,
    CommandReceipt,
    CommandReceived,
    CommandSettled,
    CommandWord,
    Disposition,
    SendCommand,
    SendWord,
)
from holdfast.contracts.mode import BeginOverride, Override, OverrideBegun, OverrideReceipt
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
from holdfast.contracts.rules import NOT_IMPOSED, Desired, Publish, Published, RulesStatus
from holdfast.rpc import serve
from holdfast_cli.main import _parser
from holdfast_cli.operator import commands
from holdfast_cli.operator.arguments import parse
from holdfast_testkit.eventually import eventually

SITE = "berlin01"
both = pytest.mark.parametrize("scope", ["site", "cloud"])


async def connected(world: Any) -> None:
    await world.tell(
        ChargePointConnected(charge_point="CP-01", connection="x", protocol="ocpp1.6", remote="a"),
        ConnectorStatusChanged(
            charge_point="CP-01", connector=1, status="Faulted", error_code="GroundFailure",
            at=None, message_id="m", raw="{}",
        ),
    )  # fmt: skip


async def test_sites_status_and_charge_points_for_people_and_programs(a_monitor):
    async with a_monitor("cloud", connected) as world:
        sites = await world.ask("sites")
        assert sites.out.splitlines()[0].startswith("SITE")
        assert SITE in sites.out
        assert json.loads((await world.ask("sites", "--json")).out)["sites"][0]["site"] == SITE
        status = await world.ask("status")
        assert "Can drivers charge?" in status.out
        assert json.loads((await world.ask("status", SITE, "--json")).out)["site"] == SITE
        points = await world.ask("charge-points")
        assert "1: Faulted (GroundFailure)" in points.out
        rows = json.loads((await world.ask("charge-points", "--json")).out)
        assert rows["charge_points"][0]["charge_point"] == "CP-01"


async def something_to_do(world: Any) -> None:
    """A faulted connector, a command that waits for a word, a disruption that was announced."""
    await connected(world)
    now_ms = world.clock.now_ms()
    held = Command(
        id="hard-1", charge_point="CP-01", action="Reset", payload={"type": "Hard"},
        issued_at_ms=now_ms, deadline_ms=now_ms + 600_000,
    )  # fmt: skip
    planned = Override(
        id="o", kind="planned-disruption", from_ms=now_ms - 1, until_ms=now_ms + 3_600_000,
        by="ops", why="router update",
    )  # fmt: skip
    await world.tell(
        CommandReceived(charge_point="CP-01", command=held, downlink_seq=1),
        CommandHeld(charge_point="CP-01", command=held, reason="night", decision="d"),
        OverrideBegun(override=planned, standing=(planned,)),
    )


async def test_status_says_what_to_look_at_and_what_now_and_what_was_announced(a_monitor):
    async with a_monitor("cloud", something_to_do) as world:

        async def two_points() -> list[str] | None:
            answers = json.loads((await world.ask("status", "--json")).out)["answers"]
            return answers[2]["points"] if len(answers[2]["points"]) == 2 else None

        points = await eventually(two_points)
        told = (await world.ask("status")).out
    lines = told.splitlines()
    for point in points:
        assert f"    - {point}" in lines
    assert any("confirm or cancel hard-1" in point for point in points)
    (override,) = [line for line in lines if line.startswith("override")]
    assert "planned-disruption stands until" in override
    assert override.endswith("by ops: router update")


async def test_a_limit_is_published_and_said_to_be_imposed_on_nobody(a_monitor, capsys):
    async with a_monitor("cloud", connected) as world:
        await world.serve(
            "publish", Publish, lambda of: Published(site=of.site, version="l1", seq=1)
        )
        said = await world.ask("limit", "32")
        assert said.code == 0
        assert NOT_IMPOSED in said.out
        assert json.loads((await world.ask("limit", "32", "--json")).out)["note"] == NOT_IMPOSED
    with pytest.raises(SystemExit):
        parse(_parser(), ["limit", "--help"])
    assert "not yet imposed on charge points" in " ".join(capsys.readouterr().out.split())


def settles(world: Any, disposition: Disposition) -> Any:
    """A site that takes a command and ends it so."""

    async def answer(asked: Any, _: str) -> CommandReceipt:
        command: Command = asked.command if world.scope == "cloud" else asked
        world.asked.append(("command", command))
        await world.tell(
            CommandReceived(charge_point="CP-01", command=command, downlink_seq=1),
            CommandSettled(
                charge_point="CP-01", command=command, disposition=disposition, reason="why not"
            ),
        )
        return CommandReceipt(id=command.id, accepted=True)

    kind = SendCommand if world.scope == "cloud" else Command
    return serve(world.bus.client("edge"), world.subject("command"), kind, answer)


@both
@pytest.mark.parametrize("end", [Disposition.DELIVERED, Disposition.OBSOLETE])
async def test_a_command_is_sent_and_waited_for_until_its_disposition(a_monitor, scope, end):
    async with a_monitor(scope, connected) as world:
        await settles(world, end)
        words = (
            "command",
            "send",
            "CP-01",
            "RemoteStartTransaction",
            "connectorId=1",
            "idTag=12AB",
        )
        said = await world.ask(*words, "--deadline", "30s", "--wait", "--json")
        row = json.loads(said.out)
        assert (said.code, row["disposition"]) == (0 if end is Disposition.DELIVERED else 1, end)
        assert f": {end}" in said.err
        (_, command), *_ = world.asked
        assert command.payload == {"connectorId": 1, "idTag": "12AB"}
        assert command.deadline_ms > command.issued_at_ms
        shown = await world.ask("command", "show", row["id"])
        assert "why not" in shown.out
        listed = await world.ask("command", "list")
        assert row["id"] in listed.out
        assert json.loads((await world.ask("command", "list", "--open", "--json")).out) == {
            "commands": [],
            "next": None,
        }


@both
async def test_who_gave_a_command_stands_in_the_list_and_with_the_command(a_monitor, scope):
    async with a_monitor(scope, connected) as world:
        await settles(world, Disposition.DELIVERED)
        sent = await world.ask(
            "command", "send", "CP-01", "ClearCache", "--id", "k1", "--by", "night desk", "--wait"
        )
        assert sent.code == 0
        for words in (("command", "list"), ("command", "show", "k1")):
            assert ", night desk" in (await world.ask(*words)).out
        row = json.loads((await world.ask("command", "show", "k1", "--json")).out)
        assert row["by"] == "night desk"


async def test_a_command_that_was_not_taken_ends_with_1_and_nobody_there_with_2(a_monitor):
    async with a_monitor("cloud", connected) as world:
        words = ("command", "send", "CP-01", "Reset", "type=Soft")
        away = await world.ask(*words)
        assert (away.code, "nothing was sent" in away.err) == (2, True)
        await world.serve(
            "command", SendCommand, lambda _: CommandReceipt(id="x", accepted=False, reason="full")
        )
        refused = await world.ask(*words)
        assert (refused.code, "full" in refused.err) == (1, True)
        unknown = await world.ask("command", "show", "none")
        assert (unknown.code, "has not heard of" in unknown.err) == (2, True)


@both
async def test_a_word_about_a_command_goes_in_somebodys_name(a_monitor, scope):
    async with a_monitor(scope, connected) as world:
        kind = SendWord if scope == "cloud" else CommandWord
        await world.serve("command-word", kind, lambda _: CommandReceipt(id="c1", accepted=True))
        said = await world.ask("command", "confirm", "c1", "--by", "night desk")
        assert (said.code, "confirm c1: on its way" in said.out) == (0, True)
        await world.ask("command", "cancel", "c1")
        words = [asked.word if scope == "cloud" else asked for _, asked in world.asked]
        assert [(word.word, bool(word.by)) for word in words] == [
            ("confirm", True),
            ("cancel", True),
        ]
        assert words[0].by == "night desk"


async def test_rules_are_published_and_shown_wanted_against_standing(a_monitor, tmp_path: Path):
    record = BundleRecord(
        version=5, hash="h" * 64, name="night\x1b[2J", text="version: 5\nname: night",
        key="ab" * 32, published_at_ms=1_750_000_000_000, by="rules desk",
    )  # fmt: skip
    status = RulesStatus(
        version=4, hash="x", name="day", valid_until_ms=None, driver_tokens_version=7,
        staged_version=5, staged_why="the site is autonomous",
    )  # fmt: skip
    draft = tmp_path / "draft.yaml"
    draft.write_text("version: 5\n")
    async with a_monitor("cloud", connected) as world:
        await world.serve("rules", Empty, lambda _: status, at_site=True)
        await world.serve(
            "rules-history",
            RulesHistoryRequest,
            lambda asked: RulesHistory(site=asked.site, bundles=(record,)),
        )
        results = (
            SiteRollout(site=SITE, version=5, hash="h", seq=3),
            SiteRollout(site="munich01", version=5, hash="h", problem="not newer than 5"),
        )
        await world.serve("rollout", Rollout, lambda _: RolledOut(results=results))
        await world.serve("rollback", Rollback, lambda _: Published(site=SITE, version="6", seq=4))
        told = await world.ask("rules", "status")
        assert "version 5: the site is autonomous" in told.out
        assert "version 4 (day)" in told.out
        history = await world.ask("rules", "history")
        assert "\x1b" not in history.out
        assert "rules desk" in history.out
        assert (await world.ask("rules", "show", "5")).out == "version: 5\nname: night\n"
        said = await world.ask("rules", "publish", str(draft), "--percent", "50", "--by", "me")
        assert (said.code, "not newer than 5" in said.out) == (1, True)
        back = await world.ask("rules", "rollback", SITE, "--to", "3")
        assert (back.code, "version 6" in back.out) == (0, True)
        rollout = next(asked for verb, asked in world.asked if verb == "rollout")
        assert (rollout.draft, rollout.percent, rollout.by) == ("version: 5\n", 50, "me")
        nowhere = await world.ask("rules", "publish", str(draft))
        assert (nowhere.code, "where?" in nowhere.err) == (2, True)


async def test_rules_are_not_published_at_a_site(a_monitor, tmp_path: Path):
    draft = tmp_path / "draft.yaml"
    draft.write_text("version: 5\n")
    async with a_monitor("site", connected) as world:
        said = await world.ask("rules", "publish", str(draft), "--site", SITE)
    assert (said.code, "cloud's monitor" in said.err) == (2, True)


async def test_driver_tokens_are_published_whole_and_changed(a_monitor, tmp_path: Path):
    async def published(world: Any) -> None:
        await connected(world)

    file = tmp_path / "tokens.csv"
    file.write_text(
        "driver_token,status,valid_until_ms,whitelist\n04AB,Accepted,,ALLOWED\n'04,CD',Blocked,5,\n".replace(
            "'", '"'
        )
    )
    async with a_monitor("cloud", published) as world:
        await world.serve("publish", Publish, lambda _: Published(site=SITE, version="8", seq=1))

        async def desired(_: Empty, __: str) -> Desired:
            return Desired(rules_version=1, driver_tokens_version=7, limit_id=None)

        await serve(world.bus.client("d"), subjects.up(SITE, "desired"), Empty, desired)
        full = await world.ask("driver-tokens", "publish", str(file))
        assert (full.code, "2 driver tokens" in full.out) == (0, True)
        added = await world.ask("driver-tokens", "add", "04EF", "--parent", "fleet")
        removed = await world.ask("driver-tokens", "remove", "04AB", "--type", "eMAID")
        assert (added.code, removed.code) == (0, 0)
        texts = [json.loads(asked.text) for verb, asked in world.asked if verb == "publish"]
        assert texts[0] == {
            "version": 8,
            "tokens": [
                {"driver_token": "04AB", "whitelist": "ALLOWED"},
                {"driver_token": "04,CD", "status": "Blocked", "valid_until_ms": 5},
            ],
        }
        assert texts[1]["base_version"] == 7
        assert texts[1]["changed"] == [{"driver_token": "04EF", "parent": "fleet"}]
        assert texts[2]["removed"] == [{"driver_token": "04AB", "token_type": "eMAID"}]
        status = await world.ask("driver-tokens", "status")
        assert "unknown" in status.out


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("token,status\nA,Accepted\n", "must name columns"),
        ("driver_token,colour\nA,red\n", "'colour'"),
        ("driver_token,status\nA\n", "line 2"),
        ("driver_token,valid_until_ms\nA,soon\n", "no whole number"),
        ("driver_token,status\nA,Nice\n", "status"),
        ("[1, 2]", "list of objects"),
        ("{", "no JSON"),
        ("", "must name columns"),
        ("driver_token,status\n", "makes a stranger of everybody"),
        ('"driver_token', "line 1"),
        ("driver_token,status,status\nA,Accepted,Blocked\n", "'status' twice"),
        ("driver_token,status\n04ab,Blocked\n04AB,Accepted\n", "(Blocked, Accepted): leave one"),
        ('[{"driver_token": "A"}, {"driver_token": "a"}]', "stands there twice"),
    ],
)
async def test_a_list_that_is_none_is_refused_with_its_place(
    a_monitor, tmp_path: Path, text: str, sentence: str
):
    file = tmp_path / "tokens"
    file.write_text(text)
    async with a_monitor("cloud", connected) as world:
        said = await world.ask("driver-tokens", "publish", str(file), "--version", "3")
    assert (said.code, sentence in said.err) == (2, True), said.err
    assert world.asked == []


def stands(version: int) -> RulesStatus:
    return RulesStatus(
        version=1, hash="x", name="day", valid_until_ms=None, driver_tokens_version=version
    )


@pytest.mark.parametrize(
    ("at_site", "wanted", "published"),
    [(1, 0, 2), (3, 7, 8), (9, 7, 10), (None, 7, 8), (None, 0, None)],
)
async def test_a_list_goes_out_above_what_stands_and_what_was_published(
    a_monitor, tmp_path: Path, at_site: int | None, wanted: int, published: int | None
):
    """A site is provisioned with a list of its own, and ignores whatever is not above it."""
    file = tmp_path / "tokens.csv"
    file.write_text("driver_token\n04AB\n")
    async with a_monitor("cloud", connected) as world:
        await world.serve("publish", Publish, lambda _: Published(site=SITE, version="8", seq=1))
        if at_site is not None:
            await world.serve("rules", Empty, lambda _: stands(at_site), at_site=True)

        async def desired(_: Empty, __: str) -> Desired:
            return Desired(rules_version=1, driver_tokens_version=wanted, limit_id=None)

        await serve(world.bus.client("d"), subjects.up(SITE, "desired"), Empty, desired)
        said = await world.ask("driver-tokens", "publish", str(file))
        texts = [json.loads(asked.text) for verb, asked in world.asked if verb == "publish"]
    assert [text["version"] for text in texts] == ([] if published is None else [published])
    assert said.code == (2 if published is None else 0)
    assert ("give --version" in said.err) == (published is None)


async def test_another_command_under_the_same_id_is_not_shown_as_the_end_of_this_one(a_monitor):
    """Given at the site, and heard of here only after this one was on its way."""
    of = Command(
        id="x1", charge_point="CP-01", action="UnlockConnector", payload={}, issued_at_ms=1,
        deadline_ms=2,
    )  # fmt: skip
    async with a_monitor("cloud", connected) as world:

        async def take(asked: SendCommand, _: str) -> CommandReceipt:
            await world.tell(
                CommandReceived(charge_point="CP-01", command=of, downlink_seq=0),
                CommandSettled(charge_point="CP-01", command=of, disposition=Disposition.DELIVERED),
            )
            return CommandReceipt(id=asked.command.id, accepted=True)

        await serve(world.bus.client("edge"), world.subject("command"), SendCommand, take)
        said = await world.ask("command", "send", "CP-02", "ClearCache", "--id", "x1", "--wait")
    assert said.code == 1
    assert "x1 is another command there (UnlockConnector for CP-01)" in said.err


async def test_whoever_stops_waiting_for_a_command_is_told_that_it_goes_on(
    a_monitor, capsys, monkeypatch
):
    waits = asyncio.Event()
    find = commands._find

    async def found(*asked: Any) -> Any:
        waits.set()
        return await find(*asked)

    monkeypatch.setattr(commands, "_find", found)
    async with a_monitor("cloud", connected) as world:
        await world.serve(
            "command", SendCommand, lambda of: CommandReceipt(id=of.command.id, accepted=True)
        )
        words = ("command", "send", "CP-01", "ClearCache", "--id", "k9", "--wait")
        waiting = asyncio.get_running_loop().create_task(world.ask(*words))
        async with asyncio.timeout(60):
            await waits.wait()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        told = capsys.readouterr().err
    assert "k9 keeps its way: `holdfast command show k9 --site berlin01`" in told
    assert "command cancel k9" in told


def test_nothing_is_no_decision(capsys):
    with pytest.raises(SystemExit):
        parse(_parser(), ["explain", ""])
    assert "it is empty" in capsys.readouterr().err


async def test_a_file_without_an_end_is_not_read_to_it(a_monitor):
    async with a_monitor("cloud", connected) as world:
        said = await world.ask("driver-tokens", "publish", "/dev/zero", "--version", "3")
    assert (said.code, "bytes: publish it in parts" in said.err) == (2, True)


@both
async def test_an_override_begins_in_the_name_of_who_runs_the_command(a_monitor, scope):
    one = Override(
        id="o", kind="maintenance", from_ms=1_750_000_000_000, until_ms=1_750_000_600_000,
        by="x", why="fuse",
    )  # fmt: skip
    async with a_monitor(scope, connected) as world:
        await world.serve(
            "override",
            BeginOverride,
            lambda _: OverrideReceipt(accepted=True, override=one),
            at_site=True,
        )
        said = await world.ask(
            "override", "begin", "maintenance", "--for", "10min", "--why", "fuse"
        )
        assert (said.code, "2025-06-15 15:06:40Z to 2025-06-15 15:16:40Z" in said.out) == (0, True)
        ((_, asked),) = world.asked
        assert (asked.why, bool(asked.by), asked.from_ms) == ("fuse", True, None)
        gone = await world.ask("override", "end")
        assert (gone.code, "nothing was changed" in gone.err) == (2, True)
