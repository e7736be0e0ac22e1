"""A signed statement: up to `seq` the chain's hash is `hash`. Checkpoints, anchors and heads all are one.

The signature is checked where the bytes come in (`journal.adapters.keys`); in here a statement is trusted.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Statement:
    seq: int
    hash: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A message as the chain covers it."""

    seq: int
    subject: str
    id: str
    data: bytes
    at_ms: int
    """When the site's stream stored it."""
