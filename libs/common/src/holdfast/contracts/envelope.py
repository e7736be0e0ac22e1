"""The envelope: every fact that enters a stream is one of these, whatever service wrote it.

    bytes in a stream  <->  Envelope(id, type, at_ms, clock, site, incarnation, source, cause, body)

A fact is the body. Its `TYPE` names it on the wire; a breaking change is a new type. Readers ignore
fields they do not know; a type they do not know is `Unknown` and survives, because relays forward the
stored bytes and never write them anew.
"""

from __future__ import annotations

import json
import reprlib
from enum import StrEnum
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

ENVELOPE_BYTES_MAX = 512 * 1024
"""An OCPP frame is at most 64 KiB; escaped twice it still fits. Larger is refused, not cut."""

ID_CHARACTERS_MAX = 200


class ContractError(ValueError):
    """Bytes that are not what they claim to be. The sentence names what, which and what now."""


class Contract(BaseModel):
    """Anything that crosses a process boundary."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    def to_bytes(self) -> bytes:
        return self.model_dump_json().encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Raise ContractError naming the first wrong field."""
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            raise ContractError(f"not a {cls.__name__}: {first_problem(error)}") from error


SHOWN_MAX = 80


def first_problem(error: ValidationError) -> str:
    """The first problem as `field: what is wrong (what was given)`, short enough for a log line."""
    problem = error.errors(include_url=False)[0]
    return f"{problem_field(problem)}: {problem_said(problem)}"


def problem_field(problem: Any) -> str:
    return ".".join(str(part)[:SHOWN_MAX] for part in problem["loc"]) or "document"


def problem_said(problem: Any) -> str:
    return f"{problem['msg']} (given {shown(problem['input'])!r})"


class _Short(reprlib.Repr):
    """Of containers a few parts, a few levels deep."""

    def repr_int(self, number: int, _: int) -> str:
        return shown(number)


_SHORT = _Short()


def shown(given: Any) -> str:
    """The beginning of what was given. What was given may be huge: the rest of it is never built."""
    match given:
        case str() | bytes():
            beginning = str(given[:SHOWN_MAX])
        case int() if given.bit_length() > 4 * SHOWN_MAX:
            beginning = "a number of more digits than are shown"
        case bool() | int() | float() | None:
            beginning = str(given)
        case _:
            beginning = _SHORT.repr(given)
    return beginning[:SHOWN_MAX]


FACTS: dict[str, type[Fact]] = {}
"""Every fact this build knows, by `TYPE`."""


class Fact(Contract):
    """Something that happened; past tense. Subclasses say which stream keeps it."""

    TYPE: ClassVar[str]
    STREAM: ClassVar[Literal["journal", "telemetry"]] = "journal"

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        if "TYPE" in cls.__dict__:
            assert cls.TYPE not in FACTS, f"two facts are called {cls.TYPE}"
            FACTS[cls.TYPE] = cls

    def topic(self) -> tuple[str, ...]:
        """The subject tokens after the stream's, not yet encoded: the type's words, then the charge point."""
        charge_point = getattr(self, "charge_point", None)
        words = tuple(self.TYPE.split("."))
        return (*words, charge_point) if charge_point else words


class Unknown(Fact):
    """A fact of a type this build does not know: kept, counted, passed on, never guessed at."""

    type: str
    body: dict[str, Any]


class ClockQuality(StrEnum):
    """How far `at_ms` can be trusted."""

    SYNCHRONISED = "synchronised"
    FREE_RUNNING = "free-running"
    """Was synchronised; the time source is out of reach."""
    UNKNOWN = "unknown"


class Envelope(Contract):
    """A fact with everything needed to find, order and explain it."""

    id: str = Field(min_length=1, max_length=ID_CHARACTERS_MAX)
    """Also the `Nats-Msg-Id`: the same fact written twice has the same id."""
    type: str = Field(min_length=1, max_length=100)
    at_ms: int
    """Clock of the site, UTC. Order is the stream's, never this."""
    clock: ClockQuality = ClockQuality.UNKNOWN
    site: str
    incarnation: str
    """The life of the site's disk that this was written in."""
    source: str
    """The service that wrote it."""
    cause: str | None = None
    """Id of the fact, command or frame that led to this one."""
    body: dict[str, Any]

    def fact(self) -> Fact:
        """The typed body; raise ContractError when it is of a known type but malformed."""
        kind = FACTS.get(self.type)
        if kind is None:
            return Unknown(type=self.type, body=self.body)
        try:
            return kind.model_validate(self.body)
        except ValidationError as error:
            raise ContractError(f"{self.type} {self.id}: {first_problem(error)}") from error


class Entry(Contract):
    """An envelope where it stands in a site's journal: what every fold reads."""

    seq: int
    envelope: Envelope

    @property
    def key(self) -> tuple[str, str, int]:
        """(site, incarnation, seq): the key that makes every consumer idempotent."""
        return self.envelope.site, self.envelope.incarnation, self.seq


def body_of(fact: Fact) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(fact.model_dump_json())
    return body
