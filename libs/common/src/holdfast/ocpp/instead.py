"""A command that a charge point's version of OCPP does not have: why not, and what to send in its place."""

from __future__ import annotations

from holdfast.ocpp.actions import Sender, row, rows, same_as
from holdfast.ocpp.versions import OcppVersion

_NEAREST = {
    "GetBaseReport": "GetConfiguration",
    "GetReport": "GetConfiguration",
    "GetChargingProfiles": "GetCompositeSchedule",
    "SetMonitoringBase": "ChangeConfiguration",
    "SetMonitoringLevel": "ChangeConfiguration",
}
"""No rules in common, but the nearest that OCPP 1.6 has."""


def why_not(version: OcppVersion, action: str) -> str | None:
    """None: a charge point of this version has the action."""
    if row(version, Sender.CSMS, action) is not None:
        return None
    said = f"OCPP {version} has no {action}"
    others = [one for one in OcppVersion if row(one, Sender.CSMS, action) is not None]
    if not others:
        return f"{said}, nor has any other version"
    instead = _instead(version, action)
    return f"{said}: send {instead}" if instead else f"{said}, nor anything in its place"


def _instead(version: OcppVersion, action: str) -> str | None:
    means = same_as(action)
    found = [one.action for one in rows(version, Sender.CSMS) if same_as(one.action) == means]
    if not found and row(version, Sender.CSMS, _NEAREST.get(action, "")):
        found = [_NEAREST[action]]
    return " or ".join(found) or None
