"""May this driver charge? The order of OCPP 1.6 §3.5, by mode and by the driver token's whitelist kind.

connected            cloud, else local, else the rule for unknown driver tokens
degraded, recovery   local, else cloud, else the rule for unknown driver tokens
autonomous           local, else the rule for unknown driver tokens

local = what was said against it since, else the list, else the cache

ALWAYS               local first in every mode, nobody is asked
ALLOWED              local first in every mode, where it accepts
ALLOWED_OFFLINE      cloud first in every mode
NEVER                cloud first, and local accepts never

What the list, a fresh cached answer or a revocation does not accept, or what has expired, is rejected even where
unknown driver tokens are accepted. Which word is newer: `sources.refused_since`. What each source
would have said alone, and why it did not decide, stands beside the verdict: `considering.py`.
"""

from __future__ import annotations

from dataclasses import replace
from enum import Enum, auto

from holdfast.contracts.decision import AuthoriseInputs
from holdfast.contracts.driver_tokens import TokenStatus, TokenType, Whitelist
from holdfast.contracts.mode import Mode
from holdfast.contracts.rules import Rules
from holdfast.expiry import in_force
from rule_service.domain.considering import considered
from rule_service.domain.expiry import by_rules_in_force
from rule_service.domain.sources import (
    Authorisation,
    accepts,
    by_cache,
    by_cloud,
    by_list,
    by_rule_for_unknown,
    charges_already,
    never,
    no_driver_token,
    of_group,
    refused_since,
    whitelist,
)


class Asking(Enum):
    """Whether the cloud is asked, and whether the driver waits for it."""

    NOT = auto()
    AWAITED = auto()
    BESIDE = auto()
    """For the cache: the next driver, or this one's next visit, has the newer answer."""


def asking(rules: Rules, inputs: AuthoriseInputs) -> Asking:
    rules = in_force(rules, inputs.at_ms)
    by_mode = rules.authorise.of(inputs.mode)
    kind = whitelist(rules, inputs)
    if kind is Whitelist.ALWAYS or not by_mode.ask_cloud or by_mode.budget_ms == 0:
        return Asking.NOT
    local = _local(rules, inputs)
    if kind in (Whitelist.NEVER, Whitelist.ALLOWED_OFFLINE) or local is None:
        return Asking.AWAITED
    return Asking.AWAITED if _cloud_first(inputs, kind, local) else Asking.BESIDE


def evaluate(rules: Rules, inputs: AuthoriseInputs) -> Authorisation:
    """The same inputs under the same rules give the same verdict (I5)."""
    return by_rules_in_force(_evaluate, rules, inputs)


def _evaluate(rules: Rules, inputs: AuthoriseInputs) -> Authorisation:
    if inputs.token_type is TokenType.GROUP:
        ruling, cloud_comes_first = no_driver_token(inputs), False
    else:
        local, cloud = _local(rules, inputs), by_cloud(rules, inputs)
        cloud_comes_first = _cloud_first(inputs, whitelist(rules, inputs), local)
        first, second = (cloud, local) if cloud_comes_first else (local, cloud)
        ruling = first or second or by_rule_for_unknown(rules, inputs)
        ruling = charges_already(rules, inputs, ruling) or ruling
    looked_at = considered(rules, inputs, ruling, cloud_first=cloud_comes_first)
    return replace(ruling, considered=looked_at)


def _cloud_first(
    inputs: AuthoriseInputs, kind: Whitelist | None, local: Authorisation | None
) -> bool:
    match kind:
        case Whitelist.ALWAYS:
            return False
        case Whitelist.ALLOWED_OFFLINE | Whitelist.NEVER:
            return True
        case Whitelist.ALLOWED if local and local.verdict.status is TokenStatus.ACCEPTED:
            return False
        case _:
            return inputs.mode is Mode.CONNECTED


def _local(rules: Rules, inputs: AuthoriseInputs) -> Authorisation | None:
    ruling = refused_since(rules, inputs) or by_list(inputs) or by_cache(rules, inputs)
    if whitelist(rules, inputs) is Whitelist.NEVER:
        return ruling if ruling and not accepts(ruling) else never(inputs)
    if ruling is None or not accepts(ruling):
        return ruling
    return of_group(rules, inputs, ruling) or ruling
