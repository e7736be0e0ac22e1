"""Rows and readings as the API's JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, TypeVar

from holdfast.contracts.csms import OpenDelivery, UpstreamView
from holdfast.contracts.envelope import Entry
from holdfast.contracts.journal import CopyStatus, Gap
from holdfast.masking import in_answer
from monitor.domain.answers import answers
from monitor.domain.cards import Cards
from monitor.domain.explaining import explained
from monitor.domain.fold import outcome_of
from monitor.domain.masking import masked
from monitor.domain.readings import Reading
from monitor.domain.rows import (
    ChargePointRow,
    CommandRow,
    DecisionRow,
    DisruptionRow,
    ModeRow,
    SiteState,
)
from monitor.domain.status import SiteStatus
from monitor.domain.upstream import CsmsNow

Document = dict[str, Any]
T = TypeVar("T")


def reading(of: Reading[T], now_ms: int, view: Callable[[T], Any]) -> Document:
    """`value` is null while it is unknown; `last_known` then says what it was."""
    return {
        "value": None if of.value is None else view(of.value),
        "known": of.value is not None,
        "as_of_ms": of.as_of_ms,
        "age_ms": of.age_ms(now_ms),
        "source": of.source,
        "problem": of.problem,
        "last_known": None if of.last is None or of.fresh else view(of.last),
    }


def freshness(of: Reading[Any], now_ms: int) -> Document:
    """How fresh a list is that was made out of this reading."""
    told = reading(of, now_ms, lambda _: None)
    return {name: told[name] for name in ("known", "as_of_ms", "age_ms", "source", "problem")}


def site_status(status: SiteStatus) -> Document:
    now_ms = status.now_ms

    def told(of: Reading[T], view: Callable[[T], Any]) -> Document:
        return reading(of, now_ms, view)

    return {
        "site": status.site,
        "scope": status.scope,
        "at_ms": now_ms,
        "answers": [asdict(answer) for answer in answers(status)],
        "mode": told(status.mode, asdict),
        "uplink": told(status.uplink, asdict),
        "sync": told(status.sync, lambda s: {**asdict(s), "backlog": s.backlog}),
        "overrides": [one.model_dump(mode="json") for one in status.overrides],
        "rules": told(status.rules, asdict),
        "storage": told(status.storage, asdict),
        "charge_points": told(status.charge_points, lambda rows: [charge_point(r) for r in rows]),
        "sessions": told(
            status.sessions, lambda counts: {**counts, "fragments": counts.get("fragment", 0)}
        ),
        "gaps": told(status.gaps, lambda gaps: [gap(g) for g in gaps]),
        "chain_verified": told(status.chain_verified, bool),
        "open_points": told(
            status.open_points, lambda points: [point.model_dump(mode="json") for point in points]
        ),
        "waiting_commands": told(status.waiting_commands, list),
        "csms": told(status.csms, csms),
        "quarantined": status.state.quarantined_count,
        "unknown_facts": status.state.unknown_count,
    }


def site_summary(status: SiteStatus) -> Document:
    charge, safe, act, still_open = answers(status)
    return {
        "site": status.site,
        "mode": reading(status.mode, status.now_ms, asdict),
        "sync": reading(status.sync, status.now_ms, lambda s: {**asdict(s), "backlog": s.backlog}),
        "rules": reading(status.rules, status.now_ms, asdict),
        "can_drivers_charge": charge.verdict,
        "is_it_safe": safe.verdict,
        "must_i_act": act.verdict,
        "still_open": still_open.verdict,
    }


def mode_card(rules_version: int | None, cards: Cards) -> Document:
    return {
        "version": rules_version,
        "modes": [
            {
                "mode": card.mode,
                "rules": [asdict(row) for row in card.rules],
                "buffered": [asdict(row) for row in card.buffered],
                "allowed": [asdict(row) for row in card.allowed],
                "reconciled": [asdict(row) for row in card.reconciled],
            }
            for card in cards
        ],
    }


def event(entry: Entry, subject: str) -> Document:
    """The stored envelope as it is; `body.raw` is the charge point's frame, byte for byte."""
    envelope = entry.envelope
    return {
        "incarnation": envelope.incarnation,
        "seq": entry.seq,
        "subject": subject,
        "id": envelope.id,
        "type": envelope.type,
        "at_ms": envelope.at_ms,
        "source": envelope.source,
        "cause": envelope.cause,
        "body": envelope.body,
    }


