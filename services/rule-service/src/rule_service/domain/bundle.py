"""The life of the rules at a site.

    offered -> verified -> staged -> at a safe point: active
            -> refused, and the last good ones stay

    decide(policy, state, event) -> (state, effects)

Newer replaces older, never the other way. The shell performs the effects before it takes over the new
state: no decision is made under rules that the journal does not name yet. It says when a safe point is reached; whether
the mode allows one is decided here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import sha256
from typing import assert_never

from holdfast.contracts.envelope import ContractError
from holdfast.contracts.life import RefusedFor
from holdfast.contracts.mode import Mode
from holdfast.contracts.rules import Rules, RulesActivated, RulesRefused, SignedRules
from rule_service.domain.bundle_text import read_rules as read_rules
from rule_service.domain.signatures import is_signed


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    site: str
    trusted_keys: frozenset[str]
    """Public keys the site was provisioned with, hex, lower case: they count while no bundle names any."""


@dataclass(frozen=True, slots=True)
class Bundle:
    text: str
    rules: Rules
    key: str = ""
    """That signed it; empty: of before that was journaled."""

    @property
    def version(self) -> int:
        return self.rules.version

    @property
    def hash(self) -> str:
        return sha256(self.text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Refusal:
    fact: RulesRefused
    at_ms: int


@dataclass(frozen=True, slots=True)
class Unread:
    """Active, and not to be read by this build: one of a newer build, whose clauses this one does not know."""

    version: int
    keys: frozenset[str]
    """That it names for signing, as far as they can be made out."""
    why: str


BUILT_IN = Rules(version=1, name="built-in")
"""Until a signed bundle is active; known to others as version 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    active: Bundle | None = None
    active_since_ms: int | None = None
    unread: Unread | None = None
    """In place of the active one: nothing older counts again, and nobody's key, until a newer one is taken."""
    staged: Bundle | None = None
    """Verified, and newer than the active one."""
    staged_since_ms: int | None = None
    mode: Mode = Mode.AUTONOMOUS
    desired_version: int | None = None
    """Of what came down last, taken or not."""
    refusal: Refusal | None = None
    """Of the newest bundle offered that was not taken: stands until a newer one is."""

    @property
    def rules(self) -> Rules:
        return self.active.rules if self.active else BUILT_IN

    @property
    def version(self) -> int:
        """That decisions name."""
        return self.active.version if self.active else 0

    @property
    def newest_version(self) -> int:
        """Of what was ever verified here: older ones are refused."""
        newest = self.staged or self.active or self.unread
        return newest.version if newest else 0

    @property
    def refused(self) -> str | None:
        return self.refusal.fact.reason if self.refusal else None


class BundleRefused(ContractError):
    """Why a bundle is not taken, as a kind and as a sentence."""

    def __init__(self, kind: RefusedFor, reason: str) -> None:
        self.kind = kind
        super().__init__(reason)


# --- events ---


@dataclass(frozen=True, slots=True)
class Recalled:
    """Active before this process began; verified then."""

    bundle: Bundle
    journaled: bool
    """False: the journal has been trimmed past its activation."""
    since_ms: int | None = None


@dataclass(frozen=True, slots=True)
class RecalledUnread:
    """Active before this process began, in words that this build can't read."""

    unread: Unread


@dataclass(frozen=True, slots=True)
class RecalledStaged:
    """Staged before this process began; verified then."""

    bundle: Bundle
    since_ms: int | None = None


@dataclass(frozen=True, slots=True)
class RecalledRefusal:
    """Refused since the active bundle was activated."""

    refusal: Refusal


@dataclass(frozen=True, slots=True)
class Offered:
    signed: SignedRules
    at_ms: int = 0
    provisioned: bool = False
    """From the file the site was set up with: older than what is active is how it should be."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Something came that is no signed bundle at all."""

    reason: str
    at_ms: int = 0
    provisioned: bool = False


