"""The mode-manager: judges the uplink and says which mode the site is in."""

from __future__ import annotations

import sys

from holdfast import service
from mode_manager import app
from mode_manager.config import Config


def main() -> None:
    description = "Holdfast's mode-manager: pulses in, the site's mode and its reasons out."
    sys.exit(service.run("mode-manager", description, Config, app.run))


if __name__ == "__main__":
    main()
