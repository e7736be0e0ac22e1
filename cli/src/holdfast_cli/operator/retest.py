"""Every journaled decision, decided again: by the rules that it names, or by rules that might come.

retest(entries)             does the journal explain each decision?
retest(entries, candidate)  which decisions would these rules have given otherwise?
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from holdfast.contracts.decision import AuthoriseVerdict, DecisionMade
from holdfast.contracts.envelope import ContractError, Envelope
from holdfast.contracts.rules import Rules, RulesActivated
from holdfast.standing import parse_rules
from rule_service.domain.bundle import BUILT_IN
from rule_service.domain.reevaluate import Unknowable, Verdict, reevaluate, under_candidate

BUILT_IN_VERSION = 0
"""What a site without any signed bundle calls its rules."""


_Known = dict[tuple[str, str, int], Rules | str]
"""Site, life of its disk, version: the rules, or why they can't be read."""


@dataclass(frozen=True, slots=True)
class Said:
    """A verdict in short, and the clause that gave it."""

    outcome: str
    clause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Differing:
    decision: str
    incarnation: str
    at_ms: int
    charge_point: str
    kind: str
    mode: str
    rules_version: int
    was: Said
    now: Said


@dataclass(frozen=True, slots=True, kw_only=True)
class Unexplained:
    """A decision that could not be decided again, and why: neither equal nor different."""

    decision: str
    incarnation: str
    at_ms: int
    why: str


@dataclass(frozen=True, slots=True)
class Retested:
    """total = equal + differing + unexplained."""

    total: int
    equal: int
    differing: tuple[Differing, ...]
    unexplained: tuple[Unexplained, ...]


def retest(
    entries: Iterable[Envelope],
    candidate: Rules | None = None,
    *,
    since_ms: int | None = None,
    until_ms: int | None = None,
) -> Retested:
    """`retest(entries: Iterable[Envelope], candidate: Rules | None = None) -> Retested(total, equal, differing,
    unexplained)`

    `entries` in the order of the journal, of as many lives of the disk as there were; facts other than
    `rules.activated` and `decision.made` are passed over, an envelope met twice counts once. The bundles must be
    among them: give the whole journal, and the period (of decisions only) as `since_ms` <= at < `until_ms`.

    Without `candidate` a decision is equal when its rules give the same verdict by the same clause again. With it,
    when the outcome and the clause are the same; one for which the candidate would have asked the cloud, and nobody
    did, is unexplained: what the cloud would have said, nobody knows.
    """
    known: _Known = {}
    met: set[tuple[str, str, str]] = set()
    result = _Counting()
    for envelope in entries:
        if envelope.type not in (RulesActivated.TYPE, DecisionMade.TYPE):
            continue
        if (key := (envelope.site, envelope.incarnation, envelope.id)) in met:
            continue
        met.add(key)
        if envelope.type == DecisionMade.TYPE and not _within(envelope.at_ms, since_ms, until_ms):
            continue
        try:
            fact = envelope.fact()
        except ContractError as error:
            if envelope.type == DecisionMade.TYPE:
                result.cannot(envelope, envelope.id, str(error))
            continue
        if isinstance(fact, RulesActivated):
            known[envelope.site, envelope.incarnation, fact.version] = _parsed(fact)
        elif isinstance(fact, DecisionMade):
            result.take(envelope, fact, _rules_of(fact, envelope, known), candidate)
    return result.whole()


def _within(at_ms: int, since_ms: int | None, until_ms: int | None) -> bool:
    return (since_ms is None or at_ms >= since_ms) and (until_ms is None or at_ms < until_ms)


def _parsed(fact: RulesActivated) -> Rules | str:
    try:
        return parse_rules(fact.text)
    except ContractError as error:
        return f"rules version {fact.version} can't be read by this build: {error}"


def _rules_of(fact: DecisionMade, envelope: Envelope, known: _Known) -> Rules | str:
    """The rules, or why there are none."""
    if fact.rules_version == BUILT_IN_VERSION:
        return BUILT_IN
    found = known.get((envelope.site, envelope.incarnation, fact.rules_version))
    return (
        f"it names rules version {fact.rules_version}, whose activation is not in this journal before it"
        if found is None
        else found
    )


@dataclass
class _Counting:
    equal: int = 0
    differing: list[Differing] = field(default_factory=list)
    unexplained: list[Unexplained] = field(default_factory=list)

    def take(
        self, envelope: Envelope, fact: DecisionMade, rules: Rules | str, candidate: Rules | None
    ) -> None:
        if isinstance(rules, str):
            self.cannot(envelope, fact.decision, rules)
            return
        if candidate is None:
            again = reevaluate(rules, fact)
            same = (again.verdict, again.clause) == (fact.verdict, fact.clause)
        else:
            ruling = under_candidate(rules, candidate, fact)
            if isinstance(ruling, Unknowable):
                self.cannot(envelope, fact.decision, ruling.why)
                return
            again = ruling
            same = _said(again.verdict, again.clause) == _said(fact.verdict, fact.clause)
        if same:
            self.equal += 1
            return
        one = Differing(
            decision=fact.decision,
            incarnation=envelope.incarnation,
            at_ms=envelope.at_ms,
            charge_point=fact.charge_point,
            kind=fact.inputs.kind,
            mode=fact.inputs.mode.value,
            rules_version=fact.rules_version,
            was=_said(fact.verdict, fact.clause),
            now=_said(again.verdict, again.clause),
        )
        self.differing.append(one)

    def cannot(self, envelope: Envelope, decision: str, why: str) -> None:
        self.unexplained.append(
            Unexplained(
                decision=decision,
                incarnation=envelope.incarnation,
                at_ms=envelope.at_ms,
                why=why,
            )
        )

    def whole(self) -> Retested:
        total = self.equal + len(self.differing) + len(self.unexplained)
        return Retested(total, self.equal, tuple(self.differing), tuple(self.unexplained))


def _said(verdict: Verdict, clause: str) -> Said:
    """Everything that has consequences; the wording of a reason has none."""
    if isinstance(verdict, AuthoriseVerdict):
        parts = [verdict.status.value, f"by {verdict.basis.value}"]
        if verdict.flagged:
            parts.append("flagged")
        if verdict.energy_wh_max is not None:
            parts.append(f"up to {verdict.energy_wh_max} Wh")
        if verdict.parent is not None:
            parts.append("with its group")
        return Said(", ".join(parts), clause)
    if verdict.waits_for is not None:
        return Said(f"waits for {verdict.waits_for}", clause)
    return Said("admitted" if verdict.admitted else (verdict.disposition or "refused"), clause)
