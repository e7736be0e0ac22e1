"""`provision`: everything a world needs before it can start, made once; says what it changed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from holdfast.contracts.driver_tokens import (
    DriverTokenList,
    ListedToken,
    TokenStatus,
    TokenType,
)
from holdfast.contracts.envelope import ContractError
from holdfast.passwords import hash_password, random_password
from holdfast_cli.provision import secrets
from holdfast_cli.provision.certificates import (
    ensure_ca,
    ensure_client_certificate,
    ensure_crl,
    ensure_server_certificate,
)
from holdfast_cli.provision.csms import backends, csms_config
from holdfast_cli.provision.layout import CLOUD, MadeBy, ProvisionError, World, plan_world
from holdfast_cli.provision.nats_conf import CloudNode, SiteAccess, SiteNode, cloud_conf, site_conf
from holdfast_cli.provision.services import service_configs
from rule_service.domain.composing import Composed, read_source
from rule_service.domain.signatures import sign

DEMO_TOKENS = tuple(
    ListedToken(driver_token=name, token_type=kind, status=status)
    for kind in (TokenType.ID_TAG, TokenType.CENTRAL)
    for name, status in (
        *((f"DRIVER-{number:02d}", TokenStatus.ACCEPTED) for number in range(1, 21)),
        ("DRIVER-BLOCKED", TokenStatus.BLOCKED),
    )
)
"""Each driver twice: as charge points of 1.6 say a token, and as those of 2.x do."""


class Changes:
    """Collects what a run made or changed, for people."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.lines: list[str] = []

    def made(self, path: Path, made: bool) -> None:
        if made:
            self.lines.append(f"made {path.relative_to(self._root)}")

    def write(self, path: Path, text: str, *, private: bool = False) -> None:
        """Write when different; private files are 0600 from their first moment."""
        before = path.read_text() if path.exists() else None
        if before == text:
            return
        if private:
            secrets.write_private(path, text.encode())
        else:
            secrets.write_whole(path, text.encode())
        word = "made" if before is None else "changed"
        self.lines.append(f"{word} {path.relative_to(self._root)}")


def provision(
    root: Path,
    *,
    sites: tuple[str, ...],
    charge_points: int,
    rules_text: str,
    rules_name: str = "the rule bundle",
    made_by: MadeBy = "up",
    security_profiles: Mapping[str, int] | None = None,
    csms: Mapping[str, Any] | None = None,
    bridge: Mapping[str, Any] | None = None,
) -> tuple[World, list[str]]:
    """Idempotent. Returns the world and one line per thing made or changed.

    `rules_name` is for people: the file that the rules came from. `security_profiles` are those of charge points that
    are made now, where it is not 1: of one that is there already, an operator has the say. `csms` and `bridge` are laid
    over the simulated CSMS's configuration and the csms-bridge's.
    """
    root = root.resolve()
    try:
        source = read_source(rules_text, frozenset(sites))
        bundles = {site: source.composed(site) for site in sites}
    except ContractError as error:
        raise ProvisionError(
            f"{rules_name} can't be signed: {' '.join(str(error).split())}: correct it; nothing was made"
        ) from error
    world, planned = plan_world(root, root.name, sites, charge_points, made_by)
    changes = Changes(root)
    changes.made(root / "world.json", planned)

    passwords = {}
    for name in (*world.scopes, "sys", *(f"{site}.leaf" for site in sites)):
        path = world.secrets / f"{name}.password"
        passwords[name], made = secrets.password(path)
        changes.made(path, made)
    for scope in world.scopes:
        path = world.secrets / f"{scope}.api-credential"
        changes.made(path, secrets.password(path)[1])

    rules_key, made = secrets.signing_key(world.secrets / "rules.key")
    changes.made(world.secrets / "rules.key", made)
    site_keys = {}
    for site in sites:
        path = world.secrets / f"{site}.key"
        site_keys[site], made = secrets.signing_key(path)
        changes.made(path, made)
        path = world.secrets / f"{site}.token-hash.key"
        changes.made(path, secrets.random_key(path))

    _nats(world, changes, passwords)
    _rules(world, changes, bundles)
    for site in sites:
        _charge_points(world, changes, site, security_profiles or {})
        _door(world, changes, site)
    _csms(world, changes, csms or {})
    for path, text in service_configs(world, site_keys, rules_key, bridge or {}).items():
        changes.write(path, text)
    return world, changes.lines


