"""I11: once all is settled, the CSMS's ledger of transactions is the charge points' ledgers (I1 and I3, one hop on).

Each acknowledged start is exactly one transaction, with its meter values in their order under its id, and its
stop; none is missing and nothing is there that no charge point sent. Payloads are compared as the text they are, but
for the transaction id. On the way there: one CALL at a time per connection, one connection at a time per charge
point, an answer to each CALL of the CSMS, and no yes to one that nobody kept.

Excused is what the archive lacks (I1 asks whether a named gap covers it), and what the bridge names itself: a
message in quarantine, a start that may have been taken twice.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from holdfast.contracts.csms import Trouble
from holdfast.contracts.session import SessionMetered, SessionStarted, SessionStopped
from simulation.charge_point import Acknowledged
from simulation.csms import Asked, Ledger, Said, Transaction
from simulation.evidence import Evidence, Written

OfSession = SessionStarted | SessionMetered | SessionStopped
Call = tuple[str, str]
"""(action, payload)"""
EVENT = "TransactionEvent"
KEPT_BY_COMMAND = ("RemoteStartTransaction", "RemoteStopTransaction", "ClearCache", "Reset")


@dataclass(slots=True)
class Session:
    """As its charge point was acknowledged it."""

    charge_point: str
    local_id: int | str
    start: Acknowledged | None = None
    rest: list[Acknowledged] = field(default_factory=list)
    """Meter values and the stop."""

    def at_csms(self, said: Acknowledged, csms_id: int) -> Call:
        """The same call, under the id that the CSMS gave."""
        own, theirs = (f'"transactionId": {id}' for id in (self.local_id, csms_id))
        return said.action, said.payload.replace(own, theirs)

    def __str__(self) -> str:
        return f"session {self.charge_point}/{self.local_id}"


def check(evidence: Evidence) -> list[str]:
    csms = evidence.csms
    if csms is None:
        return []
    delivered = _Delivered(evidence)
    sessions = _sessions(evidence.acknowledged)
    found = []
    for session in sessions:
        found += _compare(session, csms, delivered)
    return [
        *found,
        *_invented(csms, sessions),
        *_events(evidence, csms, delivered),
        *csms.overlapping,
        *csms.doubled,
        *_unanswered(csms.asked),
        *_promised(evidence, csms.asked),
    ]


class _Delivered:
    """What the bridge had to deliver: what is archived of a session. And what it names as not delivered."""

    def __init__(self, evidence: Evidence) -> None:
        self._lives = len(evidence.lives())
        self._open = evidence.open_deliveries
        self._written = _facts(evidence.written)
        self._archived = _facts(evidence.archive)

    def is_due(self, said: Acknowledged) -> bool:
        """A message that only another life of the disk could match is not the CSMS's to have."""
        key = (said.charge_point, said.action, said.payload)
        if key in self._archived:
            return True
        matched = key in self._written  # then it is lost with a disk: I1
        return not matched and self._lives == 1

    def quarantined(self, charge_point: str, transaction: int | str) -> int:
        """So many of its messages are named: the first of them by its place, the others counted."""
        return sum(
            one.messages
            for one in self._open
            if one.trouble is Trouble.QUARANTINED
            and (one.charge_point, one.transaction) == (charge_point, transaction)
        )

    def is_named_double(self, session: Session) -> bool:
        return any(
            one.trouble is Trouble.DOUBLE_START
            and (one.charge_point, one.transaction) == (session.charge_point, session.local_id)
            for one in self._open
        )

    def lives_of(self, said: Acknowledged) -> int:
        """In how many lives of the disk it is recorded: each tells the CSMS of it."""
        return len(self._archived.get((said.charge_point, said.action, said.payload), ()))


def _sessions(acknowledged: Iterable[Acknowledged]) -> list[Session]:
    found: dict[tuple[str, int | str], Session] = {}
    for said in acknowledged:
        if said.action == EVENT:
            continue
        assert said.transaction_id is not None
        key = (said.charge_point, said.transaction_id)
        session = found.setdefault(key, Session(*key))
        if said.action == "StartTransaction":
            session.start = said
        else:
            session.rest.append(said)
    return list(found.values())


def _facts(entries: Iterable[Written]) -> dict[tuple[str, str, str], list[Written]]:
    found: dict[tuple[str, str, str], list[Written]] = defaultdict(list)
    for entry in entries:
        fact = entry.fact
        if isinstance(fact, OfSession):
            found[fact.charge_point, fact.action, fact.raw].append(entry)
    return found


# --- one session ---


def _compare(session: Session, csms: Ledger, delivered: _Delivered) -> list[str]:
    if session.start is None:
        return [f"{session} was acknowledged without a start"]
    theirs = _transactions(session.start, csms)
    if not theirs:
        due = [one for one in (session.start, *session.rest) if delivered.is_due(one)]
        if len(due) <= delivered.quarantined(session.charge_point, session.local_id):
            return []
        return [f"{session}: the CSMS has no transaction, and lacks {_told(due)}"]
    found = _doubles(session, theirs, delivered)
    fed = max(theirs, key=lambda one: (len(one.told), one.id))
    for empty in theirs:
        if empty is not fed and empty.told:
            found.append(f"{session} is told in parts, as transactions {empty.id} and {fed.id}")
    return found + _rest(session, fed, delivered)


