"""Which instance of the bridge speaks for which site: leases without a clock in common.

    decide(policy, state, event) -> (state, effects)

An instance beats; another is dead when its beat has not changed for `lease_ms` by the own monotonic clock,
counted up to where our own newest beat has come back to us: records that don't reach us are nobody's death.
Sites of the dead are claimed, each by the one living instance that its name and theirs agree on (rendezvous
hashing), so nothing is negotiated. A claim raises the epoch by compare-and-set: of two, one loses, and what
an earlier owner still writes about its charge points is refused, since every record there is compared too.
An instance whose own beat was not taken for `lease_ms` less a margin lets go of everything by itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, assert_never

from holdfast.contracts.csms import SiteOwned

BEATS_AHEAD_MAX = 16
"""Own beats on their way back to us; of more the oldest are forgotten."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    instance: str
    sites: frozenset[str]
    """Those that have a CSMS behind them, by this instance's configuration."""
    beat_ms: int = 1_000
    """Also the pause before a site is claimed again after somebody else was faster."""
    lease_ms: int = 4_000

    @property
    def sure_ms(self) -> int:
        """So long after its last beat an instance may still believe in what it holds."""
        return self.lease_ms - self.beat_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    beat: int
    heard_mono_ms: int
    since_mono_ms: int
    """Since when it beats without a pause that would have been its death."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    begun_mono_ms: int
    peers: Mapping[str, Peer] = field(default_factory=dict)
    known: Mapping[str, SiteOwned] = field(default_factory=dict)
    held: Mapping[str, int] = field(default_factory=dict)
    """Site to epoch, of those this instance speaks for."""
    leaving: frozenset[str] = frozenset()
    """Held, and told to let go: whatever happens meanwhile."""
    claiming: frozenset[str] = frozenset()
    not_before: Mapping[str, int] = field(default_factory=dict)
    """Site to when it may be claimed again."""
    sent: Mapping[int, int] = field(default_factory=dict)
    """Own beats not yet come back, and when they were sent."""
    seen_to_mono_ms: int | None = None
    """What was in the records by then has reached us."""
    beat: int = 0
    beating: bool = False
    next_beat_mono_ms: int = 0
    beaten_mono_ms: int | None = None
    """When the last beat that was taken had been sent."""

    def but(self, **changes: Any) -> State:
        return replace(self, **changes)

    def is_sure(self, policy: Policy, mono_ms: int) -> bool:
        """Nobody can take us for dead yet."""
        return self.beaten_mono_ms is not None and mono_ms - self.beaten_mono_ms < policy.sure_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerSeen:
    mono_ms: int
    instance: str
    beat: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteSeen:
    mono_ms: int
    record: SiteOwned


@dataclass(frozen=True, slots=True, kw_only=True)
class BeatTaken:
    mono_ms: int
    sent_mono_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BeatLost:
    mono_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimEnded:
    mono_ms: int
    site: str
    epoch: int | None
    """None: somebody else was faster."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LetGo:
    """The site is no longer served here, and its record says so or belongs to another."""

    mono_ms: int
    site: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    mono_ms: int


Event = PeerSeen | SiteSeen | BeatTaken | BeatLost | ClaimEnded | LetGo | Tick


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """Effect: write the instance's record; ends in BeatTaken or BeatLost."""

    beat: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Effect: compare-and-set the site's record to this instance; ends in ClaimEnded."""

    site: str
    seen: SiteOwned | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """Effect: close every upstream connection of the site, then free its record if it is ours; ends in LetGo."""

    site: str
    why: str


Effect = Beat | Claim | Drop


def decide(policy: Policy, state: State, event: Event) -> tuple[State, list[Effect]]:
    return _act(policy, _learn(policy, state, event), event.mono_ms)


def owner_of(site: str, instances: frozenset[str]) -> str:
    """The one that all who see the same instances agree on."""
    return max(sorted(instances), key=lambda one: hashlib.sha256(f"{one}/{site}".encode()).digest())


def _learn(policy: Policy, state: State, event: Event) -> State:
    match event:
        case PeerSeen():
            return _heard(policy, state, event)
        case SiteSeen(record=record):
            return _seen(policy, state, record)
        case BeatTaken(sent_mono_ms=sent_mono_ms):
            return state.but(beating=False, beaten_mono_ms=sent_mono_ms)
        case BeatLost():
            return state.but(beating=False)
        case ClaimEnded(site=site, epoch=epoch, mono_ms=mono_ms):
            state = state.but(claiming=state.claiming - {site})
            if epoch is None:
                # What was seen of it is stale: claimed again at once, it would be lost again at once.
                return _paused(policy, state, site, mono_ms)
            return state.but(held={**state.held, site: epoch})
        case LetGo(site=site, mono_ms=mono_ms):
            held = {one: epoch for one, epoch in state.held.items() if one != site}
            state = state.but(held=held, leaving=state.leaving - {site})
            return _paused(policy, state, site, mono_ms)
        case Tick():
            return state
        case _:
            assert_never(event)


