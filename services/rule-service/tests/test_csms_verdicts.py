"""Goal: where a CSMS stands behind a site, its word about a driver token reaches the site within the site's
budget; and whatever becomes of it, the driver is never refused for its silence.

Method: cloud and site run on simulated buses with a link between them; the csms-bridge is a responder.
"""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from holdfast import subjects
from holdfast.contracts.csms import AskCsms
from holdfast.contracts.decision import (
    Authorise,
    Authorised,
    Basis,
    CloudAnswer,
    CloudVerdict,
    DecisionMade,
)
from holdfast.contracts.driver_tokens import TokenStatus, TokenType
from holdfast.contracts.envelope import ContractError
from holdfast.contracts.mode import Mode
from holdfast.rpc import Refused, call, serve
from holdfast_testkit.sim_clock import virtual_time
from rule_service.cloud_scope.authorising import UPLINK_MS, within

ACCEPTED = CloudVerdict(known=True, status=TokenStatus.ACCEPTED)


class Bridge:
    """Answers as the csms-bridge does, after a while."""

    def __init__(self, world, verdict=ACCEPTED, takes_ms=0, *, at_site=False):
        self.asked = []
        self.verdict = verdict
        self.takes_ms = takes_ms
        self._clock = world.clock
        server = world.site if at_site else world.cloud
        self._bus = server.client("csms-bridge")
        self._subject = (
            subjects.rpc(world.site_name, "csms-authorise")
            if at_site
            else subjects.cloud_rpc("csms-authorise")
        )

    async def begin(self):
        await serve(self._bus, self._subject, AskCsms, self._answer)
        return self

    async def _answer(self, asked, _):
        self.asked.append(asked)
        await self._clock.sleep_ms(self.takes_ms)
        if isinstance(self.verdict, str):
            raise ContractError(self.verdict)
        return self.verdict


def with_csms(world):
    world.csms_sites = (world.site_name,)
    return world


async def ask(world, token="DRIVER-9", budget_ms=800, timeout_ms=5_000, site=None):
    asked = Authorise(request="r", charge_point="CP-01", driver_token=token, budget_ms=budget_ms)
    subject = subjects.up(site or world.site_name, "authorise")
    return await call(world.cloud, subject, asked, CloudVerdict, timeout_ms=timeout_ms)


async def decide(world, token, request="r-1"):
    asked = Authorise(request=request, charge_point="CP-01", driver_token=token)
    subject = subjects.rpc(world.site_name, "authorise")
    return await call(world.site, subject, asked, Authorised, timeout_ms=5_000)


def counted(world, status):
    registry = world.health["cloud"].registry
    return registry.get_sample_value("holdfast_cloud_verdicts_total", {"status": status})


@virtual_time
async def test_the_csms_answers_for_its_sites_and_the_registry_for_the_others(a_world):
    async with a_world() as world, with_csms(world).running("cloud"):
        bridge = await Bridge(
            world, CloudVerdict(known=True, status=TokenStatus.BLOCKED, parent="GROUP")
        ).begin()
        verdict = await ask(world, "CLOUD-ONLY")
        assert (verdict.known, verdict.status, verdict.parent) == (
            True,
            TokenStatus.BLOCKED,
            "GROUP",
        )
        [asked] = bridge.asked
        assert (asked.site, asked.charge_point, asked.driver_token) == (
            world.site_name,
            "CP-01",
            "CLOUD-ONLY",
        )
        assert (await ask(world, "CLOUD-ONLY", site="munich01")).status is TokenStatus.ACCEPTED
        assert len(bridge.asked) == 1
        assert (counted(world, "Blocked"), counted(world, "Accepted")) == (1, 1)


@virtual_time
async def test_what_the_csms_does_not_know_is_not_known(a_world):
    async with a_world() as world, with_csms(world).running("cloud"):
        await Bridge(world, CloudVerdict(known=False, status=TokenStatus.INVALID)).begin()
        verdict = await ask(world, "CLOUD-ONLY")
        assert (verdict.known, verdict.status) == (False, TokenStatus.INVALID)


@virtual_time
async def test_without_a_bridge_the_site_is_told_at_once_to_go_on_by_itself(a_world):
    async with a_world() as world, with_csms(world).running("cloud"):
        begun_ms = world.clock.monotonic_ms()
        with pytest.raises(Refused) as refused:
            await ask(world)
        assert refused.value.failure.retry
        assert world.clock.monotonic_ms() - begun_ms < 50


