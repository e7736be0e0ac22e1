"""Goal: a session goes up whole, in order, once, under the CSMS's own id, whatever breaks in between."""

from __future__ import annotations

START = {"transactionId": 1000042, "idTagInfo": {"status": "Accepted"}}


def test_a_session_goes_up_in_order_under_the_id_of_the_csms(scene, facts):
    scene.connect()
    scene.journal(facts.started(), facts.metered(), facts.stopped())
    assert scene.called()[0] == "StartTransaction"
    scene.answer(START)
    assert scene.called() == (
        "MeterValues",
        {"connectorId": 1, "transactionId": 1000042, "meterValue": [150]},
    )
    scene.answer({})
    action, payload = scene.called()
    assert (action, payload["transactionId"], payload["meterStop"]) == (
        "StopTransaction",
        1000042,
        200,
    )
    scene.answer({})
    assert scene.is_idle
    assert scene.state.kept.running() == {}
    assert scene.actions == [
        "BootNotification",
        "StartTransaction",
        "MeterValues",
        "StopTransaction",
    ]


def test_only_the_transaction_id_of_a_payload_changes(scene, facts):
    scene.connect()
    scene.journal(facts.started(), facts.metered())
    assert '"connectorId":1, "idTag":"DRIVER-01"' in scene.texts[-1]
    scene.answer(START)
    assert '{"connectorId":1,"transactionId":1000042 ,"meterValue":[150]}' in scene.texts[-1]


def test_a_start_is_not_sent_before_it_is_known_that_it_may_be(scene, facts):
    scene.connect()
    scene.saves = False
    scene.journal(facts.started())
    assert scene.is_idle
    scene.save()
    assert scene.called()[0] == "StartTransaction"


def test_nothing_of_a_session_is_sent_before_its_id_is_safe(scene, facts):
    scene.connect()
    scene.journal(facts.started(), facts.metered())
    scene.saves = False
    scene.answer(START)
    assert scene.is_idle
    scene.save()
    assert scene.called()[0] == "MeterValues"


def test_whoever_takes_over_sends_nothing_twice_that_was_answered(scene, facts):
    scene.connect()
    session = (facts.started(), facts.metered(), facts.stopped())
    scene.journal(*session)
    scene.answer(START)
    scene.answer({})
    scene.take_over()
    scene.read_again()
    scene.open()
    scene.accept()
    assert scene.called()[0] == "StopTransaction"
    assert scene.called()[1]["transactionId"] == 1000042
    assert len(scene.sent("StartTransaction")) == 1
