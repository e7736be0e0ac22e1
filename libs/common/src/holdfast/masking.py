"""What nobody may read of what is sent to charge points and what they answer: passwords, keys, and what stands in
addresses beside them. The one place that says which; driver tokens are masked by whoever shows them to people.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

SECRET = "(secret)"  # noqa: S105  what is shown instead of one
_PARTS = (
    "authorizationkey",
    "password",
    "passwd",
    "passphrase",
    "secret",
    "privatekey",
    "sharedkey",
    "apikey",
    "wifikey",
    "networkkey",
    "psk",
    "wpakey",
    "simpin",
    "accesstoken",
)
_CREDENTIALS = re.compile(r"(?<=://)[^/?#\s\"]*(?=@)")
"""`user:password` of an address; a password may have an @ in it."""
_SIGNED = re.compile(
    r"(?i)([?&](?:sig|signature|x-amz-signature|x-goog-signature|token|password|pwd|key)=)[^&#\s\"]+"
)


def is_secret(name: str) -> bool:
    """Of a field, a configuration key or a variable: its value is shown as set, and when."""
    plain = name.casefold().replace("_", "").replace("-", "").replace(" ", "")
    return any(part in plain for part in _PARTS)


def in_text(text: str) -> str:
    """Addresses without what lets one in."""
    if "://" not in text:
        return text
    return _SIGNED.sub(rf"\g<1>{SECRET}", _CREDENTIALS.sub(SECRET, text))


def without_secrets(value: Any, of: str = "") -> Any:
    """The same document with every secret in it replaced, at whatever depth; `of`: the field that it stands in."""
    match value:
        case Mapping():
            hidden = _hidden(value, of)
            return {
                key: SECRET
                if inner is not None and (key in hidden or _is_hidden(str(key), inner))
                else without_secrets(inner, str(key))
                for key, inner in value.items()
            }
        case list() | tuple():
            return [without_secrets(inner, of) for inner in value]
        case str():
            return in_text(value)
        case _:
            return value


def in_answer(raw: str, hide: Callable[[Any], Any] = without_secrets) -> str:
    """A payload as it stood in the frame: as it is, unless there is something in it to hide."""
    try:
        document = json.loads(raw)
        shown = hide(document)
    except (ValueError, RecursionError):
        return in_text(raw)
    return raw if shown == document else json.dumps(shown, ensure_ascii=False)


def _is_hidden(key: str, value: Any) -> bool:
    return is_secret(key) and not isinstance(value, dict | list | tuple | bool)


def _hidden(one: Mapping[Any, Any], of: str) -> frozenset[str]:
    """Fields that are secret by what stands beside them."""
    if of == "vpn":  # SetNetworkProfile: its key is the shared secret
        return frozenset({"key"})
    name = one.get("key")
    if isinstance(name, str) and is_secret(name):  # ChangeConfiguration, GetConfiguration
        return frozenset({"value"})
    variable = one.get("variable")
    if isinstance(variable, Mapping) and is_secret(str(variable.get("name"))):
        return frozenset({"attributeValue", "variableAttribute", "actualValue"})
    return frozenset()
