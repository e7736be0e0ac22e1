"""Goal: a charge point of 2.0.1 or 2.1 is spoken for in its version, its TransactionEvents in order and untouched."""

from __future__ import annotations

import json

import pytest

from csms_bridge.domain.events import Connect
from csms_bridge.domain.sending import SETTLE_MS
from holdfast.contracts.csms import Phase
from holdfast_testkit.facts_2x import (
    TX,
    V16,
    V21,
    V201,
    booted,
    connected,
    metered,
    raw_event,
    said,
    started,
    status,
    stopped,
)

ACCEPTED = {"idTokenInfo": {"status": "Accepted"}}
REFUSED = {"idTokenInfo": {"status": "Blocked"}}


@pytest.fixture
def open_2x():
    """A function: the charge point comes to its site in that version, and is accepted upstream."""

    def opening(scene, version=V201):
        scene.journal(connected(version), booted(version))
        scene.open()
        scene.accept()

    return opening


def versions(scene):
    return [one.version for one in scene.effects if isinstance(one, Connect)]


def sent_events(scene):
    """Payloads as they stand in the frames, byte for byte."""
    head = '"TransactionEvent",'
    return [text.split(head, 1)[1][:-1] for text in scene.texts if head in text]


@pytest.mark.parametrize("version", [V201, V21])
def test_the_connection_is_of_the_charge_point_s_version_and_boots_first(scene, open_2x, version):
    open_2x(scene, version)
    assert versions(scene) == [version]
    assert scene.actions == ["BootNotification"]
    assert scene.sent("BootNotification")[0][3]["reason"] == "PowerUp"


def test_transaction_events_go_up_in_order_one_at_a_time_and_byte_for_byte(scene, open_2x):
    open_2x(scene)
    scene.journal(started(), metered(1, offline=True), metered(2), stopped(3))
    wanted = [
        raw_event("Started", 0),
        raw_event("Updated", 1, more=',"offline":true'),
        raw_event("Updated", 2),
        raw_event("Ended", 3),
    ]
    for count, _ in enumerate(wanted, start=1):
        assert sent_events(scene) == wanted[:count]
        scene.answer(ACCEPTED if count == 1 else {})
    assert scene.troubles() == []
    assert scene.state.kept.passed[TX].ended


def test_replayed_events_go_before_the_statuses_which_are_told_once_for_each_connector(
    scene, open_2x
):
    scene.journal(connected(), booted(), live=False)
    scene.journal(status("Occupied", 1, 1), status("Available", 1, 2), started(), live=False)
    scene.journal(status("Available", 1, 1), stopped(1), live=False)
    scene.open()
    scene.accept()
    taken = scene.take_all()
    assert taken == ["TransactionEvent", "TransactionEvent", *["StatusNotification"] * 2]
    told = {(one[3]["connectorId"], one[3]["connectorStatus"]) for one in scene.sent(taken[-1])}
    assert told == {(1, "Available"), (2, "Available")}


def test_an_event_whose_answer_was_lost_is_sent_again_under_its_id_and_doubles_nothing(
    scene, open_2x
):
    open_2x(scene)
    scene.journal(started())
    scene.lose()
    scene.reconnect()
    assert scene.called()[0] == "TransactionEvent"
    ids = scene.sent_ids("TransactionEvent")
    assert ids[0] == ids[1]
    scene.answer({"idTokenInfo": {"status": "ConcurrentTx"}})
    assert scene.troubles() == [], "the station's id says that it is the same transaction"
    assert scene.to_site() == []


@pytest.mark.parametrize("rule", ["stop", "keep-flagged"])
def test_a_start_that_the_csms_refuses_is_stopped_by_the_station_s_own_id_or_flagged(
    scene_with, open_2x, rule
):
    scene = scene_with(refused_start=rule)
    open_2x(scene)
    scene.journal(started())
    scene.answer(REFUSED)
    assert scene.troubles() == ["refused start"]
    stops = [(one.action, one.payload) for one in scene.to_site()]
    wanted = [("RequestStopTransaction", {"transactionId": TX})] if rule == "stop" else []
    assert stops == wanted
    scene.journal(stopped(1))
    scene.answer({})
    assert scene.troubles() == [], "it has ended"


