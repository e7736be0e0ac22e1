"""Goal: an answer that comes late leaves what one in time would have left, in ocpp-edge's fold and in the monitor's.

Method: the same commands to two charge points, of which one answers some of them late, in any order, among sessions
that begin and end; both go through the whole core. The clocks run alike.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.contracts.charge_point import AvailabilityChanged
from holdfast.contracts.command import CommandSettled, Disposition
from holdfast.local_state import History
from holdfast.local_state.late import GIVEN_UP_MAX, LATER_MAX, TOLD_MAX
from holdfast.ocpp.versions import OcppVersion
from ocpp_edge.adapters.store import _KNOWN

ACCEPTED = {"status": "Accepted"}
STEP_MS = 150_000
"""Longer than any action's patience."""


class Asked(NamedTuple):
    action: str
    payload: dict[str, Any]
    answer: dict[str, Any]
    late: int
    """So many steps; 0: in time."""


def profile(id: int, connector: int, purpose: str, level: int, amperes: int) -> dict[str, Any]:
    schedule = {
        "chargingRateUnit": "A",
        "chargingSchedulePeriod": [{"startPeriod": 0, "limit": amperes}],
    }
    profile = {
        "chargingProfileId": id,
        "stackLevel": level,
        "chargingProfilePurpose": purpose,
        "chargingProfileKind": "Relative",
        "chargingSchedule": schedule,
    }
    return {"connectorId": connector, "csChargingProfiles": profile}


SET_PROFILE = st.builds(
    lambda *parts: ("SetChargingProfile", profile(*parts)),
    st.integers(1, 3),
    st.integers(1, 2),
    st.sampled_from(["TxDefaultProfile", "ChargePointMaxProfile", "TxProfile"]),
    st.integers(0, 1),
    st.sampled_from([6, 16]),
)
CLEAR = st.one_of(
    st.just({}),
    st.builds(lambda id: {"id": id}, st.integers(1, 3)),
    st.builds(lambda connector: {"connectorId": connector, "stackLevel": 0}, st.integers(1, 2)),
)
SET_KEY = st.builds(
    lambda key, value: ("ChangeConfiguration", {"key": key, "value": value}),
    st.sampled_from(["A", "B", "AuthorizationKey"]),
    st.sampled_from(["1", "2", "3"]),
)
AVAILABILITY = st.builds(
    lambda connector, kind: ("ChangeAvailability", {"connectorId": connector, "type": kind}),
    st.integers(0, 2),
    st.sampled_from(["Operative", "Inoperative"]),
)
RESERVE = st.builds(
    lambda id, until: (
        "ReserveNow",
        {"connectorId": 1, "idTag": "TAG", "reservationId": id, "expiryDate": until},
    ),
    st.integers(1, 2),
    st.sampled_from(["2025-06-15T15:09:00Z", "2030-01-01T00:00:00Z"]),
)
CANCEL = st.builds(lambda id: ("CancelReservation", {"reservationId": id}), st.integers(1, 2))
LIST = st.builds(
    lambda version: (
        "SendLocalList",
        {"listVersion": version, "updateType": "Full", "localAuthorizationList": []},
    ),
    st.integers(1, 4),
)
FIRMWARE = st.builds(
    lambda name: (
        "UpdateFirmware",
        {"location": f"https://example.net/{name}", "retrieveDate": "2030-01-01T00:00:00Z"},
    ),
    st.sampled_from("ab"),
)
CLEAR_PROFILE = st.builds(lambda payload: ("ClearChargingProfile", payload), CLEAR)
FAMILIES = (
    st.one_of(SET_PROFILE, SET_PROFILE, CLEAR_PROFILE),
    SET_KEY,
    AVAILABILITY,
    st.one_of(RESERVE, RESERVE, CANCEL),
    st.one_of(LIST, FIRMWARE),
)
"""Commands of one get in each other's way."""
STATUS = st.sampled_from(["Accepted", "Accepted", "Accepted", "Rejected"])


@st.composite
def asked(draw: st.DrawFn, commands: Any) -> Asked:
    action, payload = draw(commands)
    answer = {} if action == "UpdateFirmware" else {"status": draw(STATUS)}
    return Asked(action, payload, answer, draw(st.sampled_from([0, 0, 1, 2, 5])))


def events_of(family: Any) -> Any:
    other = st.one_of(asked(st.one_of(*FAMILIES)), st.sampled_from(["ask", "start", "stop"]))
    return st.lists(st.one_of(asked(family), asked(family), other), min_size=1, max_size=10)


EVENTS = st.sampled_from(FAMILIES).flatmap(events_of)


