"""Goal: the site's shell: decisions are durable before they are answered, the cloud is asked within its budget,
bundles and lists come from DOWNLINK and outlive restarts.

Method: the app runs unchanged on SimBus and virtual time, against the real cloud scope over a SimLink.
"""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client import generate_latest

from holdfast import subjects
from holdfast.bus import StreamSpec
from holdfast.contracts.command import Command, Disposition
from holdfast.contracts.decision import (
    Admit,
    Admitted,
    Authorise,
    Authorised,
    Basis,
    CloudAnswer,
    CloudVerdict,
    ConnectorState,
    DecisionMade,
)
from holdfast.contracts.driver_tokens import DriverTokensInstalled, TokenStatus
from holdfast.contracts.mode import Mode
from holdfast.contracts.rules import RulesActivated, RulesRefused
from holdfast.recorder import IncarnationChanged
from holdfast.rpc import Refused, call, serve
from holdfast.standing import parse_rules
from holdfast_testkit.eventually import eventually
from holdfast_testkit.sim_clock import virtual_time
from rule_service.domain.bundle import BUILT_IN
from rule_service.domain.reevaluate import holds

NEWER = {"name": "newer"}


async def authorise(world, token, request="r-1", charge_point="CP-01"):
    asked = Authorise(request=request, charge_point=charge_point, driver_token=token)
    return await call(
        world.site,
        subjects.rpc(world.site_name, "authorise"),
        asked,
        Authorised,
        timeout_ms=5_000,
    )


async def admit(world, command, request=""):
    target = ConnectorState(
        connected=True, status="Available", transaction_id=None, booted_at_ms=None
    )
    asked = Admit(request=request, command=command, target=target)
    subject = subjects.rpc(world.site_name, "admit")
    return await call(world.site, subject, asked, Admitted, timeout_ms=5_000)


def start_command(world, deadline_in_ms=30_000):
    now_ms = world.clock.now_ms()
    return Command(
        id="c-1",
        charge_point="CP-01",
        action="RemoteStartTransaction",
        payload={"connectorId": 1},
        issued_at_ms=now_ms,
        deadline_ms=now_ms + deadline_in_ms,
    )


# --- decisions ---


@virtual_time
async def test_a_listed_driver_is_served_while_cut_off_and_the_decision_is_in_the_journal(a_world):
    async with a_world("DRIVER-1", mode=Mode.AUTONOMOUS) as world, world.running("site"):
        world.link.cut()
        begun_ms = world.clock.monotonic_ms()
        reply = await authorise(world, "driver-1")
        assert world.clock.monotonic_ms() - begun_ms < 100
        assert (reply.verdict.status, reply.verdict.basis) == (TokenStatus.ACCEPTED, Basis.LIST)
        [fact] = await world.facts(DecisionMade)
        assert (fact.decision, fact.rules_version) == (reply.decision, 1)
        assert fact.inputs.mode is Mode.AUTONOMOUS
        assert "driver-1" not in fact.model_dump_json().lower()
        metrics = generate_latest(world.health["site"].registry).decode()
        labels = 'kind="authorise",mode="autonomous",outcome="Accepted"'
        assert f"holdfast_decisions_total{{{labels}}} 1.0" in metrics
        assert 'holdfast_rules_info{hash="' in metrics
        assert 'holdfast_decision_duration_seconds_count{kind="authorise"} 1.0' in metrics


@virtual_time
async def test_connected_the_cloud_is_asked_and_its_answer_kept_for_the_next_cut(a_world):
    async with a_world() as world, world.running("site"), world.running("cloud"):
        reply = await authorise(world, "CLOUD-ONLY")
        assert (reply.verdict.status, reply.verdict.basis) == (TokenStatus.ACCEPTED, Basis.CLOUD)
        world.link.cut()
        await world.enter(Mode.AUTONOMOUS)
        reply = await authorise(world, "CLOUD-ONLY", "r-2")
        assert (reply.verdict.status, reply.verdict.basis) == (TokenStatus.ACCEPTED, Basis.CACHE)


@virtual_time
async def test_a_silent_cloud_costs_its_budget_and_no_more(a_world):
    async with a_world("DRIVER-1") as world, world.running("site"), world.running("cloud"):
        world.link.cut()
        begun_ms = world.clock.monotonic_ms()
        reply = await authorise(world, "DRIVER-1")
        assert 800 <= world.clock.monotonic_ms() - begun_ms < 900
        assert reply.verdict.basis is Basis.LIST
        [fact] = await world.facts(DecisionMade)
        assert fact.inputs.cloud is CloudAnswer.TOO_LATE


