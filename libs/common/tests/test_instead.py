"""Goal: every command of every version is right in its own versions, and in the others there is a sentence."""

from __future__ import annotations

from typing import get_args

import pytest

from holdfast.contracts.command import Action
from holdfast.ocpp.actions import ROWS, Sender, row
from holdfast.ocpp.instead import why_not
from holdfast.ocpp.versions import OcppVersion

V16, V201, V21 = OcppVersion.V16, OcppVersion.V201, OcppVersion.V21


def test_a_command_may_be_every_action_of_the_table_and_no_other():
    assert set(get_args(Action)) == {one.action for one in ROWS if one.sender is Sender.CSMS}


@pytest.mark.parametrize(
    ("version", "action", "says"),
    [
        (V201, "RemoteStartTransaction", "OCPP 2.0.1 has no RemoteStartTransaction: send RequestStartTransaction"),
        (V21, "RemoteStopTransaction", "OCPP 2.1 has no RemoteStopTransaction: send RequestStopTransaction"),
        (V16, "RequestStopTransaction", "OCPP 1.6 has no RequestStopTransaction: send RemoteStopTransaction"),
        (V16, "SetVariables", "OCPP 1.6 has no SetVariables: send ChangeConfiguration"),
        (V201, "ChangeConfiguration", "OCPP 2.0.1 has no ChangeConfiguration: send SetVariables"),
        (V201, "GetConfiguration", "OCPP 2.0.1 has no GetConfiguration: send GetVariables"),
        (V201, "GetDiagnostics", "OCPP 2.0.1 has no GetDiagnostics: send GetLog"),
        (V201, "SignedUpdateFirmware", "OCPP 2.0.1 has no SignedUpdateFirmware: send UpdateFirmware"),
        (V16, "GetBaseReport", "OCPP 1.6 has no GetBaseReport: send GetConfiguration"),
        (V201, "AFRRSignal", "OCPP 2.0.1 has no AFRRSignal, nor anything in its place"),
    ],
)  # fmt: skip
def test_who_sends_the_action_of_another_version_is_told_what_to_send_instead(
    version, action, says
):
    assert why_not(version, action) == says


@pytest.mark.parametrize("version", OcppVersion)
def test_nothing_is_said_against_an_action_of_the_version_and_something_against_all_others(version):
    for action in get_args(Action):
        has_it = row(version, Sender.CSMS, action) is not None
        assert (why_not(version, action) is None) == has_it, action
