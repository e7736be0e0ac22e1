"""I7: what is sent to a charge point was admitted, for this moment, and by whoever had to say so.

dispatched   a decision before it admitted this very command; a word that the rules wanted was given; no word against it
cancelled    never sent
remote       no session that runs is ended from afar while the site is on its own
by the site  a stranger's session at its cap, and nothing else; each stop once, five at most, a minute and more apart
"""

from __future__ import annotations

from dataclasses import dataclass, field

from holdfast.contracts.command import (
    Command,
    CommandDispatched,
    CommandHeld,
    CommandSettled,
    CommandWorded,
    Disposition,
    Issuer,
    Word,
)
from holdfast.contracts.decision import AdmitInputs, AdmitVerdict, DecisionMade
from holdfast.contracts.mode import Mode
from holdfast.contracts.session import SessionMetered, SessionStarted, SessionStopped
from simulation.evidence import Evidence, Written

PROTECTED = (Mode.DEGRADED, Mode.AUTONOMOUS, Mode.RECOVERY)
"""Written down here once more: rules checked against themselves prove nothing."""
STOPS_MAX = 5
STOPS_APART_MS = 60_000
KNOWN_FOR_MS = 2_000
"""A session that began just now may not be known yet to whoever asked."""
HERE = (Issuer.OPERATOR_AT_SITE, Issuer.SITE)


STOPS = ("RemoteStopTransaction", "RequestStopTransaction")


@dataclass
class Life:
    """What the journal has said so far."""

    decisions: dict[str, DecisionMade] = field(default_factory=dict)
    held: set[str] = field(default_factory=set)
    confirmed: set[str] = field(default_factory=set)
    cancelled: set[str] = field(default_factory=set)
    running: dict[tuple[str, int | str], tuple[SessionStarted, int]] = field(default_factory=dict)
    last_wh: dict[tuple[str, int | str], int] = field(default_factory=dict)
    capped: dict[tuple[str, int | str], dict[str, int]] = field(default_factory=dict)
    """When which stop was issued."""
    caps: dict[tuple[str, int | str], int] = field(default_factory=dict)
    """Of strangers' sessions; in 2.x an Updated may bring the token, and with it the cap."""


def check(evidence: Evidence) -> list[str]:
    found: list[str] = []
    for incarnation in evidence.lives():
        life = Life()
        for entry in evidence.written:
            if entry.incarnation == incarnation:
                where = f"{incarnation}:{entry.seq}"
                found += [f"{where}: {why}" for why in _next(life, entry, evidence)]
    return found


def _next(life: Life, entry: Written, evidence: Evidence) -> list[str]:
    match entry.fact:
        case DecisionMade(decision=id) as decision:
            life.decisions[id] = decision
        case CommandHeld(command=command):
            life.held.add(command.id)
        case CommandWorded(command_id=id, word=word, taken=True):
            (life.confirmed if word is Word.CONFIRM else life.cancelled).add(id)
        case SessionStarted() as started:
            _started(life, started, entry.envelope.at_ms)
        case SessionMetered() as metered:
            _metered(life, metered)
        case SessionStopped(charge_point=name, transaction_id=id):
            life.running.pop((name, id), None)
        case CommandDispatched(command=command):
            return _dispatched(life, command, entry.envelope.cause, evidence)
        case CommandSettled(command=command, disposition=disposition):
            is_cancelled = command.id in life.cancelled
            if is_cancelled and disposition is not Disposition.SUPERSEDED:
                return [f"{command.id} was cancelled, and ended {disposition}"]
        case _:
            pass
    return []


def _started(life: Life, started: SessionStarted, at_ms: int) -> None:
    key = started.charge_point, started.transaction_id
    life.running[key] = started, at_ms
    if started.flagged and started.energy_wh_max is not None:
        life.caps[key] = started.energy_wh_max


def _metered(life: Life, metered: SessionMetered) -> None:
    key, told = (metered.charge_point, metered.transaction_id), metered.authorised
    if metered.readings:
        life.last_wh[key] = max(one.energy_wh for one in metered.readings)
    if told is not None and told.flagged and told.energy_wh_max is not None:
        life.caps[key] = told.energy_wh_max


def _dispatched(life: Life, command: Command, cause: str | None, evidence: Evidence) -> list[str]:
    decision = life.decisions.get(cause or "")
    if decision is None:
        return [f"{command.id} was sent by a decision that the journal does not have: {cause}"]
    inputs, verdict = decision.inputs, decision.verdict
    if not isinstance(inputs, AdmitInputs) or not isinstance(verdict, AdmitVerdict):
        return [f"{command.id} was sent by a decision about a driver"]
    told = f"{command.id} ({command.action}, {command.issuer})"
    found = []
    if not verdict.admitted or inputs.command.id != command.id:
        found.append(f"{told} was sent by decision {cause}, which did not admit it")
    if command.id in life.cancelled:
        found.append(f"{told} was sent after it was cancelled")
    if command.id in life.held and command.id not in life.confirmed:
        found.append(f"{told} was sent without the word that the rules wanted")
    if command.issuer is Issuer.SITE:
        found += [f"{told} {why}" for why in _by_the_site(life, command, evidence)]
    if command.issuer not in HERE and not command.by_rule and not evidence.clock_stepped:
        found += [f"{told} {why}" for why in _against_a_session(life, command, inputs)]
    return found


def _by_the_site(life: Life, command: Command, evidence: Evidence) -> list[str]:
    key = command.charge_point, command.payload.get("transactionId", 0)
    if command.action not in STOPS or not command.by_rule:
        return ["was issued by the site, by no rule"]
    stops = life.capped.setdefault(key, {})
    if command.id in stops:
        return ["was issued a second time"]
    if len(stops) >= STOPS_MAX:
        return [f"is stop {len(stops) + 1} of its session"]
    before_ms = max(stops.values(), default=None)
    stops[command.id] = command.issued_at_ms
    if before_ms is not None and not evidence.clock_stepped:
        apart_ms = command.issued_at_ms - before_ms
        if apart_ms < STOPS_APART_MS:
            return [f"came {apart_ms} ms after the stop before it"]
    known = life.running.get(key)
    if known is None:
        return []  # it stopped by itself meanwhile
    cap_wh = life.caps.get(key)
    used_wh = life.last_wh.get(key, 0) - (known[0].meter_start_wh or 0)
    if cap_wh is None:
        return ["stops a session that has no cap"]
    return [f"stops a session at {used_wh} Wh of {cap_wh}"] if used_wh < cap_wh else []


def _against_a_session(life: Life, command: Command, inputs: AdmitInputs) -> list[str]:
    if inputs.mode not in PROTECTED:
        return []
    return [
        f"would end session {id}, which ran, in {inputs.mode}"
        for (name, id), (_, since_ms) in life.running.items()
        if name == command.charge_point
        and inputs.at_ms - since_ms > KNOWN_FOR_MS
        and _ends(command, id)
    ]


def _ends(command: Command, transaction_id: int | str) -> bool:
    """Every charge point here has one connector."""
    match command.action:
        case (
            "Reset" | "UnlockConnector" | "UpdateFirmware" | "ChangeConfiguration" | "DataTransfer"
        ):
            return True
        case "ChangeAvailability":
            said = command.payload.get("type", command.payload.get("operationalStatus"))
            return bool(said == "Inoperative")
        case "RemoteStopTransaction" | "RequestStopTransaction":
            return bool(command.payload["transactionId"] == transaction_id)
        case _:
            return False
