"""Goal: whatever is lost, repeated, cut or killed between a site's stream and the archive, the archive ends
as the site's journal, contiguous or with a named gap (I2), and its chain verifies (I10).

Method: a site's stream is chained and signed; a copy of it is delivered to the pure core with drops,
repeats, alterations and crashes at any effect (uncommitted work forgotten). Then the archive is compared.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast import chain
from holdfast.contracts.journal import GapCause
from journal.domain import copy
from journal.domain.statement import Statement, Stored

SITE, LIFE = "berlin01", "aaaaaaaa"


def stored(seq: int, text: str = "fact") -> Stored:
    return Stored(
        seq=seq,
        subject=f"hf.{SITE}.journal.mode.changed",
        id=f"id-{seq}-{text}",
        data=f"{text} {seq}".encode(),
        at_ms=1_000 + seq,
    )


def chained(entries: list[Stored]) -> dict[int, bytes]:
    """Sequence to hash, as the site computes it: over what its stream holds."""
    digest, hashes = chain.genesis(SITE, LIFE), {0: chain.genesis(SITE, LIFE)}
    for one in entries:
        digest = chain.link(digest, one.seq, one.subject, one.id, one.data)
        hashes[one.seq] = digest
    return hashes


class Crash(Exception):
    pass


@dataclass
class Archive:
    """What is committed: survives a crash."""

    state: copy.State = field(default_factory=lambda: copy.begin(SITE, LIFE))
    rows: dict[int, copy.Row] = field(default_factory=dict)
    gaps: list[copy.Name] = field(default_factory=list)
    unchained: set[int] = field(default_factory=set)
    excluded: set[int] = field(default_factory=set)

    def commit(self, state: copy.State, effects: list[copy.Effect]) -> None:
        for effect in effects:
            match effect:
                case copy.Keep(row=row):
                    assert row[0].seq not in self.rows, "kept twice"
                    self.rows[row[0].seq] = row
                case copy.Name():
                    self.gaps.append(effect)
                case copy.Replace(from_seq=first, rows=rows):
                    self.rows = {seq: row for seq, row in self.rows.items() if seq < first}
                    self.rows |= {row[0].seq: row for row in rows}
                case copy.Unchain(from_seq=first, to_seq=last):
                    self.unchained |= set(range(first, last + 1))
                case copy.Exclude(from_seq=first, to_seq=last):
                    self.excluded |= set(range(first, last + 1))
                    self.unchained |= set(range(first, last + 1))
                case _:
                    raise AssertionError(effect)
        self.state = copy.lasting(state)


@dataclass
class Reader:
    """The shell, without I/O: the same order of decide, perform, commit."""

    archive: Archive
    origin: dict[int, Stored]
    steps_left: int = 10**9
    """A crash comes after so many effects."""

    def __post_init__(self) -> None:
        self.state = self.archive.state
        self.pending: list[copy.Effect] = []

    def take(self, event: copy.Event) -> None:
        was = self.state
        self.state, effects = copy.decide(was, event)
        for effect in effects:
            self.perform(effect)
        if self.state.watermark != was.watermark or self.state.diverged != was.diverged:
            self.flush()

    def perform(self, effect: copy.Effect) -> None:
        self.steps_left -= 1
        if self.steps_left < 0:
            raise Crash
        match effect:
            case copy.Consult(statement=statement):
                self.consult(statement)
            case copy.Refetch(from_seq=first, to_seq=last, behind=behind):
                for seq in range(first, last + 1):
                    found = self.origin.get(seq)
                    self.take(copy.Arrived(found) if found else copy.Gone(seq))
                self.take(behind)
            case copy.FetchAgain(from_seq=first, statement=statement):
                self.flush()
                verified = self.archive.rows.get(first - 1)
                at_origin = self.origin.get(first - 1)
                self.take(
                    copy.FetchedAgain(
                        statement=statement,
                        entries=[
                            self.origin[seq]
                            for seq in range(first, statement.seq + 1)
                            if seq in self.origin
                        ],
                        later=self.held_after(statement.seq),
                        verified_differs=bool(verified and at_origin and verified[0] != at_origin),
                        from_ms=0,
                        to_ms=0,
                    )
                )
            case copy.ReadHeld(statement=statement):
                self.flush()
                self.take(copy.HeldAfter(statement, self.held_after(statement.seq)))
            case _:
                self.pending.append(effect)

    def held_after(self, seq: int) -> list[Stored]:
        return [row[0] for at, row in sorted(self.archive.rows.items()) if at > seq]

    def consult(self, statement: Statement) -> None:
        self.flush()
        own = None
        if statement.seq == self.state.watermark:
            own = self.state.watermark_hash
        elif statement.seq in self.archive.rows and statement.seq not in self.archive.unchained:
            own = self.archive.rows[statement.seq][1]
        self.take(copy.Stated(statement, own))

    def flush(self) -> None:
        self.archive.commit(self.state, self.pending)
        self.pending = []


def deliver(
    archive: Archive,
    origin: list[Stored],
    copied: list[Stored],
    heads: list[Statement],
    *,
    crashes: list[int] = [],  # noqa: B006  never changed
) -> None:
    """Deliver the copy with heads in between, crash at the given steps, begin again from the archive."""
    crashes = [*crashes]
    at_origin = {one.seq: one for one in origin}
    while True:
        reader = Reader(archive, at_origin, crashes.pop(0) if crashes else 10**9)
        try:
            pending_heads = sorted(heads, key=lambda one: one.seq)
            for index, one in enumerate(copied):
                reader.take(copy.Arrived(one))
                while pending_heads and index % 3 == 0:
                    reader.consult(pending_heads.pop(0))
            for head in pending_heads:
                reader.consult(head)
            reader.flush()
        except Crash:
            continue
        return


@st.composite
def journeys(draw: st.DrawFn) -> tuple[list[Stored], list[Stored], list[int]]:
    """A site's stream (perhaps with holes of its own), a copy of it with drops and repeats, and crashes."""
    length = draw(st.integers(1, 30))
    missing = draw(st.sets(st.integers(2, length), max_size=4)) if length > 2 else set()
    missing.discard(length)
    origin = [stored(seq) for seq in range(1, length + 1) if seq not in missing]
    dropped = draw(st.sets(st.sampled_from([one.seq for one in origin[:-1]] or [0]), max_size=10))
    copied = []
    for one in origin:
        if one.seq not in dropped:
            copied += [one] * draw(st.integers(1, 2))
    crashes = draw(st.lists(st.integers(0, 40), max_size=4))
    return origin, copied, crashes


