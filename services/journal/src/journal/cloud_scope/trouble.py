"""What passes by itself in the cloud: a server or database restarting, a link that is cut, a copy to be made again.

Everything else (a closed connection of our own, a fault of ours) ends the process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from holdfast.bus import AdminRefused, AppendRefused, RequestFailed, StreamGone

PASSING = (RequestFailed, AppendRefused, AdminRefused, StreamGone, SQLAlchemyError, OSError)


async def apart(work: Coroutine[Any, Any, None]) -> None:
    """Await `work` in a task of its own, so that being cancelled and its failing are never taken for each other.

    A task group that fails while its task is cancelled reports only the failure; and in Python 3.11 one that
    fails by itself leaves its task looking cancelled for ever. Whoever goes round again needs to know which.
    """
    task = asyncio.get_running_loop().create_task(work)
    try:
        await asyncio.wait([task])
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)  # being stopped outweighs how it ended
        raise
    task.result()