def _seen(policy: Policy, state: State, record: SiteOwned) -> State:
    known = state.known.get(record.site)
    if known is not None and known.epoch > record.epoch:
        return state
    return state.but(known={**state.known, record.site: record})


def _heard(policy: Policy, state: State, event: PeerSeen) -> State:
    if event.instance == policy.instance:
        return _echoed(state, event.beat)
    known = state.peers.get(event.instance)
    if known and known.beat == event.beat:
        return state
    lives_on = known is not None and event.mono_ms - known.heard_mono_ms < policy.lease_ms
    peer = Peer(
        beat=event.beat,
        heard_mono_ms=event.mono_ms,
        since_mono_ms=known.since_mono_ms if known and lives_on else event.mono_ms,
    )
    return state.but(peers={**state.peers, event.instance: peer})


def _echoed(state: State, beat: int) -> State:
    """Records come in one order: with our own beat everything before it has come."""
    sent_ms = state.sent.get(beat)
    if sent_ms is None:
        return state
    later = {one: at for one, at in state.sent.items() if one > beat}
    return state.but(sent=later, seen_to_mono_ms=sent_ms)


def _paused(policy: Policy, state: State, site: str, mono_ms: int) -> State:
    waits = {one: at for one, at in state.not_before.items() if at > mono_ms}
    return state.but(not_before={**waits, site: mono_ms + policy.beat_ms})


def _act(policy: Policy, state: State, mono_ms: int) -> tuple[State, list[Effect]]:
    state, effects = _beat(policy, state, mono_ms)
    is_sure, living = state.is_sure(policy, mono_ms), _living(policy, state)
    able = _able(policy, state, living, mono_ms)
    for site in sorted(state.held):
        why = _why_not_ours(policy, state, site, is_sure, able)
        if why:
            state = state.but(leaving=state.leaving | {site})
        if site in state.leaving:
            effects.append(Drop(site=site, why=why or "it was let go"))
    if not is_sure or not _has_heard_all(policy, state):
        return state, effects
    for site in sorted(policy.sites - state.held.keys() - state.claiming):
        if _is_to_claim(policy, state, site, living, mono_ms):
            state = state.but(claiming=state.claiming | {site})
            effects.append(Claim(site=site, seen=state.known.get(site)))
    return state, effects


def _beat(policy: Policy, state: State, mono_ms: int) -> tuple[State, list[Effect]]:
    if state.beating or mono_ms < state.next_beat_mono_ms:
        return state, []
    beat = state.beat + 1
    sent = dict(list(state.sent.items())[-BEATS_AHEAD_MAX + 1 :])
    state = state.but(
        beating=True,
        beat=beat,
        sent={**sent, beat: mono_ms},
        next_beat_mono_ms=mono_ms + policy.beat_ms,
    )
    return state, [Beat(beat=beat)]


def _has_heard_all(policy: Policy, state: State) -> bool:
    """Before everybody who lives can have been heard, nobody is dead."""
    seen_ms = state.seen_to_mono_ms
    return seen_ms is not None and seen_ms - state.begun_mono_ms >= policy.lease_ms


def _living(policy: Policy, state: State) -> frozenset[str]:
    seen_ms = state.seen_to_mono_ms
    heard = (
        name
        for name, peer in state.peers.items()
        if seen_ms is None or seen_ms - peer.heard_mono_ms < policy.lease_ms
    )
    return frozenset({policy.instance, *heard})


def _able(policy: Policy, state: State, living: frozenset[str], mono_ms: int) -> frozenset[str]:
    """Those who have listened long enough to claim: let go for another, a site would have nobody till then."""
    listens_ms = policy.lease_ms + policy.beat_ms
    return frozenset(
        name
        for name in living
        if name == policy.instance or mono_ms - state.peers[name].since_mono_ms >= listens_ms
    )


def _is_to_claim(
    policy: Policy, state: State, site: str, living: frozenset[str], mono_ms: int
) -> bool:
    if mono_ms < state.not_before.get(site, mono_ms):
        return False
    record = state.known.get(site)
    owner = record.owner if record else None
    if owner == policy.instance:
        return True  # not freed when it was let go: nobody else would, so it is taken to be freed
    is_free = owner is None or owner not in living
    return is_free and owner_of(site, living) == policy.instance


def _why_not_ours(
    policy: Policy, state: State, site: str, is_sure: bool, able: frozenset[str]
) -> str:
    if not is_sure:
        return "the own beat was not taken in time"
    record = state.known.get(site)
    if record is not None and record.epoch > state.held[site]:
        return f"{record.owner or 'another'} has claimed it"
    if site not in policy.sites:
        return "it has no CSMS any more"
    if owner_of(site, able) != policy.instance:
        return "another instance is to have it"
    return ""
