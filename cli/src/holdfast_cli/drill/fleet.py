"""Which charge points were there: of each OCPP version and security profile, as the site's journal says. Pure.

wanted(charge points) -> Fleet      account(journal) -> Fleet       problems(account, wanted) -> sentences
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from holdfast.contracts.charge_point import ChargePointConnected
from holdfast.contracts.envelope import ContractError, Envelope
from holdfast_cli.drill.scenario import ChargePoint

Fleet = Mapping[str, tuple[str, int]]
"""Charge point to version and security profile."""


def wanted(charge_points: Iterable[ChargePoint]) -> Fleet:
    return {one.id: (one.version, one.security_profile) for one in charge_points}


def account(journal: Iterable[Envelope]) -> Fleet:
    """As each came the last time."""
    came: dict[str, tuple[str, int]] = {}
    for envelope in journal:
        if envelope.type != ChargePointConnected.TYPE:
            continue
        try:
            fact = envelope.fact()
        except ContractError:
            continue
        if isinstance(fact, ChargePointConnected):
            came[fact.charge_point] = (fact.version.value, fact.security_profile)
    return came


def problems(came: Fleet, expected: Fleet) -> Iterator[str]:
    for charge_point, kind in expected.items():
        if charge_point not in came:
            yield f"{charge_point} never came: {_name(kind)} was expected"
        elif came[charge_point] != kind:
            yield f"{charge_point} came by {_name(came[charge_point])}, expected {_name(kind)}"


def sentence(came: Fleet) -> str:
    counts = Counter(came.values())
    return ", ".join(f"{count} x {_name(kind)}" for kind, count in sorted(counts.items())) or "none"


def _name(kind: tuple[str, int]) -> str:
    return f"{kind[0]} profile {kind[1]}"
