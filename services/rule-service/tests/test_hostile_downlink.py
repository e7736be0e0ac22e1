"""Goal: nothing that lies in DOWNLINK ends the rule-service of a site, for it would end every next life too: it is
refused with a reason, the last good one stays, and what comes beside it is taken.

Method: site and cloud on SimBus; hostile messages go past the cloud, as whoever may write to DOWNLINK could send them.
"""

from __future__ import annotations

import json

import pytest
from sqlalchemy.exc import OperationalError

from holdfast import subjects
from holdfast.contracts.decision import Authorise, Authorised
from holdfast.contracts.driver_tokens import DriverTokensRefused, TokenStatus
from holdfast.contracts.limits import EffectiveLimit
from holdfast.contracts.mode import Mode
from holdfast.contracts.numbers import MOMENT_MS_MAX, WHOLE_MAX
from holdfast.contracts.rpc import Empty
from holdfast.contracts.rules import SiteLimit
from holdfast.rpc import Refused, call
from holdfast_testkit.eventually import eventually
from holdfast_testkit.sim_clock import virtual_time
from rule_service.adapters.token_store import TokenStore
from rule_service.domain import bundle
from rule_service.domain.signatures import sign

ABSURD = 10**30
HOSTILE = {
    "int": 'version: !!int ""',
    "bool": 'version: 2\nname: !!bool "x"',
    "timestamp": 'version: 2\nname: !!timestamp "x"',
    "set": "version: 2\nx: !!set [a]",
    "aliases": "a: &a0 [x, x, x, x, x, x, x, x, x]\n"
    + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9))
    + "version: 2\nmodes: {pulse_ms: *a8}\n",
}


async def authorise(world, token, request):
    asked = Authorise(request=request, charge_point="CP-01", driver_token=token)
    subject = subjects.rpc(world.site_name, "authorise")
    return await call(world.site, subject, asked, Authorised, timeout_ms=9_000)


async def put_down(world, subject, data, id="x"):
    await world.cloud.append(subjects.DOWNLINK, subject, data, id=id)


def version_at(world, version):
    async def look():
        return (await world.rules_status()).version == version

    return look


def list_with(version=2, **more):
    tokens = [{"driver_token": "A", "status": "Accepted", **more}]
    return json.dumps({"version": version, "tokens": tokens})


LISTS = [
    list_with(valid_until_ms=ABSURD),
    list_with(valid_from_ms=-ABSURD),
    list_with(as_of_ms=MOMENT_MS_MAX + 1),
    list_with(version=WHOLE_MAX + 1),
]


@pytest.mark.parametrize("text", LISTS)
@virtual_time
async def test_a_list_with_an_absurd_number_is_refused_in_the_cloud_and_at_the_site(a_world, text):
    async with a_world("A", mode=Mode.DEGRADED) as world, world.running("cloud"):
        with pytest.raises(Refused, match=r"than or equal to") as refused:
            await world.publish("driver-tokens", text)
        assert not refused.value.failure.retry
        await put_down(world, subjects.down_driver_tokens(world.site_name), text.encode())
        for life in ("first", "second"):
            async with world.running("site"):

                async def told():
                    return (await world.rules_status()).driver_tokens_refused

                assert "DriverTokenList" in await eventually(told, within_s=30)
                verdict = (await authorise(world, "A", life)).verdict
                assert verdict.status is TokenStatus.ACCEPTED
        [fact] = await world.facts(DriverTokensRefused)
        assert fact.installed_version == 1


@virtual_time
async def test_a_limit_with_an_absurd_number_changes_nothing(a_world):
    async with a_world() as world, world.running("cloud"), world.running("site"):
        ever = {"limit_a": 1, "valid_until_ms": ABSURD}
        for wrong in ({"limit_a": "Infinity"}, {"limit_a": 10**9}, ever):
            with pytest.raises(Refused, match="not a SiteLimit"):
                await world.publish("limit", json.dumps({"id": "l", **wrong}))
        subject = subjects.down_limit(world.site_name)
        await put_down(world, subject, b'{"id": "l", "limit_a": Infinity}')
        await world.clock.sleep_ms(5_000)
        assert (await world.rules_status()).version == 1


