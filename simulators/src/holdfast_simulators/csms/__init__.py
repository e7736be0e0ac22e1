"""A simulated central system of OCPP 1.6J, 2.0.1 and 2.1 with switchable quirks and a ledger of its own."""

from holdfast_simulators.csms.config import Config, load
from holdfast_simulators.csms.program import run

__all__ = ["Config", "load", "run"]
