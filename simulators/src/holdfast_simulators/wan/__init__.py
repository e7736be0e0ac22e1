"""A TCP relay that stands for the wide-area link between a site and the cloud."""

from holdfast_simulators.wan.program import address, run

__all__ = ["address", "run"]
