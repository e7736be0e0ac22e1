"""Goal: no two instances ever believe to speak for one site, and none is left without one.

Method: instances on simulated time over one store of records, whose writes and news are late, lost and in order;
instances are killed, paused and started again, and each has a clock of its own.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from itertools import count

import pytest

from csms_bridge.domain.ownership import (
    Beat,
    BeatLost,
    BeatTaken,
    Claim,
    ClaimEnded,
    Drop,
    Effect,
    Event,
    LetGo,
    PeerSeen,
    Policy,
    SiteSeen,
    State,
    Tick,
    decide,
    owner_of,
)
from holdfast.contracts.csms import SiteOwned

SITES = frozenset(f"site{number:02d}" for number in range(8))
TICK_MS = 200
BEAT_MS, LEASE_MS = 1_000, 4_000


class Instance:
    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.policy = Policy(instance=name, sites=SITES, beat_ms=BEAT_MS, lease_ms=LEASE_MS)
        self.offset_ms = world.rng.randrange(10**6)
        self.state = State(begun_mono_ms=self.mono_ms)
        self.lives = True
        self.paused_to_ms = 0
        self.heard_to_ms = 0
        self.inbox: list[Callable[[int], Event]] = []
        self.dropping: set[str] = set()
        self.beat_known = False
        world.replay_to(self)
        world.at(0, self.tick)

    @property
    def mono_ms(self) -> int:
        return self.world.now_ms + self.offset_ms

    def believes(self, site: str) -> bool:
        """What it may still say upstream on this site's behalf."""
        state = self.state
        mine = site in state.held and site not in state.leaving
        return self.lives and mine and state.is_sure(self.policy, self.mono_ms)

    def tick(self) -> None:
        self.handle(lambda mono_ms: Tick(mono_ms=mono_ms))
        if self.lives:
            self.world.at(TICK_MS, self.tick)

    def handle(self, event: Callable[[int], Event]) -> None:
        """Paused, it hears of everything once it goes on, and in its order."""
        self.inbox.append(event)
        self.go_on()

    def go_on(self) -> None:
        if self.inbox and self.world.now_ms < self.paused_to_ms:
            self.world.at(self.paused_to_ms - self.world.now_ms, self.go_on)
            return
        while self.inbox and self.lives:
            event = self.inbox.pop(0)
            self.state, effects = decide(self.policy, self.state, event(self.mono_ms))
            for effect in effects:
                self.perform(effect)
            self.world.check()

    def perform(self, effect: Effect) -> None:
        match effect:
            case Beat(beat=beat):
                self.beat(beat, self.mono_ms)
            case Claim(site=site, seen=seen):
                self.world.at(self.world.late(), lambda: self.claim(site, seen))
            case Drop(site=site):
                if site not in self.dropping:
                    self.dropping.add(site)
                    self.world.at(self.world.late(), lambda: self.drop(site))

    def beat(self, beat: int, sent_ms: int) -> None:
        if not self.beat_known:
            # As the shell does: what an earlier process of this name had counted is gone on from.
            self.beat_known = True
            beat = max(beat, self.world.beats.get(self.name, 0) + 1)
            self.state = self.state.but(beat=beat)

        def arrive() -> None:
            if self.world.is_lost():
                self.world.at(BEAT_MS, lambda: self.handle(lambda mono: BeatLost(mono_ms=mono)))
                return
            self.world.store_beat(self.name, beat)
            taken = lambda mono: BeatTaken(mono_ms=mono, sent_mono_ms=sent_ms)  # noqa: E731
            self.world.at(self.world.late(), lambda: self.handle(taken))

        self.world.at(self.world.late(), arrive)

    def claim(self, site: str, seen: SiteOwned | None) -> None:
        epoch: int | None = None
        if not self.world.is_lost() and self.world.records.get(site) == seen:
            epoch = (seen.epoch if seen else 0) + 1
            self.world.store(SiteOwned(site=site, owner=self.name, epoch=epoch))
        ended = lambda mono: ClaimEnded(mono_ms=mono, site=site, epoch=epoch)  # noqa: E731
        self.world.at(self.world.late(), lambda: self.handle(ended))

    def drop(self, site: str) -> None:
        if not self.lives:
            return
        record = self.world.records[site]
        if record.owner == self.name and not self.world.is_lost():
            self.world.store(record.model_copy(update={"owner": None}))
        self.dropping.discard(site)
        self.handle(lambda mono: LetGo(mono_ms=mono, site=site))