class ChargePoint:
    """Executes what it gets in order, whenever its answers arrive."""

    def __init__(self, bench: Any, *, is_late: bool) -> None:
        self.bench, self.is_late = bench, is_late
        self.keys: dict[str, str] = {}
        self.unanswered: list[tuple[int, str, dict[str, Any]]] = []
        """When it arrives, message id, answer."""
        self.step = 0
        self.transaction: int | None = None
        bench.connect()

    def meets(self, event: Asked | str) -> None:
        self.step += 1
        match event:
            case Asked():
                self._commanded(event)
            case "ask":
                keys = [{"key": k, "readonly": False, "value": v} for k, v in self.keys.items()]
                self._sent("GetConfiguration", {}, {"configurationKey": keys}, 0)
            case "start" if self.transaction is None:
                started = {"connectorId": 1, "idTag": "TAG", "reservationId": 1, "meterStart": 0}
                message_id = f"m{self.step}"
                at = f"2025-06-15T15:00:{self.step % 60:02d}Z"
                self.bench.call("StartTransaction", {**started, "timestamp": at}, message_id)
                self.transaction = self.bench.told(message_id)["transactionId"]
            case "stop" if self.transaction is not None:
                self.bench.stop(f"m{self.step}", self.transaction, at=f"{self.step}")
                self.transaction = None
        self.bench.tick(STEP_MS)
        self.arrives(self.step)

    def _commanded(self, event: Asked) -> None:
        if event.action == "ChangeConfiguration" and event.answer == ACCEPTED:
            self.keys[event.payload["key"]] = event.payload["value"]
        payload = event.payload
        profile = payload.get("csChargingProfiles")
        if profile and profile["chargingProfilePurpose"] == "TxProfile":
            profile = {**profile, "transactionId": self.transaction or 1}
            payload = {**payload, "csChargingProfiles": profile}
        self._sent(event.action, payload, event.answer, event.late if self.is_late else 0)

    def _sent(self, action: str, payload: Any, answer: dict[str, Any], late: int) -> None:
        self.bench.command(f"c{self.step}", action, **payload)
        message_id, sent, _ = self.bench.sent[-1]
        assert sent == action
        if late:
            self.unanswered.append((self.step + late, message_id, answer))
        else:
            self.bench.answer(message_id, answer)

    def arrives(self, step: int) -> None:
        due = [one for one in self.unanswered if one[0] <= step]
        self.unanswered = [one for one in self.unanswered if one[0] > step]
        for _, message_id, answer in due:
            self.bench.answer(message_id, answer)


def stands(bench: Any) -> dict[str, Any]:
    """As ocpp-edge knows it, without when it was told."""
    known = bench.state.known
    local = known.local.passed(bench.at_ms)
    return {
        "stands": {key: stand.value for key, stand in local.stands.items()},
        "profiles": sorted(local.profiles, key=repr),
        "installed profiles": sorted(known.installed.profiles_at(bench.at_ms), key=repr),
        "reservations": sorted(id for id, _ in known.installed.reserved(0, bench.at_ms)),
        "list": known.installed.list_version,
        "due": dict(known.due),
    }


def known(bench: Any) -> Any:
    """Without the connection: a restart ends it."""
    found = stands(bench)
    found["stands"] = {k: v for k, v in found["stands"].items() if not k.startswith("connection/")}
    return found


def monitored(bench: Any) -> dict[str, str]:
    history = History()
    for _, at_ms, fact in bench.journal:
        history = history.taking(at_ms, fact)
    now = {key: stand.value for key, stand in history.now(bench.at_ms).items()}
    assert now == {key: stand.value for key, stand in history.at(bench.at_ms).items()}
    return now


def played(new_bench: Any, events: list[Asked | str], *, is_late: bool) -> Any:
    bench = new_bench()
    charge_point = ChargePoint(bench, is_late=is_late)
    for event in events:
        charge_point.meets(event)
    for _ in range(5):
        charge_point.meets("nothing")
    return bench


@settings(max_examples=100, deadline=None)
@given(events=EVENTS)
def test_late_answers_leave_what_answers_in_time_leave(new_bench, events):
    in_time = played(new_bench, events, is_late=False)
    late = played(new_bench, events, is_late=True)
    assert stands(late) == stands(in_time)
    assert monitored(late) == stands(late)["stands"] == monitored(in_time)
    assert not late.state.known.local.late.given_up
    before = known(late)
    late.crash()
    assert known(late) == before


def given_up(bench, id, action, **payload):
    bench.command(id, action, **payload)
    message_id = bench.sent[-1][0]
    bench.tick(STEP_MS)
    assert bench.facts(CommandSettled)[-1].disposition is Disposition.UNCERTAIN
    return message_id


