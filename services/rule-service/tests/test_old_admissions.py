"""Goal: a journal of before commands had kinds, words and protection is read, and its decisions are decided alike."""

from __future__ import annotations

import json

import pytest

from holdfast.contracts.decision import DecisionMade
from holdfast.standing import parse_rules
from rule_service.domain.reevaluate import holds

AT_MS = 1_750_000_000_000
RULES = parse_rules(
    """
version: 3
commands:
  RemoteStartTransaction: {modes: [connected], age_ms_max: 60000, precondition: connector-free}
  RemoteStopTransaction: {modes: [connected, degraded, recovery], age_ms_max: 900000, precondition: session-running}
  Reset: {modes: [connected], age_ms_max: 120000, precondition: not-booted-since}
  ChangeAvailability: {modes: [connected, degraded, autonomous, recovery], age_ms_max: 0, precondition: none}
  SetChargingProfile: {modes: [connected, degraded, recovery], age_ms_max: 300000}
"""
)


def decision(action, payload, clause, disposition=None, *, mode="degraded", age_ms=1_000, **target):
    """As it stood in the journal: none of the fields that came since."""
    meets = {"connected": True, "status": "Available", "transaction_id": None, "booted_at_ms": None}
    return {
        "decision": "d",
        "charge_point": "CP-01",
        "rules_version": 3,
        "clause": clause,
        "explanation": "as it was",
        "inputs": {
            "kind": "admit",
            "at_ms": AT_MS,
            "mode": mode,
            "command": {
                "id": "c",
                "charge_point": "CP-01",
                "action": action,
                "payload": payload,
                "issued_at_ms": AT_MS - age_ms,
                "deadline_ms": AT_MS + 9,
                "issuer": "csms",
            },
            "target": {**meets, **target},
        },
        "verdict": {"kind": "admit", "admitted": not disposition, "disposition": disposition},
    }


STOP = "commands.RemoteStopTransaction"
START = "commands.RemoteStartTransaction"
LOW = {
    "connectorId": 1,
    "csChargingProfiles": {
        "chargingProfileId": 1,
        "stackLevel": 0,
        "chargingProfilePurpose": "TxDefaultProfile",
        "chargingSchedule": {
            "chargingRateUnit": "A",
            "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 0}],
        },
    },
}


@pytest.mark.parametrize(
    ("fact", "reason"),
    [
        (decision("RemoteStopTransaction", {"transactionId": 7}, STOP, transaction_id=7), ""),
        (
            decision(
                "RemoteStopTransaction",
                {"transactionId": 7},
                f"{STOP}.precondition",
                "obsolete",
                transaction_id=8,
            ),
            "session 7 not running there",
        ),
        (
            decision("RemoteStartTransaction", {"connectorId": 1}, f"{START}.modes", "refused"),
            "not admitted while the site is degraded",
        ),
        (
            decision(
                "RemoteStartTransaction",
                {"connectorId": 1},
                f"{START}.precondition",
                "obsolete",
                mode="connected",
                status="Reserved",
            ),
            "the connector is Reserved",
        ),
        (decision("Reset", {"type": "Hard"}, "commands.Reset", mode="connected", transaction_id=7), ""),
        (
            decision(
                "ChangeAvailability",
                {"connectorId": 1, "type": "Inoperative"},
                "commands.ChangeAvailability",
                transaction_id=7,
            ),
            "",
        ),
        (decision("SetChargingProfile", LOW, "commands.SetChargingProfile", transaction_id=7), ""),
        (
            decision(
                "SetChargingProfile",
                LOW,
                "commands.SetChargingProfile.age_ms_max",
                "expired",
                age_ms=300_001,
            ),
            "it is 300001 ms old, the rules allow 300000",
        ),
    ],
    ids=lambda one: one["clause"] if isinstance(one, dict) else "",
)  # fmt: skip
def test_an_old_decision_is_decided_alike(fact, reason):
    fact["verdict"]["reason"] = reason
    assert holds(RULES, DecisionMade.from_bytes(json.dumps(fact).encode()))
