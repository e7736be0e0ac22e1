"""One program for two scopes: which one is configuration."""

from __future__ import annotations

from holdfast.service import Context
from rule_service.cloud_scope.app import run_in_cloud
from rule_service.config import Config
from rule_service.site_scope.app import run_at_site


async def run(context: Context[Config]) -> None:
    if context.config.scope == "site":
        await run_at_site(context)
    else:
        await run_in_cloud(context)
