"""A world on this machine: one cloud, its sites, and where each of their files and ports is.

build/<world>/world.json    this record
              secrets/      keys and passwords, 0600
              conf/         one file per process
              data/         what must outlive a process: delete data/<site> and that disk is lost
              csms/         the simulated CSMS: its ledger, and a pipe that takes its commands
              logs/
              world.lock    held while it runs or is provisioned
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from holdfast import subjects
from holdfast.contracts.envelope import first_problem
from holdfast_cli.provision.ports import free_port
from holdfast_cli.provision.secrets import write_whole

CLOUD = subjects.CLOUD
SITE_SERVICES = ("journal", "mode-manager", "rule-service", "ocpp-edge", "reconciler", "monitor")
CLOUD_SERVICES = (
    "journal", "rule-service", "reconciler", "monitor", "csms-bridge", "csms-bridge-2",
)  # fmt: skip
BRIDGES = {"csms-bridge": "bridge-1", "csms-bridge-2": "bridge-2"}
"""Instances of one service that share the sites: process to the name that it beats under."""
SCRIPTS = dict.fromkeys(BRIDGES, "csms-bridge")
"""Processes that are not called like what they run."""
CSMS = "csms"
"""The simulated one behind the cloud: the customer's, and no part of the product."""
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
    """Per site."""
    ports: dict[str, int]
    made_by: MadeBy = "up"
    """A drill replaces only what a drill made; `up` stands for provision too."""

    @field_validator("sites")
    @classmethod
    def _sites(cls, sites: tuple[str, ...]) -> tuple[str, ...]:
        for site in sites:
            subjects.check_site(site)
        return sites

    def charge_point_ids(self, site: str) -> list[str]:
        """CP-01 and so on, counted through the world: a CSMS knows a charge point by its identity alone."""
        before = self.sites.index(site) * self.charge_points
        return [charge_point_id(before + number) for number in range(1, self.charge_points + 1)]


def charge_point_id(number: int) -> str:
    return f"CP-{number:02d}"


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
        """For charge points of security profiles 0 and 1."""
        return f"ws://127.0.0.1:{self.port(f'{site}.ocpp')}/ocpp"

    def ocpp_tls_url(self, site: str) -> str:
        """For charge points of security profiles 2 and 3."""
        return f"wss://127.0.0.1:{self.port(f'{site}.ocpp-tls')}/ocpp"

    def ocpp_tls(self, site: str) -> Path:
        """The site's own CA (`ca.pem`) and what it took back (`crl.pem`), the certificate of its door (`server.pem`)
        and of each charge point (`CP-01.pem`), each with its `.key`.
        """
        return self.secrets / "ocpp" / site

    @property
    def csms_url(self) -> str:
        return f"ws://127.0.0.1:{self.port(f'{CSMS}.ocpp')}/ocpp"

    @property
    def csms_config(self) -> Path:
        return self.conf / "csms.json"

    @property
    def csms_passwords(self) -> Path:
        """Charge point to the password that the bridge shows for it: never the charge point's own."""
        return self.secrets / "csms.passwords.json"

    @property
    def csms_ledger(self) -> Path:
        return self.root / "csms" / "ledger.sqlite"

    @property
    def csms_pipe(self) -> Path:
        return self.root / "csms" / "commands"

    @property
    def backends(self) -> Path:
        return self.conf / "backends.yaml"

    def services(self, scope: str) -> tuple[str, ...]:
        return CLOUD_SERVICES if scope == CLOUD else SITE_SERVICES

    @property
    def scopes(self) -> tuple[str, ...]:
        return (CLOUD, *self.plan.sites)


def port_names(sites: tuple[str, ...]) -> list[str]:
    names = [f"{CSMS}.ocpp", "cloud.nats", "cloud.leaf", "cloud.monitor.api"]
    names += [f"cloud.{service}.health" for service in CLOUD_SERVICES]
    for site in sites:
        names += [f"{site}.nats", f"{site}.wan", f"{site}.ocpp", f"{site}.ocpp-tls"]
        names += [f"{site}.monitor.api"]
        names += [f"{site}.{service}.health" for service in SITE_SERVICES]
    return names


def load_world(root: Path) -> World:
    """Raise ProvisionError, also for one that an older Holdfast made."""
    plan = load_plan(root)
    missing = [name for name in port_names(plan.sites) if name not in plan.ports]
    if missing:
        raise ProvisionError(
            f"{root} was made by an older Holdfast, without {missing[0]}: delete that folder "
            "and provision anew, or choose another --world"
        )
    return World(root, plan)


def load_plan(root: Path) -> WorldPlan:
    """Whatever version made it. Raise ProvisionError."""
    path = root / "world.json"
    try:
        return WorldPlan.model_validate_json(path.read_bytes())
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
            ports={name: free_port() for name in port_names(sites)},
            made_by=made_by,
        )
    except ValidationError as error:
        raise ProvisionError(f"world {name!r}: {first_problem(error)}") from error
    write_whole(path, (json.dumps(plan.model_dump(mode="json"), indent=2) + "\n").encode())
    return World(root, plan), True