def _transactions(start: Acknowledged, csms: Ledger) -> list[Transaction]:
    return [
        one
        for one in csms.transactions.values()
        if (one.start.charge_point, one.start.payload) == (start.charge_point, start.payload)
    ]


def _doubles(session: Session, theirs: list[Transaction], delivered: _Delivered) -> list[str]:
    assert session.start is not None
    excused = delivered.is_named_double(session) or delivered.lives_of(session.start) > 1
    if len(theirs) == 1 or excused:
        return []
    ids = ", ".join(str(one.id) for one in theirs)
    return [f"{session} is {len(theirs)} transactions at the CSMS: {ids}"]


def _rest(session: Session, theirs: Transaction, delivered: _Delivered) -> list[str]:
    told = _once((one.action, one.payload) for one in theirs.told)
    every = [session.at_csms(said, theirs.id) for said in session.rest]
    due = [call for said, call in zip(session.rest, every, strict=True) if delivered.is_due(said)]
    lacking = [call for call in due if call not in told]
    found = [
        f"{session}: the CSMS has {action} {payload}, which its charge point never sent"
        for action, payload in told
        if (action, payload) not in every
    ]
    if len(lacking) > delivered.quarantined(session.charge_point, session.local_id):
        found += [f"{session}: the CSMS lacks {action} {payload}" for action, payload in lacking]
    got = [call for call in told if call in due]
    wanted = [call for call in due if call in told]
    if got != wanted:
        found.append(f"{session}: the CSMS got {got} in another order than {wanted}")
    return found


def _once(calls: Iterable[Call]) -> list[Call]:
    """A repeat is allowed: at least once is what is promised."""
    return list(dict.fromkeys(calls))


def _told(due: list[Acknowledged]) -> str:
    return ", ".join(f"{said.action} {said.payload}" for said in due[:3])


# --- transactions of 2.x ---


def _events(evidence: Evidence, csms: Ledger, delivered: _Delivered) -> list[str]:
    """Each archived event is there as the text that it is, in the station's order; none that it never sent."""
    found: list[str] = []
    sent: dict[tuple[str, str], list[Acknowledged]] = defaultdict(list)
    for said in evidence.acknowledged:
        if said.action == EVENT:
            sent[said.charge_point, str(said.transaction_id)].append(said)
    for key, told in csms.events.items():
        strange = {one.payload for one in told} - {one.payload for one in sent[key]}
        found += [f"{key}: the CSMS has {one}, which its station never sent" for one in strange]
    for key, every in sent.items():
        due = [one.payload for one in every if delivered.is_due(one)]
        there = list(dict.fromkeys(one.payload for one in csms.events.get(key, [])))
        lacking = [one for one in due if one not in there]
        if len(lacking) > delivered.quarantined(*key):
            found += [f"{key}: the CSMS lacks {one}" for one in lacking]
        got, wanted = [one for one in there if one in due], [one for one in due if one in there]
        if got != wanted:
            found.append(f"{key}: the CSMS got {got} in another order than {wanted}")
    return found


# --- everything else ---


def _invented(csms: Ledger, sessions: list[Session]) -> list[str]:
    starts = {(one.start.charge_point, one.start.payload) for one in sessions if one.start}
    found = [
        f"transaction {one.id} of {one.start.charge_point} was begun by no charge point: "
        f"{one.start.payload}"
        for one in csms.transactions.values()
        if (one.start.charge_point, one.start.payload) not in starts
    ]
    return found + [f"{_named(stray)} is of no transaction of its own" for stray in csms.strays]


def _named(said: Said) -> str:
    return f"{said.action} {said.payload} of {said.charge_point}"


def _unanswered(every: list[Asked]) -> list[str]:
    return [
        f"{asked.action} of the CSMS to {asked.charge_point} got no answer"
        for asked in every
        if asked.is_overdue
    ]


def _promised(evidence: Evidence, every: list[Asked]) -> list[str]:
    """Each Accepted is one execution at the charge point."""
    executed = Counter((done.charge_point, done.action) for done in evidence.executed)
    accepted = Counter((asked.charge_point, asked.action) for asked in every if _is_accepted(asked))
    return [
        f"{count} times {action} was called Accepted to the CSMS, {executed[who, action]} were carried"
        f" out at {who}"
        for (who, action), count in accepted.items()
        if count > executed[who, action]
    ]


def _is_accepted(asked: Asked) -> bool:
    if asked.answer is None or asked.action not in KEPT_BY_COMMAND:
        return False
    frame = json.loads(asked.answer)
    return frame[0] == 3 and frame[2].get("status") == "Accepted"
