"""Ids of transactions, as facts, commands and decisions name them."""

from __future__ import annotations

TransactionId = int | str
"""OCPP 1.6: the site's integer. 2.x: the station's own text of 1 to 36 characters."""
