"""Addresses that firmware comes from and logs go to.

Nothing is fetched or sent: where a real device would, this one waits.
"""

from __future__ import annotations

from urllib.parse import urlsplit

SCHEMES = ("ftp", "ftps", "sftp", "http", "https")
VERSION_CHARACTERS_MAX = 50


def can_be_used(location: str) -> bool:
    try:
        parts = urlsplit(location)
        return parts.scheme in SCHEMES and bool(parts.hostname)
    except ValueError:
        return False


def version_of(location: str) -> str:
    """A simulated image is called as its file is."""
    name = urlsplit(location).path.rsplit("/", 1)[-1]
    return name[:VERSION_CHARACTERS_MAX] or "unnamed"
