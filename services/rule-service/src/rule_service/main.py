"""The rule-service: applies the rules at a site; signs and publishes them in the cloud."""

from __future__ import annotations

import sys

from holdfast import service
from rule_service import app
from rule_service.config import Config


def main() -> None:
    description = "Holdfast's rule-service: decisions at a site, bundles and commands in the cloud."
    sys.exit(service.run("rule-service", description, Config, app.run))


if __name__ == "__main__":
    main()
