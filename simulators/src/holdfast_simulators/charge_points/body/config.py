"""Which charge points there are and how each behaves, read from one JSON file and trusted in nothing.

    file -> Config(url, charge_points=(Identity + Behaviour, ...))

Every field of `Behaviour` is a real program's habit (see README.md for who does what). An unknown key
is an error: a misspelt behaviour would silently be the default.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from holdfast_simulators import document
from holdfast_simulators.document import Check, is_bool, is_number, is_one_of, is_text, is_whole

CHARGE_POINTS_MAX = 2_000
CONNECTORS_MAX = 32
SUBPROTOCOLS = {"1.6": "ocpp1.6", "2.0.1": "ocpp2.0.1", "2.1": "ocpp2.1"}


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
    transaction_begins: str = "authorised"
    """2.x: `authorised`, or with the `cable`: then Started comes without a token."""
    signed_values: bool = False
    """2.x: signed readings at begin and end of a transaction."""
    settles: bool = False
    """2.1: pays by itself (ad hoc), and says so with NotifySettlement after each transaction."""
    stream_s: float | None = None
    """2.1: opens a periodic event stream after each boot and sends one value in each interval."""
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
    upkeep_s: float = 1.0
    """How long each takes: fetching a firmware, installing it, uploading diagnostics."""
    hard_reset_loses_queue: bool = False
    clock_offset_s: float = 0.0
    clock_drift_ppm: float = 0.0
    json_spaces: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ChargePointConfig:
    id: str
    password: str
    version: str = "1.6"
    security_profile: int | None = None
    """1: Basic; 2: Basic over TLS; 3: TLS with a client certificate. None: 1 or 2, as `url` says."""
    certificate_file: Path | None = None
    """Profile 3: the chain shown to the central system, PEM."""
    key_file: Path | None = None
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
    tls_url: str | None
    """Where charge points of profiles 2 and 3 go; None: to `url`."""
    ca_file: Path | None
    """Whom to trust on a wss:// url; None: the machine's own list."""
    charge_points: tuple[ChargePointConfig, ...]


def load(file: Path) -> Config:
    """Raise ConfigError naming the first thing that is wrong."""
    reader = _Reader(file)
    return reader.config(reader.document())


def _is_back_off(value: Any) -> str | None:
    waits = value if isinstance(value, list) else [value]
    number = is_number(0.01, 3_600)
    right = 1 <= len(waits) <= 50 and all(number(wait) is None for wait in waits)
    return None if right else "write seconds from 0.01 to 3600, or a list of up to 50 of them"


BEHAVIOUR_CHECKS: dict[str, Check] = {
    "power_w": is_whole(0, 1_000_000),
    "phases": is_whole(1, 3),
    "meter_interval_s": is_number(0.02, 86_400),
    "heartbeat_s": is_number(0.02, 86_400, or_null=True),
    "call_timeout_s": is_number(0.05, 600),
    "attempts": is_whole(1, 1_000),
    "retry_interval_s": is_number(0, 3_600),
    "retry_ids": is_one_of("same", "new"),
    "queue_capacity": is_whole(2, 100_000),
    "reconnect_s": _is_back_off,
    "ping_s": is_number(0.1, 3_600, or_null=True),
    "boot_on_reconnect": is_bool,
    "boot_pipelined": is_bool,
    "message_ids": is_one_of("uuid", "repeating"),
    "in_flight_silence_s": is_number(0, 600),
    "status_before_queue": is_bool,
    "transaction_begins": is_one_of("authorised", "cable"),
    "signed_values": is_bool,
    "settles": is_bool,
    "stream_s": is_number(0.02, 86_400, or_null=True),
    "late_meter_after_stop": is_bool,
    "offline_start": is_bool,
    "authorize_remote": is_bool,
    "stop_on_invalid_id": is_bool,
    "session_after_reboot": is_one_of("stop", "resume"),
    "reboot_s": is_number(0, 3_600),
    "upkeep_s": is_number(0, 3_600),
    "hard_reset_loses_queue": is_bool,
    "clock_offset_s": is_number(-1e9, 1e9),
    "clock_drift_ppm": is_number(-100_000, 100_000),
    "json_spaces": is_bool,
}
assert set(BEHAVIOUR_CHECKS) == {one.name for one in fields(Behaviour)}


