"""A simulated OCPP 1.6J central system with switchable quirks and a ledger of its own."""

from holdfast_simulators.csms.config import Config, load
from holdfast_simulators.csms.program import run

__all__ = ["Config", "load", "run"]
