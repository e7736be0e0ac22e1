"""The csms-bridge as a process."""

from __future__ import annotations

import sys

from csms_bridge import app
from csms_bridge.config import Config
from holdfast import service


def main() -> None:
    sys.exit(
        service.run(
            "csms-bridge",
            "Speaks OCPP to the CSMS behind a site: ordered replay, transaction ids, commands back.",
            Config,
            app.run,
        )
    )


if __name__ == "__main__":
    main()
