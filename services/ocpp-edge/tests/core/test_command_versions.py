"""Goal: a command goes to a charge point only in the version that it speaks."""

from __future__ import annotations

from typing import get_args

import pytest

from holdfast.contracts.command import Action, CommandSettled, Disposition
from holdfast.ocpp.actions import Sender, row
from holdfast.ocpp.versions import OcppVersion
from ocpp_edge.adapters.schemas import Schemas
from ocpp_edge.command_schemas import problem_of

V16, V201, V21 = OcppVersion.V16, OcppVersion.V201, OcppVersion.V21
SCHEMAS = Schemas()
START_2 = {"idToken": {"idToken": "04AB", "type": "ISO14443"}, "remoteStartId": 7}


@pytest.mark.parametrize(
    ("version", "action", "payload", "problem"),
    [
        (V16, "Reset", {"type": "Soft"}, None),
        (V201, "Reset", {"type": "OnIdle"}, None),
        (V201, "Reset", {"type": "Immediate", "evseId": 1}, None),
        (V21, "Reset", {"type": "ImmediateAndResume"}, None),
        (V201, "Reset", {"type": "ImmediateAndResume"}, "type: violates 'enum'"),
        (V16, "Reset", {"type": "OnIdle"}, "type: violates 'enum'"),
        (V201, "RequestStartTransaction", START_2, None),
        (V16, "RequestStartTransaction", START_2, "send RemoteStartTransaction"),
        (V201, "RemoteStartTransaction", {"idTag": "A"}, "send RequestStartTransaction"),
        (V16, "GetLog", {"logType": "SecurityLog", "requestId": 1, "log": {"remoteLocation": "x"}}, None),
        (V201, "GetLog", {"logType": "SecurityLog", "requestId": 1, "log": {"remoteLocation": "x"}}, None),
        (V201, "AFRRSignal", {"timestamp": "2026-01-01T00:00:00Z", "signal": 1}, "has no AFRRSignal"),
        (V21, "AFRRSignal", {"timestamp": "2026-01-01T00:00:00Z", "signal": 1}, None),
    ],
)  # fmt: skip
def test_a_payload_is_right_by_the_version_of_its_charge_point(version, action, payload, problem):
    found = problem_of(SCHEMAS, version, action, payload)
    assert (found is None) if problem is None else (found is not None and problem in found)


def test_to_a_charge_point_that_never_came_what_is_right_in_any_version_may_wait():
    assert problem_of(SCHEMAS, None, "Reset", {"type": "Soft"}) is None
    assert problem_of(SCHEMAS, None, "Reset", {"type": "OnIdle"}) is None
    found = problem_of(SCHEMAS, None, "Reset", {"type": "Now"})
    assert found is not None
    assert "OCPP 1.6: " in found
    assert "OCPP 2.1: " in found


@pytest.mark.parametrize("version", OcppVersion)
def test_every_command_of_a_version_has_its_schema(version):
    for action in get_args(Action):
        if row(version, Sender.CSMS, action):
            assert problem_of(SCHEMAS, version, action, {"no such field": 1}) is not None, action


def test_a_command_is_asked_about_for_the_version_that_stands(bench):
    bench.disconnect()
    bench.connect(V201)
    bench.command("c1")
    assert [one.version for one in bench.admits] == [V201]
    bench.disconnect()
    assert bench.state.version is V201  # of its last connection, after a restart, too
    bench.crash()
    assert bench.state.version is V201


def test_where_the_version_changed_while_it_was_asked_about_it_is_asked_about_anew(bench):
    bench.disconnect()
    held = []
    usual = bench.admit

    def while_asked(command):
        bench.admit = usual
        held.append(command)
        bench.connect(V21)
        return usual(command)

    bench.admit = while_asked
    bench.command("c1")
    assert [one.version for one in bench.admits] == [V16, V21]
    assert len(bench.sent) == 1


def test_an_action_that_the_newest_connection_does_not_have_is_not_sent(bench):
    usual = bench.admit

    def then_the_disk_is_slow(command):
        bench.journal_takes = None
        return usual(command)

    bench.admit = then_the_disk_is_slow
    bench.command("c1", action="ExtendedTriggerMessage", requestedMessage="Heartbeat")
    bench.connect(V201)
    bench.journal_takes = True
    bench.resolve(stored=True)
    assert not bench.sent
    (fact,) = bench.facts(CommandSettled)
    assert fact.disposition is Disposition.REFUSED
    assert fact.reason == "OCPP 2.0.1 has no ExtendedTriggerMessage: send TriggerMessage"