@dataclass(frozen=True, slots=True)
class ModeStands:
    mode: Mode


@dataclass(frozen=True, slots=True)
class SafePoint:
    """No decision is under way, or those that are have been waited for as long as the rules say."""

    mode: Mode
    at_ms: int = 0


RecalledOne = Recalled | RecalledUnread | RecalledStaged | RecalledRefusal
Event = RecalledOne | Offered | Unreadable | ModeStands | SafePoint


# --- effects ---


@dataclass(frozen=True, slots=True)
class Record:
    """Write this before anything else happens."""

    fact: RulesActivated | RulesRefused


@dataclass(frozen=True, slots=True)
class Keep:
    """The staged bundle, for the next life of this process: the next one may be signed by a key that it names."""

    staged: Bundle
    since_ms: int


Effect = Record | Keep


def decide(policy: Policy, state: State, event: Event) -> tuple[State, tuple[Effect, ...]]:
    match event:
        case Recalled() | RecalledUnread() | RecalledStaged() | RecalledRefusal():
            return _recalled(state, event)
        case Offered():
            return _offered(policy, state, event)
        case Unreadable(reason=reason, at_ms=at_ms, provisioned=provisioned):
            if provisioned and state.newest_version:
                return state, ()  # it counts for the first bundle only
            return _refuse(state, None, BundleRefused(RefusedFor.UNREADABLE, reason), at_ms)
        case ModeStands(mode=mode):
            return replace(state, mode=mode), ()
        case SafePoint(mode=mode, at_ms=at_ms):
            state = replace(state, mode=mode)
            if state.staged is None or why_not_now(state):
                return state, ()
            return _activate(state, state.staged, at_ms)
        case _:
            assert_never(event)


def _recalled(state: State, event: RecalledOne) -> tuple[State, tuple[Effect, ...]]:
    match event:
        case RecalledUnread(unread=unread):
            return replace(state, unread=unread), ()
        case Recalled(bundle=bundle, journaled=journaled, since_ms=since_ms):
            state = replace(state, active=bundle, active_since_ms=since_ms)
            again = Record(_activation(state, bundle, since_ms))
            return state, () if journaled else (again,)
        case RecalledStaged(bundle=bundle, since_ms=since_ms):
            if bundle.version <= state.newest_version:
                return state, ()
            return replace(state, staged=bundle, staged_since_ms=since_ms), ()
        case RecalledRefusal(refusal=refusal):
            return replace(state, refusal=refusal), ()
        case _:
            assert_never(event)


def why_not_now(state: State) -> str | None:
    """What keeps a staged bundle from being activated in this mode. A site without rules takes its first in any."""
    if state.active is None or state.mode in state.rules.activation.modes:
        return None
    if state.mode is Mode.AUTONOMOUS:
        return "the site is autonomous: the active rules are pinned"
    return f"the site is in {state.mode}, where activation.modes allows none"


def trusted(policy: Policy, state: State) -> frozenset[str]:
    """The keys that count for the next bundle: those that the newest verified one names, else the provisioned ones."""
    newest = state.staged or state.active
    if newest:
        return _after(policy, newest.rules)
    return (state.unread and state.unread.keys) or policy.trusted_keys


def _after(policy: Policy, rules: Rules) -> frozenset[str]:
    return frozenset(rules.signing.keys) or policy.trusted_keys


def _offered(policy: Policy, state: State, offer: Offered) -> tuple[State, tuple[Effect, ...]]:
    signed, newest_version = offer.signed, state.newest_version
    if offer.provisioned:
        # By the version it claims: its key may have been replaced since, and that is how it should be.
        if signed.version <= newest_version:
            return state, ()
    else:
        state = replace(state, desired_version=signed.version)
    try:
        bundle = verified(policy, state, signed)
        if bundle.version <= newest_version:
            if bundle.hash in {known.hash for known in (state.active, state.staged) if known}:
                return replace(state, refusal=None), ()
            raise BundleRefused(
                RefusedFor.NOT_NEWER, f"version {bundle.version} is not newer than {newest_version}"
            )
    except BundleRefused as refused:
        return _refuse(state, signed.version, refused, offer.at_ms)
    state = replace(state, staged=bundle, staged_since_ms=offer.at_ms, refusal=None)
    return state, (Keep(bundle, offer.at_ms),)


