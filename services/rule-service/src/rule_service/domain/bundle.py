"""The life of the rules at a site.

    offered -> verified -> active            or, while the site is autonomous, -> staged -> active
            -> refused, and the last good ones stay

    decide(policy, state, event) -> (state, effects)

Newer replaces older, never the other way. The shell performs the effects before it takes over the new
state: no decision is made under rules that the journal does not name yet.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, assert_never

import yaml

from holdfast.contracts.envelope import ContractError
from holdfast.contracts.mode import Mode
from holdfast.contracts.rules import Rules, RulesActivated, RulesRefused, SignedRules
from holdfast.standing import parse_rules
from rule_service.domain.signatures import is_signed


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    site: str
    trusted_keys: frozenset[str]
    """Public keys, hex, lower case."""


@dataclass(frozen=True, slots=True)
class Bundle:
    text: str
    rules: Rules

    @property
    def version(self) -> int:
        return self.rules.version

    @property
    def hash(self) -> str:
        return sha256(self.text.encode()).hexdigest()


BUILT_IN = Rules(version=1, name="built-in")
"""Until a signed bundle is active; known to others as version 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    active: Bundle | None = None
    staged: Bundle | None = None
    mode: Mode = Mode.AUTONOMOUS
    refused: str | None = None
    """Why the newest bundle offered was not taken."""

    @property
    def rules(self) -> Rules:
        return self.active.rules if self.active else BUILT_IN

    @property
    def version(self) -> int:
        return self.active.version if self.active else 0


# --- events ---


@dataclass(frozen=True, slots=True)
class Recalled:
    """Active before this process began; verified then."""

    bundle: Bundle
    journaled: bool
    """False: the journal has been trimmed past its activation."""


@dataclass(frozen=True, slots=True)
class Offered:
    signed: SignedRules
    provisioned: bool = False
    """From the file the site was set up with: older than what is active is how it should be."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Something came that is no signed bundle at all."""

    reason: str


@dataclass(frozen=True, slots=True)
class ModeStands:
    mode: Mode


Event = Recalled | Offered | Unreadable | ModeStands


# --- effects ---


@dataclass(frozen=True, slots=True)
class Record:
    """Write this before anything else happens."""

    fact: RulesActivated | RulesRefused


def decide(policy: Policy, state: State, event: Event) -> tuple[State, tuple[Record, ...]]:
    match event:
        case Recalled(bundle=bundle, journaled=journaled):
            state = replace(state, active=bundle)
            return state, () if journaled else (Record(_activation(state, bundle)),)
        case Offered(signed=signed, provisioned=provisioned):
            return _offered(policy, state, signed, provisioned=provisioned)
        case Unreadable(reason=reason):
            return _refuse(state, None, reason)
        case ModeStands(mode=mode):
            state = replace(state, mode=mode)
            if state.staged and not _is_pinned(state):
                return _activate(state, state.staged)
            return state, ()
        case _:
            assert_never(event)


def _offered(
    policy: Policy, state: State, signed: SignedRules, *, provisioned: bool
) -> tuple[State, tuple[Record, ...]]:
    try:
        bundle = verified(policy, signed)
    except ContractError as error:
        return _refuse(state, signed.version, str(error))
    newest = state.staged or state.active
    if newest and bundle.version <= newest.version:
        if provisioned:
            return state, ()
        if bundle.hash in {known.hash for known in (state.active, state.staged) if known}:
            return replace(state, refused=None), ()
        reason = f"version {bundle.version} is not newer than {newest.version}"
        return _refuse(state, bundle.version, reason)
    if _is_pinned(state):
        return replace(state, staged=bundle, refused=None), ()
    return _activate(state, bundle)


def _is_pinned(state: State) -> bool:
    """A site without rules takes the first it gets, in any mode."""
    return state.mode is Mode.AUTONOMOUS and state.active is not None


def _activate(state: State, bundle: Bundle) -> tuple[State, tuple[Record, ...]]:
    record = Record(_activation(state, bundle))
    return replace(state, active=bundle, staged=None, refused=None), (record,)


def _activation(state: State, bundle: Bundle) -> RulesActivated:
    return RulesActivated(
        version=bundle.version,
        hash=bundle.hash,
        text=bundle.text,
        previous_version=state.version,
    )


def _refuse(state: State, version: int | None, reason: str) -> tuple[State, tuple[Record, ...]]:
    record = Record(RulesRefused(version=version, reason=reason))
    return replace(state, refused=reason), (record,)


# --- reading a bundle ---


def verified(policy: Policy, signed: SignedRules) -> Bundle:
    """Raise ContractError saying why not. Nothing of it is parsed before its signature is known to be good."""
    if signed.key.lower() not in policy.trusted_keys:
        raise ContractError(f"signed by {signed.key[:16]!r}..., which this site does not trust")
    if not is_signed(signed):
        raise ContractError("the signature is not over this text: it was altered")
    rules = read_rules(signed.text)
    if rules.site not in ("*", policy.site):
        raise ContractError(f"it is for site {rules.site!r}, this is {policy.site!r}")
    return Bundle(signed.text, rules)


def read_rules(text: str) -> Rules:
    """Stricter than the parser of what is already active: a clause written twice is refused too."""
    rules = parse_rules(text)
    try:
        _Strict(text).get_single_data()
    except yaml.YAMLError as error:
        raise ContractError(f"rules refused as a whole: {error}") from error
    return rules


class _Strict(yaml.SafeLoader):
    """YAML takes the last of two equal keys without a word; rules must not."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                line = key_node.start_mark.line + 1
                raise yaml.YAMLError(f"{key!r} stands twice, again in line {line}")
            seen.add(key)
        return super().construct_mapping(node, deep)
