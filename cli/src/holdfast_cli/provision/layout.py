"""A world on this machine: one cloud, its sites, and where each of their files and ports is.

build/<world>/world.json    this record
              secrets/      keys and passwords, 0600
              conf/         one file per process
              data/         what must outlive a process: delete data/<site> and that disk is lost
              logs/
              world.lock    held while it runs or is provisioned
"""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from holdfast import subjects
from holdfast.contracts.envelope import first_problem
from holdfast_cli.provision.secrets import write_whole

CLOUD = subjects.CLOUD
SITE_SERVICES = ("journal", "mode-manager", "rule-service", "ocpp-edge", "reconciler", "monitor")
CLOUD_SERVICES = ("journal", "rule-service", "reconciler", "monitor")
CHARGE_POINTS_MAX = 500
MadeBy = Literal["drill", "up"]


class ProvisionError(Exception):
    """A world that can't be made or used; the sentence says what, which and what now."""


class WorldPlan(BaseModel):
    """What `world.json` holds: chosen once, kept ever after, so that provisioning twice changes nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    sites: tuple[str, ...] = Field(min_length=1, max_length=8)
    charge_points: int = Field(ge=0, le=CHARGE_POINTS_MAX)
    """Per site, called CP-01 and so on."""
    ports: dict[str, int]
    made_by: MadeBy = "up"
    """A drill replaces only what a drill made; `up` stands for provision too."""

    @field_validator("sites")
    @classmethod
    def _sites(cls, sites: tuple[str, ...]) -> tuple[str, ...]:
        for site in sites:
            subjects.check_site(site)
        return sites

    def charge_point_ids(self) -> list[str]:
        return [f"CP-{number:02d}" for number in range(1, self.charge_points + 1)]


class World:
    """Paths and addresses of a planned world."""

    def __init__(self, root: Path, plan: WorldPlan) -> None:
        self.root = root
        self.plan = plan

    @property
    def secrets(self) -> Path:
        return self.root / "secrets"

    @property
    def conf(self) -> Path:
        return self.root / "conf"

    def data(self, scope: str) -> Path:
        """`scope`: a site's name, or `cloud`."""
        return self.root / "data" / scope

    def log(self, process: str) -> Path:
        return self.root / "logs" / f"{process.replace('/', '-')}.log"

    def config(self, scope: str, service: str) -> Path:
        return self.conf / scope / f"{service}.toml"

    def nats_conf(self, scope: str) -> Path:
        return self.conf / scope / "nats.conf"

    def port(self, name: str) -> int:
        return self.plan.ports[name]

    def nats_url(self, scope: str) -> str:
        return f"nats://127.0.0.1:{self.port(f'{scope}.nats')}"

    def api(self, scope: str) -> str:
        return f"http://127.0.0.1:{self.port(f'{scope}.monitor.api')}"

    def ocpp_url(self, site: str) -> str:
        return f"ws://127.0.0.1:{self.port(f'{site}.ocpp')}/ocpp"

    def services(self, scope: str) -> tuple[str, ...]:
        return CLOUD_SERVICES if scope == CLOUD else SITE_SERVICES

    @property
    def scopes(self) -> tuple[str, ...]:
        return (CLOUD, *self.plan.sites)


def port_names(sites: tuple[str, ...]) -> list[str]:
    names = ["cloud.nats", "cloud.leaf", "cloud.monitor.api"]
    names += [f"cloud.{service}.health" for service in CLOUD_SERVICES]
    for site in sites:
        names += [f"{site}.nats", f"{site}.wan", f"{site}.ocpp", f"{site}.monitor.api"]
        names += [f"{site}.{service}.health" for service in SITE_SERVICES]
    return names


def free_ports(names: list[str]) -> dict[str, int]:
    """A free loopback port for each; all held open until all are found, so that none is given twice."""
    held = []
    try:
        for _ in names:
            listener = socket.socket()
            listener.bind(("127.0.0.1", 0))
            held.append(listener)
        return {name: listener.getsockname()[1] for name, listener in zip(names, held, strict=True)}
    finally:
        for listener in held:
            listener.close()


def load_world(root: Path) -> World:
    path = root / "world.json"
    try:
        return World(root, WorldPlan.model_validate_json(path.read_bytes()))
    except FileNotFoundError as error:
        raise ProvisionError(
            f"{root} is no world: run `holdfast provision --world {root}`"
        ) from error
    except ValidationError as error:
        raise ProvisionError(
            f"{path}: {first_problem(error)}: delete {root} and provision anew"
        ) from error


def plan_world(
    root: Path, name: str, sites: tuple[str, ...], charge_points: int, made_by: MadeBy
) -> tuple[World, bool]:
    """The world that is there, or a new plan for it; True when the plan is new."""
    path = root / "world.json"
    if path.exists():
        world = load_world(root)
        if world.plan.sites != sites or world.plan.charge_points != charge_points:
            raise ProvisionError(
                f"{root} already is a world with sites {list(world.plan.sites)} and "
                f"{world.plan.charge_points} charge points: delete it, or choose another --world"
            )
        return world, False
    try:
        plan = WorldPlan(
            name=name,
            sites=sites,
            charge_points=charge_points,
            ports=free_ports(port_names(sites)),
            made_by=made_by,
        )
    except ValidationError as error:
        raise ProvisionError(f"world {name!r}: {first_problem(error)}") from error
    write_whole(path, (json.dumps(plan.model_dump(mode="json"), indent=2) + "\n").encode())
    return World(root, plan), True
