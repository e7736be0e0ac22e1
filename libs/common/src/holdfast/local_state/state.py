"""Named values of one charge point, bounded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from holdfast.contracts.decision import ProfileInstalled
from holdfast.empty import nothing
from holdfast.local_state.late import NOTHING_LATE, Late
from holdfast.masking import SECRET, in_text, is_secret

STANDS_MAX = 1_000
"""Per charge point: the one that was told longest ago is forgotten. A device model has a few hundred variables."""
VALUE_CHARACTERS_MAX = 500
KEY_CHARACTERS_MAX = 200


AFTER_BOOT = " (after a boot)"
"""Behind a value that was set and does not hold yet."""
Told = dict[str, str | None]
"""Values by key; None: there is none any more."""


class Aspect(StrEnum):
    """First part of a key."""

    CONNECTION = "connection"
    BOOT = "boot"
    FIRMWARE = "firmware"
    STATUS = "status"
    AVAILABILITY = "availability"
    SESSION = "session"
    RESERVATION = "reservation"
    PROFILE = "profile"
    LIST = "list"
    CONFIGURATION = "configuration"
    CLOCK = "clock"


LOCAL = (
    Aspect.FIRMWARE,
    Aspect.AVAILABILITY,
    Aspect.PROFILE,
    Aspect.LIST,
    Aspect.CONFIGURATION,
    Aspect.RESERVATION,
)
"""What somebody set at the charge point and what stays there: what "which local states changed" asks about."""


@dataclass(frozen=True, slots=True)
class Stand:
    value: str
    since_ms: int
    """When the site first heard of this value: it may have stood before."""
    heard_ms: int
    """When it was told last."""

    def is_as(self, other: Stand | None) -> bool:
        """A secret that was set anew reads the same, and is another one."""
        if other is None or self.value != other.value:
            return False
        return SECRET not in self.value or self.since_ms == other.since_ms


@dataclass(frozen=True, slots=True)
class AfterBoot:
    """What was set, and holds from the next boot on."""

    value: str
    set_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalState:
    stands: Mapping[str, Stand] = field(default_factory=nothing)
    """By key: aspect, then what of it, with slashes."""
    profiles: tuple[ProfileInstalled, ...] = ()
    """As structures, for what replaces and clears them."""
    offsets_ms: tuple[int, ...] = ()
    """Of the last few timestamps: said less heard."""
    ends: Mapping[str, int] = field(default_factory=nothing)
    """When a reservation or profile that stands ends by itself, by key. By its own time, taken for the site's."""
    after_boot: Mapping[str, AfterBoot] = field(default_factory=nothing)
    """By key of what stands. What the charge point tells of it before it boots does not change it."""
    late: Late = NOTHING_LATE
    """Commands given up as uncertain, whose answers may still come."""

    def value(self, key: str) -> str | None:
        stand = self.stands.get(key)
        return stand.value if stand else None

    def telling(
        self,
        values: Told,
        at_ms: int,
        *,
        is_set: bool = False,
        at_boot: frozenset[str] = frozenset(),
    ) -> LocalState:
        """What was told, or with `is_set` set: None is gone. The same value again is only heard of anew.

        `at_boot`: those of them that hold only from the next boot on.
        """
        left, waiting = dict(self.stands), self.after_boot
        spelt = self._spelt(values)
        for whole, value in values.items():
            key = spelt.get(whole.casefold(), whole)[:KEY_CHARACTERS_MAX]
            before = left.pop(key, None)
            if value is None:
                continue
            shown = SECRET if is_secret(key) else in_text(value)[:VALUE_CHARACTERS_MAX]
            if is_set:
                waiting = {one: later for one, later in waiting.items() if one != key}
            if whole in at_boot:
                waiting = {**waiting, key: AfterBoot(shown, at_ms)}
                shown = f"{shown}{AFTER_BOOT}"
            is_same = before is not None and before.value == shown
            is_new = not is_same or (is_set and SECRET in shown)
            since_ms = at_ms if is_new or before is None else before.since_ms
            left[key] = Stand(shown, since_ms, at_ms)
        while len(left) > STANDS_MAX:
            del left[next(iter(left))]
        if waiting is not self.after_boot:
            waiting = {key: later for key, later in waiting.items() if key in left}
            return replace(self, stands=left, after_boot=waiting)
        return replace(self, stands=left)

    def rebooted(self, at_ms: int) -> LocalState:
        """What was set before the connection on which it says that it booted now holds.

        A boot that is told again on the connection over which the value was set, as one that was asked for, is none.
        """
        connection = self.stands.get("connection/state")
        held = {
            key: later.value
            for key, later in self.after_boot.items()
            if connection is None or later.set_ms <= connection.heard_ms
        }
        if not held:
            return self
        left = {key: later for key, later in self.after_boot.items() if key not in held}
        stand = {key: value for key, value in held.items() if key in self.stands}
        return replace(self, after_boot=left).telling({**stand}, at_ms)

    def _spelt(self, values: Told) -> dict[str, str]:
        """Keys of configurations as they stand already: OCPP tells them apart without regard to case."""
        prefix = f"{Aspect.CONFIGURATION}/"
        named = [key for key in values if key.startswith(prefix)]
        if all(key in self.stands for key in named) and len(named) < 2:
            return {}
        spelt = {key.casefold(): key for key in reversed(named)}
        return spelt | {key.casefold(): key for key in self.stands if key.startswith(prefix)}

    def standing(self, name: str) -> tuple[str, Stand] | None:
        """Of a configuration key or a variable, however it is spelt: the key as it stands, and what stands."""
        exact = f"{Aspect.CONFIGURATION}/{name}"
        key = exact if exact in self.stands else self._spelt({exact: None})[exact.casefold()]
        stand = self.stands.get(key)
        return None if stand is None else (key, stand)

    def ending(self, key: str, ends_at_ms: int | None) -> LocalState:
        """What has just been told has an end of its own, or none."""
        ends = {one: end for one, end in self.ends.items() if one != key and one in self.stands}
        if ends_at_ms is not None:
            ends[key] = ends_at_ms
        return replace(self, ends=ends)

    def passed(self, at_ms: int) -> LocalState:
        """Without what has ended by then."""
        if not self.ends:
            return self
        over = {key for key, end in self.ends.items() if end <= at_ms}
        if not over:
            return self
        ends = {key: end for key, end in self.ends.items() if key not in over}
        profiles = tuple(one for one in self.profiles if profile_key(one) not in over)
        return replace(self, ends=ends, profiles=profiles).without(lambda key: key in over)

    def keeping(self, keys: frozenset[str], of: LocalState) -> LocalState:
        """With these as they stood there, whatever was told since."""
        if not keys:
            return self
        stands = {key: stand for key, stand in self.stands.items() if key not in keys}
        stands |= {key: of.stands[key] for key in keys if key in of.stands}
        waiting = {key: later for key, later in self.after_boot.items() if key not in keys}
        waiting |= {key: of.after_boot[key] for key in keys if key in of.after_boot}
        return replace(self, stands=stands, after_boot=waiting)

    def without(self, is_gone: Callable[[str], bool]) -> LocalState:
        left = {key: stand for key, stand in self.stands.items() if not is_gone(key)}
        return self if len(left) == len(self.stands) else replace(self, stands=left)


def profile_key(profile: ProfileInstalled) -> str:
    of = f"/{profile.transaction_id}" if profile.transaction_id is not None else ""
    return f"profile/{profile.connector}/{profile.purpose}/{profile.stack_level}{of}"


def aspect_of(key: str) -> str:
    return key.partition("/")[0]