class World:
    def __init__(self, seed: int, names: str = "", *, loss: float = 0.0, late_ms: int = 20) -> None:
        self.rng = random.Random(seed)
        self.loss, self.late_ms = loss, late_ms
        self.now_ms = 0
        self.records: dict[str, SiteOwned] = {}
        self.beats: dict[str, int] = {}
        self.instances: list[Instance] = []
        self.stalled: set[str] = set()
        """Whose news of the records does not come through."""
        self.held_back: dict[str, list[Callable[[int], Event]]] = {}
        self._due: list[tuple[int, int, Callable[[], None]]] = []
        self._order = count()
        for name in names:
            self.start(name)

    # --- time ---

    def at(self, in_ms: int, then: Callable[[], None]) -> None:
        heapq.heappush(self._due, (self.now_ms + in_ms, next(self._order), then))

    def run(self, ms: int) -> None:
        until_ms = self.now_ms + ms
        while self._due and self._due[0][0] <= until_ms:
            self.now_ms, _, then = heapq.heappop(self._due)
            then()
        self.now_ms = until_ms
        self.check()

    def late(self) -> int:
        return self.rng.randrange(1, self.late_ms)

    def is_lost(self) -> bool:
        return self.rng.random() < self.loss

    # --- records ---

    def store(self, record: SiteOwned) -> None:
        self.records[record.site] = record
        self.tell_all(lambda mono: SiteSeen(mono_ms=mono, record=record))

    def store_beat(self, name: str, beat: int) -> None:
        self.beats[name] = beat
        self.tell_all(lambda mono: PeerSeen(mono_ms=mono, instance=name, beat=beat))

    def tell_all(self, event: Callable[[int], Event]) -> None:
        for one in self.instances:
            self.tell(one, event)

    def tell(self, one: Instance, event: Callable[[int], Event]) -> None:
        """In the order of the store, like every reader of a stream."""
        if one.name in self.stalled:
            self.held_back.setdefault(one.name, []).append(event)
            return
        one.heard_to_ms = max(one.heard_to_ms, self.now_ms + self.late())
        self.at(one.heard_to_ms - self.now_ms, lambda: one.handle(event))

    def replay_to(self, one: Instance) -> None:
        for name, beat in self.beats.items():
            self.tell(one, lambda mono, n=name, b=beat: PeerSeen(mono_ms=mono, instance=n, beat=b))
        for record in self.records.values():
            self.tell(one, lambda mono, r=record: SiteSeen(mono_ms=mono, record=r))

    # --- instances ---

    def start(self, name: str) -> Instance:
        self.stalled.discard(name)
        self.held_back.pop(name, None)
        one = Instance(self, name)
        self.instances.append(one)
        return one

    def named(self, name: str) -> Instance:
        return next(one for one in reversed(self.instances) if one.name == name)

    def kill(self, name: str) -> None:
        self.named(name).lives = False

    def pause(self, name: str, ms: int) -> None:
        self.named(name).paused_to_ms = self.now_ms + ms

    def stall(self, name: str) -> None:
        self.stalled.add(name)

    def resume(self, name: str) -> None:
        self.stalled.discard(name)
        for event in self.held_back.pop(name, []):
            self.tell(self.named(name), event)

    def owners(self, site: str) -> list[str]:
        return [one.name for one in self.instances if one.believes(site)]

    @property
    def is_settled(self) -> bool:
        living = frozenset(one.name for one in self.instances if one.lives)
        return all(self.owners(site) == [owner_of(site, living)] for site in SITES)

    def check(self) -> None:
        for site in SITES:
            assert len(self.owners(site)) <= 1, f"{self.now_ms} ms: {site} {self.owners(site)}"

    def settles_within(self, ms: int) -> int:
        begun_ms = self.now_ms
        while not self.is_settled:
            assert self.now_ms - begun_ms <= ms, {site: self.owners(site) for site in SITES}
            self.run(50)
        return self.now_ms - begun_ms


@pytest.mark.parametrize("names", ["a", "ab", "abc"])
def test_they_share_the_sites_without_a_word(names):
    world = World(1, names)
    world.settles_within(LEASE_MS + 4 * BEAT_MS)
    assert {world.owners(site)[0] for site in SITES} == set(names)


def test_a_killed_ones_sites_are_taken_over_within_the_lease_and_a_few_beats():
    world = World(2, "abc")
    world.settles_within(60_000)
    world.kill("b")
    world.settles_within(LEASE_MS + 3 * BEAT_MS)


