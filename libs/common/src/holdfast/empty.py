"""The empty mapping that frozen records share: most of what is known of most charge points is nothing, and a dictionary
of its own for each nothing is a kilobyte of every one of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NOTHING: Mapping[Any, Any] = {}
"""A plain dictionary, for what writes records down; by its type nobody puts anything into it."""


def nothing() -> Mapping[Any, Any]:
    """As a field's `default_factory`."""
    return NOTHING
