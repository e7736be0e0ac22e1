"""One TOML file per service, from the world's plan."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from holdfast_cli.provision.csms import bridge_settings
from holdfast_cli.provision.layout import BRIDGES, CLOUD, World


def toml(values: dict[str, Any]) -> str:
    """Flat TOML: what our service configurations are made of."""
    return "".join(f"{key} = {_value(value)}\n" for key, value in values.items())


def _value(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case dict():
            return (
                "{ " + ", ".join(f"{json.dumps(k)} = {_value(v)}" for k, v in value.items()) + " }"
            )
        case list() | tuple():
            return "[" + ", ".join(_value(item) for item in value) + "]"
        case Path():
            return json.dumps(str(value))
        case _:
            return json.dumps(value)


def service_configs(
    world: World, site_keys: dict[str, str], rules_key: str, bridge: Mapping[str, Any]
) -> dict[Path, str]:
    """Path to content, for every service of every scope. `bridge` is laid over its defaults."""
    files: dict[Path, str] = {}
    for scope in world.scopes:
        for service in world.services(scope):
            values = _common(world, scope, service)
            if scope == CLOUD:
                values |= _cloud(world, service, site_keys)
                if service in BRIDGES:
                    values |= {**bridge_settings(world, service), **bridge}
            else:
                values |= _site(world, scope, service, rules_key)
            files[world.config(scope, service)] = toml(values)
    return files


def _common(world: World, scope: str, service: str) -> dict[str, Any]:
    in_cloud = scope == CLOUD
    return {
        "scope": "cloud" if in_cloud else "site",
        **({} if in_cloud else {"site": scope}),
        "nats_url": world.nats_url(scope),
        "nats_user": "cloud" if in_cloud else "site",
        "nats_password_file": world.secrets / f"{scope}.password",
        "data_dir": world.data(scope) / service,
        "health_port": world.port(f"{scope}.{service}.health"),
    }


def _cloud(world: World, service: str, site_keys: dict[str, str]) -> dict[str, Any]:
    match service:
        case "journal":
            return {
                "site_keys": site_keys,
                "database_url": f"sqlite:///{world.data(CLOUD) / service / 'archive.sqlite'}",
            }
        case "rule-service":
            return {
                "rules_key_file": world.secrets / "rules.key",
                "driver_tokens_file": world.conf / "driver-tokens.json",
                "sites": list(world.plan.sites),
                "csms_sites": list(world.plan.sites),
            }
        case "reconciler":
            return {"database_url": f"sqlite:///{world.data(CLOUD) / service / 'sessions.sqlite'}"}
        case "monitor":
            return _monitor(world, CLOUD) | {"sites": list(world.plan.sites)}
        case _ if service in BRIDGES:
            return {}
        case _:
            raise AssertionError(service)


def _site(world: World, site: str, service: str, rules_key: str) -> dict[str, Any]:
    match service:
        case "journal":
            return {"site_key_file": world.secrets / f"{site}.key"}
        case "rule-service":
            return {
                "rules_file": world.conf / site / "rules.json",
                "trusted_rule_keys": [rules_key],
                "driver_tokens_file": world.conf / "driver-tokens.json",
                "token_hash_key_file": world.secrets / f"{site}.token-hash.key",
            }
        case "ocpp-edge":
            return {
                "host": "127.0.0.1",
                "port": world.port(f"{site}.ocpp"),
                "tls_port": world.port(f"{site}.ocpp-tls"),
                "certificate_file": world.ocpp_tls(site) / "server.pem",
                "key_file": world.ocpp_tls(site) / "server.key",
                "client_ca_file": world.ocpp_tls(site) / "ca.pem",
                "client_crl_file": world.ocpp_tls(site) / "crl.pem",
                "charge_points_file": world.conf / site / "charge-points.json",
            }
        case "reconciler":
            return {"database_url": f"sqlite:///{world.data(site) / service / 'sessions.sqlite'}"}
        case "monitor":
            return _monitor(world, site)
        case _:
            return {}


def _monitor(world: World, scope: str) -> dict[str, Any]:
    return {
        "api_port": world.port(f"{scope}.monitor.api"),
        "credential_file": world.secrets / f"{scope}.api-credential",
    }
