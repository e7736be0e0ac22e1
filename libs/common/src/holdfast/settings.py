"""Configuration: one frozen record per service, from one TOML file; secrets stand in files it points to.

Every value can be overridden by `HOLDFAST_<FIELD>` in the environment. Unknown keys are refused.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from holdfast import subjects
from holdfast.contracts.envelope import first_problem


class ConfigError(Exception):
    """A configuration that can't be used: names file, field and remedy."""


class ServiceConfig(BaseSettings):
    """What every service needs. Subclasses add their own fields."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_prefix="HOLDFAST_")

    scope: Literal["site", "cloud"] = "site"
    site: str = ""
    """Name of the site; empty in scope cloud."""
    nats_url: str
    """One server, or several separated by commas."""
    nats_user: str
    nats_password_file: Path
    nats_ca_file: Path | None = None
    """CA to trust when the URL is tls://; None uses the system's."""
    data_dir: Path
    """Where the service keeps its own store; must be on the disk whose life the incarnation is."""
    health_host: str = "127.0.0.1"
    """Health and metrics are without authentication: loopback or a protected network only."""
    health_port: int = Field(0, ge=0, le=65535)
    """0: none is served."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["text", "json"] = "text"

    @field_validator("site")
    @classmethod
    def _site(cls, site: str) -> str:
        return subjects.check_site(site) if site else site

    def password(self) -> str:
        return read_secret(self.nats_password_file)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Raise ConfigError."""
        try:
            document: dict[str, Any] = tomllib.loads(path.read_text())
        except OSError as error:
            raise ConfigError(
                f"{path}: can't be read ({error.strerror}): give --config FILE"
            ) from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: is not TOML: {error}") from error
        prefix = "HOLDFAST_"
        for field in cls.model_fields:
            value = os.environ.get(prefix + field.upper())
            if value is not None:
                document[field] = value
        try:
            return cls.model_validate(document)
        except ValidationError as error:
            raise ConfigError(f"{path}: {first_problem(error)}: correct this field") from error


def read_secret(path: Path) -> str:
    """Raise ConfigError."""
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path}: the secret can't be read ({error}): run `holdfast provision`"
        ) from error
