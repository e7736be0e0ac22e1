"""Sees every entry as the site's disk takes it, and how far the cloud is when a recovery is called finished."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from holdfast import subjects
from holdfast.contracts.command import CommandSettled
from holdfast.contracts.recovery import RecoveryFinished
from holdfast_testkit.sim_bus import SimBus
from holdfast_testkit.sim_server import Effect
from simulation.evidence import CalledFinished, Written
from simulation.provisioning import Provisioned

_FINISHED = f".journal.{RecoveryFinished.TYPE}"


class Witness:
    def __init__(self, site: SimBus, files: Provisioned) -> None:
        self._site = site
        self._archive = files.data_dir("cloud", "journal") / "archive.sqlite"
        self._sessions = files.data_dir("cloud", "reconciler") / "reconciler.sqlite"
        self.written: list[Written] = []
        self.called_finished: list[CalledFinished] = []
        self.ended: set[str] = set()
        """Commands that have their disposition."""
        self._places: set[tuple[str, int]] = set()

    @property
    def archive(self) -> Path:
        return self._archive

    def saw(self, effect: Effect) -> None:
        name = subjects.parse_stream(effect.stream)
        if effect.verb != "append" or name is None or name.kind != "JOURNAL":
            return
        message = self._site.disk.streams[effect.stream].messages[effect.seq]
        entry = Written(name.incarnation, message.seq, message.subject, message.id, message.data)
        if entry.place in self._places:
            return  # the same id again
        self._places.add(entry.place)
        self.written.append(entry)
        if entry.subject.endswith(_FINISHED):
            self.called_finished.append(self._finished(entry))
        elif isinstance(entry.fact, CommandSettled):
            self.ended.add(entry.fact.command.id)

    def _finished(self, entry: Written) -> CalledFinished:
        watermark = _number(
            self._archive, "select watermark from copy where incarnation = ?", entry.incarnation
        )
        folded = _number(
            self._sessions, "select seq from fold where incarnation = ?", entry.incarnation
        )
        return CalledFinished(entry.incarnation, entry.seq, watermark, folded)


def _number(database: Path, query: str, incarnation: str) -> int:
    if not database.exists():
        return 0
    store = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        row = store.execute(query, (incarnation,)).fetchone()
    except sqlite3.OperationalError:  # its tables are not made yet
        return 0
    finally:
        store.close()
    return int(row[0]) if row else 0
