"""How a simulated charge point behaves: the table of `simulators/README.md`, checked before anything starts.

The simulators share no code with us, so the table stands here again; what a scenario leaves out stays theirs.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Flag = bool | None
Wait = Annotated[float, Field(ge=0.01, le=3_600)]
NULL_MEANS_SOMETHING = {"heartbeat_s", "ping_s", "stream_s"}


class Behaviour(BaseModel):
    """None is `not given` throughout, but for those whose null means something."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    power_w: int | None = Field(None, ge=0, le=1_000_000)
    phases: int | None = Field(None, ge=1, le=3)
    meter_interval_s: float | None = Field(None, ge=0.02, le=86_400)
    heartbeat_s: float | None = Field(None, ge=0.02, le=86_400)
    call_timeout_s: float | None = Field(None, ge=0.05, le=600)
    attempts: int | None = Field(None, ge=1, le=1_000)
    retry_interval_s: float | None = Field(None, ge=0, le=3_600)
    retry_ids: Literal["same", "new"] | None = None
    queue_capacity: int | None = Field(None, ge=2, le=100_000)
    reconnect_s: Wait | Annotated[list[Wait], Field(min_length=1, max_length=50)] | None = None
    ping_s: float | None = Field(None, ge=0.1, le=3_600)
    boot_on_reconnect: Flag = None
    boot_pipelined: Flag = None
    message_ids: Literal["uuid", "repeating"] | None = None
    in_flight_silence_s: float | None = Field(None, ge=0, le=600)
    status_before_queue: Flag = None
    transaction_begins: Literal["authorised", "cable"] | None = None
    signed_values: Flag = None
    settles: Flag = None
    stream_s: float | None = Field(None, ge=0.02, le=86_400)
    late_meter_after_stop: Flag = None
    offline_start: Flag = None
    authorize_remote: Flag = None
    stop_on_invalid_id: Flag = None
    session_after_reboot: Literal["stop", "resume"] | None = None
    reboot_s: float | None = Field(None, ge=0, le=3_600)
    upkeep_s: float | None = Field(None, ge=0, le=3_600)
    hard_reset_loses_queue: Flag = None
    clock_offset_s: float | None = Field(None, ge=-1e9, le=1e9)
    clock_drift_ppm: float | None = Field(None, ge=-100_000, le=100_000)
    json_spaces: Flag = None

    @model_validator(mode="after")
    def _null_only_where_it_means_something(self) -> Behaviour:
        for name in sorted(self.model_fields_set - NULL_MEANS_SOMETHING):
            if getattr(self, name) is None:
                raise ValueError(f"{name} must not be null: give a value, or leave it out")
        return self
