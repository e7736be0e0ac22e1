"""Goal: the whole service keeps the core's promises: killed at any moment, with the disk refusing, the server
restarting, rule-service away; commands come down and end; nothing grows without bound.

Method: virtual time, a simulated server, connections in memory.
"""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
from contextlib import closing

import pytest

from holdfast import subjects
from holdfast.contracts.charge_point import (
    ChargePointConnected,
    ChargePointDisconnected,
    ChargePointsStatus,
)
from holdfast.contracts.command import (
    Command,
    CommandLanes,
    CommandReceipt,
    CommandReceived,
    CommandSettled,
    Disposition,
    Issuer,
)
from holdfast.contracts.journal import (
    IncarnationOpened,
    MessageQuarantined,
    StorageLevel,
    StorageLevelChanged,
)
from holdfast.contracts.registry import ChargePointRegistered
from holdfast.contracts.session import SessionStarted, SessionStopped
from holdfast.ocpp.websocket import ConnectionEnded
from holdfast.recorder import Incarnation, IncarnationChanged, Recorder
from holdfast_testkit.eventually import eventually
from holdfast_testkit.sim_clock import SimIds, virtual_time

SITE, INCARNATION = "berlin01", "aaaaaaaa"
BOOT = {"chargePointVendor": "Vendor", "chargePointModel": "Model"}


def command(place, id="c1", deadline_in_ms=60_000, **changes):
    now_ms = place.clock.now_ms()
    fields = {
        "charge_point": "CP-1",
        "action": "TriggerMessage",
        "payload": {"requestedMessage": "Heartbeat"},
        "issued_at_ms": now_ms,
        "deadline_ms": now_ms + deadline_in_ms,
        **changes,
    }
    return Command(id=id, **fields)


async def receive_call(charger):
    return json.loads(await charger.end.receive())


@virtual_time
async def test_a_session_from_boot_to_stop(new_place):
    place = await new_place()
    place.begin()
    charger = await place.connect()
    assert (await charger.call("BootNotification", BOOT))["status"] == "Accepted"
    transaction = await charger.start()
    assert await charger.stop(transaction) == {}
    (started,) = place.facts(SessionStarted)
    (stopped,) = place.facts(SessionStopped)
    assert started.transaction_id == stopped.transaction_id == transaction
    assert place.asked[0].driver_token == "TAG"
    await place.kill()


@virtual_time
async def test_a_killed_service_answers_a_repeat_as_before_with_and_without_a_snapshot(new_place):
    place = await new_place()
    for pause_ms in (0, 5_000):  # before and after the first snapshot
        place.begin()
        charger = await place.connect()
        transaction = await charger.start("s1")
        await place.clock.sleep_ms(pause_ms)
        await place.kill()
    place.begin()
    charger = await place.connect()
    assert await charger.start("s1") == transaction
    assert len(place.facts(SessionStarted)) == 1
    (lost, _) = place.facts(ChargePointDisconnected)
    assert lost.reason == "ocpp-edge was restarted"
    await place.kill()


@virtual_time
async def test_the_fold_is_acknowledged_only_as_far_as_a_snapshot_reaches(new_place):
    place = await new_place()
    place.begin(snapshot_every_ms=20_000)
    charger = await place.connect()
    transaction = await charger.start()
    await place.clock.sleep_ms(5_000)
    assert await place.bus.fold_floor(place.journal) == 0
    await place.clock.sleep_ms(20_000)
    told = len(place.facts(ChargePointRegistered)) + 2
    assert await place.bus.fold_floor(place.journal) == told
    await place.kill()
    await place.bus.trim(place.journal, told + 1)  # all that is left is the snapshot
    place.begin()
    charger = await place.connect()
    assert await charger.start() == transaction
    assert await charger.stop(transaction) == {}
    assert len(place.facts(SessionStarted)) == 0
    await place.kill()


@virtual_time
async def test_entries_of_others_do_not_hold_the_trimming_up(new_place):
    place = await new_place()
    place.begin()
    await place.ready()
    recorder = recorder_of(place)
    for n in range(3_000):
        await recorder.record(StorageLevelChanged(level=StorageLevel.OK, bytes=n, bytes_max=1))
    told = len(place.facts(ChargePointRegistered)) + 3_000
    await eventually(floor_is(place, told), within_s=60)
    await place.kill()


@virtual_time
async def test_a_snapshot_that_can_not_be_read_is_not_used(new_place):
    place = await new_place()
    place.begin()
    charger = await place.connect()
    transaction = await charger.start()
    await place.clock.sleep_ms(5_000)
    await place.kill()
    with closing(sqlite3.connect(place.data_dir / "ocpp-edge.sqlite")) as store:
        store.execute("UPDATE known SET state = x'7b7d7d'")
        store.commit()
    place.begin()
    charger = await place.connect()
    assert await charger.start() == transaction
    await place.kill()


