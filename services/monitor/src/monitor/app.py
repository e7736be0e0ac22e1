"""The monitor: watch, and show. It decides nothing and writes nothing into any stream."""

from __future__ import annotations

import asyncio

from holdfast.health import serve_http
from holdfast.service import Context
from monitor.config import Config
from monitor.watching import CloudWatch, SiteWatch, Watch
from monitor.web import make_web


def watch_of(context: Context[Config]) -> Watch:
    return SiteWatch(context) if context.config.scope == "site" else CloudWatch(context)


async def run(context: Context[Config]) -> None:
    """For ever. The page is there from the first moment and says what is not known yet."""
    watch = watch_of(context)
    web = make_web(context, watch)
    async with asyncio.TaskGroup() as group:
        group.create_task(serve_http(web, context.config.api_host, context.config.api_port))
        group.create_task(watch.run())
