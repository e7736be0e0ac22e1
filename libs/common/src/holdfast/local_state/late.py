"""Answers that come after their command was given up: they leave what one in time would have left.

A command given up as uncertain is remembered, and with it what came after it about the same things. When its answer
comes after all (`command.observed`) it is folded in where it belongs: before what came later, which stays on top.

    watching(before, after, fact) -> state       what a fact means for commands given up before it
    in_its_place(state, observed) -> facts       the command as answered in time, then what came after it
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import islice

from holdfast.contracts.charge_point import ChargePointSaid
from holdfast.contracts.command import Command, CommandObserved, CommandSettled, Disposition
from holdfast.contracts.envelope import Fact
from holdfast.contracts.session import SessionStarted, SessionStopped
from holdfast.empty import nothing
from holdfast.local_state.payload import object_of
from holdfast.ocpp.payloads import is_number

GIVEN_UP_MAX = 32
LATER_MAX = 64
"""Beyond it the oldest goes, and with it what was given up before it: its answer then only settles it."""
TOLD_MAX = 1_000
"""Keys of configurations. Beyond it a late answer may put back what a newer one had told."""

BY_KEY = frozenset({"ChangeConfiguration", "GetConfiguration", "SetVariables", "GetVariables"})
"""What these tell stands key by key: which key was told since is enough to know."""
IN_ORDER = frozenset(
    {
        "SendLocalList",
        "GetLocalListVersion",
        "SetChargingProfile",
        "ClearChargingProfile",
        "ReserveNow",
        "CancelReservation",
        "ChangeAvailability",
        "UpdateFirmware",
        "SignedUpdateFirmware",
    }
)
"""One takes the place of what others left: they are done again on top of it."""
_ACCEPTED = '{"status":"Accepted"}'
_SEEN = frozenset({"ChangeAvailability", "ReserveNow"})
"""Of these alone nothing else tells what stands, once the charge point shows that they took effect."""


LaterFact = CommandSettled | SessionStopped
"""A stop ends profiles that were for its session."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenUp:
    command: Command
    number: int
    """Its place among what came before and after it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Later:
    number: int
    fact: LaterFact


@dataclass(frozen=True, slots=True, kw_only=True)
class Late:
    """Empty while no command is uncertain."""

    given_up: Mapping[str, GivenUp] = field(default_factory=nothing)
    later: tuple[Later, ...] = ()
    """Answered after one of `given_up`, in order."""
    told: Mapping[str, int] = field(default_factory=nothing)
    """Keys of configurations told since, each with the place of what told it last."""
    number: int = 0


NOTHING_LATE = Late()


def watching(late: Late, fact: Fact, told: frozenset[str]) -> Late:
    """`told`: keys of configurations that this fact told."""
    match fact:
        case CommandSettled(disposition=Disposition.UNCERTAIN):
            return _with(late, fact.command)
        case _ if not late.given_up:
            return late
        case CommandSettled(disposition=Disposition.DELIVERED):
            late = replace(late, number=late.number + 1)
            if fact.command.action in IN_ORDER:
                late = _logged(late, fact, late.number)
        case SessionStopped() if _has(late, "SetChargingProfile"):
            late = replace(late, number=late.number + 1)
            late = _logged(late, fact.model_copy(update={"raw": ""}), late.number)
        case SessionStarted() | ChargePointSaid(action="ReservationStatusUpdate"):
            late = _reservation_over(late, fact)
        case ChargePointSaid():
            late = replace(late, number=late.number + 1)
        case _:
            return late
    return _pruned(_telling(late, dict.fromkeys(told, late.number)))


def in_its_place(
    late: Late, fact: CommandObserved
) -> tuple[CommandSettled | None, tuple[LaterFact, ...]]:
    """None: it leaves nothing that was not told by other means."""
    given = late.given_up.get(fact.command_id)
    answer = fact.answer
    if given is None or not _tells(given.command, fact):
        return None, ()
    if answer is None:
        answer = _ACCEPTED
    settled = CommandSettled(
        charge_point=fact.charge_point,
        command=given.command,
        disposition=Disposition.DELIVERED,
        answer=answer,
    )
    return settled, tuple(one.fact for one in late.later if one.number > given.number)


def told_since(late: Late, command_id: str) -> frozenset[str]:
    """Keys that something newer told: the late answer does not touch them."""
    given = late.given_up.get(command_id)
    if given is None:
        return frozenset()
    return frozenset(key for key, number in late.told.items() if number > given.number)


def answered(
    late: Late, fact: CommandObserved, settled: CommandSettled | None, told: frozenset[str]
) -> Late:
    """It is given up no more; for those before it, it came later than they."""
    given = late.given_up.get(fact.command_id)
    if given is None:
        return late
    if settled is not None and given.command.action in IN_ORDER:
        late = _logged(late, settled, given.number)
    newly = {key: given.number for key in told if late.told.get(key, -1) < given.number}
    left = {id: one for id, one in late.given_up.items() if id != fact.command_id}
    return _pruned(_telling(replace(late, given_up=left), newly))


def _telling(late: Late, keys: Mapping[str, int]) -> Late:
    """What was told longest ago is forgotten first."""
    if not keys:
        return late
    left = {key: number for key, number in late.told.items() if key not in keys}
    told = {**left, **keys}
    return replace(late, told=dict(islice(told.items(), max(0, len(told) - TOLD_MAX), None)))


def _tells(command: Command, fact: CommandObserved) -> bool:
    return fact.answer is not None or (fact.took_effect and command.action in _SEEN)


def _with(late: Late, command: Command) -> Late:
    if command.action not in BY_KEY | IN_ORDER:
        return late
    number = late.number + 1
    given_up = {**late.given_up, command.id: GivenUp(command=_slim(command), number=number)}
    while len(given_up) > GIVEN_UP_MAX:
        del given_up[next(iter(given_up))]
    return replace(late, given_up=given_up, number=number)


def _logged(late: Late, fact: LaterFact, number: int) -> Late:
    if isinstance(fact, CommandSettled):
        fact = fact.model_copy(update={"command": _slim(fact.command)})
    one = Later(number=number, fact=fact)
    later = sorted((*late.later, one), key=lambda one: one.number)
    if len(later) <= LATER_MAX:
        return replace(late, later=tuple(later))
    lost = later[-LATER_MAX - 1].number
    given_up = {id: one for id, one in late.given_up.items() if one.number >= lost}
    return replace(late, later=tuple(later[-LATER_MAX:]), given_up=given_up)


def _has(late: Late, action: str) -> bool:
    commands = (
        *(one.command for one in late.given_up.values()),
        *(one.fact.command for one in late.later if isinstance(one.fact, CommandSettled)),
    )
    return any(one.action == action for one in commands)


def _reservation_over(late: Late, fact: SessionStarted | ChargePointSaid) -> Late:
    """Used up by a session, or dropped by the station: as if it had been cancelled."""
    id = object_of(fact.raw).get("reservationId")
    if not is_number(id) or not _has(late, "ReserveNow"):
        return late
    cancelled = CommandSettled(
        charge_point=fact.charge_point,
        command=Command(
            id="reservation-over",
            charge_point=fact.charge_point,
            action="CancelReservation",
            payload={"reservationId": id},
            issued_at_ms=0,
            deadline_ms=0,
        ),
        disposition=Disposition.DELIVERED,
        answer=_ACCEPTED,
    )
    late = replace(late, number=late.number + 1)
    return _logged(late, cancelled, late.number)


def _slim(command: Command) -> Command:
    """Without what is large and tells nothing here."""
    if command.action != "SendLocalList":
        return command
    kept = {name: command.payload[name] for name in _OF_A_LIST if name in command.payload}
    return command.model_copy(update={"payload": kept})


_OF_A_LIST = ("listVersion", "versionNumber", "updateType")


def _pruned(late: Late) -> Late:
    if not late.given_up:
        return Late()
    first = min(one.number for one in late.given_up.values())
    if late.later and late.later[0].number <= first:
        late = replace(late, later=tuple(one for one in late.later if one.number > first))
    return late
