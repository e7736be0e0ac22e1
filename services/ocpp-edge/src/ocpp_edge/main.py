"""ocpp-edge: the charge points' end of a site."""

from __future__ import annotations

import sys

from holdfast import service
from ocpp_edge import app
from ocpp_edge.config import Config


def main() -> None:
    sys.exit(service.run("ocpp-edge", "OCPP sockets of one site", Config, app.run))
