"""Goal: nothing unsound enters DOWNLINK, the same twice enters once, and sites get true answers about it.

Method: the cloud scope runs on SimBus; requests go in as monitor, csms-bridge and sites send them.
"""

from __future__ import annotations

import json

import pytest

from holdfast import subjects
from holdfast.contracts.command import (
    Command,
    CommandReceipt,
    CommandWord,
    Issuer,
    SendCommand,
    SendWord,
    Word,
)
from holdfast.contracts.decision import Authorise, CloudVerdict
from holdfast.contracts.driver_tokens import TokenStatus
from holdfast.contracts.rpc import Empty
from holdfast.contracts.rules import Desired, SignedRules
from holdfast.rpc import Refused, call
from holdfast_testkit.eventually import eventually
from holdfast_testkit.sim_clock import virtual_time
from rule_service.domain.bundle_text import read_rules
from rule_service.domain.signatures import is_signed


async def send(world, site=None, **more):
    now_ms = world.clock.now_ms()
    command = Command(
        **{
            "id": "c-1",
            "charge_point": "CP-01",
            "action": "Reset",
            "payload": {"type": "Soft"},
            "issued_at_ms": now_ms,
            "deadline_ms": now_ms + 60_000,
            **more,
        }
    )
    asked = SendCommand(site=site or world.site_name, command=command)
    subject = subjects.cloud_rpc("command")
    return await call(world.cloud, subject, asked, CommandReceipt, timeout_ms=5_000)


async def last(world, subject):
    return await world.cloud.last(subjects.DOWNLINK, subject)


async def desired(world):
    return await call(
        world.site, subjects.up(world.site_name, "desired"), Empty(), Desired, timeout_ms=5_000
    )


# --- publishing ---


@virtual_time
async def test_rules_are_signed_and_published(a_world):
    async with a_world() as world, world.running("cloud"):
        text = world.rules_text(3)
        published = await world.publish("rules", text)
        message = await last(world, subjects.down_rules(world.site_name))
        signed = SignedRules.from_bytes(message.data)
        assert (signed.version, published.seq) == (3, message.seq)
        assert read_rules(signed.text) == read_rules(text)
        assert is_signed(signed)


@virtual_time
async def test_unsound_rules_are_refused_with_their_clause(a_world):
    async with a_world() as world, world.running("cloud"):
        for text, why in (
            (world.rules_text(3, charity=True), "charity"),
            (world.rules_text(3, modes={"pulse_ms": 1}), "modes.pulse_ms"),
            ('{"version": 3, "version": 4}', "stands twice"),
            (world.rules_text(3, site="munich01"), "munich01"),
            ("version: {", "not YAML"),
        ):
            with pytest.raises(Refused, match=why) as refused:
                await world.publish("rules", text)
            assert not refused.value.failure.retry
        assert await last(world, subjects.down_rules(world.site_name)) is None


@virtual_time
async def test_only_a_newer_version_goes_out_and_the_same_again_is_no_harm(a_world):
    async with a_world() as world, world.running("cloud"):
        for kind, text in (
            ("rules", world.rules_text),
            ("driver-tokens", lambda version, **_: world.token_list(version, "A")),
        ):
            first = await world.publish(kind, text(3))
            assert await world.publish(kind, text(3)) == first
            with pytest.raises(Refused, match="not newer than 3"):
                await world.publish(kind, text(2))
        with pytest.raises(Refused, match="not newer than 3"):
            await world.publish("rules", world.rules_text(3, name="other"))


@virtual_time
async def test_nothing_is_published_to_a_site_that_nobody_knows(a_world):
    async with a_world() as world, world.running("cloud"):
        for site in ("paris01", "cloud", "hf.>", ""):
            with pytest.raises(Refused):
                await world.publish("rules", world.rules_text(3), site=site)
            with pytest.raises(Refused):
                await send(world, site=site or "no site")


@virtual_time
async def test_a_list_larger_than_a_message_is_refused_not_cut(a_world):
    async with a_world() as world, world.running("cloud"):
        names = [f"TOKEN-{number:06}-{'x' * 40}" for number in range(12_000)]
        with pytest.raises(Refused, match="over the limit"):
            await world.publish("driver-tokens", world.token_list(1, *names))


@virtual_time
async def test_the_site_is_told_what_is_desired(a_world):
    async with a_world() as world, world.running("cloud"):
        assert await desired(world) == Desired(
            rules_version=0, driver_tokens_version=0, limit_id=None
        )
        await world.publish("rules", world.rules_text(3))
        await world.publish("driver-tokens", world.token_list(8, "A"))
        ends_ms = world.clock.now_ms() + 60_000
        limit = {"id": "l-1", "limit_a": 32, "valid_until_ms": ends_ms}
        await world.publish("limit", json.dumps(limit))
        assert await desired(world) == Desired(
            rules_version=3, driver_tokens_version=8, limit_id="l-1"
        )
        await world.clock.sleep_ms(60_000)
        assert (await desired(world)).limit_id is None


# --- commands ---


@virtual_time
async def test_a_command_is_accepted_and_outlives_its_deadline_so_that_the_site_says_expired(
    a_world,
):
    async with a_world() as world, world.running("cloud"):
        assert (await send(world)).accepted
        subject = subjects.down_command(world.site_name, "c-1")
        await world.clock.sleep_ms(60_000 + 23 * 3_600_000)
        assert Command.from_bytes((await last(world, subject)).data).id == "c-1"
        await world.clock.sleep_ms(2 * 3_600_000)
        assert await last(world, subject) is None