def _nats(world: World, changes: Changes, passwords: dict[str, str]) -> None:
    tls = world.secrets / "tls"
    for path, made in (
        *ensure_ca(tls),
        *ensure_server_certificate(tls, "cloud", ["127.0.0.1", "localhost"]),
    ):
        changes.made(path, made)
    cloud = cloud_conf(
        CloudNode(
            name="cloud-1",
            listen=f"127.0.0.1:{world.port('cloud.nats')}",
            leaf_listen=f"127.0.0.1:{world.port('cloud.leaf')}",
            store_dir=world.data(CLOUD) / "nats",
            cert_file=tls / "cloud.pem",
            key_file=tls / "cloud.key",
            ca_file=tls / "ca.pem",
            cloud_password=passwords[CLOUD],
            sys_password=passwords["sys"],
            sites=tuple(
                SiteAccess(site=site, password=passwords[f"{site}.leaf"])
                for site in world.plan.sites
            ),
        )
    )
    changes.write(world.nats_conf(CLOUD), cloud, private=True)
    for site in world.plan.sites:
        conf = site_conf(
            SiteNode(
                site=site,
                listen=f"127.0.0.1:{world.port(f'{site}.nats')}",
                store_dir=world.data(site) / "nats",
                ca_file=tls / "ca.pem",
                site_password=passwords[site],
                sys_password=passwords["sys"],
                leaf_password=passwords[f"{site}.leaf"],
                leaf_urls=(f"127.0.0.1:{world.port(f'{site}.wan')}",),
            )
        )
        changes.write(world.nats_conf(site), conf, private=True)


def _rules(world: World, changes: Changes, bundles: Mapping[str, Composed]) -> None:
    """The first bundle of each site, signed; and the driver tokens that the demo's drivers hold."""
    pem = (world.secrets / "rules.key").read_bytes()
    key = serialization.load_pem_private_key(pem, password=None)
    assert isinstance(key, Ed25519PrivateKey)
    tokens = DriverTokenList(version=1, tokens=DEMO_TOKENS)
    for site in world.plan.sites:
        bundle = bundles[site]
        signed = sign(key, bundle.rules.version, bundle.text)
        changes.write(world.conf / site / "rules.json", signed.model_dump_json(indent=2) + "\n")
    changes.write(
        world.conf / "driver-tokens.json", tokens.model_dump_json(indent=2) + "\n", private=True
    )


def _charge_points(
    world: World, changes: Changes, site: str, security_profiles: Mapping[str, int]
) -> None:
    """Passwords for the charge points, and the registry that the site knows them by. What an operator did to that
    since stands: who was removed stays away.
    """
    secret_path = world.secrets / f"{site}.charge-points.json"
    known: dict[str, str] = json.loads(secret_path.read_text()) if secret_path.exists() else {}
    path = world.conf / site / "charge-points.json"
    registered: dict[str, dict[str, Any]] = json.loads(path.read_text()) if path.exists() else {}
    for charge_point in world.plan.charge_point_ids(site):
        if charge_point not in known or not path.exists():
            known[charge_point] = random_password()
            registered[charge_point] = {
                "password_scrypt": hash_password(known[charge_point]), "password_random": True,
            }  # fmt: skip
            if charge_point in security_profiles:
                registered[charge_point]["security_profile"] = security_profiles[charge_point]
    changes.write(secret_path, json.dumps(known, indent=2) + "\n", private=True)
    changes.write(path, json.dumps(registered, indent=2) + "\n", private=True)


def _door(world: World, changes: Changes, site: str) -> None:
    """A CA of the site's own: what it signs is good nowhere else. For the site's door, and a certificate for each
    charge point, whatever its profile.
    """
    folder = world.ocpp_tls(site)
    for path, made in (
        *ensure_ca(folder, f"Holdfast site {site}"),
        *ensure_crl(folder),
        *ensure_server_certificate(folder, "server", ["127.0.0.1", "localhost"]),
    ):
        changes.made(path, made)
    for charge_point in world.plan.charge_point_ids(site):
        for path, made in ensure_client_certificate(folder, charge_point):
            changes.made(path, made)


def _csms(world: World, changes: Changes, overlay: Mapping[str, Any]) -> None:
    """The simulated CSMS, and how the bridge reaches it."""
    path = world.csms_passwords
    known: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    for site in world.plan.sites:
        for charge_point in world.plan.charge_point_ids(site):
            known.setdefault(charge_point, random_password())
    changes.write(path, json.dumps(known, indent=2) + "\n", private=True)
    changes.write(world.csms_config, csms_config(known, DEMO_TOKENS, overlay), private=True)
    changes.write(world.backends, backends(world))