def test_a_token_that_comes_with_a_later_event_may_be_refused_too(scene, open_2x):
    open_2x(scene)
    scene.journal(started(accepted=None))
    scene.answer({})
    assert scene.troubles() == []
    scene.journal(metered(1, accepted=True))
    scene.answer(REFUSED)
    assert [one.action for one in scene.to_site()] == ["RequestStopTransaction"]


def test_what_the_site_had_refused_itself_is_not_refused_again(scene, open_2x):
    open_2x(scene)
    scene.journal(started(accepted=False))
    scene.answer(REFUSED)
    assert (scene.troubles(), scene.to_site()) == ([], [])


def test_an_event_of_a_transaction_whose_begin_is_not_known_goes_up_all_the_same(scene, open_2x):
    open_2x(scene)
    scene.journal(metered(4), stopped(5))
    assert scene.take_all() == ["TransactionEvent", "TransactionEvent"]
    assert scene.troubles() == []


def test_a_begin_that_comes_after_events_of_its_transaction_goes_up_too_and_once(scene, open_2x):
    open_2x(scene)
    scene.journal(metered(4), started())
    assert scene.take_all() == ["TransactionEvent", "TransactionEvent"]
    scene.journal(started())
    assert scene.take_all() == []


def test_what_was_left_out_by_rule_is_told_with_the_transaction(scene, open_2x):
    from csms_bridge.domain.site import view

    open_2x(scene)
    scene.journal(started(), metered(4, left_out=((1, 3),)), metered(5), stopped(9, TX))
    scene.journal(metered(8, "other", left_out=((6, 7),), uncounted=((2, 5),)))
    scene.take_all()
    assert view(scene.state).left_out_seq == {TX: ((1, 3),), "other": ((6, 7),)}
    assert view(scene.state).uncounted_seq == {"other": ((2, 5),)}


def test_events_that_the_csms_answers_with_an_error_are_quarantined_with_their_session(
    scene_with, open_2x
):
    scene = scene_with(attempts_max=2)
    open_2x(scene)
    scene.journal(started(), metered(1), stopped(2), started("next"))
    for _ in range(2):
        scene.wait_for_call()
        scene.fail("InternalError")
    assert scene.troubles() == ["quarantined"] * 3
    assert json.loads(sent_events(scene)[-1])["transactionInfo"]["transactionId"] == "next"


def test_orphans_of_a_quarantined_start_are_sent_as_they_are_where_the_rule_says_so(
    scene_with, open_2x
):
    scene = scene_with(attempts_max=1, orphans="send-unmapped")
    open_2x(scene)
    scene.journal(started(), metered(1))
    scene.fail("InternalError")
    assert sent_events(scene)[-1] == raw_event("Updated", 1)


# --- the other lanes ---


def test_messages_of_class_g_go_up_all_and_in_order_behind_the_transactions(scene):
    scene.journal(connected(), booted(), said("SecurityEventNotification", 1), live=False)
    scene.journal(started(), said("NotifyEvent", 2), stopped(1), live=False)
    scene.open()
    scene.accept()
    assert scene.take_all() == [
        "TransactionEvent",
        "TransactionEvent",
        "SecurityEventNotification",
        "NotifyEvent",
    ]


def test_of_class_l_the_newest_of_each_key_goes_up_once(scene):
    scene.journal(connected(), booted(), live=False)
    for number in (1, 2, 3):
        scene.journal(
            said("NotifyChargingLimit", number, kind="L", key="evse-1"),
            said("LogStatusNotification", number + 10, kind="L"),
            live=False,
        )
    scene.open()
    scene.accept()
    assert sorted(scene.take_all()) == ["LogStatusNotification", "NotifyChargingLimit"]
    assert scene.sent("NotifyChargingLimit")[0][3] == {"n": 3}
    scene.lose()
    scene.reconnect()
    assert scene.take_all() == [], "once, and not once per connection"
    scene.take_over()
    scene.read_again()
    scene.open()
    scene.accept()
    assert scene.take_all() == []


