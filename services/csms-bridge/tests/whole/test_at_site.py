"""Goal: at a site, without our cloud in between, the same code does the same: from the site's own JOURNAL."""

from __future__ import annotations

import asyncio

from holdfast import subjects
from holdfast.contracts.command import Disposition, Issuer
from holdfast.contracts.csms import AskCsms, CaughtUp, CaughtUpRequest
from holdfast.contracts.decision import CloudVerdict
from holdfast.contracts.driver_tokens import TokenStatus
from holdfast.contracts.mode import CsmsState
from holdfast_testkit.sim_clock import virtual_time

SITE, LIFE = "berlin01", "aaaaaaaa"


@virtual_time
async def test_a_bridge_at_the_site_reads_the_sites_own_journal(new_place, facts):
    place = await new_place()
    await place.open_site()
    place.begin("bridge-1", scope="site", site=SITE)
    await place.record_at_site(facts.connected(), facts.booted(), *facts.session(5))
    await place.record_at_site(facts.started(6))
    await place.until(lambda: len(place.csms.transactions) == 2)
    asked = CaughtUpRequest(incarnation=LIFE, seq=7)

    async def caught_up() -> bool:
        said = await place.ask(subjects.up(SITE, "csms"), asked, CaughtUp)
        return (said.csms, said.read, said.behind_count) == (CsmsState.UP, True, 0)

    await place.until(caught_up)
    await place.kill()
    for end in list(place.csms.ends.values()):
        end.over.set()
    place.begin("bridge-1", scope="site", site=SITE)
    await place.record_at_site(facts.metered(6), facts.stopped(6))
    await place.until(lambda: place.csms.transactions[1_000_002]["stop"] == 106)
    assert len(place.csms.transactions) == 2


@virtual_time
async def test_its_csms_is_asked_and_heard_without_the_cloud(new_place, facts):
    place = await new_place()
    await place.open_site()
    place.csms.tokens["STOLEN"] = "Blocked"
    place.begin("bridge-1", scope="site", site=SITE)
    await place.record_at_site(facts.connected(), facts.booted(), facts.started(5))
    await place.until(lambda: len(place.csms.transactions) == 1)
    await place.clock.sleep_ms(500)
    asked = AskCsms(site=SITE, charge_point="CP-1", driver_token="STOLEN", budget_ms=800)
    verdict = await place.ask(subjects.rpc(SITE, "csms-authorise"), asked, CloudVerdict)
    assert verdict.status is TokenStatus.BLOCKED
    call = asyncio.get_running_loop().create_task(
        place.csms.call("CP-1", "RemoteStopTransaction", {"transactionId": 1_000_001}, "x1")
    )
    await place.until(lambda: place.commands)
    (command,) = place.commands
    assert (command.payload, command.issuer) == ({"transactionId": 5}, Issuer.CSMS)
    await place.record_at_site(facts.settled(command, Disposition.DELIVERED))
    assert await call == {"status": "Accepted"}
