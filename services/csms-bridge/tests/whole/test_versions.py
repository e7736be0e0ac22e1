"""Goal: charge points of 1.6, 2.0.1 and 2.1 beside each other, each spoken for in its own version, whatever dies."""

from __future__ import annotations

import json

from csms_bridge.domain import taking
from holdfast import subjects
from holdfast.contracts.csms import AskCsms, RelayReply, RelayRequest
from holdfast.contracts.decision import CloudVerdict
from holdfast.contracts.driver_tokens import TokenStatus, TokenType
from holdfast.ocpp.versions import OcppVersion
from holdfast_testkit import facts_2x
from holdfast_testkit.sim_clock import virtual_time

SITE = "berlin01"
V16, V201, V21 = OcppVersion
CSR = '{"csr":"x"}'


def of(charge_point, *facts):
    return [one.model_copy(update={"charge_point": charge_point}) for one in facts]


def seq_nos(csms, charge_point):
    return [payload["seqNo"] for who, payload in csms.events if who == charge_point]


@virtual_time
async def test_charge_points_of_three_versions_are_delivered_beside_each_other(new_place, facts):
    place = await new_place()
    place.begin()
    await place.record(facts.connected(), facts.booted(), *facts.session(5))
    for charge_point, version in (("CP-2", V201), ("CP-3", V21)):
        events = [facts_2x.started(version=version), facts_2x.metered(1), facts_2x.stopped(2)]
        arrived = [facts_2x.connected(version), facts_2x.booted(version)]
        events = [one.model_copy(update={"version": version}) for one in events]
        await place.record(*of(charge_point, *arrived, *events))
    await place.until(lambda: len(place.csms.events) == 6 and place.csms.transactions)
    assert dict(place.versions) == {"CP-1": V16, "CP-2": V201, "CP-3": V21}
    for charge_point in ("CP-2", "CP-3"):
        assert place.csms.actions(charge_point)[0] == "BootNotification"
        assert seq_nos(place.csms, charge_point) == [0, 1, 2]
    status = await place.status()
    assert {one.charge_point: one.version for one in status.charge_points} == dict(place.versions)


@virtual_time
async def test_events_recorded_while_no_bridge_ran_go_up_once_and_in_order(new_place):
    place = await new_place()
    await place.record(facts_2x.connected(), facts_2x.booted(), facts_2x.started())
    place.begin()
    await place.until(lambda: len(place.csms.events) == 1)
    await place.kill()
    await place.record(facts_2x.metered(4, left_out=((1, 3),)), facts_2x.stopped(5))
    place.begin()
    await place.until(lambda: len(place.csms.events) >= 3)
    assert seq_nos(place.csms, "CP-1") == [0, 4, 5]
    status = await place.status()
    assert status.charge_points[0].left_out_seq == {facts_2x.TX: ((1, 3),)}
    assert status.open_deliveries == ()


@virtual_time
async def test_a_backlog_longer_than_memory_goes_up_in_order(new_place):
    place = await new_place()
    events = [facts_2x.metered(number) for number in range(1, 60)]
    place.csms.up = False
    place.begin(queue_max=10)
    await place.record(facts_2x.connected(), facts_2x.booted(), facts_2x.started(), *events)
    await place.record(facts_2x.stopped(60))
    await place.clock.sleep_ms(taking.NEWS_MS_MAX)
    place.csms.up = True
    await place.until(lambda: len(place.csms.events) >= 61, within_s=600)
    assert seq_nos(place.csms, "CP-1") == list(range(61))


@virtual_time
async def test_drivers_and_class_r_are_asked_through_any_instance(new_place):
    place = await new_place()
    place.csms.tokens["STOLEN"] = "Blocked"
    place.begin("bridge-1")
    place.begin("bridge-2")
    await place.record(facts_2x.connected(), facts_2x.booted(), facts_2x.started())
    await place.until(lambda: place.csms.events)
    asked = AskCsms(
        site=SITE,
        charge_point="CP-1",
        driver_token="STOLEN",
        token_type=TokenType.ISO14443,
        budget_ms=800,
    )
    request = RelayRequest(
        charge_point="CP-1",
        version=V201,
        action="SignCertificate",
        message_id="m",
        raw=CSR,
        budget_ms=2_000,
    )
    for _ in range(6):  # whichever of the two takes it
        verdict = await place.ask(subjects.cloud_rpc("csms-authorise"), asked, CloudVerdict)
        assert verdict.status is TokenStatus.BLOCKED
        reply = await place.ask(subjects.up(SITE, "relay"), request, RelayReply)
        assert json.loads(reply.raw) == {"status": "Accepted"}
    assert place.csms.actions("CP-1").count("SignCertificate") == 6


@virtual_time
async def test_a_relay_that_nobody_can_answer_says_so_in_time(new_place):
    place = await new_place()
    place.begin()
    await place.record(facts_2x.connected(), facts_2x.booted(), facts_2x.started())
    await place.until(lambda: place.csms.events)
    request = RelayRequest(
        charge_point="CP-1",
        version=V201,
        action="SignCertificate",
        message_id="m",
        raw=CSR,
        budget_ms=700,
    )
    place.csms.silent = True
    began_ms = place.clock.monotonic_ms()
    reply = await place.ask(subjects.up(SITE, "relay"), request, RelayReply)
    assert reply.reason == "the CSMS has not answered in time"
    assert place.clock.monotonic_ms() - began_ms <= 1_000
    stranger = request.model_copy(update={"charge_point": "CP-9"})
    reply = await place.ask(subjects.up(SITE, "relay"), stranger, RelayReply)
    assert reply.reason == "no CSMS is behind this charge point"
    reply = await place.ask(subjects.up("munich01", "relay"), request, RelayReply)
    assert "nobody speaks upstream for site 'munich01'" in reply.reason


@virtual_time
async def test_a_charge_point_that_is_upgraded_changes_its_connection(new_place, facts):
    place = await new_place()
    place.begin()
    await place.record(facts.connected(), facts.booted(), *facts.session(5))
    await place.until(lambda: place.csms.actions()[-1:] == ["StopTransaction"])
    await place.record(facts.disconnected("CP-1", "k1"), facts_2x.connected(connection="k2"))
    await place.record(facts_2x.booted(), facts_2x.started(), facts_2x.stopped(1))
    await place.until(lambda: len(place.csms.events) == 2)
    assert [version for _, version in place.versions] == [V16, V201]
    assert place.csms.doubled == 0
