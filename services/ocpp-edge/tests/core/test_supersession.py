"""Goal: of commands that wait, the newest about one thing counts, and a pair that cancels itself out is not sent."""

from __future__ import annotations

from itertools import count
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.contracts.command import Action, Command, Disposition, Issuer
from ocpp_edge.domain.installed import Installed, Reservation
from ocpp_edge.domain.known import Known, Session
from ocpp_edge.domain.supersession import SUPERSEDES, ends

SUPERSEDED, OBSOLETE = Disposition.SUPERSEDED, Disposition.OBSOLETE
ids = count()


def command(action, issuer=Issuer.CSMS, **payload):
    return Command(
        id=f"c{next(ids)}",
        charge_point="CP-1",
        action=action,
        payload=payload,
        issued_at_ms=0,
        deadline_ms=1,
        issuer=issuer,
    )


def profile(connector=1, id=1, stack=0, purpose="TxDefaultProfile", limit=16, **more):
    schedule = {
        "chargingRateUnit": "A",
        "chargingSchedulePeriod": [{"startPeriod": 0, "limit": limit}],
    }
    profile = {
        "chargingProfileId": id,
        "stackLevel": stack,
        "chargingProfilePurpose": purpose,
        "chargingProfileKind": "Absolute",
        "chargingSchedule": schedule,
        **more,
    }
    return command("SetChargingProfile", connectorId=connector, csChargingProfiles=profile)


def session(transaction_id, connector):
    return Session(
        transaction_id=transaction_id, connector=connector, driver_token="T", meter_start_wh=0,
        message_id="m", at="",
    )  # fmt: skip


def start(connector=None, token="A"):
    named = {} if connector is None else {"connectorId": connector}
    return command("RemoteStartTransaction", idTag=token, **named)


def fate(older, newer, known=Known()):  # noqa: B008  frozen
    found = ends(known, [older, newer])
    return tuple(found[one.id].disposition if one.id in found else None for one in (older, newer))


def availability(connector, type="Inoperative"):
    return command("ChangeAvailability", connectorId=connector, type=type)


def key(name, value="1"):
    return command("ChangeConfiguration", key=name, value=value)


def full(version, kind="Full"):
    return command("SendLocalList", listVersion=version, updateType=kind)


def reserve(id, connector=1):
    return command("ReserveNow", reservationId=id, connectorId=connector, idTag="A")


def cancel(id):
    return command("CancelReservation", reservationId=id)


def clear(**payload):
    return command("ClearChargingProfile", **payload)


def display(id, text="hello"):
    return command("SetDisplayMessage", message={"id": id, "message": {"content": text}})


FIRST = (SUPERSEDED, None)
NEITHER_TOUCHED = (None, None)


