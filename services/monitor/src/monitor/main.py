"""The monitor as a process."""

from __future__ import annotations

import sys

from holdfast import service
from monitor import app
from monitor.config import Config


def main() -> None:
    sys.exit(
        service.run(
            "monitor",
            "Shows operators what stands at a site, or at all sites: page, API, metrics.",
            Config,
            app.run,
        )
    )


if __name__ == "__main__":
    main()