def csms(of: CsmsNow) -> Document:
    """Null is what only the cloud can tell."""
    not_accepted = of.not_accepted
    return {
        "state": of.state,
        "instance": of.instance,
        "waiting": of.waiting,
        "not_accepted": None if not_accepted is None else [v.charge_point for v in not_accepted],
    }


def upstream(of: UpstreamView) -> Document:
    return of.model_dump(mode="json")


def open_delivery(of: OpenDelivery) -> Document:
    """With everything that `upstream/settle` wants to know of it."""
    return of.model_dump(mode="json")


def gap(of: Gap) -> Document:
    return of.model_dump(mode="json", exclude={"site"})


def copy(of: CopyStatus) -> Document:
    return of.model_dump(mode="json", exclude={"site"})


def mode(row: ModeRow) -> Document:
    fact = row.fact
    return {
        "incarnation": row.place.incarnation,
        "seq": row.place.seq,
        "at_ms": row.at_ms,
        "previous": fact.previous,
        "mode": fact.mode,
        "reasons": list(fact.reasons),
        "since_ms": fact.since_ms,
        "disruption": fact.disruption,
        "detail": fact.detail,
    }


def decision(row: DecisionRow) -> Document:
    fact = row.fact
    return {
        "incarnation": row.place.incarnation,
        "seq": row.place.seq,
        "at_ms": row.at_ms,
        "id": fact.decision,
        "kind": fact.inputs.kind,
        "charge_point": fact.charge_point,
        "mode": fact.inputs.mode,
        "outcome": outcome_of(fact),
        "clause": fact.clause,
        "rules_version": fact.rules_version,
        "explanation": fact.explanation,
    }


def decision_in_full(row: DecisionRow, state: SiteState) -> Document:
    """With everything the verdict was computed from, what else was looked at, and what came of it."""
    told = explained(row, state)
    return {
        **decision(row),
        "cause": row.cause,
        "question": told.question,
        "grounds": [asdict(ground) for ground in told.grounds],
        "considered": [one.model_dump(mode="json") for one in told.considered],
        "afterwards": told.afterwards,
        "session": told.session,
        "command": told.command,
        "inputs": masked(row.fact.inputs.model_dump(mode="json")),
        "verdict": masked(row.fact.verdict.model_dump(mode="json")),
    }


def command(row: CommandRow) -> Document:
    """Each command once, with its one disposition."""
    of = row.command
    return {
        "incarnation": row.place.incarnation,
        "seq": row.place.seq,
        "id": of.id,
        "charge_point": row.charge_point,
        "action": of.action,
        "payload": masked(of.payload),
        "issuer": of.issuer,
        "by": of.by,
        "issued_at_ms": of.issued_at_ms,
        "deadline_ms": of.deadline_ms,
        "received_at_ms": row.received_at_ms,
        "dispatched_at_ms": row.dispatched_at_ms,
        "settled_at_ms": row.settled_at_ms,
        "disposition": row.disposition,
        "reason": row.reason,
        "answer": row.answer and in_answer(row.answer, masked),
        "decision": row.decision,
        "took_effect": row.took_effect,
        "evidence": row.evidence,
        "held": row.held or None,
        "words": list(row.words),
        "open": row.is_open,
    }


def disruption(row: DisruptionRow) -> Document:
    return {
        "incarnation": row.place.incarnation,
        "seq": row.place.seq,
        "disruption": row.disruption,
        "began_ms": row.began_ms,
        "ended_ms": row.ended_ms,
        "state": _disruption_state(row),
        "reasons": list(row.reasons),
        "steps": [step.model_dump(mode="json") for step in row.steps],
        "open_points": [point.model_dump(mode="json") for point in row.open_points],
        "report": row.report.model_dump(mode="json") if row.report else None,
    }


def _disruption_state(row: DisruptionRow) -> str:
    if row.ended_ms is None:
        return "recovering" if row.recovering else "running"
    return "open points" if row.open_points else "closed"


def charge_point(row: ChargePointRow) -> Document:
    return asdict(row)


def to_json(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()