@pytest.mark.parametrize(
    ("older", "newer", "expected"),
    [
        (start(1), start(1, "B"), FIRST),
        (start(1), start(2), NEITHER_TOUCHED),
        (start(), start(None, "B"), NEITHER_TOUCHED),
        (start(), start(), FIRST),
        (start(1), command("RemoteStopTransaction", transactionId=7), FIRST),
        (start(2), command("RemoteStopTransaction", transactionId=7), NEITHER_TOUCHED),
        (start(1), command("UnlockConnector", connectorId=1), FIRST),
        (start(1), availability(0), FIRST),
        (start(1), availability(1, "Operative"), NEITHER_TOUCHED),
        (start(1), reserve(5), FIRST),
        (availability(1), availability(1, "Operative"), FIRST),
        (availability(1), availability(0), FIRST),
        (availability(0), availability(1), NEITHER_TOUCHED),
        (key("HeartbeatInterval"), key("heartbeatinterval", "2"), FIRST),
        (key("HeartbeatInterval"), key("MeterValueSampleInterval"), NEITHER_TOUCHED),
        (command("ClearCache"), command("ClearCache"), FIRST),
        (full(3), full(4), FIRST),
        (full(3, "Differential"), full(4), FIRST),
        (full(3), full(4, "Differential"), NEITHER_TOUCHED),
        (full(5), full(4), NEITHER_TOUCHED),
        (profile(), profile(limit=6, id=9), FIRST),
        (profile(stack=0, id=3), profile(stack=1, id=3), FIRST),
        (profile(stack=0), profile(stack=1, id=2), NEITHER_TOUCHED),
        (profile(connector=1), profile(connector=2, id=2), NEITHER_TOUCHED),
        (profile(id=4), clear(id=4), FIRST),
        (profile(id=4), clear(id=5), NEITHER_TOUCHED),
        (profile(), clear(), FIRST),
        (clear(id=1), profile(id=1), FIRST),
        (clear(), profile(id=1), NEITHER_TOUCHED),
        (clear(connectorId=1), clear(), FIRST),
        (clear(connectorId=1), clear(connectorId=2), NEITHER_TOUCHED),
        (reserve(5), cancel(5), (OBSOLETE, OBSOLETE)),
        (reserve(5), cancel(6), NEITHER_TOUCHED),
        (reserve(8), cancel(8), (OBSOLETE, None)),  # it stands already: the cancel must go
        (cancel(5), reserve(5), NEITHER_TOUCHED),
        (command("Reset", type="Hard"), command("Reset", type="Soft"), FIRST),
        (command("UpdateFirmware", location="a"), command("UpdateFirmware", location="b"), FIRST),
        (display(1), display(1, "other"), FIRST),
        (display(1), display(2), NEITHER_TOUCHED),
        (display(1), command("ClearDisplayMessage", id=1), FIRST),
        (command("ClearDisplayMessage", id=1), display(1), FIRST),
        (command("ClearDisplayMessage", id=2), display(1), NEITHER_TOUCHED),
        (command("ClearDisplayMessage"), command("ClearDisplayMessage"), NEITHER_TOUCHED),
        (command("GetConfiguration"), command("GetConfiguration"), NEITHER_TOUCHED),
        (command("DataTransfer"), command("DataTransfer"), NEITHER_TOUCHED),
        (command("TriggerMessage"), command("TriggerMessage"), NEITHER_TOUCHED),
    ],
    ids=lambda one: f"{one.action} {one.payload}"[:60] if isinstance(one, Command) else "",
)  # fmt: skip
def test_of_two_that_wait(older, newer, expected):
    reservation = Reservation(connector=1, driver_token="A", ends_at_ms=None)
    known = Known(sessions={7: session(7, 1)}, installed=Installed(reservations={8: reservation}))
    assert fate(older, newer, known) == expected


def test_what_is_commanded_at_the_site_is_superseded_only_from_there():
    here = command("ChangeAvailability", Issuer.OPERATOR_AT_SITE, connectorId=1, type="Inoperative")
    remote, again = availability(1, "Operative"), here.model_copy(update={"id": "again"})
    assert fate(here, remote) == NEITHER_TOUCHED
    assert fate(here, again) == FIRST
    assert fate(remote, here) == FIRST


def test_every_action_that_supersedes_is_said_in_words_for_the_documents():
    assert set(SUPERSEDES) < set(get_args(Action))


@given(
    st.lists(
        st.builds(
            command,
            st.sampled_from(get_args(Action)),
            st.sampled_from(list(Issuer)),
            connectorId=st.integers(0, 1),
            reservationId=st.integers(1, 2),
        ),
        max_size=12,
    )
)
def test_the_newest_about_a_thing_is_never_superseded(commands):
    found = ends(Known(), commands)
    assert set(found) <= {one.id for one in commands}
    if commands and commands[-1].action != "CancelReservation":
        assert commands[-1].id not in found
    for id, end in found.items():
        if end.disposition is SUPERSEDED:
            by = end.reason.removeprefix("by command ")
            places = [one.id for one in commands]
            assert places.index(by) > places.index(id)
