"""GetTransactionStatus of 2.x: what is known of a transaction here, and whether messages of it still wait to go up.

The CSMS asks it when it comes back, before anything is replayed to it (E14): what waits here, what is on its way here
out of a site's journal, and what a site that is cut off may hold counts like what waits in the station itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from csms_bridge.domain.outgoing import Item, Part
from csms_bridge.domain.payload import Malformed, object_of
from csms_bridge.domain.state import State

ACTION = "GetTransactionStatus"


def status(state: State, payload: Mapping[str, Any], said: str | None = None) -> str:
    """The answer; `said`: what the station answers of its own queue, where it was asked."""
    of_station = _said(said)
    named = payload.get("transactionId")
    transaction = named if isinstance(named, str) else None
    waits = _waits(state, transaction) or of_station.get("messagesInQueue") is True
    answer: dict[str, Any] = {"messagesInQueue": waits}
    if transaction is not None:
        ongoing = of_station.get("ongoingIndicator")
        known = ongoing if isinstance(ongoing, bool) else _is_ongoing(state, transaction)
        if known is not None:
            answer["ongoingIndicator"] = known
    return json.dumps(answer, separators=(",", ":"))


def _said(raw: str | None) -> dict[str, Any]:
    try:
        return {} if raw is None else object_of(raw)
    except Malformed:
        return {}


def _waits(state: State, transaction: str | None) -> bool:
    """Messages of it, or, where none is named, of any transaction (E14): here, in the stream, on the way here, or at a
    site that can't be reached.
    """
    live = state.live
    if live.spilled_after is not None:
        return True
    of_any = [item.transaction for item in _waiting(state) if item.transaction is not None]
    if transaction in of_any or (transaction is None and of_any):
        return True
    return _may_be_elsewhere(state) and not _has_ended(state, transaction)


def _may_be_elsewhere(state: State) -> bool:
    """What the station has delivered to its site, and nobody here has read yet."""
    return state.live.away_since_mono_ms is not None or state.live.is_behind


def _waiting(state: State) -> list[Item]:
    """Those of the lanes that nothing takes the place of; what is under way is one of them."""
    return [*state.live.queue, *state.live.errors]


def _has_ended(state: State, transaction: str | None) -> bool:
    known = None if transaction is None else state.kept.passed.get(transaction)
    return known is not None and known.ended


def _is_ongoing(state: State, transaction: str) -> bool | None:
    """None: its site may know it."""
    parts = {item.part for item in state.live.queue if item.transaction == transaction}
    if Part.STOP in parts:
        return False
    known = state.kept.passed.get(transaction)
    if known is not None:
        return not known.ended
    if parts:
        return True
    return None if _may_be_elsewhere(state) else False
