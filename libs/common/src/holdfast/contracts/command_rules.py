"""Which commands are delivered: one row per OCPP action, and what protects running sessions and limits.

Two payloads of one action that differ in what they may do have rows of their own (`keys_of`); an action of 2.x that
means the same as one of 1.6 shares that one's, unless it has its own. An action without a row is refused. The rows
that hold where nobody wrote any: `command_defaults.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Any, get_args

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from holdfast.contracts.clause import Clause
from holdfast.contracts.command import Action, Command
from holdfast.contracts.mode import Mode
from holdfast.contracts.numbers import DURATION_MS_MAX, Amps
from holdfast.ocpp.actions import same_as
from holdfast.ocpp.payloads import purpose_of


class CommandKind(StrEnum):
    """What becomes of a command that can't be delivered at once (classes of ocpp-outage-rules 3.2)."""

    EXPIRING = "expiring"
    """X: worth something for a while. Refused where its mode or a running session stands against it."""
    DESIRED = "desired"
    """D: a state that somebody wants. It waits, until its deadline, for its mode and for the end of a session that
    is protected; a newer one about the same thing supersedes it."""
    QUERY = "query"
    """Q: a question about now. Refused at once where the charge point is away."""
    REQUEST = "request"
    """R: needs the other side now. Refused at once where the charge point is away."""


class Precondition(StrEnum):
    """What must hold at the charge point when a command is delivered (ocpp-outage-rules 3.5)."""

    NONE = "none"
    """As a single word, in bundles from before there could be several."""
    CONNECTOR_FREE = "connector-free"
    NOT_RESERVED = "not-reserved"
    """The connector is not reserved for another driver token."""
    DRIVER_NOT_CHARGING = "driver-not-charging"
    """The driver token has no session at the site."""
    SESSION_RUNNING = "session-running"
    """The transaction that it names (in the profile, too), or, where it names none, any on its connector."""
    NOT_BOOTED_SINCE = "not-booted-since"
    """The fault a reset was for is gone once the charge point has booted."""
    NO_SESSION = "no-session"
    """On the connector that it names; anywhere on the charge point, where it means the whole of it."""
    NO_SESSION_SINCE = "no-session-since"
    """No session that runs there began after it was issued."""
    RECORDS_SAFE = "records-safe"
    """Neither the charge point nor ocpp-edge holds records of it that are not in the journal yet."""
    CONNECTOR_UNCHANGED = "connector-unchanged"
    """The connector's status is the one that stood when it was issued."""
    RESERVATION_NOT_OVER = "reservation-not-over"
    """As far as the site knows: one that it never heard of may be."""
    LIST_NEWER = "list-newer"
    """Its version is above the installed one, and changes come on top of what they are changes to."""
    WITHIN_ITS_DATES = "within-its-dates"
    """expiryDate, validTo, the end of the schedule, retrieveDate (with an hour's grace) have not passed; the session
    that a display message is for runs; a DER control's own time is not over."""


def _several(value: Any) -> Any:
    """`connector-free` is `[connector-free]`, and `none` is `[]`."""
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, list | tuple):
        return listed
    return tuple(one for one in listed if one != "none")


ConfirmBy = Annotated[str, Field(pattern=r"^(never|always|in-recovery|after:[0-9]{1,12})$")]
"""When an operator's word is wanted first: `never`, `always`, `in-recovery`, `after:<age in ms>`."""


