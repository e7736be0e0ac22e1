"""For which sites a rollout is: some named, a group of the draft, or a share of all."""

from __future__ import annotations

from hashlib import sha256

from holdfast.contracts.envelope import ContractError
from holdfast.contracts.rollout import SITES_MAX, Rollout
from rule_service.cloud_scope.sites import Sites
from rule_service.domain.composing import Source


def targets(asked: Rollout, source: Source, sites: Sites) -> tuple[str, ...]:
    """Each once. Raise ContractError."""
    if sum((bool(asked.sites), asked.group is not None, asked.percent is not None)) != 1:
        raise ContractError("say for whom: exactly one of sites, group and percent")
    if asked.group is not None:
        found = source.group(asked.group)
        if not found:
            raise ContractError(f"group {asked.group!r} has no sites")
    elif asked.percent is not None:
        if not sites.names:
            raise ContractError(
                "a percentage of which sites? Name them in this cloud's `sites`, or roll out by site or group"
            )
        found = share(sites.names, asked.percent)
    else:
        found = tuple(dict.fromkeys(asked.sites))
    for site in found:
        sites.check(site)
    if len(found) > SITES_MAX:
        raise ContractError(
            f"{len(found)} sites are more than the {SITES_MAX} of one rollout: in smaller steps"
        )
    return found


def share(names: frozenset[str], percent: int) -> tuple[str, ...]:
    """Rounded up. In an order that only the names give, and that has nothing to do with them otherwise: those of a
    smaller share are among those of a larger one.
    """
    in_order = sorted(names, key=lambda name: sha256(name.encode()).digest())
    return tuple(in_order[: -(-len(in_order) * percent // 100)])
