"""What the bench of ocpp-edge found: rows, ratios and targets; where one is not met, why, out of the same run."""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from authorise import machine

CONNECTIONS = (20, 500)
WHOLE_SITE = "ocpp-edge, whole site"
REPORT = Path("build/bench/ocpp-edge.json")
TARGETS = {
    "cpu_vs_naive": ("<=", 0.1),
    "rate_vs_naive": (">=", 8.0),
    "rate_vs_naive_fsync": (">=", 8.0),
    "echo_share": (">=", 0.4),
    "idle_kb_per_connection": ("<=", 20.0),
    "storm_p99_vs_naive": ("<", 1.0),
}
RATES = (
    ("rate_vs_naive", "naive", False),
    ("rate_vs_naive_fsync", "naive", True),
    ("echo_share", "echo", False),
)
"""Target, whose rate is beside ours, with fsync."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    server: str
    fsync: bool
    connections: int
    rate: float
    cpu_us: float
    """Of the server's process, user and system, per message."""
    nats_cpu_us: float
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Where ocpp-edge's CPU goes (`edge_sampled.py`)."""

    connections: int
    cpu_us: float
    """Of one message."""
    samples: Mapping[str, int]

    def parts_us(self) -> dict[str, float]:
        """Of one message, the largest first."""
        total = sum(self.samples.values()) or 1
        parts = sorted(self.samples.items(), key=lambda part: -part[1])
        return {name: self.cpu_us * count / total for name, count in parts}


@dataclass
class Measured:
    rounds: list[Row] = field(default_factory=list)
    profiles: list[Profile] = field(default_factory=list)
    storms: dict[str, list[dict[str, float]]] = field(default_factory=dict)
    idle_kb: float = 0.0
    idle: int = 0

    def median(self, server: str, fsync: bool, connections: int) -> Row | None:
        rows = [
            one
            for one in self.rounds
            if (one.server, one.fsync, one.connections) == (server, fsync, connections)
        ]
        if not rows:
            return None
        middle = {
            name: statistics.median(getattr(one, name) for one in rows)
            for name in ("rate", "cpu_us", "nats_cpu_us", "p50_ms", "p99_ms")
        }
        return Row(server=server, fsync=fsync, connections=connections, **middle)


def ratios(measured: Measured) -> dict[str, float]:
    """The worse of few and of many connections. What was not measured is not there."""
    found = {}
    if measured.rounds:
        beside_naive = _pairs(measured, "naive", False)
        found["cpu_vs_naive"] = max(_of("cpu_us", pair) for pair in beside_naive)
        for name, beside, fsync in RATES:
            found[name] = min(_of("rate", pair) for pair in _pairs(measured, beside, fsync))
    if measured.idle:
        found["idle_kb_per_connection"] = measured.idle_kb
    if measured.storms:
        ours, naive = (
            statistics.median(one["p99_ms"] for one in measured.storms[server])
            for server in ("ocpp-edge", "naive")
        )
        found["storm_p99_vs_naive"] = ours / naive
    return found


def reasons(measured: Measured, found: dict[str, float]) -> dict[str, str]:
    """Of those that are not met."""
    said = {}
    if measured.rounds:
        ours, naive = max(_pairs(measured, "naive", False), key=lambda pair: _of("cpu_us", pair))
        echo = measured.median("echo", False, ours.connections)
        assert echo is not None
        said["cpu_vs_naive"] = too_much_cpu(TARGETS["cpu_vs_naive"][1], naive, echo, ours)
        for name, beside, fsync in RATES:
            ours, other = min(_pairs(measured, beside, fsync), key=lambda pair: _of("rate", pair))
            said[name] = too_slow(TARGETS[name][1], other, ours)
    return {name: why for name, why in said.items() if not _is_met(name, found[name])}


def _pairs(measured: Measured, beside: str, fsync: bool) -> list[tuple[Row, Row]]:
    """Ours and the other, with few and with many connections."""
    pairs = (
        (measured.median("ocpp-edge", fsync, count), measured.median(beside, fsync, count))
        for count in CONNECTIONS
    )
    return [(ours, other) for ours, other in pairs if ours and other]


def _of(what: str, pair: tuple[Row, Row]) -> float:
    ours, other = pair
    share: float = getattr(ours, what) / getattr(other, what)
    return share


