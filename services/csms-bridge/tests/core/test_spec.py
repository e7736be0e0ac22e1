"""Goal: docs/spec/csms.md says what the code does."""

from __future__ import annotations

from pathlib import Path

import pytest

from csms_bridge.domain import sending, taking
from csms_bridge.domain.outgoing import Place, item_of
from csms_bridge.domain.refusals import NEGATIVES, negative
from csms_bridge.domain.state import Policy
from holdfast.contracts.charge_point import (
    AvailabilityChanged,
    ChargingProfileInstalled,
    DataTransferred,
)
from holdfast.contracts.session import SessionCapNotKept
from holdfast.ocpp.versions import OcppVersion

SPEC = (Path(__file__).resolve().parents[4] / "docs" / "spec" / "csms.md").read_text()


def rows(heading: str) -> dict[str, list[str]]:
    section = SPEC.split(f"## {heading}")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")][2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {first.strip("`"): rest for first, *rest in cells}


def said(action: str) -> str:
    return NEGATIVES[action].status or "CALLERROR GenericError"


def test_the_table_of_negative_answers_is_the_code_s():
    table = rows("What a CSMS is told")
    assert set(table) - {"any other"} == set(NEGATIVES)
    for action, row in NEGATIVES.items():
        assert table[action][0] == said(action)
        assert table[action][1] == (f"kept: {row.kept}" if row.kept else "")
        good_for = f"{row.within_ms // 1_000} s" if row.within_ms else "as it waits"
        assert table[action][2] == good_for
    assert "NotImplemented" in negative(OcppVersion.V16, "x", "MakeCoffee", {}, "")
    assert table["any other"][0] == "CALLERROR NotImplemented"


def test_the_table_of_messages_is_the_code_s(facts):
    shown = {
        "session.started": facts.started(),
        "session.metered": facts.metered(),
        "session.stopped": facts.stopped(),
        "session.stop-repeated": facts.stop_repeated(),
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
        assert table[name][0] == (item.action if item else "none")


@pytest.mark.parametrize("number", ["60 s", "1 s", "sixteen"])
def test_its_numbers_are_the_code_s(number):
    assert (taking.NEWS_MS_MAX, sending.SETTLE_MS, Policy().commands_max) == (60_000, 1_000, 16)
    assert number in SPEC
