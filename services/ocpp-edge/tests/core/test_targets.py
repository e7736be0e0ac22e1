"""Goal: the rules are told what this site's own commands have left at a charge point, over a crash too, and what
settles an uncertain command is what the charge point then says.
"""

from __future__ import annotations

import pytest

from holdfast.contracts.command import Command, CommandObserved, CommandSettled
from ocpp_edge.domain.targets import target


def delivered(bench, id, action, answer, **payload):
    bench.command(id, action, **payload)
    bench.answer(bench.sent[-1][0], answer)


def meets(bench, action, after_ms=0, **payload):
    """What a command would meet now, as a restart would know it."""
    bench.crash()
    bench.connect()
    command = Command(
        id="probe", charge_point="CP-1", action=action, payload=payload, issued_at_ms=0,
        deadline_ms=0,
    )  # fmt: skip
    return target(bench.state, command, bench.at_ms + after_ms)


def profile(stack=0, id=1, limit=10, **more):
    schedule = {
        "chargingRateUnit": "A",
        "chargingSchedulePeriod": [{"startPeriod": 0, "limit": limit}],
    }
    return {
        "chargingProfileId": id,
        "stackLevel": stack,
        "chargingProfilePurpose": "TxDefaultProfile",
        "chargingProfileKind": "Relative",
        "chargingSchedule": schedule,
        **more,
    }


ACCEPTED, REJECTED = {"status": "Accepted"}, {"status": "Rejected"}


def test_profiles_that_were_accepted_until_they_are_replaced_or_cleared(bench):
    def limits():
        found = meets(bench, "GetCompositeSchedule", connectorId=1, duration=1).profiles
        return [(one.profile_id, one.highest_a) for one in found]

    def put(command, answer, **more):
        delivered(
            bench,
            command,
            "SetChargingProfile",
            answer,
            connectorId=1,
            csChargingProfiles=profile(**more),
        )

    put("c1", ACCEPTED)
    put("c2", ACCEPTED, stack=1, id=2, limit=20)
    put("c3", REJECTED, stack=1, id=3, limit=30)
    assert limits() == [(1, 10), (2, 20)]
    put("c4", ACCEPTED, id=4, limit=12)
    assert limits() == [(2, 20), (4, 12)]
    delivered(bench, "c5", "ClearChargingProfile", ACCEPTED, stackLevel=1)
    assert limits() == [(4, 12)]


def test_a_profile_of_a_transaction_goes_with_it(bench):
    bench.start("m1")
    transaction = bench.told("m1")["transactionId"]
    own = profile(chargingProfilePurpose="TxProfile", transactionId=transaction)
    delivered(bench, "c1", "SetChargingProfile", ACCEPTED, connectorId=1, csChargingProfiles=own)
    assert meets(bench, "ClearCache").profiles
    bench.stop("m2", transaction)
    assert not meets(bench, "ClearCache").profiles


def test_a_reservation_until_its_end_its_use_or_its_cancellation(bench):
    far = "2999-01-01T00:00:00Z"
    for number in (1, 2, 3):
        reserve = {
            "connectorId": number, "idTag": "ANN", "reservationId": number, "expiryDate": far,
        }  # fmt: skip
        delivered(bench, f"c{number}", "ReserveNow", ACCEPTED, **reserve)

    def is_others(token, connector):
        return meets(
            bench, "RemoteStartTransaction", idTag=token, connectorId=connector
        ).reserved_for_other

    assert (is_others("BOB", 1), is_others("ann", 1)) == (True, False)
    delivered(bench, "c4", "CancelReservation", ACCEPTED, reservationId=2)
    assert not is_others("BOB", 2)
    assert meets(bench, "CancelReservation", reservationId=2).reservation_over
    start = {
        "connectorId": 3, "idTag": "ANN", "meterStart": 0, "timestamp": far, "reservationId": 3,
    }  # fmt: skip
    bench.call("StartTransaction", start, "m1")
    assert meets(bench, "CancelReservation", reservationId=3).reservation_over
    assert not meets(bench, "CancelReservation", reservationId=9).reservation_over
    centuries_ms = 40_000_000_000_000
    assert meets(bench, "CancelReservation", centuries_ms, reservationId=1).reservation_over


