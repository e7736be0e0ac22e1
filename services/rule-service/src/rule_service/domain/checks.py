"""What one check of a command says: the clause, a sentence, and, where it ends or holds up the command, how."""

from __future__ import annotations

from dataclasses import dataclass

from holdfast.contracts.command import Command, Disposition, Issuer
from holdfast.contracts.decision import AdmitInputs, WaitsFor
from holdfast.contracts.rules import CommandRules, Rules

AT_THE_SITE = frozenset({Issuer.OPERATOR_AT_SITE, Issuer.SITE})
"""Whoever stands at the site sees what happens; and the site itself acts by a rule. All others are remote."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    clause: str
    said: str
    disposition: Disposition | None = None
    waits_for: WaitsFor | None = None
    from_known: bool = False

    @property
    def passes(self) -> bool:
        return self.disposition is None and self.waits_for is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One command before the rules."""

    rules: Rules
    key: str
    """Of its row in `commands`: the action, or the action and what its payload says."""
    row: CommandRules
    inputs: AdmitInputs

    @property
    def command(self) -> Command:
        return self.inputs.command

    @property
    def is_remote(self) -> bool:
        return self.command.issuer not in AT_THE_SITE

    def clause(self, part: str) -> str:
        return f"commands.{self.key}.{part}"

    def passes(self, part: str, said: str) -> Finding:
        return Finding(clause=self.clause(part), said=said)

    def ends(self, part: str, disposition: Disposition, said: str) -> Finding:
        return Finding(clause=self.clause(part), said=said, disposition=disposition)