def floor_is(place, seq):
    async def look():
        return await place.bus.fold_floor(place.journal) == seq

    return look


def recorder_of(place):

    ids = SimIds(random.Random(99))
    return Recorder(place.bus, place.clock, ids, Incarnation(SITE, INCARNATION), "journal")


@virtual_time
async def test_a_refusing_disk_closes_the_socket_of_a_transactional_message_only(new_place):
    place = await new_place()
    place.begin()
    charger = await place.connect()
    place.bus.disk.refuse_writes = True
    assert "currentTime" in await charger.call("Heartbeat", {})
    with pytest.raises(ConnectionEnded, match="not stored"):
        await charger.start("s1")
    assert not place.health.is_ok
    place.bus.disk.refuse_writes = False
    charger = await place.connect()
    assert await charger.start("s1") > 0
    assert place.health.is_ok
    await place.kill()


@virtual_time
async def test_a_restarting_server_costs_a_connection_and_no_session(new_place):
    place = await new_place()
    place.begin()
    charger = await place.connect()
    transaction = await charger.start("s1")
    place.bus.crash()
    with pytest.raises(ConnectionEnded):
        await charger.stop(transaction, "s2")
    place.bus.start()
    charger = await place.connect()
    assert await charger.stop(transaction, "s2") == {}
    assert len(place.facts(SessionStopped)) == 1
    await place.kill()


@virtual_time
async def test_rule_service_away_for_a_moment_is_not_noticed_and_for_longer_closes(new_place):
    place = await new_place()
    place.begin()
    charger = await place.connect()
    place.rules_away = True
    starting = asyncio.get_running_loop().create_task(charger.start("s1"))
    await place.clock.sleep_ms(4_000)
    place.rules_away = False
    assert await starting > 0
    place.rules_away = True
    with pytest.raises(ConnectionEnded, match="no decision"):
        await charger.start("s2", meterStart=5)
    place.rules_away = False
    charger = await place.connect()
    assert await charger.start("s2", meterStart=5) > 0
    await place.kill()


@virtual_time
async def test_a_slow_charge_point_holds_up_no_other(new_place):
    place = await new_place()
    place.begin()
    slow, quick = await place.connect("CP-1"), await place.connect("CP-2")

    async def flood():
        for number in range(5_000):  # it reads none of its answers
            await slow.end.send(f'[2,"{number}","Heartbeat",{{}}]')

    flooding = asyncio.get_running_loop().create_task(flood())
    for _ in range(100):
        assert "currentTime" in await quick.call("Heartbeat", {})
    assert not flooding.done()
    flooding.cancel()
    await place.kill()


@virtual_time
async def test_where_the_newest_connection_wins_a_late_close_touches_nothing(new_place):
    place = await new_place()
    place.begin(second_connection="replace")
    old = await place.connect()
    await old.call("Heartbeat", {})
    new = await place.connect()
    assert "currentTime" in await new.call("Heartbeat", {})
    with pytest.raises(ConnectionEnded, match="replaced"):
        await old.end.receive()
    first, second = place.facts(ChargePointConnected)
    assert (second.replaced, second.replaced_answered) == (first.connection, True)
    assert await new.start() > 0
    assert not place.facts(ChargePointDisconnected)
    duplicates = place.health.registry.get_sample_value(
        "holdfast_ocpp_duplicate_connections_total", {"result": "replaced"}
    )
    assert duplicates == 1
    await place.kill()


@virtual_time
async def test_a_dead_connection_gives_way_after_a_ping_and_is_no_duplicate(new_place):
    place = await new_place()
    place.begin()
    old = await place.connect()
    await old.call("Heartbeat", {})
    old.end.is_silent = True
    begun_ms = place.clock.monotonic_ms()
    new = await place.connect()
    assert "currentTime" in await new.call("Heartbeat", {})
    assert place.clock.monotonic_ms() - begun_ms <= 5_500
    connected = place.facts(ChargePointConnected)[1]
    assert (connected.replaced is not None, connected.replaced_answered) == (True, False)
    await place.kill()


