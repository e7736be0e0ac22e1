"""The reconciler's loops, in both scopes.

site    JOURNAL -> fold sessions and recovery -> commit -> acknowledge; beside it: tick -> ask, record
cloud   CLOUD_JOURNAL -> fold sessions -> commit -> acknowledge; and answer sites that compare digests
"""

from __future__ import annotations

from holdfast.service import Context
from holdfast.store import open_store
from reconciler import cloud_scope, site_scope
from reconciler.adapters.store import SessionStore
from reconciler.config import Config
from reconciler.domain.recovery import STATE_VERSION
from reconciler.domain.sessions import FOLD_VERSION


async def run(context: Context[Config]) -> None:
    """For ever."""
    store = SessionStore(open_store(context.config.store_url), f"{FOLD_VERSION}.{STATE_VERSION}")
    if context.config.scope == "site":
        await site_scope.run(context, store)
    else:
        await cloud_scope.run(context, store)