@virtual_time
async def test_degraded_a_known_driver_does_not_wait_and_the_cache_learns_beside(a_world):
    async with a_world("DRIVER-1", mode=Mode.DEGRADED) as world, world.running("site"):
        asked = []

        async def cloud(question: Authorise, _: str) -> CloudVerdict:
            asked.append(question)
            await world.clock.sleep_ms(300)
            return CloudVerdict(known=True, status=TokenStatus.BLOCKED)

        await serve(world.cloud, subjects.up_from_any("authorise"), Authorise, cloud)
        begun_ms = world.clock.monotonic_ms()
        reply = await authorise(world, "DRIVER-1")
        assert world.clock.monotonic_ms() - begun_ms < 100
        assert reply.verdict.basis is Basis.LIST
        [fact] = await world.facts(DecisionMade)
        assert fact.inputs.cloud is CloudAnswer.NOT_AWAITED
        await eventually(lambda: asked)


@virtual_time
async def test_what_the_cloud_does_not_know_is_not_kept(a_world):
    async with a_world() as world, world.running("site"), world.running("cloud"):
        reply = await authorise(world, "NOBODY")
        assert (reply.verdict.status, reply.verdict.basis) == (TokenStatus.INVALID, Basis.CLOUD)
        await world.enter(Mode.AUTONOMOUS)
        reply = await authorise(world, "NOBODY", "r-2")
        assert reply.verdict.basis is Basis.UNKNOWN_POLICY


@virtual_time
async def test_the_same_request_gets_the_same_decision_also_after_a_restart(a_world):
    async with a_world("DRIVER-1", mode=Mode.AUTONOMOUS) as world:
        async with world.running("site"):
            first = await authorise(world, "DRIVER-1")
            assert await authorise(world, "DRIVER-1") == first
        world.write("site-tokens.json", world.token_list(2, "DRIVER-1", status="Blocked"))
        async with world.running("site"):
            assert await authorise(world, "DRIVER-1") == first
            other = await authorise(world, "DRIVER-1", "r-2")
            assert other.verdict.status is TokenStatus.BLOCKED
        assert len(await world.facts(DecisionMade)) == 2


@virtual_time
async def test_the_same_request_asked_twice_at_once_is_one_decision(a_world):
    async with a_world("DRIVER-1") as world, world.running("site"), world.running("cloud"):
        one, other = await asyncio.gather(authorise(world, "X"), authorise(world, "X"))
        assert one == other
        assert len(await world.facts(DecisionMade)) == 1


@virtual_time
async def test_a_journal_that_refuses_is_a_failure_to_be_retried_and_no_answer(a_world):
    async with a_world("DRIVER-1", mode=Mode.AUTONOMOUS) as world, world.running("site"):
        world.site.disk.refuse_writes = True
        with pytest.raises(Refused) as refused:
            await authorise(world, "DRIVER-1")
        assert refused.value.failure.retry
        world.site.disk.refuse_writes = False
        assert (await authorise(world, "DRIVER-1")).verdict.status is TokenStatus.ACCEPTED


@virtual_time
async def test_commands_are_admitted_by_mode_and_each_asking_is_a_decision(a_world):
    async with a_world() as world, world.running("site"):
        command = start_command(world)
        assert (await admit(world, command)).verdict.admitted
        await world.enter(Mode.DEGRADED)
        reply = await admit(world, command)
        assert reply.verdict.disposition is Disposition.REFUSED
        await world.clock.sleep_ms(31_000)
        reply = await admit(world, command)
        assert reply.verdict.disposition is Disposition.EXPIRED
        assert len(await world.facts(DecisionMade)) == 3


@virtual_time
async def test_an_admission_asked_again_by_its_request_is_the_same_decision(a_world):
    async with a_world() as world:
        command = start_command(world)
        async with world.running("site"):
            first = await admit(world, command, "a-1")
            await world.enter(Mode.AUTONOMOUS)
            assert await admit(world, command, "a-1") == first
        async with world.running("site"):
            assert await admit(world, command, "a-1") == first
            assert not (await admit(world, command, "a-2")).verdict.admitted