def test_of_more_keys_than_are_kept_those_that_are_told_are_forgotten_first(scene, open_2x):
    from csms_bridge.domain.kept import LATEST_MAX

    open_2x(scene)
    for number in range(LATEST_MAX):
        scene.journal(said("NotifyEvent", number, kind="L", key=f"a{number}"))
    scene.take_all()
    scene.lose()
    scene.journal(said("NotifyChargingLimit", 1, kind="L", key="limit"), live=False)
    for number in range(LATEST_MAX - 1):
        scene.journal(said("NotifyEvent", 1_000 + number, kind="L", key=f"b{number}"), live=False)
    assert len(scene.state.kept.latest) == LATEST_MAX
    scene.reconnect()
    assert sorted(scene.take_all()) == ["NotifyChargingLimit"] + ["NotifyEvent"] * (LATEST_MAX - 1)


def test_the_newest_of_class_l_survives_the_loss_of_its_answer(scene):
    scene.journal(connected(), booted(), live=False)
    scene.journal(said("NotifyChargingLimit", 1, kind="L"), live=False)
    scene.open()
    scene.accept()
    scene.wait(SETTLE_MS)
    assert scene.called()[0] == "NotifyChargingLimit"
    scene.lose()
    scene.reconnect()
    scene.wait(SETTLE_MS)
    assert scene.called()[0] == "NotifyChargingLimit"


def test_live_messages_keep_their_place_in_the_conversation(scene, open_2x):
    open_2x(scene)
    scene.journal(started(), said("NotifyChargingLimit", 1, kind="L"))
    scene.journal(said("SecurityEventNotification", 2), metered(1))
    assert scene.take_all() == [
        "TransactionEvent",
        "NotifyChargingLimit",
        "SecurityEventNotification",
        "TransactionEvent",
    ]


def test_a_send_of_2_1_goes_up_as_one_and_nothing_is_waited_for(scene, open_2x):
    open_2x(scene, V21)
    scene.journal(said("NotifyPeriodicEventStream", 1, kind="L", version=V21))
    (frame,) = [one for one in scene.frames if one[0] == 6]
    assert frame[2:] == ["NotifyPeriodicEventStream", {"n": 1}]
    assert scene.is_idle
    assert not scene.state.has_backlog


def test_of_replayed_sends_the_newest_of_each_stream_goes_up_once(scene):
    stream = "NotifyPeriodicEventStream"
    scene.journal(connected(V21), booted(V21), live=False)
    for number in (1, 2):
        for key in ("a", "b"):
            scene.journal(said(stream, number, kind="L", key=key, version=V21), live=False)
    scene.open()
    scene.accept()
    scene.take_all()
    sends = [one for one in scene.frames if one[0] == 6]
    assert [one[3] for one in sends] == [{"n": 2}, {"n": 2}]
    assert len({one[1] for one in sends}) == 2
    scene.journal(said("SecurityEventNotification", 3, version=V21))
    scene.take_all()  # the CSMS is heard: what went before came, too
    scene.lose()
    scene.reconnect()
    scene.take_all()
    assert [one for one in scene.frames if one[0] == 6] == sends


@pytest.mark.parametrize("live", [True, False])
def test_a_send_is_told_again_where_the_connection_ends_before_the_csms_is_heard(
    scene, open_2x, live
):
    open_2x(scene, V21)
    stream = "NotifyPeriodicEventStream"
    for number in (1, 2):
        scene.journal(said(stream, number, kind="L", key="a", version=V21), live=live)
    scene.wait(SETTLE_MS)
    before = [one for one in scene.frames if one[0] == 6]
    assert [one[3]["n"] for one in before] == ([1, 2] if live else [2])
    scene.lose()
    scene.reconnect()
    scene.take_all()
    again = [one for one in scene.frames if one[0] == 6][len(before) :]
    assert again == before[-1:], "the newest, under the id it had"
    scene.journal(said("SecurityEventNotification", 3, version=V21))
    scene.take_all()
    scene.lose()
    scene.journal(said(stream, 4, kind="L", key="a", version=V21), live=False)
    scene.reconnect()
    scene.take_all()
    assert [one[3]["n"] for one in scene.frames if one[0] == 6][len(before) + 1 :] == [4]