@given(journeys())
def test_the_archive_is_the_journal_whatever_is_dropped_repeated_or_killed(
    journey: tuple[list[Stored], list[Stored], list[int]],
) -> None:
    origin, copied, crashes = journey
    hashes = chained(origin)
    heads = [Statement(one.seq, hashes[one.seq]) for one in origin[:: max(1, len(origin) // 3)]]
    heads.append(Statement(origin[-1].seq, hashes[origin[-1].seq]))
    archive = Archive()
    deliver(archive, origin, copied, heads, crashes=crashes)

    assert {seq: row[0] for seq, row in archive.rows.items()} == {one.seq: one for one in origin}
    named = {seq for gap in archive.gaps for seq in range(gap.from_seq, gap.to_seq + 1)}
    assert named | set(archive.rows) == set(range(1, origin[-1].seq + 1))
    assert not named & set(archive.rows)
    assert all(gap.cause is GapCause.NOT_AT_ORIGIN for gap in archive.gaps)
    assert archive.state.watermark == origin[-1].seq
    assert archive.state.intact is not bool(named)
    assert {seq: row[1] for seq, row in archive.rows.items()} == {
        one.seq: hashes[one.seq] for one in origin
    }


@given(st.integers(2, 20), st.data())
def test_what_is_altered_on_the_way_is_read_again_from_the_origin(
    length: int, data: st.DataObject
) -> None:
    origin = [stored(seq) for seq in range(1, length + 1)]
    hashes = chained(origin)
    bad = data.draw(st.integers(1, length))
    copied = [replace(one, data=b"forged") if one.seq == bad else one for one in origin]
    head = Statement(length, hashes[length])
    archive = Archive()
    deliver(archive, origin, copied, [head])
    assert [archive.rows[seq][0] for seq in sorted(archive.rows)] == origin
    assert archive.state.watermark == length
    assert not archive.gaps
    assert archive.state.intact


def tampered(kind: str, origin: list[Stored], at: int) -> list[Stored]:
    """The site's own stream after somebody changed it at `at`, before anyone copied it."""
    before, after = origin[: at - 1], origin[at - 1 :]
    match kind:
        case "edit":
            return [*before, replace(after[0], data=b"forged"), *after[1:]]
        case "swap":
            a, b = after[0], after[1]
            return [*before, replace(b, seq=a.seq), replace(a, seq=b.seq), *after[2:]]
        case "insert":
            moved = [replace(one, seq=one.seq + 1) for one in after]
            return [*before, stored(at, "inserted"), *moved]
        case "delete":
            return [*before, *after[1:]]
    raise AssertionError(kind)


@given(
    st.sampled_from(["edit", "swap", "insert", "delete"]),
    st.integers(4, 20),
    st.data(),
)
@settings(max_examples=200)
def test_a_change_of_the_sites_own_stream_is_located_between_two_statements(
    kind: str, length: int, data: st.DataObject
) -> None:
    true = [stored(seq) for seq in range(1, length + 1)]
    hashes = chained(true)
    bad = data.draw(st.integers(2, length - 1))
    changed = tampered(kind, true, bad)
    before, after = Statement(bad - 1, hashes[bad - 1]), Statement(length, hashes[length])
    archive = Archive()
    deliver(archive, changed, changed, [before, after])
    assert len(archive.gaps) >= 1
    first = min(gap.from_seq for gap in archive.gaps)
    assert first == bad, "the first bad entry follows the last statement that was met"
    assert not archive.state.intact
    assert archive.state.watermark >= bad - 1
    if kind == "delete":
        assert archive.gaps[0].cause is GapCause.NOT_AT_ORIGIN
    else:
        assert any(gap.cause is GapCause.ALTERED for gap in archive.gaps)
        assert set(range(bad, length + 1)) <= archive.excluded
    published = {seq for seq in archive.rows if seq not in archive.excluded}
    assert all(archive.rows[seq][0] == true[seq - 1] for seq in published if seq <= length)


@given(st.integers(3, 15), st.data())
def test_another_history_than_the_verified_one_is_a_fork_and_nothing_more_is_taken(
    length: int, data: st.DataObject
) -> None:
    true = [stored(seq) for seq in range(1, length + 1)]
    archive = Archive()
    deliver(archive, true, true, [Statement(length, chained(true)[length])])
    back_to = data.draw(st.integers(1, length - 1))
    other = true[:back_to] + [stored(seq, "other") for seq in range(back_to + 1, length + 5)]
    hashes = chained(other)
    deliver(archive, other, other, [Statement(length + 4, hashes[length + 4])])
    assert archive.state.diverged
    assert archive.state.watermark == length
    assert [archive.rows[seq][0] for seq in range(1, length + 1)] == true


@given(st.integers(2, 12), st.integers(1, 12))
def test_an_archive_that_begins_behind_a_trimmed_part_verifies_from_the_anchor(
    trimmed: int, more: int
) -> None:
    """The anchor (n, h(n)) stands in the stream behind what is gone."""
    everything = [stored(seq) for seq in range(1, trimmed + more + 1)]
    hashes = chained(everything)
    anchor = Statement(trimmed, hashes[trimmed])
    held = everything[trimmed:]
    archive = Archive()
    reader = Reader(archive, {one.seq: one for one in held})
    for one in held[:-1]:
        reader.take(copy.Arrived(one))
    reader.take(copy.Arrived(held[-1], anchor))
    last = held[-1].seq
    reader.consult(Statement(last, hashes[last]))
    reader.flush()
    assert [(gap.from_seq, gap.to_seq) for gap in archive.gaps] == [(1, trimmed)]
    assert archive.state.watermark == last
    assert {seq: row[1] for seq, row in archive.rows.items()} == {
        one.seq: hashes[one.seq] for one in held
    }