class CommandRules(Clause):
    """When a command of one action is admitted."""

    kind: CommandKind = CommandKind.EXPIRING
    modes: tuple[Mode, ...]
    """From CSMS and cloud. The operator at the site, and the site itself, are admitted in every mode."""
    age_ms_max: int = Field(ge=0, le=DURATION_MS_MAX)
    """Older is expired whatever deadline it carries; 0: only its own deadline counts."""
    precondition: Annotated[
        tuple[Precondition, ...],
        BeforeValidator(_several, json_schema_input_type=Precondition | tuple[Precondition, ...]),
    ] = ()
    """All must hold. One may be written without brackets."""
    confirm: ConfirmBy = "never"
    """Of CSMS and cloud: whoever stands at the site has given the word with the command."""
    known_age_ms_max: int = Field(0, ge=0, le=DURATION_MS_MAX)
    """Of a query: where the charge point is away, or the mode stands against asking it, it is answered out of what is
    known, if no part of that is older. 0: it is refused there."""
    keys_refused: tuple[str, ...] = ()
    """Of ChangeConfiguration and SetVariables: keys (2.x: variables) that CSMS and cloud may not set, whatever their
    case."""

    @model_validator(mode="after")
    def _is_asked(self) -> CommandRules:
        if self.known_age_ms_max and self.kind is not CommandKind.QUERY:
            raise ValueError(
                "known_age_ms_max is of a query alone: nothing else can be answered for a charge point"
            )
        return self

    def wants_word(self, mode: Mode, age_ms: int) -> bool:
        match self.confirm.split(":"):
            case ["always"]:
                return True
            case ["in-recovery"]:
                return mode is Mode.RECOVERY
            case ["after", ms]:
                return age_ms > int(ms)
            case _:
                return False


VARIANTS = {
    "Reset.Hard": "Reset",
    "SetChargingProfile.TxProfile": "SetChargingProfile",
    "CustomerInformation.Clear": "CustomerInformation",
}
"""Rows for payloads that are another matter than the rest of their action."""


def keys_of(command: Command) -> Iterable[str]:
    """Its rows, the most particular first; that of the 1.6 action which means the same comes last."""
    payload = command.payload
    match command.action:
        case "Reset":
            yield f"Reset.{payload.get('type')}"
        case "SetChargingProfile":
            yield f"SetChargingProfile.{purpose_of(payload)}"
        case "CustomerInformation" if payload.get("clear"):
            yield "CustomerInformation.Clear"
        case _:
            pass
    yield command.action
    shared = same_as(command.action)
    if shared != command.action:
        yield shared


ROWS = (*get_args(Action), *VARIANTS)
"""All that a command can come to."""
KEYS_ROWS = ("ChangeConfiguration", "SetVariables")


def check_row(row: str) -> str:
    """A row that no command ever comes to is a mistake in writing."""
    if row not in ROWS:
        raise ValueError(f"{row[:80]!r} is no action of OCPP, nor one of {', '.join(VARIANTS)}")
    return row


def check_rows(rows: dict[str, CommandRules]) -> dict[str, CommandRules]:
    for name, row in rows.items():
        check_row(name)
        if row.keys_refused and name not in KEYS_ROWS:
            raise ValueError(
                f"{name} has no keys to refuse: keys_refused is of {' and '.join(KEYS_ROWS)} alone"
            )
    return rows


CommandRows = Annotated[dict[str, CommandRules], AfterValidator(check_rows)]


class ProtectionRules(Clause):
    """Running sessions: in these modes no CSMS and no cloud stops them, or throttles them below the floor."""

    modes: tuple[Mode, ...] = (Mode.DEGRADED, Mode.AUTONOMOUS, Mode.RECOVERY)
    floor_a: Amps = 6.0
    """Per phase. Below 6 A a car does not charge (IEC 61851). Watts are taken for three phases of 230 V."""
    safety: tuple[Annotated[str, AfterValidator(check_row)], ...] = ()
    """Rows of `commands` that are a matter of safety: they may, all the same."""


class LimitRules(Clause):
    """Limits of current, and their end. A lower limit never grows old: a breaker would open."""

    higher_ms_max: int = Field(300_000, ge=0, le=DURATION_MS_MAX)
    """A limit without an end of its own that is higher than what it replaces counts no longer than this: at a
    charge point when it comes late, at the site when the cloud is gone."""
    fallback_a: Amps | None = None
    """Of the site, per phase: what holds when no limit of the cloud does. None: nobody has stated one."""
    degraded_a: Amps | None = None
    """Of the site: while it is degraded at most so much. None: as the cloud said last."""