@virtual_time
async def test_a_command_comes_down_is_sent_and_settled(new_place):
    place = await new_place()
    place.begin()
    charger = await place.connect()
    await place.clock.sleep_ms(3_000)  # there is no copy of DOWNLINK yet
    await place.make_downlink()
    await place.send_down(command(place, issuer=Issuer.OPERATOR_AT_SITE))
    _, message_id, action, _ = await receive_call(charger)
    assert action == "TriggerMessage"
    assert place.admits[0].command.issuer is Issuer.CLOUD  # the cloud is no operator at the site
    await charger.end.send(f'[3,"{message_id}",{{"status":"Accepted"}}]')
    await eventually(lambda: place.facts(CommandSettled))
    assert place.facts(CommandSettled)[0].disposition is Disposition.DELIVERED
    assert place.facts(CommandReceived)[0].downlink_seq == 1
    assert await place.ask("lanes", CommandLanes) == CommandLanes(pending=(), downlink_seq=1)
    await place.send_down(command(place))  # the same id again
    await place.clock.sleep_ms(5_000)
    assert len(place.facts(CommandSettled)) == 1
    await place.kill()


@virtual_time
async def test_a_command_for_an_absent_charge_point_expires_and_blocks_none(new_place):
    place = await new_place()
    await place.make_downlink()
    place.begin()
    charger = await place.connect("CP-2")
    await place.send_down(command(place, "c1"))
    await place.send_down(command(place, "c2", charge_point="CP-2"))
    assert (await receive_call(charger))[2] == "TriggerMessage"
    lanes = await place.ask("lanes", CommandLanes)
    assert (set(lanes.pending), lanes.downlink_seq) == ({"c1", "c2"}, 2)
    await place.clock.sleep_ms(62_000)
    ends = {fact.command.id: fact.disposition for fact in place.facts(CommandSettled)}
    assert ends == {"c1": Disposition.EXPIRED, "c2": Disposition.UNCERTAIN}
    await place.kill()


@virtual_time
async def test_commands_that_can_not_be_sent_are_refused_by_name(new_place):
    place = await new_place()
    await place.make_downlink()
    place.begin()
    await place.connect()
    await place.send_down(command(place, "c1", charge_point="CP-99"))
    await place.send_down(command(place, "c2", payload={"requestedMessage": "Nonsense"}))
    await eventually(lambda: len(place.facts(CommandSettled)) == 2)
    reasons = {fact.command.id: fact.reason for fact in place.facts(CommandSettled)}
    assert "registered" in reasons["c1"]
    assert "requestedMessage" in reasons["c2"]
    assert not place.admits
    await place.kill()


@virtual_time
async def test_what_is_no_command_is_quarantined_and_the_next_ones_go_on(new_place):
    place = await new_place()
    await place.make_downlink()
    place.begin()
    charger = await place.connect()
    await place.bus.append(
        subjects.DOWNLINK, subjects.down_command(SITE, "bad"), b'{"id":1}', id="bad"
    )
    await place.send_down(command(place))
    assert (await receive_call(charger))[2] == "TriggerMessage"
    assert place.facts(MessageQuarantined)[0].stream == subjects.DOWNLINK
    assert (await place.ask("lanes", CommandLanes)).downlink_seq == 2
    await place.kill()


@virtual_time
async def test_a_kill_after_the_sending_leaves_it_uncertain_and_it_is_not_sent_again(new_place):
    place = await new_place()
    await place.make_downlink()
    place.begin()
    charger = await place.connect()
    await place.send_down(command(place))
    await receive_call(charger)
    await place.kill()
    place.begin()
    charger = await place.connect()
    await eventually(lambda: place.facts(CommandSettled))
    assert place.facts(CommandSettled)[0].disposition is Disposition.UNCERTAIN
    assert "currentTime" in await charger.call("Heartbeat", {})
    await place.kill()


@virtual_time
async def test_the_operator_at_the_site_commands_by_request(new_place):
    place = await new_place()
    place.begin()
    charger = await place.connect()
    receipt = await place.ask("command", CommandReceipt, command(place))
    assert receipt.accepted
    assert (await receive_call(charger))[2] == "TriggerMessage"
    assert place.admits[0].command.issuer is Issuer.OPERATOR_AT_SITE
    wrong = await place.ask("command", CommandReceipt, command(place, "c2", charge_point="CP-99"))
    assert (wrong.accepted, "registered" in wrong.reason) == (False, True)
    await place.kill()


@virtual_time
async def test_a_csms_behind_a_bridge_at_the_site_is_not_its_operator(new_place):
    place = await new_place()
    place.begin()
    charger = await place.connect()
    asked = command(place).model_copy(update={"issuer": Issuer.OPERATOR_AT_SITE})
    receipt = await place.ask("csms-command", CommandReceipt, asked)
    assert receipt.accepted
    assert (await receive_call(charger))[2] == "TriggerMessage"
    assert place.admits[0].command.issuer is Issuer.CSMS
    wrong = command(place, "c2", charge_point="CP-99")
    assert not (await place.ask("csms-command", CommandReceipt, wrong)).accepted
    await place.kill()


