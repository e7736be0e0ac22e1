"""What the rules say of data: what a metered link changes, what is left out of what is stored, what a bill
may rest on.

Sections `metered`, `buffering` and `billing` of a bundle.
"""

from __future__ import annotations

from pydantic import Field, model_validator

from holdfast.contracts.clause import Clause
from holdfast.contracts.mode import Mode
from holdfast.contracts.numbers import DURATION_MS_MAX, WHOLE_MAX


class MeteredRules(Clause):
    """A link that is paid by what it carries. With `link` these stand in place of the same clauses of `modes`."""

    link: bool = False
    pulse_ms: int = Field(15_000, ge=100, le=300_000)
    """A pulse and its answer are some 1.5 kB: at one every 15 s about 9 MB a day instead of 65."""
    pulse_timeout_ms: int = Field(5_000, ge=50, le=60_000)
    """Mobile links take their time when they wake up."""
    degraded_after_ms: int = Field(40_000, ge=100, le=DURATION_MS_MAX)
    autonomous_after_ms: int = Field(120_000, ge=200, le=DURATION_MS_MAX)
    stable_for_ms: int = Field(35_000, ge=0, le=DURATION_MS_MAX)
    """Two answered pulses after the first, at least."""
    sync_lag_ms: int = Field(60_000, ge=100, le=DURATION_MS_MAX)
    telemetry_every_ms: int = Field(60_000, ge=0, le=3_600_000)
    """As in `buffering`; of the two the longer counts. The journal is never thinned for the sake of the link."""

    @model_validator(mode="after")
    def _ordered(self) -> MeteredRules:
        if not self.pulse_ms <= self.degraded_after_ms < self.autonomous_after_ms:
            raise ValueError("pulse_ms <= degraded_after_ms < autonomous_after_ms must hold")
        if self.stable_for_ms < self.pulse_ms:
            raise ValueError(
                "stable_for_ms >= pulse_ms must hold: one answered pulse is no stability"
            )
        return self


class Thinning(Clause):
    """What is left out before it is stored. Charge points are answered all the same; what was left out is counted
    in the next one that is kept.
    """

    telemetry_every_ms: int = Field(0, ge=0, le=3_600_000)
    """Of heartbeats, unchanged status and meter values outside sessions, of each charge point's each connector at
    most one in so long is kept. 0: all."""
    meter_values_every_ms: int = Field(0, ge=0, le=3_600_000)
    """Of a session's periodic meter values at most one in so long, by the charge point's own clock, goes into the
    journal. Never the first, never begin or end, never signed ones, never what a charge point was asked for. 0: all."""
    meter_values_after_ms: int = Field(0, ge=0, le=30 * 86_400_000)
    """Only once the mode has lasted so long."""


class BufferingByMode(Clause):
    connected: Thinning = Thinning()
    degraded: Thinning = Thinning(telemetry_every_ms=30_000)
    autonomous: Thinning = Thinning(telemetry_every_ms=60_000, meter_values_after_ms=4 * 3_600_000)
    recovery: Thinning = Thinning(telemetry_every_ms=30_000)

    def of(self, mode: Mode) -> Thinning:
        rules: Thinning = getattr(self, mode.value)
        return rules


class BillingRules(Clause):
    """From where on a session's own figures are doubted. Shown with the session; nothing is changed or held back."""

    register_back_wh_max: int = Field(10, ge=0, le=WHOLE_MAX)
    """A stop so far below its session's start or highest reading is a rounding of the charge point's, beyond it a
    doubt."""
    clock_ahead_ms_max: int = Field(60_000, ge=0, le=DURATION_MS_MAX)
    """A begin or an end that the charge point puts later than the site heard of it, by more than this: its clock is
    wrong. One that it puts earlier may come out of its memory, and is no doubt."""
