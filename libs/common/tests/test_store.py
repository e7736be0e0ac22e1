"""Goal: a snapshot is durable, is of one incarnation and one fold version, and the newest wins."""

from pathlib import Path

from sqlalchemy import text

from holdfast.store import Snapshots, open_store, sqlite_url


def test_the_newest_snapshot_comes_back_after_a_restart(tmp_path: Path):
    url = sqlite_url(tmp_path / "made on demand", "journal")
    snapshots = Snapshots(open_store(url))
    assert snapshots.load("chain", "k3v9x2ab", 1) is None
    snapshots.save("chain", "k3v9x2ab", 1, 10, b"ten")
    snapshots.save("chain", "k3v9x2ab", 1, 20, b"twenty")
    snapshots.save("sessions", "k3v9x2ab", 1, 5, b"five")
    reopened = Snapshots(open_store(url))
    assert reopened.load("chain", "k3v9x2ab", 1) == (20, b"twenty")
    assert reopened.load("sessions", "k3v9x2ab", 1) == (5, b"five")


def test_a_snapshot_of_another_life_or_version_is_not_used(tmp_path: Path):
    snapshots = Snapshots(open_store(sqlite_url(tmp_path, "journal")))
    snapshots.save("chain", "k3v9x2ab", 1, 10, b"ten")
    assert snapshots.load("chain", "another0", 1) is None
    assert snapshots.load("chain", "k3v9x2ab", 2) is None
    snapshots.save("chain", "another0", 2, 3, b"three")
    assert snapshots.load("chain", "another0", 2) == (3, b"three")
    assert snapshots.load("chain", "k3v9x2ab", 1) is None


def test_a_commit_is_on_disk_before_it_returns(tmp_path: Path):
    with open_store(sqlite_url(tmp_path, "x")).connect() as connection:
        assert connection.execute(text("PRAGMA synchronous")).scalar() == 2  # FULL
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
