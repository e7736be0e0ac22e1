"""What this central system does differently from a good one. Data, and which of it applies to a CALL.

    take(quirks, name, call) -> (quirks with one count less, the rule) | None

Each habit is one that a real program has, or a failure that a charge point must survive.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any

from holdfast_simulators.csms.frames import V16, V21, V201, VERSIONS, Call

EVERY = "*"
"""As a charge point or an action: all of them."""


class Deed(StrEnum):
    """What can be done to chosen CALLs, a number of times or always."""

    IGNORE = "ignore"
    """Neither processed nor answered."""
    CALLERROR = "callerror"
    """Answered with CALLERROR and not processed."""
    LOSE_ANSWER = "lose_answer"
    """Processed, committed, not answered."""
    CRASH_ON = "crash_on"
    """Processed, committed, then the socket is torn without an answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    deed: Deed
    action: str = EVERY
    charge_point: str = EVERY
    containing: str = ""
    """Text that stands in the payload as it came."""
    count: int | None = 1
    """None: always."""
    code: str = "InternalError"
    """Of the CALLERROR."""

    def applies_to(self, call: Call) -> bool:
        return (
            self.action in (EVERY, call.action)
            and self.charge_point in (EVERY, call.charge_point)
            and self.containing in call.payload_text
        )

    @property
    def selector(self) -> tuple[str, str, str, str]:
        return self.deed, self.action, self.charge_point, self.containing


@dataclass(frozen=True, slots=True, kw_only=True)
class BootStatus:
    status: str
    interval_s: int | None = None
    """None: the configured heartbeat."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnCall:
    """A CALL of the central system."""

    action: str
    payload: dict[str, Any]
    versions: tuple[str, ...] = VERSIONS
    """To charge points of these only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quirks:
    rules: tuple[Rule, ...] = ()
    answer_delay_s: Mapping[str, float] = field(default_factory=dict)
    """By action; the CALL is processed at once."""
    black_hole: bool = False
    boot_status: Mapping[str, BootStatus] = field(default_factory=dict)
    refuse_handshake: Mapping[str, int] = field(default_factory=dict)
    """HTTP status by charge point."""
    any_subprotocol: bool = False
    """A client that offers none, or a wrong one, is let in with none agreed."""
    older_connection: str = "close"
    """What happens to it when the same identity connects again."""
    calls_after_boot: tuple[OwnCall, ...] = ()
    one_call_at_a_time: bool = False
    repeated_message_id_error: bool = False
    dedupe: str = "business-key"
    drop_unknown_meter_values: bool = False
    future_stop_s: float | None = None
    """A stop further ahead of this clock is acknowledged and filed as failed."""
    refuse_token: Mapping[str, str] = field(default_factory=dict)
    concurrent_tx_check: bool = False
    unknown_action_code: str = "NotImplemented"
    bad_payload_code: str = "FormationViolation"

    def with_rule(self, rule: Rule) -> Quirks:
        """The same choice again replaces the one before; a count of 0 only removes it."""
        others = tuple(one for one in self.rules if one.selector != rule.selector)
        return replace(self, rules=others if rule.count == 0 else (*others, rule))

    def calm(self) -> Quirks:
        """Without what was to happen a number of times."""
        return replace(self, rules=tuple(one for one in self.rules if one.count is None))

    def delay_s(self, action: str) -> float:
        return self.answer_delay_s.get(action, self.answer_delay_s.get(EVERY, 0.0))

    def changed(self) -> dict[str, Any]:
        """Those that differ from a good central system, for reports."""
        good = asdict(GOOD)
        return {name: value for name, value in asdict(self).items() if value != good[name]}


GOOD = Quirks()
KINDS: dict[str, Quirks] = {
    "plain": GOOD,
    "steve": Quirks(
        repeated_message_id_error=True, drop_unknown_meter_values=True, future_stop_s=300
    ),
    "citrineos": Quirks(
        one_call_at_a_time=True,
        calls_after_boot=(
            OwnCall(action="GetConfiguration", payload={}, versions=(V16,)),
            OwnCall(
                action="GetBaseReport",
                payload={"requestId": 1, "reportBase": "FullInventory"},
                versions=(V201, V21),
            ),
            OwnCall(
                action="SetVariables",
                payload={
                    "setVariableData": [
                        {
                            "attributeValue": "300",
                            "component": {"name": "OCPPCommCtrlr"},
                            "variable": {"name": "HeartbeatInterval"},
                        }
                    ]
                },
                versions=(V201, V21),
            ),
        ),
        older_connection="keep",
        any_subprotocol=True,
        unknown_action_code="InternalError",
        bad_payload_code="FormatViolation",
    ),
}


def take(quirks: Quirks, deed: Deed, call: Call) -> tuple[Quirks, Rule] | None:
    """The first rule for this CALL, and the quirks in which it is used up by one."""
    for rule in quirks.rules:
        if rule.deed is deed and rule.applies_to(call):
            if rule.count is None:
                return quirks, rule
            left = replace(rule, count=rule.count - 1)
            rules = tuple(left if one is rule else one for one in quirks.rules)
            return replace(quirks, rules=tuple(one for one in rules if one.count != 0)), rule
    return None
