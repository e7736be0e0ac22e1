"""Facts about a charge point of 2.x, as ocpp-edge writes them; payloads with spaces show that none is written anew."""

from __future__ import annotations

from typing import Any

from holdfast.contracts.charge_point import (
    ChargePointBooted,
    ChargePointConnected,
    ChargePointSaid,
    ConnectorStatusChanged,
)
from holdfast.contracts.decision import Basis
from holdfast.contracts.driver_tokens import TokenStatus, TokenType
from holdfast.contracts.session import (
    SessionAuthorised,
    SessionMetered,
    SessionStarted,
    SessionStopped,
    session_key,
)
from holdfast.ocpp.versions import OcppVersion

CP, TX = "CP-1", "7f3c-tx-1"
AT = "2026-09-21T14:00:00Z"
V16, V201, V21 = OcppVersion


def raw_event(kind: str, seq_no: int, tx: str = TX, more: str = "") -> str:
    return (
        f'{{"eventType":"{kind}", "seqNo": {seq_no}, "timestamp":"{AT}","triggerReason":"Trigger",'
        f'"transactionInfo":{{"transactionId":"{tx}"}}{more} }}'
    )


def connected(version: OcppVersion = V201, connection: str = "k1") -> ChargePointConnected:
    return ChargePointConnected(
        charge_point=CP,
        connection=connection,
        protocol=version.subprotocol,
        version=version,
        remote="10.0.0.1:1",
    )


def booted(version: OcppVersion = V201, model: str = "M") -> ChargePointBooted:
    return ChargePointBooted(
        charge_point=CP,
        message_id="b",
        vendor="V",
        model=model,
        serial=None,
        firmware=None,
        status="Accepted",
        version=version,
        raw=f'{{"reason":"PowerUp","chargingStation":{{"model":"{model}","vendorName":"V"}}}}',
    )


def started(tx: str = TX, *, accepted: bool | None = True, version: OcppVersion = V201) -> Any:
    """`accepted` None: the cable came first, and there was no idToken."""
    status = {True: TokenStatus.ACCEPTED, False: TokenStatus.INVALID, None: None}[accepted]
    return SessionStarted(
        charge_point=CP,
        connector=2,
        plug=1,
        session=session_key(CP, tx),
        transaction_id=tx,
        driver_token=None if accepted is None else "D",
        token_type=TokenType.ISO14443,
        meter_start_wh=100,
        at=AT,
        status=status,
        basis=None if accepted is None else Basis.LIST,
        flagged=False,
        decision=None if accepted is None else "d",
        message_id="m",
        action="TransactionEvent",
        version=version,
        seq_no=0,
        raw=raw_event("Started", 0, tx),
    )


def metered(
    seq_no: int,
    tx: str = TX,
    *,
    left_out: tuple[tuple[int, int], ...] = (),
    uncounted: tuple[tuple[int, int], ...] = (),
    accepted: bool | None = None,
    offline: bool = False,
) -> SessionMetered:
    authorised = SessionAuthorised(
        driver_token="D",
        token_type=TokenType.ISO14443,
        status=TokenStatus.ACCEPTED if accepted else TokenStatus.INVALID,
        basis=Basis.LIST,
        decision="d",
    )
    return SessionMetered(
        charge_point=CP,
        connector=2,
        session=session_key(CP, tx),
        transaction_id=tx,
        readings=(),
        message_id="m",
        action="TransactionEvent",
        version=V201,
        seq_no=seq_no,
        offline=offline,
        left_out_seq=left_out,
        uncounted=bool(uncounted),
        uncounted_seq=uncounted,
        authorised=None if accepted is None else authorised,
        raw=raw_event("Updated", seq_no, tx, ',"offline":true' if offline else ""),
    )


def stopped(seq_no: int, tx: str = TX) -> SessionStopped:
    return SessionStopped(
        charge_point=CP,
        session=session_key(CP, tx),
        transaction_id=tx,
        meter_stop_wh=200,
        at=AT,
        reason="Local",
        message_id="m",
        action="TransactionEvent",
        version=V201,
        seq_no=seq_no,
        raw=raw_event("Ended", seq_no, tx),
    )


def status(word: str = "Available", evse: int = 1, plug: int = 1) -> ConnectorStatusChanged:
    return ConnectorStatusChanged(
        charge_point=CP,
        connector=evse,
        plug=plug,
        status=word,
        error_code="NoError",
        message_id="s",
        version=V201,
        raw=f'{{"timestamp":"{AT}","connectorStatus":"{word}","evseId":{evse},"connectorId":{plug}}}',
    )


def said(
    action: str, number: int = 1, *, kind: str = "G", key: str = "k", version: OcppVersion = V201
) -> ChargePointSaid:
    return ChargePointSaid(
        charge_point=CP,
        version=version,
        action=action,
        kind=kind,
        key=key,
        message_id=f"m{number}",
        raw=f'{{"n": {number}}}',
    )
