"""What goes wrong in one simulated life of a site, as data: the seed first, then each fault with its amount.

`Faults()` is a quiet world. `drawn(seed)` switches each kind on with its own luck, so that some seeds see
many kinds at once and some see one kind alone: a defect that two faults hide from each other is found too.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from holdfast_testkit.sim_options import SimOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class CsmsFaults:
    """Of the CSMS behind the site."""

    deduplicates: bool = True
    """It recognises a start that it gets twice, and says so to the installer."""
    down_every_ms: int = 0
    down_ms_max: int = 15_000
    silent_every_ms: int = 0
    """Sockets stay open, nothing is read, answered or accepted."""
    silent_ms_max: int = 10_000
    drops_every_ms: int = 0
    """Of one connection."""
    lost_answer_ratio: float = 0.0
    """Taken, committed, and never answered."""
    late_answer_ratio: float = 0.0
    late_ms_max: int = 5_000
    """Some come after the bridge has given up."""
    callerror_ratio: float = 0.0
    """Not taken, and the reason will not last."""
    calls_every_ms: int = 0
    """CALLs of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """Zero is off. `..._every_ms` is a mean time between two of them, `..._ms_max` how long one lasts at most."""

    seed: int = 0
    bus: SimOptions = field(default_factory=SimOptions)
    """Both servers and the link: slow disk, lost acknowledgements, duplicates, a slow link, lost requests, holes
    in copies."""
    has_stations: bool = False
    """Some of its charge points are of 2.0.1 and 2.1."""
    # processes
    kill_every_ms: int = 0
    """Of each process: at whatever await it stands."""
    kill_after_effect_ratio: float = 0.0
    """Chance that an effect is the last thing its process did: it never learns that it was done."""
    # servers
    site_server_crash_every_ms: int = 0
    cloud_server_crash_every_ms: int = 0
    server_down_ms_max: int = 5_000
    power_loss_every_ms: int = 0
    """The site's whole machine goes down and comes up again."""
    # link
    cut_every_ms: int = 0
    cut_ms_max: int = 30_000
    cut_one_way_ratio: float = 0.3
    cut_silent_ratio: float = 0.6
    flap_every_ms: int = 0
    """A bout of ten short cuts."""
    # clocks
    site_clock_step_every_ms: int = 0
    cloud_clock_step_every_ms: int = 0
    clock_step_ms_max: int = 600_000
    """Either way."""
    # site disk
    disk_refuses_every_ms: int = 0
    disk_refuses_ms_max: int = 10_000
    wipes: int = 0
    """How often the site comes back with a new, empty disk."""
    # charge points
    charge_point_drops_every_ms: int = 0
    """Of each: its connection ends, seen or unseen by the other end."""
    charge_point_reboots_every_ms: int = 0
    # people and publishers
    rules_every_ms: int = 0
    """Bundles after the second one ..."""
    hostile_rules_ratio: float = 0.0
    """... and how many of them no site may take."""
    hostile_commands_ratio: float = 0.0
    """How many commands would end or throttle a session that runs."""
    words_every_ms: int = 0
    overrides_every_ms: int = 0
    # CSMS
    csms: CsmsFaults | None = None
    """None: the site has no CSMS behind it, and the cloud no bridge."""


CSMS_RATIO = 0.4


class _Luck:
    """Always draws twice, so that kinds do not shift each other's luck."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def mean_ms(self, chance: float, shortest: int, longest: int) -> int:
        on, amount_ms = self._rng.random() < chance, self._rng.randint(shortest, longest)
        return amount_ms if on else 0

    def ratio(self, chance: float, largest: float) -> float:
        on, amount = self._rng.random() < chance, self._rng.random() * largest
        return round(amount, 3) if on else 0.0


def drawn(seed: int) -> Faults:
    """Seed 0 is the quiet world."""
    if seed == 0:
        return Faults()
    rng = random.Random(f"faults {seed}")
    luck = _Luck(rng)
    mean_ms, ratio = luck.mean_ms, luck.ratio
    return Faults(
        has_stations=True,
        seed=seed,
        bus=SimOptions(
            seed=seed,
            append_ms_max=mean_ms(0.6, 1, 30),
            ack_loss_ratio=ratio(0.4, 0.03),
            duplicate_ratio=ratio(0.4, 0.05),
            delay_ms_max=mean_ms(0.6, 10, 300),
            bytes_per_s=mean_ms(0.1, 2_000, 20_000),
            request_loss_ratio=ratio(0.4, 0.08),
            copy_loss_ratio=ratio(0.3, 0.05),
        ),
        kill_every_ms=mean_ms(0.5, 10_000, 60_000),
        kill_after_effect_ratio=ratio(0.4, 0.01),
        site_server_crash_every_ms=mean_ms(0.3, 15_000, 60_000),
        cloud_server_crash_every_ms=mean_ms(0.3, 15_000, 60_000),
        power_loss_every_ms=mean_ms(0.15, 20_000, 60_000),
        cut_every_ms=mean_ms(0.6, 8_000, 40_000),
        flap_every_ms=mean_ms(0.15, 20_000, 60_000),
        site_clock_step_every_ms=mean_ms(0.2, 20_000, 80_000),
        cloud_clock_step_every_ms=mean_ms(0.15, 20_000, 80_000),
        disk_refuses_every_ms=mean_ms(0.25, 15_000, 60_000),
        wipes=1 if rng.random() < 0.1 else 0,
        charge_point_drops_every_ms=mean_ms(0.5, 10_000, 60_000),
        charge_point_reboots_every_ms=mean_ms(0.4, 15_000, 80_000),
        csms=_csms(seed),
        **_people(seed),
    )


def _people(seed: int) -> dict[str, Any]:
    """Drawn by themselves, so that the other kinds strike each seed as ever."""
    luck = _Luck(random.Random(f"people {seed}"))
    return {
        "rules_every_ms": luck.mean_ms(0.5, 5_000, 20_000),
        "hostile_rules_ratio": luck.ratio(0.7, 0.8),
        "hostile_commands_ratio": luck.ratio(0.6, 0.8),
        "words_every_ms": luck.mean_ms(0.5, 2_000, 10_000),
        "overrides_every_ms": luck.mean_ms(0.3, 10_000, 40_000),
    }


def _csms(seed: int) -> CsmsFaults | None:
    """Behind two of five sites; drawn by itself, so that the other kinds strike each seed as ever."""
    rng = random.Random(f"csms {seed}")
    luck = _Luck(rng)
    there, deduplicates = rng.random() < CSMS_RATIO, rng.random() < 0.75
    faults = CsmsFaults(
        deduplicates=deduplicates,
        down_every_ms=luck.mean_ms(0.4, 10_000, 50_000),
        silent_every_ms=luck.mean_ms(0.5, 8_000, 40_000),
        drops_every_ms=luck.mean_ms(0.5, 3_000, 20_000),
        lost_answer_ratio=luck.ratio(0.5, 0.15),
        late_answer_ratio=luck.ratio(0.4, 0.2),
        callerror_ratio=luck.ratio(0.4, 0.2),
        calls_every_ms=luck.mean_ms(0.5, 3_000, 15_000),
    )
    return faults if there else None