def too_much_cpu(share: float, naive: Row, echo: Row, ours: Row) -> str:
    return (
        f"{share:g} of naive's is {share * naive.cpu_us:.0f} us a message; the echo alone, which reads, decides and "
        f"stores nothing, takes {echo.cpu_us:.0f} us ({echo.cpu_us / naive.cpu_us:.2f}), ours {ours.cpu_us:.0f}"
    )


def too_slow(times: float, beside: Row, ours: Row) -> str:
    """One process has one core: its rate ends where its CPU does, or waits for the disk."""
    used = min(1.0, ours.rate * ours.cpu_us / 1e6)
    return (
        f"{ours.connections} connections: {times:g} times {beside.rate:.0f}/s leaves "
        f"{1e6 / (times * beside.rate):.0f} us of the one core for a message, and it takes {ours.cpu_us:.0f}; "
        f"the core is used to {used:.0%}"
    )


def table(profile: Profile) -> list[str]:
    count = sum(profile.samples.values())
    lines = [
        f"  where ocpp-edge's CPU goes, {profile.connections} connections, {count} samples",
        *(f"    {name:<28}{us:>8.1f} us" for name, us in profile.parts_us().items()),
    ]
    return lines if count else []


def report(measured: Measured, arguments: argparse.Namespace) -> None:
    rows = [
        row
        for fsync in (False, True)
        for connections in CONNECTIONS
        for server in ("echo", "naive", "ocpp-edge", WHOLE_SITE)
        if (row := measured.median(server, fsync, connections))
    ]
    print(f"\n{machine()}\n")
    head = ("fsync", "connections", "messages/s", "CPU us", "nats us", "p50 ms", "p99 ms")
    if rows:
        print(
            "MeterValues of running transactions, stored and then answered; "
            f"medians of {arguments.rounds} rounds\n"
        )
        print(f"  {'server':<24}" + "".join(f"{name:>12}" for name in head))
    for row in rows:
        print(
            f"  {row.server:<24}{'always' if row.fsync else 'default':>12}{row.connections:>12}{row.rate:>12.0f}"
            f"{row.cpu_us:>12.1f}{row.nats_cpu_us:>12.1f}{row.p50_ms:>12.1f}{row.p99_ms:>12.1f}"
        )
    for server, storms in measured.storms.items():
        for one in storms:
            print(
                f"  storm of {arguments.storm}, {server}: {one['accepted']:.0f} accepted in {one['tries']:.0f} tries, "
                f"p50 {one['p50_ms']:.0f} ms, p99 {one['p99_ms']:.0f} ms"
            )
    found = ratios(measured)
    verdicts = {name: _is_met(name, value) for name, value in found.items()}
    print()
    for name, value in found.items():
        sign, bound = TARGETS[name]
        word = "met" if verdicts[name] else "NOT MET"
        print(f"  {name:<26}{value:>10.3f}   target {sign} {bound:<6g}{word}")
    whys = reasons(measured, found)
    for name, why in whys.items():
        print(f"\n  {name}: {why}")
    for profile in measured.profiles if whys else ():
        print("", *table(profile), sep="\n")
    everybody = all(
        one["accepted"] == arguments.storm for storms in measured.storms.values() for one in storms
    )
    document = {
        "machine": machine(),
        "rounds": arguments.rounds,
        "seconds": arguments.seconds,
        "rows": [asdict(row) for row in rows],
        "storms": measured.storms,
        "storm_all_accepted": everybody,
        "idle_connections": measured.idle,
        "not_met_because": whys,
        "profiles_us": {
            profile.connections: {name: round(us, 1) for name, us in profile.parts_us().items()}
            for profile in measured.profiles
        },
        "ratios": {name: round(value, 4) for name, value in found.items()},
        "targets": {
            name: {"bound": f"{sign} {bound:g}", "met": verdicts[name]}
            for name, (sign, bound) in TARGETS.items()
            if name in verdicts
        },
    }
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(json.dumps(document, indent=2) + "\n")
    print(f"\nreport: {REPORT}")


def _is_met(name: str, value: float) -> bool:
    sign, bound = TARGETS[name]
    return {"<=": value <= bound, ">=": value >= bound, "<": value < bound}[sign]
