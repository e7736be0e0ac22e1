"""Goal: no number from outside is too large for a database, a clock or another language's JSON.

Method: the schemas of all contracts that come from outside a site's or the cloud's own services, looked through.
"""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from holdfast.contracts.command import Command, CommandWord, SendCommand, SendWord
from holdfast.contracts.decision import CloudVerdict
from holdfast.contracts.driver_tokens import DriverTokenChanges, DriverTokenList, FullListWanted
from holdfast.contracts.envelope import ContractError
from holdfast.contracts.mode import BeginOverride, EndOverride
from holdfast.contracts.numbers import WHOLE_MAX
from holdfast.contracts.rollout import (
    KeyChangesRequest,
    Rollback,
    Rollout,
    RulesDraft,
    RulesHistoryRequest,
)
from holdfast.contracts.rules import (
    Publish,
    Rules,
    SignedRules,
    SiteLimit,
)

OUTSIDE: list[type[BaseModel]] = [
    BeginOverride, CloudVerdict, Command, CommandWord, DriverTokenChanges, DriverTokenList, EndOverride, FullListWanted,
    KeyChangesRequest, Publish, Rollback, Rollout, Rules, RulesDraft, RulesHistoryRequest, SendCommand, SendWord,
    SignedRules, SiteLimit,
]  # fmt: skip


def unbounded(schema: Any, path: str = "") -> list[str]:
    if isinstance(schema, list):
        return [found for part in schema for found in unbounded(part, path)]
    if not isinstance(schema, dict):
        return []
    found = [where for name, part in schema.items() for where in unbounded(part, f"{path}/{name}")]
    numeric = schema.get("type") in ("integer", "number")
    limit = schema.get("maximum", schema.get("exclusiveMaximum"))
    return [*found, path] if numeric and (limit is None or limit > WHOLE_MAX) else found


@pytest.mark.parametrize("kind", OUTSIDE, ids=lambda kind: kind.__name__)
def test_every_number_from_outside_has_an_upper_bound(kind: type[BaseModel]):
    assert unbounded(kind.model_json_schema()) == []


@pytest.mark.parametrize("value", ["1" + "0" * 30, "NaN", "Infinity", '[{"a": 9007199254740992}]'])
def test_a_payload_with_a_number_that_can_not_be_held_is_refused(value: str):
    data = (
        '{"id": "c", "charge_point": "CP-01", "action": "DataTransfer", "issued_at_ms": 0, "deadline_ms": 1, '
        f'"payload": {{"data": {value}}}}}'
    )
    with pytest.raises(ContractError, match="not a Command: payload"):
        Command.from_bytes(data.encode())


def test_a_payload_nested_without_end_is_refused():
    data = '{"site": "s", "command": {"payload": ' + '{"a": ' * 90 + "1" + "}" * 90 + "}}"
    with pytest.raises(ContractError):
        SendCommand.from_bytes(data.encode())
