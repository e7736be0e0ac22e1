"""Goal: ClearCache means that earlier answers count no more: at the site's own cache as well (ocpp-outage-rules 3.5).

Method: the shipped rule-service at a site on a simulated bus, a cloud that answers and then is cut off.
"""

from __future__ import annotations

from holdfast import subjects
from holdfast.contracts.command import Command, Issuer
from holdfast.contracts.decision import (
    Admit,
    Admitted,
    Authorise,
    Authorised,
    Basis,
    ConnectorState,
)
from holdfast.contracts.driver_tokens import TokenStatus
from holdfast.contracts.mode import Mode
from holdfast.rpc import call
from holdfast_testkit.sim_clock import virtual_time

AWAY = ConnectorState(connected=False, status=None, transaction_id=None, booted_at_ms=None)


async def authorise(world, request):
    asked = Authorise(request=request, charge_point="CP-01", driver_token="CLOUD-ONLY")
    subject = subjects.rpc(world.site_name, "authorise")
    return (await call(world.site, subject, asked, Authorised, timeout_ms=5_000)).verdict


async def clear_cache(world, request, *, deadline_in_ms=30_000):
    now_ms = world.clock.now_ms()
    command = Command(
        id="c-1",
        charge_point="CP-01",
        action="ClearCache",
        payload={},
        issued_at_ms=now_ms - 1_000,
        deadline_ms=now_ms + deadline_in_ms,
        issuer=Issuer.OPERATOR_AT_SITE,
    )
    asked = Admit(request=request, command=command, target=AWAY)
    subject = subjects.rpc(world.site_name, "admit")
    return (await call(world.site, subject, asked, Admitted, timeout_ms=5_000)).verdict


@virtual_time
async def test_an_admitted_clear_cache_ends_the_sites_own_answers_though_the_charge_point_is_away(
    a_world,
):
    async with a_world() as world, world.running("site"), world.running("cloud"):
        assert (await authorise(world, "r-1")).basis is Basis.CLOUD
        world.link.cut()
        await world.enter(Mode.AUTONOMOUS)
        assert (await authorise(world, "r-2")).basis is Basis.CACHE
        assert (await clear_cache(world, "a-1")).admitted
        verdict = await authorise(world, "r-3")
        assert (verdict.status, verdict.basis) == (TokenStatus.INVALID, Basis.UNKNOWN_POLICY)


@virtual_time
async def test_one_that_is_not_admitted_clears_nothing(a_world):
    async with a_world() as world, world.running("site"), world.running("cloud"):
        await authorise(world, "r-1")
        world.link.cut()
        await world.enter(Mode.AUTONOMOUS)
        assert not (await clear_cache(world, "a-1", deadline_in_ms=-1)).admitted
        assert (await authorise(world, "r-2")).basis is Basis.CACHE


@virtual_time
async def test_asked_again_by_the_same_request_it_forgets_nothing_that_came_since(a_world):
    async with a_world() as world, world.running("site"), world.running("cloud"):
        assert (await clear_cache(world, "a-1")).admitted
        await world.clock.sleep_ms(1_000)
        assert (await authorise(world, "r-1")).basis is Basis.CLOUD
        assert (await clear_cache(world, "a-1")).admitted
        world.link.cut()
        await world.enter(Mode.AUTONOMOUS)
        assert (await authorise(world, "r-2")).basis is Basis.CACHE