@virtual_time
async def test_every_journaled_decision_evaluates_to_itself(a_world):
    async with a_world("DRIVER-1") as world, world.running("site"), world.running("cloud"):
        for number, mode in enumerate(Mode):
            await world.enter(mode)
            for token in ("DRIVER-1", "CLOUD-ONLY", "NOBODY"):
                await authorise(world, token, f"r-{number}-{token}")
            await admit(world, start_command(world))
        texts = {fact.version: fact.text for fact in await world.facts(RulesActivated)}
        decisions = await world.facts(DecisionMade)
        assert len(decisions) == 16
        for decision in decisions:
            assert holds(parse_rules(texts[decision.rules_version]), decision)


# --- rules ---


@virtual_time
async def test_the_provisioned_bundle_is_activated_once(a_world):
    async with a_world() as world:
        for _ in range(2):
            async with world.running("site"):
                assert (await world.rules_status()).version == 1
        [fact] = await world.facts(RulesActivated)
        assert (fact.version, fact.previous_version) == (1, 0)
        assert await world.facts(RulesRefused) == []


@virtual_time
async def test_a_published_bundle_is_activated_at_the_site(a_world):
    async with a_world() as world, world.running("cloud"), world.running("site"):
        published = await world.publish("rules", world.rules_text(2, **NEWER))
        assert published.version == "2"

        async def active():
            found = await world.rules_status()
            return found if found.version == 2 else None

        assert (await eventually(active)).name == "newer"
        reply = await authorise(world, "X")
        assert reply.rules_version == 2


@virtual_time
async def test_rules_are_pinned_while_autonomous_and_activated_on_the_way_back(a_world):
    async with a_world() as world, world.running("cloud"), world.running("site"):
        await world.enter(Mode.AUTONOMOUS)
        await world.publish("rules", world.rules_text(2))

        async def staged():
            return (await world.rules_status()).staged_version == 2

        await eventually(staged)
        assert (await authorise(world, "X")).rules_version == 1
        await world.enter(Mode.RECOVERY)
        await eventually(staged_is_active(world, 2))


def staged_is_active(world, version):
    async def look():
        return (await world.rules_status()).version == version

    return look


@virtual_time
async def test_a_bundle_signed_by_a_stranger_is_refused_once_and_the_last_good_one_stays(a_world):
    async with a_world() as world:
        stranger = b'{"version":9,"text":"version: 9","key":"' + b"ab" * 32 + b'","signature":"00"}'
        subject = subjects.down_rules(world.site_name)
        await world.cloud.append(subjects.DOWNLINK, subject, stranger, id="x")
        for _ in range(2):
            async with world.running("site"):

                async def refused():
                    return (await world.rules_status()).refused

                assert "does not trust" in await eventually(refused)
                assert (await world.rules_status()).version == 1
            await world.clock.sleep_ms(2 * 3_600_000)
        assert len(await world.facts(RulesRefused)) == 1


@virtual_time
async def test_a_journal_trimmed_past_the_activation_gets_the_rules_again(a_world):
    async with a_world() as world, world.running("cloud"):
        async with world.running("site"):
            await world.publish("rules", world.rules_text(2))
            await eventually(staged_is_active(world, 2))
        await world.enter(Mode.AUTONOMOUS)
        last = (await world.site.state(world.journal)).last_seq
        await world.site.trim(world.journal, last)
        await world.clock.sleep_ms(2 * 3_600_000)
        async with world.running("site"):
            assert (await world.rules_status()).version == 2
        [fact] = await world.facts(RulesActivated)
        assert fact.version == 2


@virtual_time
async def test_without_any_bundle_the_built_in_rules_stand_and_health_says_so(a_world):
    async with a_world(mode=Mode.AUTONOMOUS) as world:
        (world.folder / "rules.json").write_text("{}")
        async with world.running("site"):
            found = await world.rules_status()
            assert (found.version, found.name) == (0, BUILT_IN.name)
            assert "not a SignedRules" in found.refused
            assert not world.health["site"].is_ok
            assert (await authorise(world, "X")).rules_version == 0


@virtual_time
async def test_new_rules_wait_for_the_journal_and_decisions_go_on_under_the_old(a_world):
    async with a_world() as world, world.running("cloud"), world.running("site"):
        await world.ensure_journal(bytes_max=(await world.site.state(world.journal)).bytes)
        await world.publish("rules", world.rules_text(2))
        await eventually(lambda: not world.health["site"].is_ok, within_s=30)
        assert (await world.rules_status()).version == 1
        await world.ensure_journal(bytes_max=1 << 22)
        await eventually(staged_is_active(world, 2), within_s=30)
        assert world.health["site"].is_ok


