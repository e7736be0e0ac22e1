"""What the reconciler is configured by."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from holdfast.settings import ServiceConfig
from holdfast.store import sqlite_url


class Config(ServiceConfig):
    database_url: str = ""
    """`postgresql+psycopg://...` in the cloud; empty: SQLite in `data_dir`."""

    @model_validator(mode="after")
    def _site_named(self) -> Self:
        if self.scope == "site" and not self.site:
            raise ValueError("scope site needs `site`")
        return self

    @property
    def store_url(self) -> str:
        return self.database_url or sqlite_url(self.data_dir, "reconciler")
