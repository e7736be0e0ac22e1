"""Goal: where the rules are strict, charge points are turned away while the CSMS is away and taken again when it
is back; where they are not, nothing changes. What was not acknowledged stays with the charge point.

Method: the whole service on a simulated server; mode-manager is a responder or away, rules and modes stand in
the journal. Once over a real socket.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from base64 import b64encode

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from holdfast import rpc, subjects
from holdfast.clock import SystemClock
from holdfast.contracts.charge_point import ChargePointConnected, ChargePointDisconnected
from holdfast.contracts.mode import CsmsState, Mode, ModeChanged, ModeStatus, Reason
from holdfast.contracts.rpc import Empty
from holdfast.contracts.rules import RulesActivated, UpstreamRules
from holdfast.contracts.session import SessionStarted, SessionStopped
from holdfast.ocpp.websocket import ConnectionEnded
from holdfast.recorder import Incarnation, Recorder
from holdfast_testkit.eventually import eventually
from holdfast_testkit.ports import free_ports
from holdfast_testkit.sim_clock import SimIds, virtual_time
from ocpp_edge.adapters.connection import GOING_AWAY
from ocpp_edge.domain.strict import turns_away

SITE, INCARNATION = "berlin01", "aaaaaaaa"
STRICT = "strict: the CSMS is away"
BOOT = {"chargePointVendor": "Vendor", "chargePointModel": "Model"}
CONNECTED, DEGRADED, AUTONOMOUS, RECOVERY = (
    Mode.CONNECTED,
    Mode.DEGRADED,
    Mode.AUTONOMOUS,
    Mode.RECOVERY,
)


class Site:
    """What the services beside ocpp-edge say at a place."""

    def __init__(self, place):
        self.place = place
        bus = place.bus.client("mode-manager")
        incarnation = Incarnation(SITE, INCARNATION)
        ids = SimIds(random.Random(5))
        self._bus = bus
        self._recorder = Recorder(bus, place.clock, ids, incarnation, "test")
        self._version = 0
        self.now = None
        """(mode, reasons) that mode-manager answers with; None: it is away."""

    async def rules(self, *, strict):
        self._version += 1
        text = json.dumps({"version": self._version, "upstream": {"strict": strict}})
        fact = RulesActivated(
            version=self._version, hash="h", text=text, previous_version=self._version - 1
        )
        await self._recorder.record(fact)

    async def enters(self, mode, *reasons):
        fact = ModeChanged(
            previous=None,
            mode=mode,
            reasons=reasons or (Reason.PULSE_LOST,),
            since_ms=1,
            disruption=None if mode is CONNECTED else "d",
        )
        await self._recorder.record(fact)

    async def begin_mode_manager(self, mode, *reasons):
        self.now = mode, reasons

        async def answer(_: Empty, __: str):
            mode, reasons = self.now
            return ModeStatus(
                mode=mode,
                reasons=reasons,
                since_ms=1,
                disruption=None,
                journaled=True,
                pulse_answered_at_ms=None,
                watermark=0,
                head_seq=None,
                desired_rules_version=0,
                csms=CsmsState.UP,
                stable_link=True,
            )

        await rpc.serve(self._bus, subjects.rpc(SITE, "mode"), Empty, answer)


@pytest.fixture
def new_site(new_place):
    async def make(*, strict=True, mode=CONNECTED, begun=True, clock=None):
        place = await new_place(clock)
        site = Site(place)
        await site.rules(strict=strict)
        await site.enters(mode)
        if begun:
            place.begin()
            await place.ready()
        return site

    return make


async def is_turned_away(place, identity="CP-1"):
    """Whether a charge point that comes now is not let in."""
    charger = await place.connect(identity)
    await charger.end.send(json.dumps([2, "h", "Heartbeat", {}]))
    try:
        await charger.end.receive()
    except ConnectionEnded:
        return True
    charger.end.lose()
    return False


async def closed_with(charger):
    """Whatever it is still sent comes before."""
    try:
        while True:
            await charger.end.receive()
    except ConnectionEnded:
        return charger.end.close_code, charger.end.close_reason


# --- the rule ---


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("reasons", [(), (Reason.CSMS,), (Reason.CLOCK, Reason.CSMS)])
def test_only_strict_rules_turn_anybody_away(mode, reasons):
    assert not turns_away(UpstreamRules(), mode, reasons)
    away = mode is AUTONOMOUS or (mode is DEGRADED and Reason.CSMS in reasons)
    assert turns_away(UpstreamRules(strict=True), mode, reasons) is away


# --- by default ---


@virtual_time
async def test_by_default_nobody_is_turned_away_whatever_the_mode(new_site):
    site = await new_site(strict=False)
    charger = await site.place.connect()
    transaction = await charger.start()
    await site.enters(AUTONOMOUS)
    await site.place.clock.sleep_ms(10_000)
    await site.enters(DEGRADED, Reason.CSMS)
    await site.place.clock.sleep_ms(10_000)
    assert await charger.stop(transaction) == {}
    assert not await is_turned_away(site.place, "CP-2")
    await site.place.kill()


# --- strict ---


@virtual_time
@pytest.mark.parametrize(
    ("mode", "reasons"), [(AUTONOMOUS, ()), (DEGRADED, (Reason.CSMS, Reason.SYNC_STALLED))]
)
async def test_while_the_csms_is_away_connections_are_closed_and_handshakes_refused(
    new_site, mode, reasons
):
    site = await new_site()
    place = site.place
    chargers = [await place.connect("CP-1"), await place.connect("CP-2")]
    for charger in chargers:
        await charger.call("BootNotification", BOOT)
    await site.enters(mode, *reasons)
    for charger in chargers:
        assert await closed_with(charger) == (GOING_AWAY, STRICT)
    assert await is_turned_away(place)
    await place.clock.sleep_ms(60_000)
    assert await is_turned_away(place)
    assert [one.reason for one in place.facts(ChargePointDisconnected)] == [STRICT] * 2
    assert len(place.facts(ChargePointConnected)) == 2
    counted = place.health.registry.get_sample_value(
        "holdfast_ocpp_auth_failures_total", {"reason": "turned away"}
    )
    assert counted == 2
    await site.enters(RECOVERY, Reason.IMPAIRMENT_OVER, Reason.CSMS)
    await place.clock.sleep_ms(2_000)
    assert not await is_turned_away(place)
    await place.kill()


@virtual_time
async def test_another_impairment_turns_nobody_away(new_site):
    site = await new_site()
    charger = await site.place.connect()
    await site.enters(DEGRADED, Reason.SYNC_STALLED)
    await site.place.clock.sleep_ms(5_000)
    assert await charger.call("Heartbeat", {})
    await site.place.kill()


@virtual_time
async def test_the_rule_counts_from_its_activation_and_no_longer(new_site):
    site = await new_site(strict=False, mode=AUTONOMOUS)
    place = site.place
    charger = await place.connect()
    await charger.call("BootNotification", BOOT)
    await site.rules(strict=True)
    assert await closed_with(charger) == (GOING_AWAY, STRICT)
    await site.rules(strict=False)
    await place.clock.sleep_ms(2_000)
    assert not await is_turned_away(place)
    await place.kill()


@virtual_time
async def test_what_mode_manager_knows_counts_more_than_what_the_journal_last_said(new_site):
    site = await new_site()
    place = site.place
    await site.begin_mode_manager(DEGRADED, Reason.CLOCK)
    charger = await place.connect()
    await place.clock.sleep_ms(2_000)
    assert await charger.call("Heartbeat", {})
    site.now = DEGRADED, (Reason.CSMS, Reason.CLOCK)  # no change of the mode, so no entry
    assert await closed_with(charger) == (GOING_AWAY, STRICT)
    site.now = DEGRADED, (Reason.CLOCK,)
    await place.clock.sleep_ms(2_000)
    assert not await is_turned_away(place)
    await place.kill()


@virtual_time
async def test_a_restart_while_the_csms_is_away_lets_nobody_in(new_site):
    site = await new_site(mode=AUTONOMOUS)
    place = site.place
    for _ in range(3):
        assert await is_turned_away(place)
        await place.kill()
        place.begin()
    assert await is_turned_away(place)
    assert place.facts(ChargePointConnected) == []
    await place.kill()


@virtual_time
async def test_a_message_not_acknowledged_stays_with_the_charge_point(new_site):
    site = await new_site()
    place = site.place
    charger = await place.connect()
    transaction = await charger.start("s1")
    place.rules_away = True  # so the next start hangs in the lane
    start = {"connectorId": 2, "idTag": "T", "meterStart": 0, "timestamp": "2025-06-15T15:00:00Z"}
    await charger.end.send(json.dumps([2, "s2", "StartTransaction", start]))
    await place.clock.sleep_ms(100)
    await site.enters(AUTONOMOUS)
    assert await closed_with(charger) == (GOING_AWAY, STRICT)
    place.rules_away = False
    await place.clock.sleep_ms(30_000)
    assert len(place.facts(SessionStarted)) == 1
    await site.enters(RECOVERY)
    await place.clock.sleep_ms(2_000)
    charger = await place.connect()
    assert await charger.start("s2", connectorId=2, idTag="T") != transaction
    assert await charger.stop(transaction) == {}
    assert len(place.facts(SessionStarted)) == 2
    assert len(place.facts(SessionStopped)) == 1
    await place.kill()


@virtual_time
async def test_a_connection_that_waits_for_the_one_before_it_is_closed_too(new_site):
    site = await new_site()
    place = site.place
    old = await place.connect()
    await old.call("BootNotification", BOOT)
    old.end.is_silent = True  # it answers no ping, so the new one waits
    new = await place.connect()
    await place.clock.sleep_ms(100)
    await site.enters(AUTONOMOUS)
    assert await closed_with(new) == (GOING_AWAY, STRICT)
    await place.clock.sleep_ms(10_000)
    assert place.facts(ChargePointConnected)[-1].connection == (
        place.facts(ChargePointDisconnected)[-1].connection
    )
    await place.kill()


@virtual_time
async def test_charge_points_in_full_talk_are_closed_and_what_they_were_acknowledged_is_stored(
    new_site,
):
    site = await new_site()
    place = site.place
    acknowledged = []

    async def talk(identity):
        charger = await place.connect(identity)
        for number in itertools.count():
            try:
                transaction = await charger.start(f"{identity}-{number}", meterStart=number)
                acknowledged.append(transaction)
                await charger.stop(transaction, f"{identity}-stop-{number}")
                await place.clock.sleep_ms(3)
            except ConnectionEnded:
                return

    async with asyncio.TaskGroup() as group:
        for identity in ("CP-1", "CP-2", "CP/ä 3"):
            group.create_task(talk(identity))
        await place.clock.sleep_ms(200)
        await site.enters(AUTONOMOUS)
        begun_ms = place.clock.monotonic_ms()
    assert place.clock.monotonic_ms() - begun_ms < 3_000
    await place.clock.sleep_ms(1_000)
    stored = {fact.transaction_id for fact in place.facts(SessionStarted)}
    assert set(acknowledged) <= stored
    at_the_end = len(place.bus.disk.streams[place.journal].messages)
    await place.clock.sleep_ms(20_000)
    assert len(place.bus.disk.streams[place.journal].messages) == at_the_end
    await place.kill()


# --- over a real socket ---


@pytest.fixture
def port():
    with free_ports(1) as (port,):
        yield port


async def test_over_a_socket_the_close_has_code_1001_and_the_handshake_503_with_retry_after(
    new_site, port
):
    site = await new_site(begun=False, clock=SystemClock())
    place = site.place
    place.begin(sockets=True, port=port)
    credentials = b64encode(b"CP-1:secret").decode()

    def dial():
        return connect(
            f"ws://127.0.0.1:{port}/ocpp/CP-1",
            subprotocols=["ocpp1.6"],
            additional_headers={"Authorization": f"Basic {credentials}"},
            proxy=None,
            open_timeout=60,
        )

    async def first():
        try:
            return await dial()
        except OSError:
            return None

    client = await eventually(first)
    await client.send(json.dumps([2, "b", "BootNotification", BOOT]))
    await client.recv()
    await site.enters(AUTONOMOUS)
    with pytest.raises(ConnectionClosed) as closed:
        await client.recv()
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (GOING_AWAY, STRICT)
    with pytest.raises(InvalidStatus) as refusal:
        await dial()
    assert refusal.value.response.status_code == 503
    assert int(refusal.value.response.headers["Retry-After"]) > 0
    await site.enters(RECOVERY)

    async def is_let_in():
        try:
            async with dial() as again:
                await again.send(json.dumps([2, "h", "Heartbeat", {}]))
                return json.loads(await again.recv())[0] == 3
        except InvalidStatus:
            return False

    await eventually(is_let_in)
    await place.kill()


@pytest.mark.parametrize(
    ("reasons", "away"),
    [
        ((Reason.MAINTENANCE,), False),
        ((Reason.MAINTENANCE, Reason.PLANNED), False),
        ((Reason.MAINTENANCE, Reason.PULSE_LOST), True),
        ((Reason.MAINTENANCE, Reason.CSMS), True),
        ((Reason.PULSE_LOST, Reason.PLANNED), True),
    ],
)
def test_maintenance_alone_turns_nobody_away(reasons, away):
    assert turns_away(UpstreamRules(strict=True), Mode.AUTONOMOUS, reasons) is away