def is_profile(value: Any) -> str | None:
    right = value in (1, 2, 3) and not isinstance(value, bool)
    return None if value is None or right else "write 1, 2 or 3, or leave it out"


def is_path(value: Any) -> str | None:
    right = value is None or (isinstance(value, str) and value != "")
    return None if right else "write a path, or leave it out"


CHARGE_POINT_CHECKS: dict[str, Check] = {
    "id": is_text(48),
    "password": is_text(255),
    "version": is_one_of(*SUBPROTOCOLS),
    "security_profile": is_profile,
    "certificate_file": is_path,
    "key_file": is_path,
    "vendor": is_text(20, empty=True),
    "model": is_text(20),
    "serial": is_text(25, empty=True),
    "connectors": is_whole(1, CONNECTORS_MAX),
}


class _Reader(document.Reader):
    def config(self, given: Any) -> Config:
        table = self.table("document", given, {"url", "tls_url", "ca_file", "charge_points"})
        listed = table.get("charge_points")
        if not isinstance(listed, list) or not 1 <= len(listed) <= CHARGE_POINTS_MAX:
            self.fail("charge_points", listed, f"write a list of 1 to {CHARGE_POINTS_MAX} objects")
        points = tuple(
            self._charge_point(f"charge_points[{n}]", one) for n, one in enumerate(listed)
        )
        seen: set[str] = set()
        for number, point in enumerate(points):
            if point.id in seen:
                self.fail(f"charge_points[{number}].id", point.id, "give each its own id")
            seen.add(point.id)
        ca_file = table.get("ca_file")
        self.check("", {"ca_file": ca_file}, {"ca_file": is_path})
        url, tls_url = self._url("url", table.get("url")), None
        if table.get("tls_url") is not None:
            tls_url = self._url("tls_url", table["tls_url"])
        for number, point in enumerate(points):
            if (point.security_profile or 1) > 1 and not (tls_url or url).startswith("wss:"):
                remedy = "profiles 2 and 3 need tls_url, or url, to be wss://..."
                self.fail(
                    f"charge_points[{number}].security_profile", point.security_profile, remedy
                )
        return Config(
            url=url,
            tls_url=tls_url,
            ca_file=None if ca_file is None else Path(ca_file),
            charge_points=points,
        )

    def _url(self, where: str, value: Any) -> str:
        remedy = "write ws://HOST:PORT/PATH or wss://..., without query and credentials"
        if not isinstance(value, str):
            self.fail(where, value, remedy)
        try:
            parts = urlsplit(value)
            right = parts.scheme in ("ws", "wss") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            right = False
        if not right or parts.query or parts.fragment or parts.username is not None:
            self.fail(where, value, remedy)
        return str(value).rstrip("/")

    def _charge_point(self, where: str, value: Any) -> ChargePointConfig:
        table = self.table(where, value, {*CHARGE_POINT_CHECKS, "behaviour"})
        is_certified = table.get("security_profile") == 3
        needed = ("certificate_file", "key_file") if is_certified else ("password",)
        for name in ("id", *needed):
            if table.get(name) is None:
                self.fail(f"{where}.{name}", None, "every charge point needs one, by its profile")
        plain = {name: table[name] for name in CHARGE_POINT_CHECKS if name in table}
        self.check(where, plain, CHARGE_POINT_CHECKS)
        # The Basic user name ends at the first colon, so such an id could never authenticate.
        if ":" in plain["id"]:
            self.fail(f"{where}.id", plain["id"], "leave out the colon")
        files: dict[str, Any] = {}
        for name in ("certificate_file", "key_file"):
            file = plain.pop(name, None)
            files[name] = None if file is None else Path(file)
        return ChargePointConfig(
            **{"password": "", **plain},
            **files,
            behaviour=self._behaviour(f"{where}.behaviour", table.get("behaviour", {})),
        )

    def _behaviour(self, where: str, value: Any) -> Behaviour:
        table = self.table(where, value, set(BEHAVIOUR_CHECKS))
        self.check(where, table, BEHAVIOUR_CHECKS)
        if "reconnect_s" in table:
            waits = table["reconnect_s"]
            table["reconnect_s"] = tuple(waits) if isinstance(waits, list) else (waits,)
        return Behaviour(**table)
