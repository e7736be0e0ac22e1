"""Charge points of OCPP 1.6J, 2.0.1 and 2.1 with the offline behaviour of real ones, many in one process.

`body/` is what each of them is, whatever it speaks; `v16/` and `v2x/` are what a version decides and says.
"""

from holdfast_simulators.charge_points.body.config import load
from holdfast_simulators.charge_points.program import run

__all__ = ["load", "run"]
