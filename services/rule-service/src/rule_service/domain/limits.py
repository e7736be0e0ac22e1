"""Which limit of current holds for the site now (architecture, section 5): rules x mode x what came down.

    connected   the newest that is valid              degraded   no more than the rule's
    autonomous  the newest until its own end; without one a lower limit than the fallback stays, a higher one ends
    recovery    no more than the fallback, until the cloud has confirmed a limit

Where none of the cloud's holds the fallback does. Imposing it on charge points is load management's task.
"""

from __future__ import annotations

from dataclasses import dataclass

from holdfast.contracts.command_rules import LimitRules
from holdfast.contracts.limits import EffectiveLimit, LimitSource
from holdfast.contracts.mode import Mode
from holdfast.contracts.rules import SiteLimit


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    at_ms: int
    mode: Mode
    mode_since_ms: int
    newest: SiteLimit | None
    """That came down."""
    confirmed: bool = False
    """In recovery: the cloud has said that it is the newest."""


def effective_limit(rules: LimitRules, now: Situation) -> EffectiveLimit:
    newest = now.newest
    if newest is None:
        return _without(rules, now, "the cloud has set no limit")
    if newest.valid_until_ms is not None and now.at_ms >= newest.valid_until_ms:
        return _without(rules, now, f"limit {newest.id!r} has ended")
    match now.mode:
        case Mode.DEGRADED if _is_below(rules.degraded_a, newest):
            return _by_rule(rules, now, "the site is degraded")
        case Mode.AUTONOMOUS if newest.valid_until_ms is None and _is_below(
            rules.fallback_a, newest
        ):
            return _higher_alone(rules, now, newest)
        case Mode.RECOVERY if not now.confirmed and _is_below(rules.fallback_a, newest):
            return _fallback(rules, now, f"the cloud has not confirmed limit {newest.id!r} yet")
        case _:
            return _newest(newest, newest.valid_until_ms, "it is the newest")


def _higher_alone(rules: LimitRules, now: Situation, newest: SiteLimit) -> EffectiveLimit:
    """A higher limit without an end, and nobody to take it back."""
    ends_ms = now.mode_since_ms + rules.higher_ms_max
    if now.at_ms < ends_ms:
        return _newest(newest, ends_ms, "it is the newest, and higher than the fallback")
    why = f"limit {newest.id!r} is higher, has no end, and the cloud is gone for too long"
    return _fallback(rules, now, why, clause="limits.higher_ms_max")


def _without(rules: LimitRules, now: Situation, why: str) -> EffectiveLimit:
    stated = [rules.fallback_a]
    if now.mode is Mode.DEGRADED:
        stated.append(rules.degraded_a)
    lowest = min((one for one in stated if one is not None), default=None)
    if lowest is None:
        return EffectiveLimit(
            limit_a=None,
            source=LimitSource.NONE,
            limit_id=now.newest.id if now.newest else None,
            clause="limits.fallback_a",
            reason=f"{why}, and the rules state none",
        )
    if lowest == rules.fallback_a:
        return _fallback(rules, now, why)
    return _by_rule(rules, now, f"{why}, and the site is degraded")


def _newest(newest: SiteLimit, until_ms: int | None, why: str) -> EffectiveLimit:
    return EffectiveLimit(
        limit_a=newest.limit_a,
        source=LimitSource.CLOUD,
        limit_id=newest.id,
        until_ms=until_ms,
        clause="limits",
        reason=f"{newest.limit_a:g} A by limit {newest.id!r}: {why}",
    )


def _fallback(
    rules: LimitRules, now: Situation, why: str, clause: str = "limits.fallback_a"
) -> EffectiveLimit:
    assert rules.fallback_a is not None
    return EffectiveLimit(
        limit_a=rules.fallback_a,
        source=LimitSource.FALLBACK,
        limit_id=now.newest.id if now.newest else None,
        clause=clause,
        reason=f"{rules.fallback_a:g} A, the fallback: {why}",
    )


def _by_rule(rules: LimitRules, now: Situation, why: str) -> EffectiveLimit:
    assert rules.degraded_a is not None
    return EffectiveLimit(
        limit_a=rules.degraded_a,
        source=LimitSource.DEGRADED,
        limit_id=now.newest.id if now.newest else None,
        clause="limits.degraded_a",
        reason=f"{rules.degraded_a:g} A by rule: {why}",
    )


def _is_below(limit_a: float | None, newest: SiteLimit) -> bool:
    return limit_a is not None and limit_a < newest.limit_a