def test_of_several_variables_those_that_a_newer_command_set_stay_as_it_left_them(new_bench):
    bench = new_bench()
    bench.connect(OcppVersion.V201)

    def of(name, **more):
        return {"component": {"name": "Ctrlr"}, "variable": {"name": name}, **more}

    data = [of("A", attributeValue="1"), of("B", attributeValue="1")]
    message_id = given_up(bench, "c1", "SetVariables", setVariableData=data)
    bench.command("c2", "SetVariables", setVariableData=[of("A", attributeValue="2")])
    results = {"setVariableResult": [of("A", attributeStatus="Accepted")]}
    bench.answer(bench.sent[-1][0], results)
    results = [of("A", attributeStatus="Accepted"), of("B", attributeStatus="RebootRequired")]
    bench.answer(message_id, {"setVariableResult": results})
    local = bench.state.known.local
    assert local.value("configuration/Ctrlr.A") == "2"
    assert local.value("configuration/Ctrlr.B") == "1 (after a boot)"


def test_a_change_that_the_charge_point_shows_stands_without_an_answer(bench):
    given_up(bench, "c1", "ChangeAvailability", connectorId=1, type="Inoperative")
    status = {"connectorId": 1, "status": "Unavailable", "errorCode": "NoError"}
    bench.call("StatusNotification", status, "m1")
    assert bench.state.known.local.value("availability/1") == "Inoperative"
    assert len(bench.facts(AvailabilityChanged)) == 1


def test_a_profile_for_a_session_that_ended_meanwhile_does_not_stand(bench):
    bench.start("m1")
    transaction = bench.told("m1")["transactionId"]
    payload = profile(1, 1, "TxProfile", 0, 6)
    payload["csChargingProfiles"]["transactionId"] = transaction
    message_id = given_up(bench, "c1", "SetChargingProfile", **payload)
    bench.stop("m2", transaction)
    bench.answer(message_id, ACCEPTED)
    assert not bench.state.known.local.profiles
    assert not bench.state.known.installed.profiles


@pytest.mark.parametrize("lists", [GIVEN_UP_MAX + 3, 1])
def test_what_is_remembered_for_late_answers_is_bounded(bench, lists):
    for number in range(lists):
        given_up(bench, f"u{number}", "ReserveNow", connectorId=1, idTag="TAG",
                 reservationId=number, expiryDate="2030-01-01T00:00:00Z")  # fmt: skip
    many = [{"idTag": f"T{number}"} for number in range(100)]
    for number in range(LATER_MAX + 3):
        bench.command(f"l{number}", "SendLocalList", listVersion=number, updateType="Full",
                      localAuthorizationList=many)  # fmt: skip
        bench.answer(bench.sent[-1][0], ACCEPTED)
    late = bench.state.known.local.late
    assert (len(late.given_up), len(late.later)) == (0, 0)
    assert bench.state.known.local.value("list/version") == str(LATER_MAX + 2)


def test_keys_told_while_an_answer_is_missing_are_bounded(bench):
    message_id = given_up(bench, "u", "ChangeConfiguration", key="K1", value="old")
    for number in range(3):
        keys = [
            {"key": f"K{number * 900 + one}", "value": "new", "readonly": False}
            for one in range(900)
        ]
        bench.command(f"ask{number}", "GetConfiguration")
        if number == 0:
            keys = [one for one in keys if one["key"] != "K1"]  # it would settle the command
        bench.answer(bench.sent[-1][0], {"configurationKey": keys})
    assert len(bench.state.known.local.late.told) == TOLD_MAX
    bench.answer(message_id, ACCEPTED)
    assert bench.state.known.local.value("configuration/K1") == "old"
    assert not bench.state.known.local.late.told


def test_what_is_remembered_for_late_answers_survives_a_snapshot_and_keeps_no_list(bench):
    message_id = given_up(bench, "u", "SendLocalList", listVersion=3, updateType="Full",
                          localAuthorizationList=[{"idTag": "SECRET-CARD"}])  # fmt: skip
    bench.command("c", "ChangeAvailability", connectorId=1, type="Inoperative")
    bench.answer(bench.sent[-1][0], ACCEPTED)
    text = _KNOWN.dump_json(bench.state.known)
    known = _KNOWN.validate_json(text)
    assert known == bench.state.known
    assert "SECRET-CARD" not in json.dumps(json.loads(text)["local"])
    bench.answer(message_id, ACCEPTED)
    assert bench.state.known.local.value("list/version") == "3"
