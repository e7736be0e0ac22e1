"""Which charge points there are and how each behaves, read from one JSON file and trusted in nothing.

    file -> Config(url, charge_points=(Identity + Behaviour, ...))

Every field of `Behaviour` is a real program's habit (see README.md for who does what). An unknown key
is an error: a misspelt behaviour would silently be the default.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import quote, urlsplit

CHARGE_POINTS_MAX = 2_000
CONNECTORS_MAX = 32


class ConfigError(Exception):
    """The configuration is wrong: which file, which field, what is wrong with it, what to write."""

    def __init__(self, file: Path, where: str, problem: str, remedy: str) -> None:
        super().__init__(f"{file}: {where}: {problem}; {remedy}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """How one charge point behaves when all is well, when the link is gone, and afterwards."""

    power_w: int = 7_400
    """What a vehicle draws on a connector when no limit is lower."""
    phases: int = 3
    """For limits in ampere that do not say a number of phases."""
    meter_interval_s: float = 60.0
    heartbeat_s: float | None = None
    """None: the interval that BootNotification was answered with."""
    call_timeout_s: float = 10.0
    attempts: int = 3
    """TransactionMessageAttempts: after so many a transactional message is discarded."""
    retry_interval_s: float = 2.0
    """TransactionMessageRetryInterval, times the number of attempts made."""
    retry_ids: str = "same"
    queue_capacity: int = 200
    reconnect_s: tuple[float, ...] = (1.0,)
    """The wait before each next attempt; the last one repeats."""
    ping_s: float | None = 20.0
    boot_on_reconnect: bool = False
    boot_pipelined: bool = False
    """Send BootNotification and StatusNotification without waiting for an answer."""
    message_ids: str = "uuid"
    """`repeating`: the same pseudo-random sequence after every boot."""
    in_flight_silence_s: float = 0.0
    """With a CALL in flight at the drop: how long the new connection stays silent for its sake."""
    status_before_queue: bool = False
    """After a reconnect report every connector Available, before the queue of the old session."""
    late_meter_after_stop: bool = False
    """One MeterValues of a session after its StopTransaction, with a later timestamp."""
    offline_start: bool = True
    """Whether a driver token that the local cache does not know may charge while offline."""
    authorize_remote: bool = False
    """AuthorizeRemoteTxRequests."""
    stop_on_invalid_id: bool = True
    """StopTransactionOnInvalidId; when false only the energy is stopped."""
    session_after_reboot: str = "stop"
    reboot_s: float = 0.5
    hard_reset_loses_queue: bool = False
    clock_offset_s: float = 0.0
    clock_drift_ppm: float = 0.0
    json_spaces: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ChargePointConfig:
    id: str
    password: str
    vendor: str = "Holdfast"
    model: str = "Simulated"
    serial: str = ""
    connectors: int = 1
    behaviour: Behaviour = field(default_factory=Behaviour)

    @property
    def encoded_id(self) -> str:
        """As it stands in the URL, and in the name of its database."""
        return quote(self.id, safe="")


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    url: str
    ca_file: Path | None
    """Whom to trust on a wss:// url; None: the machine's own list."""
    charge_points: tuple[ChargePointConfig, ...]


def load(file: Path) -> Config:
    """Raise ConfigError naming the first thing that is wrong."""
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            file, "file", error.strerror or str(error), "name a readable file"
        ) from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(
            file, "document", f"not JSON: {error}", "write one JSON object"
        ) from error
    return _Reader(file).config(document)


Check = Callable[[Any], str | None]
"""Says what the value should have been, or None when it is right."""


def _is_text(maximum: int, *, empty: bool = False) -> Check:
    def check(value: Any) -> str | None:
        right = isinstance(value, str) and (empty or value != "") and len(value) <= maximum
        return None if right else f"write a string of {0 if empty else 1} to {maximum} characters"

    return check


def _is_whole(low: int, high: int) -> Check:
    def check(value: Any) -> str | None:
        right = isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
        return None if right else f"write a whole number from {low} to {high}"

    return check


def _is_number(low: float, high: float, *, or_null: bool = False) -> Check:
    def check(value: Any) -> str | None:
        if value is None and or_null:
            return None
        right = isinstance(value, int | float) and not isinstance(value, bool)
        if right and low <= value <= high:
            return None
        return f"write a number from {low} to {high}" + (", or null" if or_null else "")

    return check


def _is_one_of(*choices: str) -> Check:
    return lambda value: None if value in choices else f"write one of {', '.join(choices)}"


def _is_bool(value: Any) -> str | None:
    return None if isinstance(value, bool) else "write true or false"


def _is_back_off(value: Any) -> str | None:
    waits = value if isinstance(value, list) else [value]
    number = _is_number(0.01, 3_600)
    right = 1 <= len(waits) <= 50 and all(number(wait) is None for wait in waits)
    return None if right else "write seconds from 0.01 to 3600, or a list of up to 50 of them"