def _activate(state: State, bundle: Bundle, at_ms: int) -> tuple[State, tuple[Effect, ...]]:
    record = Record(_activation(state, bundle, None))
    state = replace(
        state,
        active=bundle,
        active_since_ms=at_ms,
        unread=None,
        staged=None,
        staged_since_ms=None,
    )
    return state, (record,)


def _activation(state: State, bundle: Bundle, since_ms: int | None) -> RulesActivated:
    return RulesActivated(
        version=bundle.version,
        hash=bundle.hash,
        text=bundle.text,
        previous_version=state.unread.version if state.unread else state.version,
        key=bundle.key,
        since_ms=since_ms,
    )


def _refuse(
    state: State, version: int | None, refused: BundleRefused, at_ms: int
) -> tuple[State, tuple[Effect, ...]]:
    fact = RulesRefused(version=version, reason=str(refused), kind=refused.kind)
    if state.refusal and state.refusal.fact == fact:
        return state, ()  # offered again by a restart, known already
    return replace(state, refusal=Refusal(fact, at_ms)), (Record(fact),)


# --- verifying a bundle ---


def verified(policy: Policy, state: State, signed: SignedRules) -> Bundle:
    """Raise BundleRefused saying why not. Nothing of it is parsed before its signature is known to be good."""
    key = signed.key.lower()
    if key not in trusted(policy, state):
        raise BundleRefused(
            RefusedFor.UNTRUSTED_KEY,
            f"signed by {signed.key[:16]!r}..., which this site does not trust",
        )
    bundle = sound(signed)
    rules = bundle.rules
    if rules.site not in ("*", policy.site):
        raise BundleRefused(
            RefusedFor.WRONG_SITE, f"it is for site {rules.site!r}, this is {policy.site!r}"
        )
    problem = lock_out(rules, key, policy.trusted_keys)
    if problem:
        raise BundleRefused(RefusedFor.LOCK_OUT, problem)
    return bundle


def sound(signed: SignedRules) -> Bundle:
    """Signed by the key that it names, and rules throughout. Raise BundleRefused."""
    if not is_signed(signed):
        raise BundleRefused(
            RefusedFor.BAD_SIGNATURE, "the signature is not over this text: it was altered"
        )
    try:
        rules = read_rules(signed.text)
    except ContractError as error:
        raise BundleRefused(RefusedFor.INVALID_RULES, str(error)) from error
    except (
        Exception
    ) as error:  # it lies in DOWNLINK: it would end every next life of the process too
        why = f"the reader failed ({type(error).__name__}: {str(error)[:200]})"
        raise BundleRefused(RefusedFor.INVALID_RULES, why) from error
    if signed.version != rules.version:
        raise BundleRefused(
            RefusedFor.INVALID_RULES,
            f"it is offered as version {signed.version}, its text says {rules.version}",
        )
    return Bundle(signed.text, rules, signed.key.lower())


def lock_out(rules: Rules, key: str, provisioned: frozenset[str]) -> str | None:
    """Why nobody could sign the next bundle with the key that signed this one."""
    if rules.signing.keys:
        if key in rules.signing.keys:
            return None
        return (
            f"signing.keys does not name {key[:16]}..., which signed it: it would lock itself out; "
            "name both keys first, then sign with the new one"
        )
    if key in provisioned:
        return None
    return (
        f"signing.keys is empty, so the provisioned keys would count again, and {key[:16]}..., which signed it, "
        "is none of them: name the keys that shall count"
    )
