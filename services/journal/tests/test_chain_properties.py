"""Goal: the site's chain is a function of its stored stream alone, whatever the crash points, and what the
service owes the journal is written exactly once.

Method: a stream in memory; the pure core reads it, its effects append to it, and it is killed and restarted
from any earlier place.
"""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from holdfast import chain as hashes
from holdfast.contracts.journal import StorageLevel
from journal.domain import budget, chain
from journal.domain.statement import Statement, Stored

SITE, LIFE = "berlin01", "aaaaaaaa"
POLICY = chain.Policy(every_ms=60_000, every_entries=5)


def stored(seq: int, what: chain.What) -> Stored:
    return Stored(
        seq=seq,
        subject="hf.berlin01.journal.x",
        id=f"id-{seq}",
        data=repr(what).encode(),
        at_ms=seq,
    )


class Journal:
    """A stored stream, and the service reading it."""

    def __init__(self) -> None:
        self.stream: list[tuple[int, chain.What]] = []
        self.state = chain.begin(SITE, LIFE)
        self.marks: list[chain.Mark] = []
        self.now_ms = 0

    def append(self, what: chain.What, *, skip: int = 0) -> None:
        last = self.stream[-1][0] if self.stream else 0
        self.stream.append((last + 1 + skip, what))

    def read(self) -> None:
        for seq, what in self.stream:
            if seq > self.state.seq:
                self._take(chain.Read(stored(seq, what), what, self.now_ms))

    def tick(self, after_ms: int) -> None:
        self.now_ms += after_ms
        self.read()
        self._take(chain.Ticked(self.now_ms))

    def restart(self, kept: chain.State | None = None) -> None:
        self.state = kept or chain.begin(SITE, LIFE)

    def _take(self, event: chain.Event) -> None:
        self.state, effects = chain.decide(POLICY, self.state, event)
        for effect in effects:
            match effect:
                case chain.WriteCheckpoint(statement=statement):
                    self.append(chain.OwnCheckpoint(statement, statement.hash))
                case chain.Write(owed=owed):
                    self.append(chain.Settled(owed))
                case chain.Mark():
                    self.marks.append(effect)

    def true_hash(self) -> bytes:
        digest = hashes.genesis(SITE, LIFE)
        for seq, what in self.stream:
            one = stored(seq, what)
            digest = hashes.link(digest, seq, one.subject, one.id, one.data)
        return digest

    def count(self, kind: type[chain.What]) -> int:
        return sum(isinstance(what, kind) for _, what in self.stream)


Step = tuple[str, int]
steps = st.lists(
    st.tuples(
        st.sampled_from(["fact", "unreadable", "hole", "tick", "restart"]), st.integers(1, 70)
    ),
    max_size=40,
)


@given(steps)
def test_the_chain_is_the_same_whatever_the_crash_points(script: list[Step]) -> None:
    journal = Journal()
    kept: list[chain.State] = []
    unreadable = holes = 0
    for kind, amount in script:
        match kind:
            case "fact":
                journal.append(chain.Ordinary())
            case "unreadable":
                journal.append(chain.Quarantine(journal.stream[-1][0] + 1 if journal.stream else 1))
                unreadable += 1
            case "hole":
                journal.append(chain.Ordinary(), skip=amount % 3 + 1)
                holes += 1
            case "tick":
                journal.tick(amount * 1_000)
                if not journal.state.owed:
                    kept.append(journal.state)
            case "restart":
                journal.restart(kept[amount % len(kept)] if kept else None)
    for _ in range(3):
        journal.tick(1_000)
    journal.read()
    assert journal.state.hash == journal.true_hash()
    assert journal.state.owed == ()
    assert journal.count(chain.Settled) == unreadable + holes, "each named exactly once"


@given(st.integers(1, 40))
def test_an_idle_journal_gets_one_checkpoint_and_no_more(facts: int) -> None:
    journal = Journal()
    for _ in range(facts):
        journal.append(chain.Ordinary())
    for _ in range(50):
        journal.tick(60_000)
    assert journal.count(chain.OwnCheckpoint) == 1
    assert journal.marks == [
        chain.Mark(Statement(facts, journal.marks[0].statement.hash), facts + 1)
    ]


