"""Goal: the chain tells any change of the journal, and two implementations can agree on it."""

from hashlib import sha256

from hypothesis import assume, given
from hypothesis import strategies as st

from holdfast import chain

ENTRIES = st.lists(
    st.tuples(st.text(max_size=8), st.text(max_size=8), st.binary(max_size=16)),
    min_size=1,
    max_size=12,
)
GENESIS = chain.genesis("berlin01", "k3v9x2ab")


def fold(entries: list[tuple[str, str, bytes]]) -> bytes:
    digest = GENESIS
    for seq, (subject, message_id, data) in enumerate(entries, 1):
        digest = chain.link(digest, seq, subject, message_id, data)
    return digest


@given(ENTRIES, ENTRIES)
def test_two_histories_have_one_hash_only_when_they_are_the_same(
    one: list[tuple[str, str, bytes]], other: list[tuple[str, str, bytes]]
):
    assert (fold(one) == fold(other)) == (one == other)


@given(ENTRIES, st.data())
def test_no_byte_can_move_between_subject_id_and_data(
    entries: list[tuple[str, str, bytes]], data: st.DataObject
):
    at = data.draw(st.integers(0, len(entries) - 1))
    subject, message_id, payload = entries[at]
    assume(subject)
    moved = (subject[:-1], subject[-1] + message_id, payload)
    assert fold([*entries[:at], moved, *entries[at + 1 :]]) != fold(entries)


def test_each_life_of_a_disk_begins_its_own_chain():
    begins = {
        chain.genesis(*life)
        for life in (("a", "bc"), ("ab", "c"), ("a", "b"), ("berlin01", "k3v9x2ab"))
    }
    assert len(begins) == 4


def test_the_definition_stands_as_written():
    """Worked by hand from the words of the module, so that a verifier elsewhere can do the same."""

    def counted(data: bytes) -> bytes:
        return len(data).to_bytes(8, "big") + data

    genesis = sha256(b"holdfast" + counted(b"berlin01") + counted(b"k3v9x2ab")).digest()
    assert genesis == GENESIS
    expected = sha256(
        genesis + (1).to_bytes(8, "big") + counted(b"hf.a") + counted(b"id") + counted(b"{}")
    ).digest()
    assert chain.link(genesis, 1, "hf.a", "id", b"{}") == expected


def test_a_statement_is_of_one_life_one_position_one_hash():
    statements = {
        chain.statement(site, incarnation, seq, digest)
        for site in ("a", "b")
        for incarnation in ("x", "y")
        for seq in (1, 2)
        for digest in (b"0" * 32, b"1" * 32)
    }
    assert len(statements) == 16