@virtual_time
async def test_at_the_soft_storage_level_no_new_session_is_authorised(new_place):
    place = await new_place()
    place.begin()
    charger = await place.connect()
    recorder = recorder_of(place)
    for level, status in ((StorageLevel.SOFT, "Invalid"), (StorageLevel.OK, "Accepted")):
        await recorder.record(StorageLevelChanged(level=level, bytes=9, bytes_max=10))
        await place.clock.sleep_ms(100)
        answer = await charger.call("Authorize", {"idTag": "TAG"})
        assert answer["idTagInfo"]["status"] == status
    await place.kill()


@virtual_time
async def test_the_status_shows_every_registered_charge_point(new_place):
    place = await new_place()
    place.begin()
    charger = await place.connect()
    await charger.call("BootNotification", BOOT)
    status = {"connectorId": 1, "errorCode": "NoError", "status": "Charging"}
    await charger.call("StatusNotification", status)
    transaction = await charger.start()
    shown = await place.ask("charge-points", ChargePointsStatus)
    views = {view.charge_point: view for view in shown.charge_points}
    assert set(views) == {"CP-1", "CP-2", "CP/ä 3"}
    assert (views["CP-1"].connected, views["CP-1"].vendor) == (True, "Vendor")
    assert views["CP-1"].connectors[0].transaction_id == transaction
    assert not views["CP-2"].connected
    await place.kill()


@virtual_time
async def test_another_incarnation_ends_the_process(new_place):
    place = await new_place()
    place.begin()
    charger = await place.connect()
    await place.bus.release_subjects(place.journal, subjects.retired(SITE, INCARNATION, "journal"))
    await charger.end.send(
        '[2,"m1","StopTransaction",{"transactionId":1,"meterStop":1,"timestamp":"t"}]'
    )
    ended = await place.outcome()
    assert isinstance(ended, BaseExceptionGroup)
    assert ended.subgroup(IncarnationChanged) is not None


@virtual_time
async def test_a_burst_beyond_every_bound_is_answered_completely_and_in_order(new_place):
    """Some clients send all they kept at once when they are back."""
    place = await new_place()
    place.begin()
    charger = await place.connect()
    transaction = await charger.start("s")
    burst = 400

    async def send():
        for n in range(burst):
            values = f'[{{"timestamp":"2025-06-15T15:00:00Z","sampledValue":[{{"value":"{n}"}}]}}]'
            await charger.end.send(
                f'[2,"b{n}","MeterValues",'
                f'{{"connectorId":1,"transactionId":{transaction},"meterValue":{values}}}]'
            )

    sending = asyncio.get_running_loop().create_task(send())
    answered = [(await receive_call(charger))[1] for _ in range(burst)]
    await sending
    assert answered == [f"b{n}" for n in range(burst)]
    await place.kill()


@virtual_time
async def test_what_was_issued_before_this_life_of_the_disk_is_never_sent(new_place):
    place = await new_place()
    place.begin()
    charger = await place.connect()
    old = command(place, "old")
    await place.clock.sleep_ms(1_000)
    await recorder_of(place).record(IncarnationOpened(cause="new disk", previous=None))
    await place.make_downlink()
    await place.send_down(old)
    await place.send_down(command(place, "new"))
    await receive_call(charger)
    (fact,) = place.facts(CommandSettled)
    assert (fact.command.id, fact.disposition) == ("old", Disposition.UNCERTAIN)
    await place.kill()
    await place.bus.trim(place.journal, 100)  # only the store knows it now
    place.begin()
    await place.connect()
    older = old.model_copy(update={"id": "older"})
    await place.send_down(older)
    await eventually(lambda: any(one.command.id == "older" for one in place.facts(CommandSettled)))
    (fact,) = [one for one in place.facts(CommandSettled) if one.command.id == "older"]
    assert fact.disposition is Disposition.UNCERTAIN
    await place.kill()


@virtual_time
async def test_of_many_that_wait_for_a_dead_connection_only_the_newest_comes_in(new_place):
    place = await new_place()
    place.begin()
    old = await place.connect()
    await old.call("Heartbeat", {})
    old.end.is_silent = True
    begun_ms = place.clock.monotonic_ms()
    waiting = [await place.connect() for _ in range(10)]
    for one in waiting[1:-1]:
        with pytest.raises(ConnectionEnded, match="newer"):
            await one.end.receive()
    assert place.clock.monotonic_ms() - begun_ms < 1_000
    with pytest.raises(ConnectionEnded, match="newer"):
        await waiting[0].end.receive()
    assert "currentTime" in await waiting[-1].call("Heartbeat", {})
    assert place.clock.monotonic_ms() - begun_ms <= 6_000
    await place.kill()
