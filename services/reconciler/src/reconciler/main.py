"""The reconciler as a process."""

from __future__ import annotations

import sys

from holdfast import service
from reconciler import app
from reconciler.config import Config


def main() -> None:
    sys.exit(
        service.run(
            "reconciler",
            "Folds sessions out of the journal, runs a site's recovery, compares digests.",
            Config,
            app.run,
        )
    )


if __name__ == "__main__":
    main()