def test_a_checkpoint_is_due_by_entries_before_it_is_due_by_time() -> None:
    journal = Journal()
    for _ in range(4):
        journal.append(chain.Ordinary())
    journal.tick(10)
    assert journal.count(chain.OwnCheckpoint) == 0
    journal.append(chain.Ordinary())
    journal.tick(10)
    assert journal.count(chain.OwnCheckpoint) == 1


def test_a_stream_that_no_longer_meets_its_own_checkpoint_is_named_altered() -> None:
    journal = Journal()
    journal.append(chain.Ordinary())
    journal.append(chain.OwnCheckpoint(Statement(1, b"0" * 32), own=b"1" * 32))
    journal.tick(0)
    journal.read()
    assert journal.stream[-1][1] == chain.Settled(chain.Damage("altered", 1, 1))
    assert journal.marks == [], "no place to trim to"


def test_what_is_owed_beyond_the_bound_is_told_as_unnamed_and_still_chained() -> None:
    owed = tuple(chain.Quarantine(seq) for seq in range(1, chain.OWED_MAX + 1))
    full = replace(chain.begin(SITE, LIFE), seq=chain.OWED_MAX, owed=owed)
    seq = chain.OWED_MAX + 3  # a hole of two before an unreadable message
    unreadable = chain.Quarantine(seq, "no envelope")
    after, effects = chain.decide(POLICY, full, chain.Read(stored(seq, unreadable), unreadable, 0))
    assert effects == [
        chain.Unnamed(chain.Damage("missing", seq - 2, seq - 1)),
        chain.Unnamed(unreadable),
    ]
    assert (after.seq, after.owed) == (seq, owed)
    statement = Statement(seq, b"0" * 32)
    own = chain.OwnCheckpoint(statement, own=b"1" * 32)
    _, effects = chain.decide(POLICY, after, chain.Read(stored(seq + 1, own), own, 0))
    assert effects == [chain.Unnamed(chain.Damage("altered", 1, seq))]


# --- the storage budget ---


@given(st.lists(st.integers(0, 1_100), max_size=50), st.floats(0.1, 0.95))
def test_the_storage_level_gets_worse_at_once_and_never_flaps_at_an_edge(
    sizes: list[int], soft: float
) -> None:
    level = StorageLevel.OK
    order = [StorageLevel.OK, StorageLevel.SOFT, StorageLevel.HARD]
    for size in sizes:
        fresh = budget.level(soft, StorageLevel.OK, budget.Measured(size, 1_000, False))
        level = budget.level(soft, level, budget.Measured(size, 1_000, False))
        assert order.index(level) >= order.index(fresh)
        again = budget.level(soft, level, budget.Measured(size, 1_000, False))
        assert again is level


def test_a_refused_append_is_the_hard_level_whatever_the_bytes_say() -> None:
    measured = budget.Measured(0, 1_000, refused=True)
    assert budget.level(0.8, StorageLevel.OK, measured) is StorageLevel.HARD


@given(
    watermark=st.integers(0, 9_000),
    floor=st.none() | st.integers(0, 9_000),
    kept_from_ms=st.integers(0, 9_000),
    first_seq=st.integers(1, 3_000),
)
def test_trimming_never_passes_watermark_folds_or_retention(
    watermark: int, floor: int | None, kept_from_ms: int, first_seq: int
) -> None:
    marks = [budget.Mark(seq, b"h", at_ms=seq) for seq in range(500, 9_000, 500)]
    bound = budget.trim_bound(
        marks, watermark=watermark, fold_floor=floor, kept_from_ms=kept_from_ms, first_seq=first_seq
    )
    if bound is None:
        return
    assert bound.seq <= watermark
    assert floor is None or bound.seq <= floor
    assert bound.at_ms < kept_from_ms
    assert bound.seq - first_seq + 1 >= budget.TRIM_ENTRIES_MIN


def test_damage_is_owed_once_however_often_it_is_read() -> None:
    state = chain.begin(SITE, LIFE)
    read = chain.Read(stored(3, chain.Ordinary()), chain.Ordinary(), 0)
    state, _ = chain.decide(POLICY, state, read)
    again, effects = chain.decide(POLICY, state, read)
    assert again == state
    assert effects == []
    assert state.owed == (chain.Damage("missing", 1, 2),)
    assert replace(state, owed=()).seq == 3
