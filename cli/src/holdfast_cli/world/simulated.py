"""Simulated charge points of one site: their process, and drivers who come and go while a world is kept running."""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from holdfast_cli.provision.layout import World
from holdfast_cli.provision.secrets import write_private
from holdfast_cli.world.talk import Conversation

DRIVER_EVERY_S = 6.0
DRIVERS = [*(f"DRIVER-{number:02d}" for number in range(1, 21)), "DRIVER-BLOCKED", "DRIVER-UNKNOWN"]
CERTIFIED = 3
"""The security profile of charge points that show a certificate."""
CALM = {"power_w": 11_000, "meter_interval_s": 10}


@dataclass(frozen=True, slots=True)
class Kind:
    """Of a charge point."""

    version: str
    security_profile: int


def charge_points(
    world: World,
    site: str,
    devices: Sequence[dict[str, Any]],
    told: Callable[[str, str], None],
    heard: Callable[[dict[str, Any]], None] = lambda line: None,
) -> Conversation:
    """Not yet started. A device is `{id, version, security_profile, vendor, model, connectors, behaviour}`; what it
    authenticates with is looked up.
    """
    passwords = json.loads((world.secrets / f"{site}.charge-points.json").read_text())
    config = {
        "url": world.ocpp_url(site),
        "tls_url": world.ocpp_tls_url(site),
        "ca_file": str(world.ocpp_tls(site) / "ca.pem"),
        "charge_points": [device | _shown(world, site, device, passwords) for device in devices],
    }
    path = world.secrets / f"{site}.simulated.json"
    write_private(path, json.dumps(config, indent=2).encode())
    command: list[str | Path] = [
        Path(sys.executable).with_name("holdfast-sim"), "charge-points",
        "--config", path, "--state", ledgers(world, site),
    ]  # fmt: skip
    name = f"{site}/charge-points"
    return Conversation(name, command, world.log(name), told, heard)


def _shown(
    world: World, site: str, device: dict[str, Any], passwords: dict[str, str]
) -> dict[str, str]:
    name = device["id"]
    if device.get("security_profile") != CERTIFIED:
        return {"password": passwords[name]}
    folder = world.ocpp_tls(site)
    return {
        "certificate_file": str(folder / f"{name}.pem"),
        "key_file": str(folder / f"{name}.key"),
    }


def ledgers(world: World, site: str) -> Path:
    """Where they keep their queues, and the truth of what they did."""
    return world.root / "charge-points" / site


def calm_devices(world: World, site: str, kinds: Mapping[str, Kind]) -> list[dict[str, Any]]:
    """Of the given kinds, but by the security profile that stands in the registry: a world that was made for one's own
    charge points, or that an operator changed, stays as it is.
    """
    registered = json.loads((world.conf / site / "charge-points.json").read_text())
    return [
        {
            "id": name,
            "version": kinds[name].version,
            "security_profile": _profile(registered.get(name)) or kinds[name].security_profile,
            "vendor": "Holdfast",
            "model": "Sim-1",
            "connectors": 1,
            "behaviour": CALM,
        }
        for name in world.plan.charge_point_ids(site)
    ]


def _profile(entry: dict[str, Any] | None) -> int:
    """0: somebody removed it, or lets it in without anything; then it shows what its kind has."""
    profile: int = 0 if entry is None else entry.get("security_profile", 1)
    return profile


async def drivers(conversation: Conversation, ids: Sequence[str]) -> None:
    """For ever: somebody plugs in where it is free, or leaves."""
    rng = random.Random()
    charging: set[str] = set()
    while ids:
        charge_point = rng.choice(ids)
        if charge_point in charging:
            charging.discard(charge_point)
            await conversation.say({"do": "unplug", "charge_point": charge_point})
        else:
            charging.add(charge_point)
            driver = rng.choice(DRIVERS)
            await conversation.say(
                {"do": "plug", "charge_point": charge_point, "driver_token": driver}
            )
        await asyncio.sleep(DRIVER_EVERY_S)
