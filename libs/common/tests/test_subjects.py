"""Goal: whatever a charge point calls itself, its subjects stay well formed and tell it from every other."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast import subjects

IDENTITIES = st.text(min_size=1).filter(
    lambda text: len(text.encode("utf-8", "surrogatepass")) <= subjects.IDENTITY_BYTES_MAX
)
TOKEN = re.compile(r"^[A-Za-z0-9_%-]+$")


@given(IDENTITIES)
def test_an_identity_comes_back_out_of_its_token(identity: str):
    assert subjects.identity(subjects.token(identity)) == identity


@given(IDENTITIES)
def test_a_token_has_no_character_that_means_something_to_nats(identity: str):
    assert TOKEN.match(subjects.token(identity))


@given(IDENTITIES, IDENTITIES)
def test_two_identities_never_share_a_token(one: str, other: str):
    assert (subjects.token(one) == subjects.token(other)) == (one == other)


@given(st.text(alphabet=" .*>%äÿ\r\n\x00\ud800", min_size=1, max_size=20))
def test_what_would_break_the_protocol_is_escaped(identity: str):
    subject = subjects.journal("berlin01", "session", "started", identity)
    assert len(subject.split(".")) == 6
    assert not set(subject) & set(" *>\r\n\x00")
    assert subjects.identity(subject.rpartition(".")[2]) == identity


@pytest.mark.parametrize("identity", ["", "x" * 256, "ä" * 128])
def test_an_identity_that_is_empty_or_too_long_is_refused(identity: str):
    with pytest.raises(subjects.SubjectError):
        subjects.token(identity)


@pytest.mark.parametrize("site", ["berlin01", "a", "a-b", "0" * 32])
def test_a_sites_name_is_short_and_plain(site: str):
    assert subjects.check_site(site) == site


@pytest.mark.parametrize(
    "site", ["", "Berlin", "a.b", "a_b", "-a", "a-", "x" * 33, "cloud", "retired", "a b", "a\n"]
)
def test_other_names_are_refused(site: str):
    with pytest.raises(subjects.SubjectError):
        subjects.check_site(site)


def test_a_stream_tells_its_kind_site_and_incarnation():
    for kind, name in (
        ("JOURNAL", subjects.journal_stream("berlin-01", "k3v9x2ab")),
        ("TELEMETRY", subjects.telemetry_stream("berlin-01", "k3v9x2ab")),
    ):
        assert subjects.parse_stream(name) == (kind, "berlin-01", "k3v9x2ab")
    for other in (subjects.DOWNLINK, subjects.CLOUD_JOURNAL, "JOURNAL_x", "X_y_z", ""):
        assert subjects.parse_stream(other) is None


def test_the_deliver_subject_of_a_copy_carries_the_incarnation():
    first, second = (subjects.journal_stream("berlin01", one) for one in ("aaaaaaaa", "bbbbbbbb"))
    assert subjects.up_deliver("berlin01", first) != subjects.up_deliver("berlin01", second)


@given(IDENTITIES)
def test_a_republished_subject_keeps_its_topic_and_gains_its_site(identity: str):
    own = subjects.journal("berlin01", "session", "started", identity)
    republished = subjects.cloud_journal("berlin01", own)
    assert republished.removeprefix("hf.cloud.journal.berlin01.") == own.removeprefix(
        "hf.berlin01.journal."
    )
    assert subjects.site_of(own) == subjects.site_of(republished) == "berlin01"


def test_nobody_republishes_for_another_site():
    with pytest.raises(subjects.SubjectError):
        subjects.cloud_journal("berlin01", subjects.journal("munich01", "mode", "changed"))


def test_what_is_no_subject_of_ours_speaks_for_no_site():
    for subject in ("", "sync.up.berlin01.X", "hf"):
        with pytest.raises(subjects.SubjectError):
            subjects.site_of(subject)
