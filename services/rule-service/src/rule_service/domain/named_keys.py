"""The signing keys that a bundle's text names, also where this build can't read the rest of it.

Of a text that was verified before: a newer build activated it, or published it. Its other clauses may be unknown here;
whom it trusts must not be forgotten over that.
"""

from __future__ import annotations

import yaml

NO_YAML = (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError, RecursionError)
"""What comes out of the parser for a text that is none, or has tags of its own."""


def named_keys(text: str) -> tuple[str, ...]:
    """Empty: none, or none that can be made out."""
    try:
        document = yaml.safe_load(text)
    except NO_YAML:
        return ()
    signing = document.get("signing") if isinstance(document, dict) else None
    keys = signing.get("keys") if isinstance(signing, dict) else None
    if not isinstance(keys, list):
        return ()
    return tuple(key.lower() for key in keys if isinstance(key, str))
