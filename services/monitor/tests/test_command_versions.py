"""Goal: whoever commands in the words of another version is told at once what to send instead."""

from __future__ import annotations

import pytest

from holdfast.contracts.command import Command, Issuer
from holdfast.ocpp.versions import OcppVersion
from monitor.answering import Problem
from monitor.commanding import check_version


def command(action):
    return Command(
        id="c1",
        charge_point="CS-02",
        action=action,
        payload={},
        issued_at_ms=0,
        deadline_ms=1,
        issuer=Issuer.CLOUD,
    )


def test_the_action_of_another_version_is_refused_with_what_to_send_instead():
    with pytest.raises(Problem, match=r"CS-02 speaks OCPP 2.0.1.*send RequestStartTransaction"):
        check_version(command("RemoteStartTransaction"), OcppVersion.V201)


@pytest.mark.parametrize("version", [None, OcppVersion.V16])
def test_what_it_has_goes_on_and_who_never_came_is_not_judged(version):
    check_version(command("RemoteStartTransaction"), version)
