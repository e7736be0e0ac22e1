"""Whether charge points are turned away because the CSMS is: OCPP-J Part 4 6.3, where the rules ask for it."""

from __future__ import annotations

from collections.abc import Collection
from typing import assert_never

from holdfast.contracts.mode import Mode, Reason
from holdfast.contracts.rules import UpstreamRules

AWAY = frozenset({Reason.PULSE_LATE, Reason.PULSE_LOST, Reason.CSMS})


def turns_away(rules: UpstreamRules, mode: Mode, reasons: Collection[Reason]) -> bool:
    if not rules.strict:
        return False
    match mode:
        case Mode.AUTONOMOUS:
            # People took the site out of connected: that says nothing of the CSMS.
            return Reason.MAINTENANCE not in reasons or bool(AWAY & frozenset(reasons))
        case Mode.DEGRADED:
            return Reason.CSMS in reasons
        case Mode.CONNECTED | Mode.RECOVERY:
            # A reason named here came and went: one that stands would have degraded the site at once.
            return False
        case _:
            assert_never(mode)