@virtual_time
async def test_the_same_command_twice_is_sent_once_also_beyond_the_dedupe_window(a_world):
    async with a_world() as world, world.running("cloud"):
        now_ms = world.clock.now_ms()
        times = {"issued_at_ms": now_ms, "deadline_ms": now_ms + 4 * 3_600_000}
        assert (await send(world, **times)).accepted
        before = await last(world, subjects.down_command(world.site_name, "c-1"))
        await world.clock.sleep_ms(2 * 3_600_000)
        assert (await send(world, **times)).accepted
        after = await last(world, subjects.down_command(world.site_name, "c-1"))
        assert after.seq == before.seq


@virtual_time
async def test_a_command_sent_again_later_or_by_somebody_else_is_the_same_and_the_first_holds(
    a_world,
):
    """As an operator does it who got no answer: with the id, but neither the second nor the minute of before."""
    async with a_world() as world, world.running("cloud"):
        assert (await send(world, by="Ada")).accepted
        before = await last(world, subjects.down_command(world.site_name, "c-1"))
        await world.clock.sleep_ms(5_000)
        assert (await send(world, by="Bo")).accepted
        after = await last(world, subjects.down_command(world.site_name, "c-1"))
        assert (after.seq, after.data) == (before.seq, before.data)
        assert Command.from_bytes(after.data).by == "Ada"


@virtual_time
async def test_another_command_under_a_used_id_is_refused(a_world):
    async with a_world() as world, world.running("cloud"):
        await send(world)
        receipt = await send(world, payload={"type": "Hard"})
        assert not receipt.accepted
        assert "choose a new one" in receipt.reason


@virtual_time
async def test_a_word_about_a_command_goes_the_same_way_once_and_lives_as_long(a_world):
    async with a_world() as world, world.running("cloud"):

        async def say(id, word=Word.CONFIRM):
            said = CommandWord(id=id, word=word, by="Ada", at_ms=world.clock.now_ms())
            asked = SendWord(site=world.site_name, word=said)
            subject = subjects.cloud_rpc("command-word")
            return await call(world.cloud, subject, asked, CommandReceipt, timeout_ms=5_000)

        unknown = await say("c-1")
        assert not unknown.accepted
        assert "no command" in unknown.reason
        await send(world)
        assert (await say("c-1")).accepted
        subject = subjects.down_command_word(world.site_name, "c-1", "confirm")
        before = await last(world, subject)
        assert CommandWord.from_bytes(before.data).by == "Ada"
        assert (await say("c-1")).accepted
        assert (await last(world, subject)).seq == before.seq


@virtual_time
async def test_commands_that_make_no_sense_are_refused_with_a_reason(a_world):
    async with a_world() as world, world.running("cloud"):
        now_ms = world.clock.now_ms()
        for wrong, why in (
            ({"deadline_ms": now_ms - 1}, "deadline has passed"),
            ({"deadline_ms": now_ms + 25 * 3_600_000}, "24 h"),
            ({"issued_at_ms": now_ms + 3_600_000}, "in the future"),
            ({"payload": {"type": "x" * 17_000}}, "over the limit"),
            ({"issuer": Issuer.OPERATOR_AT_SITE}, "operator at site"),
            ({"issuer": Issuer.SITE}, "is the site"),
            ({"by_rule": "upstream.refused_start"}, "csms-bridge"),
        ):
            receipt = await send(world, **wrong)
            assert not receipt.accepted
            assert why in receipt.reason
        assert await last(world, subjects.down_command(world.site_name, "c-1")) is None


# --- driver tokens ---


async def ask(world, token):
    asked = Authorise(request="r", charge_point="CP-01", driver_token=token)
    subject = subjects.up(world.site_name, "authorise")
    return await call(world.site, subject, asked, CloudVerdict, timeout_ms=1_000)


@virtual_time
async def test_the_registry_answers_and_is_read_again_when_it_changes(a_world):
    async with a_world() as world, world.running("cloud"):
        assert (await ask(world, "cloud-only")).status is TokenStatus.ACCEPTED
        unknown = await ask(world, "NOBODY")
        assert (unknown.known, unknown.status) == (False, TokenStatus.INVALID)
        world.write("cloud-tokens.json", world.token_list(22, "CLOUD-ONLY", status="Blocked"))
        assert (await ask(world, "CLOUD-ONLY")).status is TokenStatus.BLOCKED


@virtual_time
async def test_a_registry_that_breaks_leaves_what_was_read_before(a_world):
    async with a_world() as world, world.running("cloud"):
        assert (await ask(world, "CLOUD-ONLY")).known
        world.write("cloud-tokens.json", "{")
        assert (await ask(world, "CLOUD-ONLY")).known
        await eventually(lambda: not world.health["cloud"].is_ok)


@virtual_time
async def test_without_a_registry_the_site_is_told_to_decide_itself(a_world):
    async with a_world() as world:
        (world.folder / "cloud-tokens.json").unlink()
        async with world.running("cloud"):
            with pytest.raises(Refused, match="can't be read"):
                await ask(world, "CLOUD-ONLY")