# --- driver tokens ---


@virtual_time
async def test_a_published_list_replaces_the_local_one_and_the_journal_says_so(a_world):
    async with a_world("OLD", mode=Mode.DEGRADED) as world, world.running("site"):
        async with world.running("cloud"):
            await world.publish("driver-tokens", world.token_list(5, "NEW"))

        async def installed():
            return (await world.rules_status()).driver_tokens_version == 5

        await eventually(installed)
        assert (await authorise(world, "NEW", "r-1")).verdict.status is TokenStatus.ACCEPTED
        assert (await authorise(world, "OLD", "r-2")).verdict.basis is Basis.UNKNOWN_POLICY
        facts = await world.facts(DriverTokensInstalled)
        assert [(fact.version, fact.count) for fact in facts] == [(1, 1), (5, 1)]


@virtual_time
async def test_a_list_of_the_installed_version_with_other_content_is_refused_and_said(a_world):
    """A card blocked in it would go on charging, and everybody would take it for done."""
    async with a_world() as world, world.running("cloud"), world.running("site"):
        same = world.token_list(1, "A", status="Blocked")
        await world.publish("driver-tokens", same)

        async def said():
            return (await world.rules_status()).driver_tokens_refused

        assert "other content" in await eventually(said)
        assert not world.health["site"].is_ok
        await world.publish("driver-tokens", world.token_list(2, "A", status="Blocked"))

        async def taken():
            status = await world.rules_status()
            return status.driver_tokens_version == 2 and status.driver_tokens_refused is None

        await eventually(taken)
        assert world.health["site"].is_ok


@virtual_time
async def test_a_list_outlives_a_restart_without_another_word(a_world):
    async with a_world("A") as world:
        for _ in range(3):
            async with world.running("site"):
                assert (await world.rules_status()).driver_tokens_version == 1
            await world.clock.sleep_ms(2 * 3_600_000)
        assert len(await world.facts(DriverTokensInstalled)) == 1


@virtual_time
async def test_a_list_that_cannot_be_read_leaves_the_old_one(a_world):
    async with a_world("A", mode=Mode.AUTONOMOUS) as world:
        subject = subjects.down_driver_tokens(world.site_name)
        await world.cloud.append(subjects.DOWNLINK, subject, b"{", id="x")
        async with world.running("site"):
            await eventually(lambda: not world.health["site"].is_ok)
            assert (await authorise(world, "A")).verdict.status is TokenStatus.ACCEPTED


# --- life ---


@virtual_time
async def test_a_site_without_downlink_copy_works_and_takes_it_when_it_comes(a_world):
    async with a_world("A") as world, world.running("cloud"):
        await world.site.delete_stream(subjects.DOWNLINK)
        await world.publish("rules", world.rules_text(2))
        async with world.running("site"):
            assert (await world.rules_status()).version == 1
            await world.clock.sleep_ms(60_000)
            await world.downlink()
            await eventually(staged_is_active(world, 2), within_s=30)


async def open_another_incarnation(world):
    parked = subjects.retired(world.site_name, "aaaaaaaa", "journal")
    await world.site.release_subjects(world.journal, parked)
    spec = StreamSpec(
        name=subjects.journal_stream(world.site_name, "bbbbbbbb"),
        subjects=(subjects.journal_all(world.site_name),),
        bytes_max=1 << 20,
        when_full="refuse",
    )
    await world.site.ensure_stream(spec)


async def run_until_another_incarnation(world):
    async with world.running("site"):
        await open_another_incarnation(world)
        await asyncio.sleep(30)


@virtual_time
async def test_a_new_incarnation_ends_the_process(a_world):
    async with a_world() as world:
        with pytest.raises(BaseExceptionGroup) as ended:
            await run_until_another_incarnation(world)
        assert ended.group_contains(IncarnationChanged)


@virtual_time
async def test_a_nats_server_that_restarts_is_waited_for(a_world):
    async with a_world("A", mode=Mode.AUTONOMOUS) as world, world.running("site"):
        world.site.crash()
        await world.clock.sleep_ms(1_000)
        world.site.start()

        async def served():
            return (await authorise(world, "A")).verdict.status is TokenStatus.ACCEPTED

        await eventually(served, within_s=30)
