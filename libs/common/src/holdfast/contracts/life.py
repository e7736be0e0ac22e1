"""Clauses about the rules themselves: when newer ones take over, whose signature counts, what follows their end."""

from __future__ import annotations

import re
from enum import StrEnum

from pydantic import Field, field_validator, model_validator

from holdfast.contracts.clause import Clause
from holdfast.contracts.mode import Mode


class ActivationRules(Clause):
    """When a newer bundle, staged at the site, takes effect: at a safe point, with no decision under way."""

    modes: tuple[Mode, ...] = (Mode.CONNECTED, Mode.DEGRADED, Mode.RECOVERY)
    """In these. Never in autonomous: a site that is cut off decides to the end by the rules it was cut off with."""
    wait_ms_max: int = Field(2_000, ge=0, le=5_000)
    """New decisions wait so long at most, while those under way are finished. Below the 8 s that a charge point's
    start waits for a decision."""

    @model_validator(mode="after")
    def _is_safe(self) -> ActivationRules:
        if Mode.AUTONOMOUS in self.modes:
            raise ValueError("autonomous can't be listed: there the active rules are pinned")
        if not {Mode.CONNECTED, Mode.DEGRADED} <= set(self.modes):
            raise ValueError(
                "connected and degraded must be listed: a site that is degraded because its rules are stale "
                "could never take the newer ones"
            )
        return self


KEYS_MAX = 8
PUBLIC_KEY = re.compile(r"^[0-9a-f]{64}\Z")


class SigningRules(Clause):
    """Whose signature the site takes from this bundle on."""

    keys: tuple[str, ...] = Field((), max_length=KEYS_MAX)
    """Public Ed25519 keys, 32 bytes as hex. These and no others, while the bundle is active; none: those the site was
    provisioned with. The key that signed the bundle must count afterwards too, or the bundle is refused."""

    @field_validator("keys")
    @classmethod
    def _are_keys(cls, keys: tuple[str, ...]) -> tuple[str, ...]:
        lowered = tuple(key.lower() for key in keys)
        for key in lowered:
            if not PUBLIC_KEY.match(key):
                raise ValueError(f"{key[:20]!r} is no public Ed25519 key of 32 bytes as hex")
        if len(set(lowered)) < len(lowered):
            raise ValueError("a key stands twice")
        return lowered


class AfterExpiry(StrEnum):
    """What decides from `valid_until_ms` on. Either way the site is degraded by reason."""

    KEEP = "keep"
    """The same rules: a site without rules is worse."""
    SAFE = "safe"
    """The built-in safe ones, for who may charge and which commands are delivered."""


class RefusedFor(StrEnum):
    """Why a bundle was not taken: the few kinds that metrics and alarms tell apart."""

    UNREADABLE = "unreadable"
    """No signed bundle at all."""
    UNTRUSTED_KEY = "untrusted-key"
    BAD_SIGNATURE = "bad-signature"
    INVALID_RULES = "invalid-rules"
    """An unknown clause, one that stands twice, a value out of its range."""
    WRONG_SITE = "wrong-site"
    NOT_NEWER = "not-newer"
    LOCK_OUT = "lock-out"
    """The key that signed it would not count once it is active: nobody could sign the next."""