def test_a_connector_that_somebody_else_reserved_is_others(bench):
    status = {"connectorId": 1, "errorCode": "NoError", "status": "Reserved"}
    bench.call("StatusNotification", status, "s1")
    start = {"idTag": "BOB", "connectorId": 1}
    assert meets(bench, "RemoteStartTransaction", **start).reserved_for_other


def test_the_version_of_the_list_and_what_is_missing_of_it(bench):
    def send(id, version, answer, kind="Differential"):
        delivered(bench, id, "SendLocalList", answer, listVersion=version, updateType=kind)

    def known():
        found = meets(bench, "GetLocalListVersion")
        return found.list_version, found.list_broken

    assert known() == (None, False)
    send("c1", 3, ACCEPTED, "Full")
    send("c2", 2, {"status": "VersionMismatch"})
    assert known() == (3, False), "an older one is missed by nobody"
    send("c3", 4, {"status": "Failed"})
    assert known() == (3, True)
    delivered(bench, "c4", "GetLocalListVersion", {"listVersion": 3})
    assert known() == (3, True)
    delivered(bench, "c5", "GetLocalListVersion", {"listVersion": 4})
    assert known() == (4, False), "it had arrived after all"
    send("c6", 5, {"status": "Failed"})
    send("c7", 6, ACCEPTED, "Full")
    assert known() == (6, False)


def test_since_when_a_status_stands_and_when_kept_messages_came(bench):
    status = {"connectorId": 1, "errorCode": "NoError", "status": "Available"}
    bench.call("StatusNotification", status, "s1")
    first_ms = bench.at_ms
    bench.tick(5_000)
    bench.call("StatusNotification", {**status, "errorCode": "OtherError"}, "s2")
    assert meets(bench, "UnlockConnector", connectorId=1).status_since_ms == first_ms
    assert meets(bench, "Reset", type="Hard").late_record_at_ms is None
    bench.start("m1", at="2020-01-01T00:00:00Z")
    assert meets(bench, "Reset", type="Hard").late_record_at_ms == bench.at_ms


def uncertain(bench, id, action, **payload):
    bench.command(id, action, **payload)
    bench.tick(4 * bench.policy.answer_ms_max)
    assert bench.facts(CommandSettled)[-1].disposition == "uncertain"


def seen(bench):
    return [(one.command_id, one.took_effect) for one in bench.facts(CommandObserved)]


@pytest.mark.parametrize(
    ("action", "payload", "status", "shows"),
    [
        ("ChangeAvailability", {"connectorId": 1, "type": "Inoperative"}, "Unavailable", True),
        ("ChangeAvailability", {"connectorId": 1, "type": "Operative"}, "Available", True),
        ("ChangeAvailability", {"connectorId": 1, "type": "Inoperative"}, "Available", False),
        ("ChangeAvailability", {"connectorId": 2, "type": "Inoperative"}, "Unavailable", False),
        ("UnlockConnector", {"connectorId": 1}, "Available", True),
        ("UnlockConnector", {"connectorId": 1}, "Charging", False),
    ],
)
def test_a_status_settles_what_was_uncertain(bench, action, payload, status, shows):
    uncertain(bench, "c1", action, **payload)
    said = {"connectorId": 1, "errorCode": "NoError", "status": status}
    bench.call("StatusNotification", said, "s1")
    assert seen(bench) == ([("c1", True)] if shows else [])


def test_answers_to_later_questions_settle_what_was_uncertain(bench):
    uncertain(bench, "c1", "ChangeConfiguration", key="HeartbeatInterval", value="60")
    uncertain(bench, "c2", "ChangeConfiguration", key="ConnectionTimeOut", value="30")
    uncertain(bench, "c3", "SendLocalList", listVersion=4, updateType="Full")
    keys = [
        {"key": "heartbeatInterval", "readonly": False, "value": "60"},
        {"key": "ConnectionTimeOut", "readonly": False, "value": "90"},
    ]
    delivered(bench, "c4", "GetConfiguration", {"configurationKey": keys})
    delivered(bench, "c5", "GetLocalListVersion", {"listVersion": 4})
    assert seen(bench) == [("c1", True), ("c2", False), ("c3", True)]
