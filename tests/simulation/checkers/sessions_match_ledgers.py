"""I3: per session, readings never fall, and energy is what the charge point's own meter says.

Folded here from the archive, by nothing but the facts: the first start and the first stop of a transaction.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from holdfast.contracts.session import SessionMetered, SessionStarted, SessionStopped
from simulation.evidence import Evidence, Ledgered


@dataclass(slots=True)
class Folded:
    meter_start_wh: int | None = None
    meter_stop_wh: int | None = None
    readings_wh: list[int] = field(default_factory=list)


def check(evidence: Evidence) -> list[str]:
    folded = _fold(evidence)
    found = []
    for (charge_point, transaction_id), session in folded.items():
        if session.readings_wh != sorted(session.readings_wh):
            told = f"session {charge_point}/{transaction_id}"
            found.append(f"{told}: readings fall: {session.readings_wh}")
    for ledgered in evidence.sessions:
        found += _compare(evidence, ledgered, folded)
    return found


def _compare(
    evidence: Evidence, ledgered: Ledgered, folded: dict[tuple[str, int | str], Folded]
) -> list[str]:
    session = ledgered.session
    if session.transaction_id is None or session.meter_stop_wh is None:
        return []
    told = f"session {ledgered.charge_point}/{session.transaction_id}"
    seen = folded.get((ledgered.charge_point, session.transaction_id))
    excused = len(evidence.lives()) > 1  # what a lost disk took with it, I1 looks after
    if seen is None:
        return [] if excused else [f"{told} is not in the archive"]
    found = []
    for name, own, true in (
        ("start", seen.meter_start_wh, session.meter_start_wh),
        ("stop", seen.meter_stop_wh, session.meter_stop_wh),
    ):
        if own is None and not excused:
            found.append(f"{told} has no {name}")
        if own is not None and own != true:
            found.append(f"{told}: {name} is {own} Wh, and its meter says {true} Wh")
    return found


def _fold(evidence: Evidence) -> dict[tuple[str, int | str], Folded]:
    order = {name: number for number, name in enumerate(evidence.incarnations)}
    folded: dict[tuple[str, int | str], Folded] = {}
    for entry in sorted(evidence.archive, key=lambda one: (order.get(one.incarnation, 0), one.seq)):
        fact = entry.fact
        if not isinstance(fact, SessionStarted | SessionMetered | SessionStopped):
            continue
        session = folded.setdefault((fact.charge_point, fact.transaction_id), Folded())
        match fact:
            case SessionStarted():
                if session.meter_start_wh is None:
                    session.meter_start_wh = fact.meter_start_wh
            case SessionMetered():
                session.readings_wh += [one.energy_wh for one in fact.readings]
            case SessionStopped():
                if session.meter_stop_wh is None:
                    session.meter_stop_wh = fact.meter_stop_wh
    return folded