BEHAVIOUR_CHECKS: dict[str, Check] = {
    "power_w": _is_whole(0, 1_000_000),
    "phases": _is_whole(1, 3),
    "meter_interval_s": _is_number(0.02, 86_400),
    "heartbeat_s": _is_number(0.02, 86_400, or_null=True),
    "call_timeout_s": _is_number(0.05, 600),
    "attempts": _is_whole(1, 1_000),
    "retry_interval_s": _is_number(0, 3_600),
    "retry_ids": _is_one_of("same", "new"),
    "queue_capacity": _is_whole(2, 100_000),
    "reconnect_s": _is_back_off,
    "ping_s": _is_number(0.1, 3_600, or_null=True),
    "boot_on_reconnect": _is_bool,
    "boot_pipelined": _is_bool,
    "message_ids": _is_one_of("uuid", "repeating"),
    "in_flight_silence_s": _is_number(0, 600),
    "status_before_queue": _is_bool,
    "late_meter_after_stop": _is_bool,
    "offline_start": _is_bool,
    "authorize_remote": _is_bool,
    "stop_on_invalid_id": _is_bool,
    "session_after_reboot": _is_one_of("stop", "resume"),
    "reboot_s": _is_number(0, 3_600),
    "hard_reset_loses_queue": _is_bool,
    "clock_offset_s": _is_number(-1e9, 1e9),
    "clock_drift_ppm": _is_number(-100_000, 100_000),
    "json_spaces": _is_bool,
}
assert set(BEHAVIOUR_CHECKS) == {one.name for one in fields(Behaviour)}

CHARGE_POINT_CHECKS: dict[str, Check] = {
    "id": _is_text(48),
    "password": _is_text(255),
    "vendor": _is_text(20, empty=True),
    "model": _is_text(20),
    "serial": _is_text(25, empty=True),
    "connectors": _is_whole(1, CONNECTORS_MAX),
}


class _Reader:
    def __init__(self, file: Path) -> None:
        self._file = file

    def config(self, document: Any) -> Config:
        table = self._table("document", document, {"url", "ca_file", "charge_points"})
        given = table.get("charge_points")
        if not isinstance(given, list) or not 1 <= len(given) <= CHARGE_POINTS_MAX:
            self._fail("charge_points", given, f"write a list of 1 to {CHARGE_POINTS_MAX} objects")
        points = tuple(
            self._charge_point(f"charge_points[{n}]", one) for n, one in enumerate(given)
        )
        seen: set[str] = set()
        for number, point in enumerate(points):
            if point.id in seen:
                self._fail(f"charge_points[{number}].id", point.id, "give each its own id")
            seen.add(point.id)
        ca_file = table.get("ca_file")
        if ca_file is not None and not isinstance(ca_file, str):
            self._fail("ca_file", ca_file, "write a path, or leave it out")
        return Config(
            url=self._url(table.get("url")),
            ca_file=None if ca_file is None else Path(ca_file),
            charge_points=points,
        )

    def _url(self, value: Any) -> str:
        remedy = "write ws://HOST:PORT/PATH or wss://..., without query and credentials"
        if not isinstance(value, str):
            self._fail("url", value, remedy)
        try:
            parts = urlsplit(value)
            right = parts.scheme in ("ws", "wss") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            right = False
        if not right or parts.query or parts.fragment or parts.username is not None:
            self._fail("url", value, remedy)
        return str(value).rstrip("/")

    def _charge_point(self, where: str, value: Any) -> ChargePointConfig:
        table = self._table(where, value, {*CHARGE_POINT_CHECKS, "behaviour"})
        for name in ("id", "password"):
            if name not in table:
                self._fail(f"{where}.{name}", None, "every charge point needs one")
        plain = {name: table[name] for name in CHARGE_POINT_CHECKS if name in table}
        self._check(where, plain, CHARGE_POINT_CHECKS)
        # The Basic user name ends at the first colon, so such an id could never authenticate.
        if ":" in plain["id"]:
            self._fail(f"{where}.id", plain["id"], "leave out the colon")
        return ChargePointConfig(
            **plain, behaviour=self._behaviour(f"{where}.behaviour", table.get("behaviour", {}))
        )

    def _behaviour(self, where: str, value: Any) -> Behaviour:
        table = self._table(where, value, set(BEHAVIOUR_CHECKS))
        self._check(where, table, BEHAVIOUR_CHECKS)
        if "reconnect_s" in table:
            waits = table["reconnect_s"]
            table["reconnect_s"] = tuple(waits) if isinstance(waits, list) else (waits,)
        return Behaviour(**table)

    def _check(self, where: str, table: Mapping[str, Any], checks: Mapping[str, Check]) -> None:
        for name, value in table.items():
            remedy = checks[name](value)
            if remedy is not None:
                self._fail(f"{where}.{name}", value, remedy)

    def _table(self, where: str, value: Any, known: set[str]) -> dict[str, Any]:
        if not isinstance(value, dict):
            self._fail(where, value, "write a JSON object")
        for name in value:
            if name not in known:
                remedy = f"known here: {', '.join(sorted(known))}"
                raise ConfigError(self._file, f"{where}.{name}"[:200], "unknown field", remedy)
        return dict(value)

    def _fail(self, where: str, value: Any, remedy: str) -> NoReturn:
        given = "missing" if value is None else f"given {str(value)[:80]!r}"
        # A password is never shown, however wrong it is.
        if where.endswith(".password") and value is not None:
            given = "not usable"
        raise ConfigError(self._file, where, given, remedy)
