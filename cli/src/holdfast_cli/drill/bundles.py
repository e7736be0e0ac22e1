"""The rule bundles that a scenario publishes: each `publish-rules` step has a text under a version of its own.

bundles(rules, steps) -> {id: Bundle}     pure; versions go up in the order of time
signed(bundle, key, stranger)             as it lies in DOWNLINK, for those that go past the product
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from holdfast.contracts.rules import SignedRules
from holdfast_cli.drill.steps import PublishRules, Step
from holdfast_cli.provision.rules import laid_over_default, merged
from rule_service.domain.signatures import sign

ELSEWHERE = "not-this-site"
NO_SUCH_CLAUSE = {"a_clause_that_nobody_knows": True}
AFTER_SIGNING = "\n# altered after it was signed\n"


@dataclass(frozen=True, slots=True)
class Bundle:
    id: str
    how: str
    version: int
    text: str
    """As it is signed; `tampered` gets a line more afterwards."""


def bundles(rules: Mapping[str, Any], steps: Iterable[Step]) -> dict[str, Bundle]:
    """`steps` in order of time. Raise ValueError saying which id or version does not fit."""
    base = yaml.safe_load(laid_over_default(dict(rules)))
    first = base["version"]
    made: dict[str, Bundle] = {}
    newer, older = first, first
    for step in steps:
        if not isinstance(step, PublishRules):
            continue
        if step.id in made:
            raise ValueError(f"steps: two publish-rules have the id {step.id!r}: give each its own")
        if step.how == "older":
            older -= 1
            version = older
        else:
            newer += 1
            version = newer
        if version < 1:
            raise ValueError(
                f"steps: {step.id} needs a version below the site's first: give the scenario's rules "
                f"a higher version than {first}"
            )
        own: dict[str, Any] = {**step.rules, "version": version, "name": step.id}
        if step.how == "wrong-site":
            own["site"] = ELSEWHERE
        if step.how == "unknown-clause":
            own |= NO_SUCH_CLAUSE
        text = yaml.safe_dump(merged(base, own), sort_keys=False)
        made[step.id] = Bundle(step.id, step.how, version, text)
    return made


def signed(bundle: Bundle, key: Ed25519PrivateKey, stranger: Ed25519PrivateKey) -> SignedRules:
    by = stranger if bundle.how == "foreign-key" else key
    whole = sign(by, bundle.version, bundle.text)
    if bundle.how == "tampered":
        return whole.model_copy(update={"text": bundle.text + AFTER_SIGNING})
    return whole
