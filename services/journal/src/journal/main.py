"""The journal service: at a site it chains and keeps the journal, in the cloud it copies, verifies, archives."""

from __future__ import annotations

import sys

from holdfast import service
from journal import app
from journal.config import Config


def main() -> None:
    description = "Holdfast's journal: chain and storage at a site, verified copies in the cloud."
    sys.exit(service.run("journal", description, Config, app.run))


if __name__ == "__main__":
    main()
