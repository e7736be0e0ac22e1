"""Every action of OCPP 1.6 (with its security whitepaper), 2.0.1 and 2.1, in both directions: one row each.

    row(version, sender, action) -> ActionRow | None        None: that version does not have it

A row says what becomes of a message of that action while somebody is away: its class, what makes two of them the
same, who answers, what makes it obsolete. Whatever depends on a class reads it here. How long a command is good for,
and what must hold when it is delivered, is each site's own and stands in its rules (`commands`).
"""

from __future__ import annotations

from holdfast.ocpp.actions import from_charge_points, from_csms
from holdfast.ocpp.actions.shape import ActionRow, Away, Class, Sender
from holdfast.ocpp.versions import OcppVersion

__all__ = ["ROWS", "ActionRow", "Away", "Class", "Sender", "row", "rows", "same_as"]

ROWS = (*from_charge_points.ROWS, *from_csms.ROWS)
_INDEX = {(version, one.sender, one.action): one for one in ROWS for version in one.versions}
_SAME_AS = {one.action: one.same_as for one in from_csms.ROWS if one.same_as}


def row(version: OcppVersion, sender: Sender, action: str) -> ActionRow | None:
    return _INDEX.get((version, sender, action))


def same_as(action: str) -> str:
    """The command of OCPP 1.6 whose rules and consequences this command has; itself where there is none."""
    return _SAME_AS.get(action, action)


def rows(version: OcppVersion, sender: Sender) -> tuple[ActionRow, ...]:
    return tuple(one for one in ROWS if one.sender is sender and version in one.versions)
