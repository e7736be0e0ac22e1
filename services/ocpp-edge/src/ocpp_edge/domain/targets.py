"""What the rules may want to know of the place a command goes to, out of the fold and what is in hand."""

from __future__ import annotations

from holdfast.contracts.command import Command
from holdfast.contracts.decision import ConnectorState, RunningOn
from holdfast.contracts.transaction import TransactionId
from holdfast.ocpp import payloads
from holdfast.ocpp.actions import same_as
from holdfast.ocpp.payloads import WHOLE, transaction_of
from ocpp_edge.domain import from_known
from ocpp_edge.domain.known import Known
from ocpp_edge.domain.state import State


def target(state: State, command: Command, at_ms: int) -> ConnectorState:
    known, live = state.known, state.live
    connector = _connector(known, command)
    status = known.connectors.get(connector) if connector is not None else None
    reservation = payloads.reservation_of(command.action, command.payload)
    told = from_known.answer(known, state.version, command)
    return ConnectorState(
        connected=live.connection is not None,
        status=status.status if status else None,
        transaction_id=_transaction(known, command, connector),
        booted_at_ms=known.booted.at_ms if known.booted else None,
        running=tuple(
            RunningOn(
                connector=one.connector,
                transaction_id=one.transaction_id,
                started_at_ms=one.started_at_ms,
            )
            for one in known.running()
        ),
        status_since_ms=status.since_ms if status and status.since_ms else None,
        reserved_for_other=_is_reserved_for_other(known, command, connector, at_ms),
        waiting_records=len(live.lane),
        late_record_at_ms=known.late_record_at_ms,
        list_version=known.installed.list_version,
        list_broken=known.installed.list_missing is not None,
        reservation_over=reservation is not None
        and known.installed.reservation_is_over(reservation, at_ms),
        profiles=known.installed.profiles_at(at_ms),
        known_age_ms=max(0, at_ms - told.told_ms) if told else None,
    )


def _connector(known: Known, command: Command) -> int | None:
    """The one it names; without a name, the only one there is."""
    named = payloads.connector_of(command.action, command.payload)
    if named is not None:
        return named
    own = [connector for connector in known.connectors if connector > 0]
    return own[0] if len(own) == 1 else None


def _transaction(known: Known, command: Command, connector: int | None) -> TransactionId | None:
    running = known.running()
    named = transaction_of(command.payload)
    match same_as(command.action):
        case _ if named is not None:
            return named if named in {one.transaction_id for one in running} else None
        case "Reset" | "UpdateFirmware" if "evseId" not in command.payload:
            return running[0].transaction_id if running else None
        case _ if connector == WHOLE:
            return running[0].transaction_id if running else None
        case "RemoteStartTransaction" if connector is not None:
            session = known.session_on(connector)
            # 2.x: the cable came first, and the driver of that very session is what this names.
            is_claimed = session is not None and session.driver_token is not None
            return session.transaction_id if session and is_claimed else None
        case _ if connector is not None:
            session = known.session_on(connector)
            return session.transaction_id if session else None
        case _:
            # It names no connector: a session only stands in its way when no connector is free.
            free = len(running) < sum(1 for one in known.connectors if one > 0)
            return None if free or not running else running[0].transaction_id


def _is_reserved_for_other(
    known: Known, command: Command, connector: int | None, at_ms: int
) -> bool:
    token = payloads.driver_token_of(command.payload)
    if connector is None or token is None:
        return False
    reserved = known.installed.reserved(connector, at_ms)
    is_own = [
        one.driver_token.casefold() == token.casefold()
        or id == payloads.reservation_of(command.action, command.payload)
        for id, one in reserved
    ]
    status = known.connectors.get(connector)
    if status is not None and status.status == "Reserved":
        # By whoever: only a reservation that is known to be this driver's is in nobody's way.
        return not any(is_own)
    return not all(is_own)