def test_the_security_whitepaper_of_1_6_goes_up_too(scene, facts):
    scene.connect()
    scene.journal(said("SecurityEventNotification", 1, version=V16))
    assert scene.called() == ("SecurityEventNotification", {"n": 1})


# --- another version ---


def test_a_charge_point_that_comes_back_in_another_version_gets_a_new_connection(
    scene, facts, open_2x
):
    scene.connect()
    scene.journal(facts.disconnected("k1"), connected(V201, "k2"), booted(V201))
    assert [one.reason for one in scene.closes()] == ["the next messages are of OCPP 2.0.1"]
    scene.reconnect()
    assert versions(scene) == [V16, V201]
    assert scene.sent("BootNotification")[-1][3]["reason"] == "PowerUp"


def test_what_is_left_of_the_version_before_goes_up_first_on_a_connection_of_its_own(
    scene, facts, open_2x
):
    scene.journal(facts.connected(), facts.booted(), facts.started(), live=False)
    scene.journal(facts.stopped(), facts.disconnected("k1"), live=False)
    scene.journal(connected(V201, "k2"), booted(V201), started(), stopped(1), live=False)
    scene.open()
    scene.accept()
    assert scene.sent("BootNotification")[-1][3] == {
        "chargePointVendor": "V",
        "chargePointModel": "M",
    }
    while scene.state.live.version is V16:
        if scene.is_idle:
            scene.reconnect()
            continue
        action, payload = scene.called()
        scene.answer(scene.word_on(action, payload))
    scene.open()
    scene.accept()
    scene.take_all()
    assert versions(scene) == [V16, V201]
    assert [one for one in scene.actions if one != "BootNotification"] == [
        "StartTransaction",
        "StopTransaction",
        "TransactionEvent",
        "TransactionEvent",
    ]


def test_statuses_of_the_version_before_are_told_no_more(scene, facts):
    scene.connect()
    scene.journal(facts.status("Available"), facts.disconnected("k1"), live=False)
    scene.journal(connected(V201, "k2"), booted(V201), status("Occupied"), live=False)
    scene.reconnect()
    scene.take_all()
    assert [one[3] for one in scene.sent("StatusNotification")][-1]["connectorStatus"] == "Occupied"
    assert len(scene.sent("StatusNotification")) == 1


# --- answers ---


@pytest.mark.parametrize(("version", "told"), [(V201, 0), (V21, 1)])
def test_an_answer_that_is_no_object_is_none_and_2_1_says_so(scene, open_2x, version, told):
    open_2x(scene, version)
    scene.journal(started(version=version))
    scene.say(f'[3,"{scene.asked()}",[1]]')
    errors = [one for one in scene.frames if one[0] == 5]
    assert len(errors) == told
    assert scene.wait_for_call()[0] == "TransactionEvent", "it is sent again"
    scene.answer(ACCEPTED)
    assert scene.troubles() == []


def test_records_of_before_2_x_are_read_as_they_are(scene, facts):
    from csms_bridge.adapters.records import Record, bytes_of, kept_of

    scene.connect()
    scene.journal(facts.status("Available"), facts.started())
    document = json.loads(bytes_of(scene.state.kept))
    for name in ("speaks", "earlier_boot", "latest", "passed"):
        del document[name]
    del document["boot"]["version"], document["statuses"]["1"]["version"]
    kept = kept_of(Record("s", 1, json.dumps(document).encode()))
    assert kept == scene.state.kept
    assert scene.state.live.phase is Phase.ACCEPTED
