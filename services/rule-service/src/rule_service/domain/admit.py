"""May this command be delivered now? Default is to refuse; what is late or without object has its own name.

named in the rules, else refused -> before its deadline, else expired -> young enough, else expired
-> its mode, else refused (the operator at the site: every mode) -> its precondition, else obsolete
"""

from __future__ import annotations

from typing import assert_never

from holdfast.contracts.command import Command, Disposition, Issuer
from holdfast.contracts.decision import AdmitInputs, AdmitVerdict, ConnectorState
from holdfast.contracts.rules import CommandRules, Precondition, Rules
from rule_service.domain.ruling import Ruling

Admission = Ruling[AdmitVerdict]

FREE = frozenset({"Available", "Preparing"})
"""Statuses of a connector at which a session may begin (a cable may be plugged in already)."""


def evaluate(rules: Rules, inputs: AdmitInputs) -> Admission:
    """The same inputs under the same rules give the same verdict (I5)."""
    command = inputs.command
    by_action = rules.commands.get(command.action)
    if by_action is None:
        return _not(command, "", Disposition.REFUSED, "the rules name no such command")
    return (
        _late(command, inputs.at_ms, by_action)
        or _out_of_mode(inputs, by_action)
        or _without_object(command, inputs.target, by_action.precondition)
        or _admitted(command)
    )


def _late(command: Command, at_ms: int, rules: CommandRules) -> Admission | None:
    if at_ms > command.deadline_ms:
        late_ms = at_ms - command.deadline_ms
        reason = f"its deadline passed {late_ms} ms ago"
        return _not(command, "deadline", Disposition.EXPIRED, reason)
    age_ms = at_ms - command.issued_at_ms
    if rules.age_ms_max and age_ms > rules.age_ms_max:
        reason = f"it is {age_ms} ms old, the rules allow {rules.age_ms_max}"
        return _not(command, "age_ms_max", Disposition.EXPIRED, reason)
    return None


def _out_of_mode(inputs: AdmitInputs, rules: CommandRules) -> Admission | None:
    if inputs.command.issuer is Issuer.OPERATOR_AT_SITE or inputs.mode in rules.modes:
        return None
    reason = f"not admitted while the site is {inputs.mode}"
    return _not(inputs.command, "modes", Disposition.REFUSED, reason)


def _without_object(
    command: Command, target: ConnectorState, precondition: Precondition
) -> Admission | None:
    match precondition:
        case Precondition.NONE:
            return None
        case Precondition.CONNECTOR_FREE:
            return _unless_free(command, target)
        case Precondition.SESSION_RUNNING:
            return _unless_running(command, target)
        case Precondition.NOT_BOOTED_SINCE:
            booted_ms = target.booted_at_ms
            if booted_ms is None or booted_ms < command.issued_at_ms:
                return None
            return _obsolete(command, "the charge point has booted since it was issued")
        case Precondition.NO_SESSION:
            if target.transaction_id is None:
                return None
            return _obsolete(command, f"session {target.transaction_id} runs there")
        case _:
            assert_never(precondition)


def _unless_free(command: Command, target: ConnectorState) -> Admission | None:
    if target.transaction_id is not None:
        return _obsolete(command, f"session {target.transaction_id} runs there")
    if target.status in FREE:
        return None
    if target.status is not None:
        return _obsolete(command, f"the connector is {target.status}")
    if "connectorId" not in command.payload:
        return None  # the charge point chooses one; no session stands in its way
    reason = "the connector's status is not known"
    return _not(command, "precondition", Disposition.REFUSED, reason)


def _unless_running(command: Command, target: ConnectorState) -> Admission | None:
    """The transaction that the command names, or, where it names none, any on its connector."""
    running, named = target.transaction_id, command.payload.get("transactionId")
    if running is not None and named in (None, running):
        return None
    what = "no session" if named is None else f"session {named} not"
    return _obsolete(command, f"{what} running there")


def _obsolete(command: Command, reason: str) -> Admission:
    return _not(command, "precondition", Disposition.OBSOLETE, reason)


def _not(command: Command, part: str, disposition: Disposition, reason: str) -> Admission:
    verdict = AdmitVerdict(admitted=False, disposition=disposition, reason=reason)
    clause = f"commands.{command.action}.{part}" if part else "commands"
    return Ruling(verdict, clause, f"{command.action} {disposition}: {reason}")


def _admitted(command: Command) -> Admission:
    verdict = AdmitVerdict(admitted=True, disposition=None)
    return Ruling(verdict, f"commands.{command.action}", f"{command.action} admitted")
