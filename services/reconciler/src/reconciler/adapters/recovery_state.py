"""The state of a recovery as text, so that it stands in the same transaction as the sessions."""

from __future__ import annotations

from dataclasses import replace

from pydantic import TypeAdapter

from reconciler.domain.recovery import Live, State

_adapter = TypeAdapter(State)


def dump(state: State) -> str:
    """Without what only this process life knows."""
    return _adapter.dump_json(replace(state, live=Live())).decode()


def load(text: str | None) -> State:
    return _adapter.validate_json(text) if text else State()
