"""What goes wrong in one simulated life of a site, as data: the seed first, then each fault with its amount.

`Faults()` is a quiet world. `drawn(seed)` switches each kind on with its own luck, so that some seeds see
many kinds at once and some see one kind alone: a defect that two faults hide from each other is found too.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from holdfast_testkit.sim_options import SimOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """Zero is off. `..._every_ms` is a mean time between two of them, `..._ms_max` how long one lasts at most."""

    seed: int = 0
    bus: SimOptions = field(default_factory=SimOptions)
    """Both servers and the link: slow disk, lost acknowledgements, duplicates, a slow link, lost requests, holes
    in copies."""
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


def drawn(seed: int) -> Faults:
    """Seed 0 is the quiet world."""
    if seed == 0:
        return Faults()
    rng = random.Random(f"faults {seed}")

    def mean_ms(chance: float, shortest: int, longest: int) -> int:
        """Always draws twice, so that kinds do not shift each other's luck."""
        on, amount_ms = rng.random() < chance, rng.randint(shortest, longest)
        return amount_ms if on else 0

    def ratio(chance: float, largest: float) -> float:
        on, amount = rng.random() < chance, rng.random() * largest
        return round(amount, 3) if on else 0.0

    return Faults(
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
    )
