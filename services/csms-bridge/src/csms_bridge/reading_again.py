"""Read a charge point's part of the journal again: what memory did not take, or nobody attended to."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing
from typing import NamedTuple

from csms_bridge.adapters.source import Found, Source
from csms_bridge.domain.events import Refill
from csms_bridge.domain.state import State
from holdfast.bus import RequestFailed

log = logging.getLogger(__name__)

REFILL_S = 10


class ReadAgain(NamedTuple):
    to_seq: int
    """So far it was read, or there was nothing."""
    gone_to: int
    """What was up to here is no longer in the stream."""


async def read_again(
    source: Source,
    state: State,
    effect: Refill,
    take: Callable[[Found], None],
    names: Callable[..., dict[str, object]],
) -> ReadAgain:
    """Raise StreamGone. What does not answer now is asked again by the core."""
    to_seq, gone_to, left = effect.after_seq, 0, effect.limit
    through = state.live.spilled_to
    """Up to here everything was in the stream before it is looked at."""
    try:
        gone_to = await source.gone_to()
        newest = await source.newest_seq(state.site, state.charge_point)
        if newest > effect.after_seq:
            stream = source.follow_charge_point(
                state.site, state.charge_point, effect.after_seq + 1
            )
            async with asyncio.timeout(REFILL_S), aclosing(stream) as entries:
                async for found, _ in entries:
                    to_seq, left = found.stream_seq, left - 1
                    if found.fact is not None:
                        take(found)
                    if to_seq >= newest or left <= 0:
                        break
        if to_seq >= newest:
            to_seq = max(to_seq, through)
    except (TimeoutError, RequestFailed) as error:
        log.warning("backlog not read on", extra=names(why=str(error) or "time is up"))
    return ReadAgain(to_seq, gone_to)
