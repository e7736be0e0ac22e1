"""The versions of OCPP that are spoken here, on either side of a site."""

from __future__ import annotations

from enum import StrEnum


class OcppVersion(StrEnum):
    V16 = "1.6"
    V201 = "2.0.1"
    V21 = "2.1"

    @property
    def subprotocol(self) -> str:
        """The WebSocket subprotocol that stands for it (OCPP-J 3.1.2)."""
        return f"ocpp{self.value}"


def version_of(subprotocol: str) -> OcppVersion | None:
    """None: none that is spoken here."""
    return _BY_SUBPROTOCOL.get(subprotocol)


_BY_SUBPROTOCOL = {one.subprotocol: one for one in OcppVersion}
