"""One program for two scopes: which one is configuration."""

from __future__ import annotations

from holdfast.service import Context
from journal.cloud_scope.app import run_in_cloud
from journal.config import Config
from journal.site_scope.app import run_at_site


async def run(context: Context[Config]) -> None:
    if context.config.scope == "site":
        await run_at_site(context)
    else:
        await run_in_cloud(context)
