"""What checkers look at, as plain data: what was written, acknowledged, archived, published, executed.

Taken from outside the services: from the simulated disks, the archive's tables and the charge points' ledgers.
"""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from holdfast.bus import Message
from holdfast.contracts.csms import OpenDelivery
from holdfast.contracts.envelope import Envelope, Fact
from holdfast.contracts.journal import Gap, GapCause
from simulation.charge_point import Acknowledged, Executed, Refused, Session
from simulation.csms import Ledger


@dataclass(frozen=True)
class Written:
    """An entry at its place in one life of the site's journal."""

    incarnation: str
    seq: int
    subject: str
    id: str
    data: bytes

    @property
    def place(self) -> tuple[str, int]:
        return self.incarnation, self.seq

    @functools.cached_property
    def envelope(self) -> Envelope:
        return Envelope.from_bytes(self.data)

    @functools.cached_property
    def fact(self) -> Fact:
        return self.envelope.fact()


@dataclass(frozen=True)
class CalledFinished:
    """How far the cloud was at the moment a recovery was called finished."""

    incarnation: str
    seq: int
    """Of the fact that says so."""
    archived_seq: int
    """Verified and committed."""
    folded_seq: int
    """In the cloud's sessions."""


@dataclass(frozen=True)
class Ledgered:
    """A session as its charge point's meter saw it."""

    charge_point: str
    session: Session


@dataclass(frozen=True, kw_only=True)
class Evidence:
    site: str
    site_key: str
    """Public, hex."""
    written: tuple[Written, ...] = ()
    """All that the site's disk ever took, in order."""
    archive: tuple[Written, ...] = ()
    incarnations: tuple[str, ...] = ()
    """As the cloud found them, oldest first."""
    published: tuple[Written, ...] = ()
    """CLOUD_JOURNAL, in its order."""
    gaps: tuple[Gap, ...] = ()
    acknowledged: tuple[Acknowledged, ...] = ()
    refused: tuple[Refused, ...] = ()
    accepted: tuple[str, ...] = ()
    """Commands that the cloud gave a receipt for."""
    executed: tuple[Executed, ...] = ()
    sessions: tuple[Ledgered, ...] = ()
    called_finished: tuple[CalledFinished, ...] = ()
    clock_stepped: bool = False
    """The site's wall clock was stepped: what was in time by it may not look so afterwards."""
    clocks_apart: bool = False
    """One of the two wall clocks was stepped: which came first can't be told by them."""
    csms: Ledger | None = None
    """None: the site had no CSMS."""
    open_deliveries: tuple[OpenDelivery, ...] = ()
    """What the bridge names as open at it."""
    good_rules: frozenset[str] = frozenset()
    """Hashes of the bundles that somebody who may has signed for this site."""

    def in_gap(self, incarnation: str, seq: int) -> bool:
        """A named gap covers this place."""
        return any(
            gap.incarnation == incarnation
            and gap.from_seq <= seq
            and (gap.to_seq is None or seq <= gap.to_seq)
            for gap in self.gaps
        )

    def is_excused(self, incarnation: str, seq: int) -> bool:
        """Its loss has a name; or its whole life was over before a pulse could tell the cloud of it."""
        unheard_of = incarnation not in self.incarnations and incarnation != self.lives()[-1]
        return unheard_of or self.in_gap(incarnation, seq)

    def lives(self) -> list[str]:
        """Incarnations in the order in which the site lived them."""
        return list(dict.fromkeys(entry.incarnation for entry in self.written))


def archived(
    database: Path, site: str
) -> tuple[tuple[Written, ...], tuple[str, ...], tuple[Gap, ...]]:
    """Entries, incarnations and gaps of the cloud's archive; nothing when there is none yet."""
    if not database.exists():
        return (), (), ()
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as store:
        incarnations = tuple(
            name
            for (name,) in store.execute(
                "select incarnation from copy where site = ? order by ordinal", (site,)
            )
        )
        entries = tuple(
            Written(*row)
            for row in store.execute(
                "select incarnation, seq, subject, id, data from entry"
                " where site = ? and not excluded order by incarnation, seq",
                (site,),
            )
        )
        gaps = tuple(
            Gap(
                site=site,
                incarnation=incarnation,
                from_seq=first,
                to_seq=last,
                from_ms=from_ms,
                to_ms=to_ms,
                cause=GapCause(cause),
            )
            for incarnation, first, last, from_ms, to_ms, cause in store.execute(
                "select incarnation, from_seq, to_seq, from_ms, to_ms, cause from gap"
                " where site = ?",
                (site,),
            )
        )
    store.close()
    return entries, incarnations, gaps


def published(messages: Iterable[Message], site: str) -> tuple[Written, ...]:
    """What CLOUD_JOURNAL holds of a site, back in the site's own words."""
    cloud, own = f"hf.cloud.journal.{site}.", f"hf.{site}.journal."
    return tuple(
        Written(
            message.headers["Hf-Incarnation"],
            int(message.headers["Hf-Seq"]),
            own + message.subject.removeprefix(cloud),
            Envelope.from_bytes(message.data).id,
            message.data,
        )
        for message in messages
        if message.headers["Hf-Site"] == site
    )
