"""What the monitor is configured by."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from holdfast import subjects
from holdfast.settings import ServiceConfig


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Config(ServiceConfig):
    api_host: str = "127.0.0.1"
    api_port: int = Field(8080, ge=1, le=65535)
    credential_file: Path | None = None
    """Holds the one credential callers show, as bearer token or as password of any user. None: open, and
    then on loopback only."""
    sites: tuple[str, ...] = ()
    """Scope cloud: the sites to be shown from the start; others appear once they are heard of."""
    sample_ms: int = Field(2_000, ge=100)
    """How often services are asked: a reading is at most so much older than it could be."""
    fresh_ms: int = Field(15_000, ge=1_000)
    """A reading older than this is shown as unknown, with its age."""
    pulse_fresh_ms: int = Field(30_000, ge=1_000)
    """Scope cloud: a site not heard for so long is unknown. Above the slowest pulse the rules set."""

    @model_validator(mode="after")
    def _usable(self) -> Self:
        if self.scope == "site" and not self.site:
            raise ValueError("scope site needs `site`")
        for site in self.sites:
            subjects.check_site(site)
        if self.credential_file is None and not is_loopback(self.api_host):
            raise ValueError(
                f"api_host {self.api_host!r} is reachable from elsewhere: set credential_file"
            )
        return self
