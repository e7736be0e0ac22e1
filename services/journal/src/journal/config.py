"""Configuration of the journal service, both scopes."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from holdfast.settings import ServiceConfig


class Config(ServiceConfig):
    # scope site
    site_key_file: Path | None = None
    """Private Ed25519 key of the site: PEM (PKCS 8), or 32 bytes as hex."""
    journal_bytes_max: int | None = Field(None, ge=1 << 16)
    """Hard limit of the journal; None: what the rules say."""
    telemetry_bytes_max: int | None = Field(None, ge=1 << 16)
    confirm_ms: int = Field(15_000, ge=100)
    """How often the cloud is asked how far it has the journal: bounds how late a fork is noticed."""
    # scope cloud
    site_keys: dict[str, str] = Field(default_factory=dict)
    """Site to its public key, 32 bytes as hex. A site not named here is not served."""
    database_url: str = ""
    """Of the archive: `sqlite:///FILE` or `postgresql+psycopg://...`; empty: SQLite in `data_dir`."""
    stalled_after_ms: int = Field(20_000, ge=1_000)
    """A copy that gets nothing for so long while the site's head grows is bound anew. A healthy one resumes
    within about 3 s of a reconnect."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.scope == "site" and not (self.site and self.site_key_file):
            raise ValueError("scope site needs `site` and `site_key_file`")
        return self
