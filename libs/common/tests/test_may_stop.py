"""Goal: who may stop a session: its own driver token, or one of the same group; never one of another type."""

from __future__ import annotations

import pytest

from holdfast.contracts.decision import Basis
from holdfast.contracts.driver_tokens import TokenStatus, TokenType
from holdfast.contracts.session import SessionStarted, may_stop


def started(parent: str | None = None) -> SessionStarted:
    return SessionStarted(
        charge_point="CP-01",
        connector=1,
        session="CP-01/1",
        transaction_id=1,
        driver_token="Driver-1",
        token_type=TokenType.ISO14443,
        meter_start_wh=0,
        at="",
        status=TokenStatus.ACCEPTED,
        parent=parent,
        basis=Basis.LIST,
        flagged=False,
        decision="d",
        message_id="m",
        raw="",
    )


@pytest.mark.parametrize(
    ("started_in", "token_type", "driver_token", "parent", "expected"),
    [
        (None, TokenType.ISO14443, "DRIVER-1", None, True),
        (None, TokenType.ID_TAG, "DRIVER-1", None, False),
        (None, TokenType.ISO14443, "DRIVER-2", None, False),
        ("Fleet", TokenType.ISO14443, "DRIVER-2", "FLEET", True),
        ("Fleet", TokenType.EMAID, "DRIVER-2", "FLEET", True),
        ("Fleet", TokenType.ISO14443, "DRIVER-2", "OTHER", False),
        ("Fleet", TokenType.ISO14443, "DRIVER-2", None, False),
        (None, TokenType.ISO14443, "DRIVER-2", "FLEET", False),
    ],
)
def test_who_may_stop_a_session(started_in, token_type, driver_token, parent, expected):
    assert may_stop(started(started_in), token_type, driver_token, parent) is expected
