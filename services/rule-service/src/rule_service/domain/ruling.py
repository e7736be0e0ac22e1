"""What applying a rule gives: the verdict, the clause that gave it, and a sentence for people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from holdfast.contracts.decision import AdmitVerdict, AuthoriseVerdict, Considered

Verdict = TypeVar("Verdict", AuthoriseVerdict, AdmitVerdict)


@dataclass(frozen=True, slots=True)
class Ruling(Generic[Verdict]):
    verdict: Verdict
    clause: str
    """Where in the bundle it stands, e.g. `authorise.autonomous.unknown`."""
    explanation: str
    considered: tuple[Considered, ...] = ()
