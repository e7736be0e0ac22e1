"""What stands at a charge point, as ocpp-edge knows it now."""

from __future__ import annotations

from pydantic import Field

from holdfast.contracts.envelope import Contract


class LocalStateRequest(Contract):
    """Request of `rpc.charge-point-state`."""

    charge_point: str = Field(min_length=1, max_length=255)


class StandView(Contract):
    key: str
    """Aspect, then what of it: `configuration/MeterValueSampleInterval`."""
    value: str
    since_ms: int
    """When the site first heard of this value."""
    heard_ms: int
    """When it was told last: its age is what is known less this."""


class LocalStateView(Contract):
    """Reply of `rpc.charge-point-state`: by key. What was never told is not there."""

    charge_point: str
    at_ms: int
    stands: tuple[StandView, ...]
