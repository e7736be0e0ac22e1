"""What became of rule bundles at the site, read off its journal, and judged.

account(journal, bundles, published) -> RulesAccount       problems(account, bundles, expected)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from pydantic import BaseModel

from holdfast.contracts.envelope import ContractError, Envelope
from holdfast.contracts.mode import Mode, ModeChanged
from holdfast.contracts.rules import RulesActivated, RulesRefused
from holdfast_cli.drill.bundles import Bundle
from holdfast_cli.drill.scenario import ExpectRules

PINNED = Mode.AUTONOMOUS.value
"""A site that is cut off decides to the end by the rules it was cut off with."""


class Activation(BaseModel):
    version: int
    previous_version: int
    id: str | None
    """Of the step that published it; None: what the site was set up with."""
    incarnation: str
    at_ms: int
    mode: str | None
    """That stood in the journal then; None: none yet in this life of the disk."""
    waited_ms: int | None
    """Since it was published."""


class Refusal(BaseModel):
    version: int | None
    id: str | None
    at_ms: int
    kind: str
    reason: str


class RulesAccount(BaseModel):
    activations: list[Activation]
    refusals: list[Refusal]


def account(
    journal: Iterable[Envelope], bundles: Mapping[str, Bundle], published_ms: Mapping[str, int]
) -> RulesAccount:
    """`journal`: whole and in order."""
    ids = {bundle.version: bundle.id for bundle in bundles.values()}
    activations: list[Activation] = []
    refusals: list[Refusal] = []
    modes: dict[str, str] = {}
    for entry in journal:
        if entry.type not in (ModeChanged.TYPE, RulesActivated.TYPE, RulesRefused.TYPE):
            continue
        try:
            fact = entry.fact()
        except ContractError:
            continue  # quarantined: the report says how many are
        match fact:
            case ModeChanged(mode=mode):
                modes[entry.incarnation] = mode.value
            case RulesActivated(version=version):
                id = ids.get(version)
                since_ms = published_ms.get(id) if id else None
                activations.append(
                    Activation(
                        version=version,
                        previous_version=fact.previous_version,
                        id=id,
                        incarnation=entry.incarnation,
                        at_ms=entry.at_ms,
                        mode=modes.get(entry.incarnation),
                        waited_ms=None if since_ms is None else entry.at_ms - since_ms,
                    )
                )
            case RulesRefused(version=refused, reason=reason):
                refusals.append(
                    Refusal(
                        version=refused,
                        id=None if refused is None else ids.get(refused),
                        at_ms=entry.at_ms,
                        kind=str(getattr(fact, "kind", None) or ""),
                        reason=reason,
                    )
                )
    return RulesAccount(activations=activations, refusals=refusals)


def problems(of: RulesAccount, bundles: Mapping[str, Bundle], expect: ExpectRules) -> Iterator[str]:
    yield from _always(of, bundles)
    for id, modes in expect.activated.items():
        found = [one for one in of.activations if one.id == id]
        if not found:
            yield f"rules {id} (version {bundles[id].version}) were never activated"
        for one in found:
            if one.mode not in modes:
                yield f"rules {id} were activated in {one.mode}, expected {' or '.join(modes)}"
            if one.waited_ms is not None and one.waited_ms < 0:
                yield f"rules {id} were activated {-one.waited_ms} ms before they were published"
    for id, text in expect.refused.items():
        said = [f"{one.kind}: {one.reason}" for one in of.refusals if one.id == id]
        if not said:
            yield f"rules {id} (version {bundles[id].version}) were never refused"
        elif not any(text in one for one in said):
            yield f"rules {id} were refused with {said[0]!r}, expected {text!r} in it"


def _always(of: RulesAccount, bundles: Mapping[str, Bundle]) -> Iterator[str]:
    """What no scenario may excuse."""
    for one in of.activations:
        bundle = bundles.get(one.id) if one.id else None
        if bundle is not None and bundle.how != "good":
            yield f"rules {one.id} ({bundle.how}) were activated"
        replaced = one.previous_version not in (0, one.version)
        if replaced and one.mode == PINNED:
            yield f"rules {one.version} were activated while the site was {PINNED}"
        if replaced and one.version < one.previous_version:
            yield f"rules {one.version} took the place of the newer {one.previous_version}"
    activated = {one.id for one in of.activations}
    for refusal in of.refusals:
        bundle = bundles.get(refusal.id) if refusal.id else None
        if bundle is not None and bundle.how == "good" and bundle.id not in activated:
            yield f"rules {bundle.id}, which are good, were refused: {refusal.reason}"


def rows(of: RulesAccount) -> Iterator[tuple[str, str]]:
    for one in of.activations:
        waited = (
            "" if one.waited_ms is None else f", {one.waited_ms / 1000:.1f} s after publication"
        )
        name = f" ({one.id})" if one.id else ""
        yield (
            "rules",
            f"version {one.version}{name} activated in {one.mode or 'no mode yet'}{waited}",
        )
    for refusal in of.refusals:
        name = f" ({refusal.id})" if refusal.id else ""
        yield "rules", f"version {refusal.version}{name} refused: {refusal.reason}"
