"""The csms-bridge of a drill gives up sooner than one at work: a drill lasts a minute."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from csms_bridge.config import Config
from holdfast.contracts.envelope import first_problem
from holdfast.settings import ServiceConfig

TIMES: Mapping[str, Any] = {
    "answer_ms": 3_000,
    "give_up_ms": 6_000,
    "ping_interval_s": 2.0,
    "ping_timeout_s": 2.0,
    "down_after_ms": 6_000,
    "retry_ms_min": 200,
    "retry_ms_max": 3_000,
    "lease_ms": 4_000,
    "away_after_ms": 8_000,
}
PROVISIONED = frozenset({*ServiceConfig.model_fields, "instance", "backends_file"})
"""What a scenario can't choose."""
WHATEVER: Mapping[str, Any] = {
    "scope": "cloud",
    "nats_url": "",
    "nats_user": "",
    "nats_password_file": Path(),
    "data_dir": Path(),
    "instance": "bridge",
    "backends_file": Path(),
}


def laid_over(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Over the times of a drill. Raise ValueError when the csms-bridge would not take it."""
    if reserved := next((name for name in settings if name in PROVISIONED), None):
        raise ValueError(f"{reserved}: is provisioned: remove it")
    together = {**TIMES, **settings}
    try:
        Config.model_validate({**WHATEVER, **together})
    except ValidationError as error:
        raise ValueError(f"{first_problem(error)}: correct this field") from error
    return together
