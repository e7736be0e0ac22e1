"""Payloads that nobody vouches for, read so that what is not as it should be is simply not there."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any


def objects(value: object) -> Iterable[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def object_of(raw: str | None) -> Mapping[str, Any]:
    try:
        return mapping(json.loads(raw or "{}"))
    except (ValueError, RecursionError):
        return {}
