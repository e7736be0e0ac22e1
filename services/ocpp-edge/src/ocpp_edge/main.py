"""ocpp-edge: the charge points' end of a site."""

from __future__ import annotations

import gc
import sys

from holdfast import service
from ocpp_edge import app
from ocpp_edge.config import Config

GC_THRESHOLDS = 20_000, 20, 50
"""Records are frozen and point at older ones only, so nearly nothing here is garbage in a circle; but each message
makes a hundred of them, and with Python's own thresholds everything known of every charge point is walked
through several times a second."""


def main() -> None:
    gc.set_threshold(*GC_THRESHOLDS)
    sys.exit(service.run("ocpp-edge", "OCPP sockets of one site", Config, app.run))
