"""Goal: a service knows the mode and the rules that stand, from the journal or, trimmed, from those who decide.

Method: the real follower on a simulated bus and virtual time.
"""

import asyncio
import random

import pytest

from holdfast import subjects
from holdfast.bus import StreamSpec
from holdfast.contracts.envelope import ContractError
from holdfast.contracts.mode import CsmsState, Mode, ModeChanged, ModeStatus, Reason
from holdfast.contracts.rpc import Empty
from holdfast.contracts.rules import RulesActivated, RulesStatus
from holdfast.recorder import Incarnation, Recorder
from holdfast.rpc import serve
from holdfast.standing import Standing, follow_standing, parse_rules
from holdfast_testkit.eventually import eventually
from holdfast_testkit.sim_bus import SimBus
from holdfast_testkit.sim_clock import SimClock, SimIds, virtual_time

SITE = "berlin01"
RULES = "version: 7\nname: seven\n"


class Site:
    def __init__(self) -> None:
        self.clock = SimClock()
        self.bus = SimBus(self.clock, domain=subjects.domain(SITE))
        self.incarnation = Incarnation(SITE, "aaaaaaaa")
        ids = SimIds(random.Random(1))
        self.recorder = Recorder(self.bus, self.clock, ids, self.incarnation, "test")
        self.standing = Standing()

    async def open(self):
        spec = StreamSpec(
            name=self.incarnation.journal,
            subjects=(subjects.journal_all(SITE),),
            bytes_max=1 << 20,
            when_full="refuse",
        )
        await self.bus.ensure_stream(spec)
        return self

    async def changes_to(self, mode: Mode, *reasons: Reason) -> None:
        await self.recorder.record(
            ModeChanged(
                previous=None,
                mode=mode,
                reasons=reasons or (Reason.STARTED,),
                since_ms=1,
                disruption="d",
            )
        )

    async def activates(self, text: str) -> None:
        version = parse_rules(text).version
        await self.recorder.record(
            RulesActivated(version=version, hash="h", text=text, previous_version=0)
        )


@virtual_time
async def test_what_is_stored_stands_at_start_and_each_change_follows():
    site = await Site().open()
    await site.changes_to(Mode.CONNECTED)
    await site.activates(RULES)
    async with asyncio.TaskGroup() as group:
        following = group.create_task(follow_standing(site.bus, site.incarnation, site.standing))
        await site.standing.known.wait()
        assert (site.standing.mode, site.standing.rules_version) == (Mode.CONNECTED, 7)
        assert site.standing.reasons == (Reason.STARTED,)
        await site.changes_to(Mode.DEGRADED, Reason.CSMS, Reason.CLOCK)
        await eventually(lambda: site.standing.mode is Mode.DEGRADED, within_s=5)
        assert site.standing.reasons == (Reason.CSMS, Reason.CLOCK)
        following.cancel()


@virtual_time
async def test_a_site_that_knows_nothing_assumes_autonomous_and_the_built_in_rules():
    site = await Site().open()
    async with asyncio.TaskGroup() as group:
        following = group.create_task(follow_standing(site.bus, site.incarnation, site.standing))
        await site.standing.known.wait()
        assert (site.standing.mode, site.standing.rules_version) == (Mode.AUTONOMOUS, 0)
        assert site.standing.reasons == ()
        following.cancel()


@virtual_time
async def test_trimmed_past_the_last_change_those_who_decide_are_asked():
    site = await Site().open()
    await site.changes_to(Mode.CONNECTED)
    await site.activates(RULES)
    await site.bus.trim(site.incarnation.journal, 3)

    async def mode(_: Empty, __: str) -> ModeStatus:
        return ModeStatus(
            mode=Mode.RECOVERY, reasons=(Reason.PULSES_STABLE,), since_ms=1, disruption="d",
            journaled=True, pulse_answered_at_ms=None, watermark=2, head_seq=2,
            desired_rules_version=7, csms=CsmsState.NONE, stable_link=True,
        )  # fmt: skip

    async def rules(_: Empty, __: str) -> RulesStatus:
        return RulesStatus(
            version=7,
            hash="h",
            name="seven",
            valid_until_ms=None,
            driver_tokens_version=0,
            text=RULES,
        )

    await serve(site.bus, subjects.rpc(SITE, "mode"), Empty, mode)
    await serve(site.bus, subjects.rpc(SITE, "rules"), Empty, rules)
    async with asyncio.TaskGroup() as group:
        following = group.create_task(follow_standing(site.bus, site.incarnation, site.standing))
        await site.standing.known.wait()
        assert (site.standing.mode, site.standing.rules.name) == (Mode.RECOVERY, "seven")
        assert site.standing.reasons == (Reason.PULSES_STABLE,)
        following.cancel()


@pytest.mark.parametrize(
    "text",
    ["[", "version: 0", "version: 1\nspeed: 3", "a: &a [*a]", "version: 1\n" + "#" * 300_000],
)
def test_rules_that_are_no_rules_are_refused_as_a_whole(text: str):
    with pytest.raises(ContractError, match="rules"):
        parse_rules(text)