@virtual_time
async def test_a_list_that_the_store_can_not_take_for_whatever_reason_is_refused(
    a_world, monkeypatch
):
    async with a_world("A", mode=Mode.DEGRADED) as world, world.running("cloud"):
        async with world.running("site"):

            def fails(_self, _offered):
                raise OverflowError("too large to convert")

            monkeypatch.setattr(TokenStore, "prepare", fails)
            await world.publish("driver-tokens", list_with())

            async def told():
                return (await world.rules_status()).driver_tokens_refused

            assert "OverflowError: too large" in await eventually(told, within_s=30)
            assert (await world.rules_status()).driver_tokens_full_wanted is False
            await world.publish("rules", world.rules_text(2))
            await eventually(version_at(world, 2), within_s=30)
            assert (await authorise(world, "A", "r")).verdict.status is TokenStatus.ACCEPTED
            monkeypatch.undo()
            await world.publish("driver-tokens", list_with(version=3))
            await eventually(lambda: world.health["site"].is_ok, within_s=30)
        refused = await world.facts(DriverTokensRefused)
        assert [(fact.version, fact.installed_version) for fact in refused] == [(2, 1)]


@virtual_time
async def test_rules_and_limits_come_in_while_a_full_disk_takes_no_list(a_world, monkeypatch):
    async with a_world("A") as world, world.running("cloud"), world.running("site"):

        def full(_self, _offered):
            raise OperationalError("insert", {}, Exception("database or disk is full"))

        monkeypatch.setattr(TokenStore, "prepare", full)
        await world.publish("driver-tokens", list_with())
        await eventually(lambda: not world.health["site"].is_ok, within_s=30)
        await world.publish("rules", world.rules_text(2))
        limit = SiteLimit(id="l", limit_a=16)
        await world.publish("limit", limit.model_dump_json())
        await eventually(version_at(world, 2), within_s=30)

        async def limited():
            subject = subjects.rpc(world.site_name, "limit")
            found = await call(world.site, subject, Empty(), EffectiveLimit, timeout_ms=1_000)
            return found.limit_a == 16

        await eventually(limited, within_s=30)
        monkeypatch.undo()

        async def installed():
            return (await world.rules_status()).driver_tokens_version == 2

        await eventually(installed, within_s=120)


@pytest.mark.parametrize("name", HOSTILE)
@virtual_time
async def test_hostile_yaml_is_refused_in_the_cloud_and_at_the_site_whoever_signed_it(
    a_world, name
):
    text = HOSTILE[name]
    async with a_world() as world, world.running("cloud"):
        signed = sign(world.key, 2, text)
        for kind, asked in (("rules", text), ("signed-rules", signed.model_dump_json())):
            with pytest.raises(Refused, match="rules refused as a whole: line") as refused:
                await world.publish(kind, asked)
            assert not refused.value.failure.retry
        await put_down(world, subjects.down_rules(world.site_name), signed.to_bytes())
        for _ in range(2):
            async with world.running("site"):

                async def refused_as():
                    return (await world.rules_status()).refused_kind

                assert await eventually(refused_as, within_s=30) == "invalid-rules"
                assert (await world.rules_status()).version == 1


@virtual_time
async def test_a_bundle_that_breaks_the_reader_itself_is_refused(a_world, monkeypatch):
    def breaks(_text):
        raise IndexError("string index out of range")

    async with a_world() as world, world.running("cloud"), world.running("site"):
        signed = sign(world.key, 2, world.rules_text(2))
        monkeypatch.setattr(bundle, "read_rules", breaks)
        await put_down(world, subjects.down_rules(world.site_name), signed.to_bytes())

        async def told():
            return (await world.rules_status()).refused

        assert "the reader failed (IndexError" in await eventually(told, within_s=30)
