"""The site's current limit as the rules have it: which one holds now, why, and until when."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from holdfast.contracts.envelope import Contract, Fact
from holdfast.contracts.mode import Mode


class LimitSource(StrEnum):
    CLOUD = "cloud"
    """The newest limit that came down, still valid."""
    DEGRADED = "rule for degraded"
    FALLBACK = "fallback"
    NONE = "none"
    """Neither has the cloud set one nor the rules."""


class EffectiveLimit(Contract):
    """Reply of `rpc.limit`. Imposing it on charge points is load management's task, which is not there yet."""

    limit_a: float | None
    """Per phase; None: no limit holds."""
    source: LimitSource
    limit_id: str | None = None
    """Of the cloud's limit that was looked at, also where another one holds."""
    until_ms: int | None = None
    """When it ends by itself; None: nothing but a change of mode, rules or limit ends it."""
    clause: str
    reason: str
    """One sentence for the operator."""


class LimitStands(Fact):
    """Another limit holds for the site from here on."""

    TYPE: ClassVar[str] = "limit.stands"

    limit: EffectiveLimit
    mode: Mode
    rules_version: int
