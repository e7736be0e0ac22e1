"""What the csms-bridge is configured by."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from holdfast.settings import ServiceConfig


class Config(ServiceConfig):
    instance: str = Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9-]+$")
    """Unique among the instances that share the sites, and the same after a restart."""
    backends_file: Path
    """YAML: the CSMSs, and which site or charge point goes to which. Read again when it changes."""
    webhook_url: str = ""
    """Told once when a site is cut off, and once when it is back and complete; empty: nobody is told."""
    webhook_secret_file: Path | None = None
    """Sent as bearer token."""
    beat_ms: int = Field(1_000, ge=50, le=60_000)
    lease_ms: int = Field(4_000, ge=200, le=600_000)
    """An instance without a beat for so long loses its sites."""
    away_after_ms: int = Field(15_000, ge=500)
    """A site without a pulse for so long can't be reached."""
    down_after_ms: int = Field(3_000, ge=0)
    """A CSMS that answers nobody for so long is down: its sites are degraded."""
    answer_ms: int = Field(10_000, ge=50)
    """A CALL unanswered for so long: the CSMS does not count as up; the answer is still waited for."""
    give_up_ms: int = Field(30_000, ge=100)
    """Unanswered for so long: the connection is closed, the message sent again."""
    connect_s: float = Field(10.0, gt=0)
    ping_interval_s: float = Field(5.0, gt=0)
    ping_timeout_s: float = Field(5.0, gt=0)
    retry_ms_min: int = Field(500, ge=10)
    retry_ms_max: int = Field(60_000, ge=100)
    linger_ms: int = Field(10_000, ge=0)
    """An upstream connection outlives the charge point's own by so long."""
    queue_max: int = Field(2_000, ge=10, le=100_000)
    """Messages of one charge point held in memory; the rest waits in the stream."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.scope == "site" and not self.site:
            raise ValueError("scope site needs `site`")
        if self.lease_ms < 3 * self.beat_ms:
            raise ValueError("lease_ms must be at least three beats: one late beat is no death")
        if self.give_up_ms < self.answer_ms:
            raise ValueError("give_up_ms must not be less than answer_ms")
        return self
