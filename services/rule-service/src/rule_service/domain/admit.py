"""May this command be delivered now? Default is to refuse; what is late or without object has its own name.

named in the rules, else refused -> before its deadline, else expired -> young enough, else expired
-> its mode, else refused; desired state waits for it (whoever is at the site: every mode)
-> a question is answered from what is known, where it can't be asked and the rules say so
-> a charge point that is there, for what can't wait -> keys that may be set -> running sessions are not
   touched, else refused or it waits (protection.py) -> its preconditions, else obsolete (preconditions.py)
-> a higher limit that is not stale, else expired -> an operator's word, where the rules want one, else it waits

Each check says what it found, passed or not: all of it stands in the decision.
"""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.contracts.command import Disposition
from holdfast.contracts.command_rules import CommandKind, keys_of
from holdfast.contracts.decision import AdmitInputs, AdmitVerdict, Considered, WaitsFor
from holdfast.contracts.rules import Rules
from holdfast.ocpp.payloads import keys_set
from rule_service.domain import preconditions, protection
from rule_service.domain.checks import Case, Finding
from rule_service.domain.expiry import by_rules_in_force
from rule_service.domain.ruling import Ruling

Admission = Ruling[AdmitVerdict]


def evaluate(rules: Rules, inputs: AdmitInputs) -> Admission:
    """The same inputs under the same rules give the same verdict (I5)."""
    return by_rules_in_force(_evaluate, rules, inputs)


def _evaluate(rules: Rules, inputs: AdmitInputs) -> Admission:
    command = inputs.command
    key = next((key for key in keys_of(command) if key in rules.commands), None)
    if key is None:
        none = Finding(
            clause="commands",
            said="the rules name no such command",
            disposition=Disposition.REFUSED,
        )
        return _ruling(inputs, none, [none])
    case = Case(rules=rules, key=key, row=rules.commands[key], inputs=inputs)
    found: list[Finding] = []
    for finding in _checks(case):
        found.append(finding)
        if not finding.passes or finding.from_known:
            return _ruling(inputs, finding, found)
    admits = Finding(clause=f"commands.{key}", said="nothing stands against it")
    return _ruling(inputs, admits, [*found, admits])


def _checks(case: Case) -> Iterator[Finding]:
    yield _deadline(case)
    yield _age(case)
    yield from _known(case)
    yield _mode(case)
    yield from _there(case)
    yield from _key(case)
    yield from protection.check(case)
    yield from preconditions.check(case)
    yield from protection.stale(case)
    yield from _word(case)


def _deadline(case: Case) -> Finding:
    late_ms = case.inputs.at_ms - case.command.deadline_ms
    if late_ms > 0:
        said = f"its deadline passed {late_ms} ms ago"
        return case.ends("deadline", Disposition.EXPIRED, said)
    return case.passes("deadline", f"its deadline is in {-late_ms} ms")


def _age(case: Case) -> Finding:
    age_ms, most_ms = _age_ms(case), case.row.age_ms_max
    if most_ms and age_ms > most_ms:
        said = f"it is {age_ms} ms old, the rules allow {most_ms}"
        return case.ends("age_ms_max", Disposition.EXPIRED, said)
    allowed = f"the rules allow {most_ms}" if most_ms else "only its deadline counts"
    return case.passes("age_ms_max", f"it is {age_ms} ms old, {allowed}")


def _mode(case: Case) -> Finding:
    mode, row = case.inputs.mode, case.row
    if not case.is_remote:
        return case.passes("modes", f"{case.command.issuer}: admitted in every mode")
    if protection.is_by_rule(case):
        return Finding(clause=protection.REFUSED_START, said="so the rules want it, in every mode")
    if mode in row.modes:
        return case.passes("modes", f"may be given while the site is {mode}")
    said = f"not admitted while the site is {mode}"
    if row.kind is CommandKind.DESIRED and row.modes:
        return Finding(clause=case.clause("modes"), said=said, waits_for=WaitsFor.TIME)
    return case.ends("modes", Disposition.REFUSED, said)


def _known(case: Case) -> Iterator[Finding]:
    """A question that can't be asked, or not in this mode, may be answered all the same."""
    row, age_ms, most_ms = case.row, case.inputs.target.known_age_ms, case.row.known_age_ms_max
    is_barred = case.is_remote and case.inputs.mode not in row.modes
    if not most_ms or (case.inputs.target.connected and not is_barred):
        return
    if age_ms is None:
        yield case.passes("known_age_ms_max", "what it asks for is not known")
    elif age_ms > most_ms:
        said = f"what is known is {age_ms} ms old, the rules allow {most_ms}"
        yield case.passes("known_age_ms_max", said)
    else:
        said = f"answered from what is known, {age_ms} ms old"
        yield Finding(clause=case.clause("known_age_ms_max"), said=said, from_known=True)


def _there(case: Case) -> Iterator[Finding]:
    kind = case.row.kind
    if kind not in (CommandKind.QUERY, CommandKind.REQUEST):
        return
    if not case.inputs.target.connected:
        said = f"the charge point is away, and a {kind} is not kept for it"
        yield case.ends("kind", Disposition.REFUSED, said)
    else:
        yield case.passes("kind", "the charge point is there to answer")


def _key(case: Case) -> Iterator[Finding]:
    if not case.row.keys_refused or not case.is_remote:
        return
    refused = {one.casefold() for one in case.row.keys_refused}
    keys = keys_set(case.command.payload)
    own = next((key for key in keys if not refused.isdisjoint(_names(key))), None)
    if own is not None:
        said = f"{own[:50]} is the site's own: setting it would cut the charge point off"
        yield case.ends("keys_refused", Disposition.REFUSED, said)
    else:
        yield case.passes("keys_refused", f"{', '.join(keys)[:50]} may be set")


def _names(key: str) -> set[str]:
    """A variable of 2.x by itself, too, whatever its component and instances are."""
    whole = key.casefold()
    variable = whole.rpartition(".")[2]
    return {whole, variable, variable.partition("(")[0]}


def _word(case: Case) -> Iterator[Finding]:
    confirm, by = case.row.confirm, case.inputs.confirmed_by
    if not case.is_remote or confirm == "never":
        return
    if by is not None:
        yield case.passes("confirm", f"confirmed by {by}")
    elif case.row.wants_word(case.inputs.mode, _age_ms(case)):
        said = f"an operator has to confirm it ({confirm})"
        yield Finding(clause=case.clause("confirm"), said=said, waits_for=WaitsFor.WORD)
    else:
        yield case.passes("confirm", f"no operator has to confirm it now ({confirm})")


def _age_ms(case: Case) -> int:
    return case.inputs.at_ms - case.command.issued_at_ms


def _ruling(inputs: AdmitInputs, decided: Finding, found: list[Finding]) -> Admission:
    verdict = AdmitVerdict(
        admitted=decided.passes,
        disposition=decided.disposition,
        reason="" if decided.passes else decided.said,
        waits_for=decided.waits_for,
        from_known=decided.from_known,
    )
    action = inputs.command.action
    if decided.waits_for:
        sentence = f"{action} waits for {decided.waits_for}: {decided.said}"
    elif decided.from_known:
        sentence = f"{action} {decided.said}"
    elif decided.disposition:
        sentence = f"{action} {decided.disposition}: {decided.said}"
    else:
        sentence = f"{action} admitted"
    considered = tuple(
        Considered(clause=one.clause, said=one.said, decided=one is decided) for one in found
    )
    return Ruling(verdict, decided.clause, sentence, considered)
