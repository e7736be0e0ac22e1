"""What stands behind the cloud: the simulated CSMS's configuration, and how the csms-bridge reaches it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from holdfast.contracts.driver_tokens import ListedToken
from holdfast_cli.provision.layout import BRIDGES, World

BACKEND = "main"


def csms_config(
    passwords: Mapping[str, str], tokens: Iterable[ListedToken], overlay: Mapping[str, Any]
) -> str:
    """JSON, as `holdfast-sim csms` reads it."""
    document = {
        "passwords": passwords,
        "tokens": {token.driver_token: token.status.value for token in tokens},
        **overlay,
    }
    return json.dumps(document, indent=2) + "\n"


def backends(world: World) -> str:
    """YAML, as the csms-bridge reads it."""
    main = {
        "name": BACKEND,
        "url": world.csms_url,
        "auth": {"kind": "basic", "passwords_file": str(world.csms_passwords)},
        "deduplicates_starts": True,
    }
    routes = [{"site": site, "primary": BACKEND} for site in world.plan.sites]
    return yaml.safe_dump({"backends": [main], "routes": routes}, sort_keys=False)


def bridge_settings(world: World, process: str) -> dict[str, Any]:
    return {"instance": BRIDGES[process], "backends_file": world.backends}