@virtual_time
async def test_a_bridge_that_takes_too_long_is_given_up_before_the_site_gives_up(a_world):
    async with a_world() as world, with_csms(world).running("cloud"):
        bridge = await Bridge(world, takes_ms=60_000).begin()
        for budget_ms in (800, 400, 60):
            begun_ms = world.clock.monotonic_ms()
            with pytest.raises(Refused) as refused:
                await ask(world, budget_ms=budget_ms, timeout_ms=budget_ms)
            assert refused.value.failure.retry
            assert world.clock.monotonic_ms() - begun_ms < budget_ms
        assert [asked.budget_ms for asked in bridge.asked] == [750, 350, 30]


@virtual_time
async def test_a_bridge_that_answers_no_verdict_is_a_failure_to_be_retried(a_world):
    async with a_world() as world, with_csms(world).running("cloud"):
        await Bridge(world, "the charge point is not accepted by its CSMS").begin()
        with pytest.raises(Refused, match="not accepted by its CSMS") as refused:
            await ask(world)
        assert refused.value.failure.retry


@pytest.mark.parametrize("budget_ms", [0, 1, 2, 50, 99, 100, 101, 800, 10_000])
def test_the_cloud_waits_a_little_less_than_the_site(budget_ms):
    assert 1 <= within(budget_ms) <= max(budget_ms, 1)
    if budget_ms >= 2 * UPLINK_MS:
        assert within(budget_ms) == budget_ms - UPLINK_MS


@virtual_time
async def test_the_sites_own_budget_reaches_the_csms_in_each_mode(a_world):
    async with (
        a_world() as world,
        with_csms(world).running("cloud"),
        world.running("site"),
    ):
        bridge = await Bridge(world).begin()
        reply = await decide(world, "DRIVER-9")
        assert (reply.verdict.status, reply.verdict.basis) == (TokenStatus.ACCEPTED, Basis.CLOUD)
        await world.enter(Mode.DEGRADED)
        await decide(world, "DRIVER-8", "r-2")
        assert [asked.budget_ms for asked in bridge.asked] == [750, 350]


@virtual_time
async def test_a_bridge_at_the_site_is_asked_without_the_cloud(a_world):
    async with a_world() as world:
        world.csms_at_site = True
        bridge = await Bridge(world, at_site=True).begin()
        async with world.running("site"):
            reply = await decide(world, "DRIVER-9")
        verdict = reply.verdict
        assert (verdict.status, verdict.basis) == (TokenStatus.ACCEPTED, Basis.CLOUD)
        assert [asked.charge_point for asked in bridge.asked] == ["CP-01"]


@virtual_time
@pytest.mark.parametrize("takes_ms", [None, 60_000])
async def test_a_csms_that_is_silent_leaves_the_decision_to_the_site(a_world, takes_ms):
    async with (
        a_world("DRIVER-1") as world,
        with_csms(world).running("cloud"),
        world.running("site"),
    ):
        if takes_ms is not None:
            await Bridge(world, takes_ms=takes_ms).begin()
        begun_ms = world.clock.monotonic_ms()
        reply = await decide(world, "DRIVER-1")
        assert (reply.verdict.status, reply.verdict.basis) == (TokenStatus.ACCEPTED, Basis.LIST)
        assert world.clock.monotonic_ms() - begun_ms < 850
        [fact] = await world.facts(DecisionMade)
        assert fact.inputs.cloud is CloudAnswer.UNREACHABLE


@virtual_time
async def test_a_site_name_that_is_none_is_refused_at_the_start(a_world):
    async with a_world() as world:
        world.csms_sites = ("hf.>",)
        with pytest.raises(ValidationError, match="can't name a site"):
            world.config("cloud")


@virtual_time
@pytest.mark.parametrize("at_site", [False, True])
async def test_the_csms_is_asked_about_a_driver_token_under_its_type(a_world, at_site):
    async with a_world() as world:
        world.csms_at_site = at_site
        async with with_csms(world).running("cloud"), world.running("site"):
            bridge = await Bridge(world, at_site=at_site).begin()
            asked = Authorise(
                request="r-1",
                charge_point="CP-01",
                driver_token="DRIVER-9",
                token_type=TokenType.EMAID,
            )
            subject = subjects.rpc(world.site_name, "authorise")
            reply = await call(world.site, subject, asked, Authorised, timeout_ms=5_000)
            assert [one.token_type for one in bridge.asked] == [TokenType.EMAID]
            assert reply.verdict.status is TokenStatus.ACCEPTED