def test_one_that_joins_gets_its_share_and_the_others_keep_theirs():
    world = World(3, "ab")
    world.settles_within(60_000)
    before = {site: world.owners(site) for site in SITES}
    world.start("c")
    world.run(20_000)
    assert world.is_settled
    moved = [site for site in SITES if world.owners(site) != before[site]]
    assert all(world.owners(site) == ["c"] for site in moved)


def test_one_that_starts_again_under_its_name_has_them_back():
    world = World(4, "ab")
    world.settles_within(60_000)
    world.kill("a")
    world.run(500)
    world.start("a")
    world.settles_within(2 * LEASE_MS + 4 * BEAT_MS)


@pytest.mark.parametrize("pause_ms", [500, 2_900, 3_100, 4_100, 9_000])
def test_a_pause_of_any_length_makes_no_second_owner(pause_ms):
    world = World(5, "abc")
    world.settles_within(60_000)
    for name in "abc":
        world.pause(name, pause_ms)
        world.run(pause_ms + 700)
    world.settles_within(3 * LEASE_MS)


def test_one_that_hears_nothing_takes_nobody_for_dead():
    world = World(6, "abc")
    world.settles_within(60_000)
    before = {site: world.owners(site) for site in SITES}
    world.stall("a")
    world.run(30_000)
    assert {site: world.owners(site) for site in SITES} == before
    world.resume("a")
    world.run(1_000)
    world.settles_within(3 * LEASE_MS)


def test_one_whose_beats_are_not_taken_lets_go_by_itself():
    world = World(7, "a")
    world.settles_within(60_000)
    world.loss = 1.0
    world.run(LEASE_MS)
    assert not any(world.owners(site) for site in SITES)
    world.loss = 0.0
    world.settles_within(2 * LEASE_MS)


def test_a_record_that_was_not_freed_is_freed_all_the_same():
    world = World(8, "ab")
    world.settles_within(60_000)
    site = sorted(SITES)[0]
    living = frozenset("ab")
    other = next(name for name in "ab" if name != owner_of(site, living))
    epoch = world.records[site].epoch + 1
    world.store(SiteOwned(site=site, owner=other, epoch=epoch))
    world.run(500)
    world.settles_within(5 * BEAT_MS)


def test_a_claim_that_somebody_else_won_is_not_made_again_at_once():
    policy = Policy(instance="a", sites=frozenset({"s"}), beat_ms=BEAT_MS, lease_ms=LEASE_MS)
    state = State(
        begun_mono_ms=0, beaten_mono_ms=5_000, seen_to_mono_ms=5_000, claiming=frozenset("s")
    )
    state = state.but(beating=True)
    state, effects = decide(policy, state, ClaimEnded(mono_ms=5_000, site="s", epoch=None))
    assert effects == []
    _, effects = decide(policy, state, Tick(mono_ms=6_000))
    assert [type(effect) for effect in effects] == [Claim]


def test_a_site_that_has_no_csms_any_more_is_let_go():
    policy = Policy(instance="a", sites=frozenset(), beat_ms=BEAT_MS, lease_ms=LEASE_MS)
    state = State(begun_mono_ms=0, beaten_mono_ms=5_000, seen_to_mono_ms=5_000, held={"s": 1})
    state, effects = decide(policy, state.but(beating=True), Tick(mono_ms=5_100))
    assert [type(effect) for effect in effects] == [Drop]
    state, effects = decide(policy, state, LetGo(mono_ms=5_200, site="s"))
    assert (dict(state.held), state.leaving, effects) == ({}, frozenset(), [])


def misfortune(world: World) -> None:
    rng = world.rng
    name = rng.choice("abc")
    match rng.randrange(6):
        case 0 if world.named(name).lives:
            world.kill(name)
        case 1 if not world.named(name).lives:
            world.start(name)
        case 2:
            world.pause(name, rng.randrange(9_000))
        case 3:
            world.stall(name)
        case 4:
            for one in list(world.stalled):
                world.resume(one)
        case _:
            world.loss = rng.choice([0.0, 0.0, 0.2, 0.6])


@pytest.mark.parametrize("seed", range(40))
def test_whatever_happens_there_are_never_two_and_in_the_end_one(seed):
    world = World(seed, "abc", late_ms=random.Random(seed).choice([10, 300, 1_500]))
    for _ in range(25):
        world.run(world.rng.randrange(3_000))
        misfortune(world)
    world.loss = 0.0
    for one in list(world.stalled):
        world.resume(one)
    for name in "abc":
        if not world.named(name).lives:
            world.start(name)
    world.late_ms = 20
    world.run(12_000)  # pauses and what is still on its way
    world.settles_within(3 * LEASE_MS + 6 * BEAT_MS)
    world.run(20_000)
    assert world.is_settled
