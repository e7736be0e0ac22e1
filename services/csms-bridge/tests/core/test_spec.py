"""Goal: docs/spec/csms.md says what the code does."""

from __future__ import annotations

from pathlib import Path

import pytest

from csms_bridge.domain import authorising, kept, refusals, sending, taking
from csms_bridge.domain.outgoing import Place, item_of
from csms_bridge.domain.refusals import Negative
from csms_bridge.domain.state import Policy
from holdfast.contracts.charge_point import (
    AvailabilityChanged,
    ChargePointSaid,
    ChargingProfileInstalled,
    DataTransferred,
)
from holdfast.contracts.session import SessionCapNotKept, SessionEventConflicted
from holdfast.ocpp.versions import OcppVersion
from holdfast_testkit import facts_2x

SPEC = (Path(__file__).resolve().parents[4] / "docs" / "spec" / "csms.md").read_text()


def rows(heading: str) -> dict[str, list[str]]:
    section = SPEC.split(f"# {heading}\n")[1].split("\n#")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")][2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {first.strip("`"): rest for first, *rest in cells}


def said(row: Negative) -> str:
    each = "each " if row.answer else ""
    return f"{each}{row.status}" if row.status else "CALLERROR GenericError"


@pytest.mark.parametrize(
    ("heading", "answers"),
    [
        ("What a CSMS is told when a command is not carried out", refusals.NEGATIVES),
        ("The same in 2.0.1 and 2.1", refusals.NEGATIVES_201),
        (
            "Of 2.1 only",
            {
                action: row
                for action, row in refusals.NEGATIVES_21.items()
                if refusals.NEGATIVES_201.get(action) != row
            },
        ),
    ],
)
def test_the_tables_of_negative_answers_are_the_code_s(heading, answers):
    table = rows(heading)
    assert set(table) - {"any other"} == set(answers)
    for action, row in answers.items():
        assert table[action][0] == said(row)
        assert table[action][1] == (f"kept: {row.kept}" if row.kept else "")
        good_for = f"{row.within_ms // 1_000} s" if row.within_ms else "as it waits"
        assert table[action][2] == good_for


def test_any_other_action_is_not_implemented():
    for version in OcppVersion:
        frame = refusals.negative(version, "x", "MakeCoffee", {}, "")
        assert "NotImplemented" in frame
    table = rows("What a CSMS is told when a command is not carried out")
    assert table["any other"][0] == "CALLERROR NotImplemented"


def test_the_table_of_messages_is_the_code_s(facts):
    shown = {
        "session.started": facts.started(),
        "session.metered": facts.metered(),
        "session.stopped": facts.stopped(),
        "session.started`, of 2.x": facts_2x.started(),
        "session.metered`, of 2.x": facts_2x.metered(1),
        "session.stopped`, of 2.x": facts_2x.stopped(2),
        "session.stop-repeated": facts.stop_repeated(),
        "session.event-conflicted": SessionEventConflicted(
            charge_point="CP-1",
            session="CP-1/t",
            transaction_id="t",
            seq_no=1,
            event="Updated",
            message_id="m",
            raw="{}",
        ),
        "session.cap-not-kept": SessionCapNotKept(
            charge_point="CP-1",
            connector=1,
            session="CP-1/5",
            transaction_id=5,
            energy_wh_max=500,
            used_wh=900,
            stops=5,
        ),
        "session.message-unmatched": facts.unmatched(),
        "charge-point.said`, class G": facts_2x.said("NotifyEvent"),
        "charge-point.said`, class L": facts_2x.said("NotifyChargingLimit", kind="L"),
        "charge-point.booted": facts.booted(),
        "charge-point.status-changed`, an error": facts.status(error="GroundFailure"),
        "charge-point.status-changed`, no error": facts.status(),
        "charge-point.connected": facts.connected(),
        "charge-point.disconnected": facts.disconnected(),
        "charge-point.data-transferred": DataTransferred(
            charge_point="CP-1", vendor="V", message_id="m", raw="{}"
        ),
        "charge-point.availability-changed": AvailabilityChanged(
            charge_point="CP-1", connector=1, availability="Operative", command_id="c"
        ),
        "charge-point.profile-installed": ChargingProfileInstalled(
            charge_point="CP-1", connector=1, profile="{}", command_id="c"
        ),
    }
    table = rows("From the journal to the CSMS")
    assert set(table) == set(shown)
    for name, fact in shown.items():
        item = item_of(Place("aaaaaaaa", 1), 1, 0, fact, live=True)
        own = "its own" if isinstance(fact, ChargePointSaid) else None
        assert table[name][0] == (own or item.action if item else "none")


@pytest.mark.parametrize(
    "number", ["60 s", "1 s", "sixteen", "with 64 waiting", "last 64", "4,000 characters"]
)
def test_its_numbers_are_the_code_s(number):
    assert (taking.NEWS_MS_MAX, sending.SETTLE_MS, Policy().commands_max) == (60_000, 1_000, 16)
    assert (authorising.ASKED_MAX, kept.ENDED_MAX, taking.STATUS_CHARACTERS_MAX) == (64, 64, 4_000)
    assert number in SPEC
