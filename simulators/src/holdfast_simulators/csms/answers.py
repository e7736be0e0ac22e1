"""What this central system answers to a CALL, what it writes, and what then happens to the answer.

    decide(desk, quirks, call) -> quirks, Decision(reply, rows, fate, reports)

Pure but for the book, which it keeps: no clock, no socket, no disk. As the specification asks, a
StartTransaction is answered with a transaction whatever the token's status, and whatever is
transactional is acknowledged even when it cannot be taken; then it stands in `failed`, with its reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from holdfast_simulators.csms import frames, rows
from holdfast_simulators.csms.book import Book
from holdfast_simulators.csms.config import Config
from holdfast_simulators.csms.event_book import EventBook
from holdfast_simulators.csms.frames import Call
from holdfast_simulators.csms.payloads import wrong_field
from holdfast_simulators.csms.quirks import EVERY, GOOD, BootStatus, Deed, OwnCall, Quirks, take
from holdfast_simulators.csms.rows import Row


class Fate(Enum):
    """Of a reply, once what it says is committed."""

    SEND = "send"
    LOSE = "lose"
    CRASH = "crash"


@dataclass(slots=True, kw_only=True)
class Decision:
    reply: str | None
    """A whole frame; None: silence."""
    rows: tuple[Row, ...] = ()
    is_durable: bool = False
    """The reply waits until the rows are committed."""
    fate: Fate = Fate.SEND
    delay_s: float = 0.0
    reports: list[dict[str, Any]] = field(default_factory=list)
    calls: tuple[OwnCall, ...] = ()
    """To send right after the reply."""
    boot_status: str | None = None


@dataclass(slots=True, kw_only=True)
class Desk:
    """What an answer depends on besides the CALL and the quirks."""

    config: Config
    book: Book
    events: EventBook
    """Transactions of 2.x."""

    def token_status(self, id_tag: str, quirks: Quirks) -> str:
        if id_tag in quirks.refuse_token:
            return quirks.refuse_token[id_tag]
        return self.config.tokens.get(id_tag, self.config.unknown_token)

    def token_info(self, id_tag: str, status: str) -> dict[str, str]:
        parent = self.config.parent_tokens.get(id_tag)
        return {"status": status} | ({} if parent is None else {"parentIdTag": parent})

    def token_info_2(self, token: str, status: str) -> dict[str, Any]:
        """As 2.x words it."""
        parent = self.config.parent_tokens.get(token)
        group = {} if parent is None else {"groupIdToken": {"idToken": parent, "type": "Central"}}
        return {"status": status} | group


Handler = Callable[[Desk, Quirks, Call], Decision]


def decide(desk: Desk, quirks: Quirks, call: Call) -> tuple[Quirks, Decision]:
    """Counts of the quirks go down; a CALL that is ignored or refused leaves the book as it is."""
    if not quirks.rules:
        return quirks, _process(desk, quirks, call)
    if (taken := take(quirks, Deed.IGNORE, call)) is not None:
        return taken[0], _marked(Decision(reply=None), Deed.IGNORE, call)
    if (taken := take(quirks, Deed.CALLERROR, call)) is not None:
        left, rule = taken
        reply = None
        if not call.is_send:
            reply = frames.error(call.id_text, rule.code, "as it was told to answer")
        return left, _marked(Decision(reply=reply), Deed.CALLERROR, call)
    decision = _process(desk, quirks, call)
    for deed, fate in ((Deed.LOSE_ANSWER, Fate.LOSE), (Deed.CRASH_ON, Fate.CRASH)):
        if (taken := take(quirks, deed, call)) is not None:
            quirks, _ = taken
            decision.fate = fate
            decision.calls = ()
            return quirks, _marked(decision, deed, call)
    return quirks, decision


def _marked(decision: Decision, deed: Deed, call: Call) -> Decision:
    said = {"event": "quirk", "did": "happened", "name": deed.value}
    told = {"charge_point": call.charge_point, "action": call.action}
    decision.reports.append(said | told | {"message_id": call.message_id})
    return decision


def _process(desk: Desk, quirks: Quirks, call: Call) -> Decision:
    handler = HANDLERS_OF[call.version].get(call.action)
    if handler is None:
        problem = f"action {call.action[:50]} is not known here"
        return Decision(reply=frames.error(call.id_text, quirks.unknown_action_code, problem))
    wrong = wrong_field(call.action, call.payload, call.version)
    if wrong is not None:
        code = quirks.bad_payload_code
        if call.version != frames.V16 and code == GOOD.bad_payload_code:
            code = "FormatViolation"
        return Decision(reply=frames.error(call.id_text, code, wrong))
    decision = handler(desk, quirks, call)
    if call.is_send:
        decision.reply = None
    if quirks.answer_delay_s:
        decision.delay_s = quirks.delay_s(call.action)
    return decision


def _answer(call: Call, payload: Mapping[str, Any], **more: Any) -> Decision:
    return Decision(reply=frames.result(call.id_text, frames.encode(payload)), **more)


# --- one function for each action


def _boot(desk: Desk, quirks: Quirks, call: Call) -> Decision:
    said = quirks.boot_status
    chosen = said.get(call.charge_point) or said.get(EVERY) or BootStatus(status="Accepted")
    interval_s = desk.config.heartbeat_s if chosen.interval_s is None else chosen.interval_s
    now = _timestamp(call.at_ms)
    return _answer(
        call,
        {"status": chosen.status, "currentTime": now, "interval": interval_s},
        reports=[{"event": "boot", "charge_point": call.charge_point, "status": chosen.status}],
        calls=() if chosen.status == "Rejected" else _calls_after_boot(quirks, call),
        boot_status=chosen.status,
    )


def _calls_after_boot(quirks: Quirks, call: Call) -> tuple[OwnCall, ...]:
    return tuple(one for one in quirks.calls_after_boot if call.version in one.versions)


def _heartbeat(desk: Desk, quirks: Quirks, call: Call) -> Decision:
    return _answer(call, {"currentTime": _timestamp(call.at_ms)})


def _authorize(desk: Desk, quirks: Quirks, call: Call) -> Decision:
    id_tag = call.payload["idTag"]
    info = desk.token_info(id_tag, desk.token_status(id_tag, quirks))
    return _answer(call, {"idTagInfo": info})


def _start(desk: Desk, quirks: Quirks, call: Call) -> Decision:
    id_tag = call.payload["idTag"]
    known = desk.book.repeated(call, quirks.dedupe)
    if known is not None:
        info = desk.token_info(known.id_tag, known.status)
        # The first answer may still wait for its commit: the repeat is not to overtake it.
        return _answer(call, {"transactionId": known.id, "idTagInfo": info}, is_durable=True)
    status = desk.token_status(id_tag, quirks)
    if quirks.concurrent_tx_check and status == "Accepted" and desk.book.has_open(id_tag):
        status = "ConcurrentTx"
    transaction = desk.book.start(call, status)
    report = {
        "event": "transaction-started",
        "charge_point": call.charge_point,
        "transaction_id": transaction.id,
        "connector": transaction.connector,
        "status": status,
    }
    return _answer(
        call,
        {"transactionId": transaction.id, "idTagInfo": desk.token_info(id_tag, status)},
        rows=(rows.start(call, transaction),),
        is_durable=True,
        reports=[report],
    )


def _meter(desk: Desk, quirks: Quirks, call: Call) -> Decision:
    is_matched = desk.book.is_open(call) if "transactionId" in call.payload else None
    if is_matched is False and quirks.drop_unknown_meter_values:
        row = rows.failed(call, "meter values of an unknown or ended transaction")
    else:
        row = rows.meter(call, is_matched=is_matched)
    return _answer(call, {}, rows=(row,), is_durable=True)


def _stop(desk: Desk, quirks: Quirks, call: Call) -> Decision:
    id_tag = call.payload.get("idTag")
    info = {} if id_tag is None else desk.token_info(id_tag, desk.token_status(id_tag, quirks))
    answer = {"idTagInfo": info} if info else {}
    was_stopped = desk.book.is_stopped(call)
    is_ahead = _is_ahead(call, quirks.future_stop_s)
    reason = "stop in the future" if is_ahead else desk.book.stop(call)
    if was_stopped and reason is None:
        return _answer(call, answer, is_durable=True)
    report = {
        "event": "transaction-stopped",
        "charge_point": call.charge_point,
        "transaction_id": call.payload["transactionId"],
        "failed": reason,
    }
    row = rows.stop(call) if reason is None else rows.failed(call, reason)
    return _answer(call, answer, rows=(row,), is_durable=True, reports=[report])


def _status(desk: Desk, quirks: Quirks, call: Call) -> Decision:
    return _answer(call, {}, rows=(rows.status(call),))


def _data_transfer(desk: Desk, quirks: Quirks, call: Call) -> Decision:
    return _answer(call, {"status": "UnknownVendorId"})


def _acknowledge(desk: Desk, quirks: Quirks, call: Call) -> Decision:
    return _answer(call, {}, rows=(rows.said(call),), is_durable=True)


def _authorize_2(desk: Desk, quirks: Quirks, call: Call) -> Decision:
    token = call.payload["idToken"]["idToken"]
    status = desk.token_status(token, quirks)
    return _answer(call, {"idTokenInfo": desk.token_info_2(token, status)})


def _event(desk: Desk, quirks: Quirks, call: Call) -> Decision:
    """Known again by transaction and seqNo: the station chose them."""
    said = desk.events.look(call, quirks.dedupe)
    token = call.payload.get("idToken")
    answer: dict[str, Any] = {}
    status: str | None = None
    if token is not None:
        status = said.status if said.is_repeat else _event_status(desk, quirks, call)
        answer["idTokenInfo"] = desk.token_info_2(token["idToken"], status or "Accepted")
    if said.is_repeat:
        return _answer(call, answer, is_durable=True)
    reason = said.problem
    kind = call.payload["eventType"]
    if reason is None and kind == "Ended" and _is_ahead(call, quirks.future_stop_s):
        reason = "stop in the future"
    if reason is None and quirks.drop_unknown_meter_values and said.is_stray:
        reason = "event of an unknown or ended transaction"
    if reason is not None:
        return _answer(call, answer, rows=(rows.failed(call, reason),), is_durable=True)
    desk.events.enter(call, status)
    report: dict[str, Any] = {
        "event": {"Started": "transaction-started", "Ended": "transaction-stopped"}.get(kind, ""),
        "charge_point": call.charge_point,
        "transaction_id": call.payload["transactionInfo"]["transactionId"],
    }
    if kind == "Started":
        report |= {"connector": call.payload.get("evse", {}).get("id"), "status": status}
    elif kind == "Ended":
        report["failed"] = None
    reports = [report] if report["event"] else []
    return _answer(call, answer, rows=(rows.event(call, status),), is_durable=True, reports=reports)


def _event_status(desk: Desk, quirks: Quirks, call: Call) -> str:
    token = call.payload["idToken"]["idToken"]
    status = desk.token_status(token, quirks)
    is_start = call.payload["eventType"] == "Started"
    if quirks.concurrent_tx_check and is_start and status == "Accepted":
        return "ConcurrentTx" if desk.events.has_open(token) else status
    return status


def _said(answer: dict[str, Any]) -> Handler:
    """Kept, and answered with this."""

    def handler(_desk: Desk, _quirks: Quirks, call: Call) -> Decision:
        return _answer(call, answer, rows=(rows.said(call),), is_durable=True)

    return handler


def _chain_status(desk: Desk, quirks: Quirks, call: Call) -> Decision:
    """Good, of each certificate that was asked about."""
    asked = call.payload.get("certificateStatusRequests", [])
    until = _timestamp(call.at_ms + 86_400_000)
    status = [
        {
            "certificateHashData": one["certificateHashData"],
            "source": one["source"],
            "status": "Good",
            "nextUpdate": until,
        }
        for one in asked
    ]
    return _answer(call, {"certificateStatus": status}, rows=(rows.said(call),), is_durable=True)


def _vat_number(desk: Desk, quirks: Quirks, call: Call) -> Decision:
    answer = {"vatNumber": call.payload["vatNumber"], "status": "Accepted"}
    return _answer(call, answer, rows=(rows.said(call),), is_durable=True)


HANDLERS: dict[str, Handler] = {
    "BootNotification": _boot,
    "Heartbeat": _heartbeat,
    "Authorize": _authorize,
    "StartTransaction": _start,
    "MeterValues": _meter,
    "StopTransaction": _stop,
    "StatusNotification": _status,
    "DataTransfer": _data_transfer,
    "DiagnosticsStatusNotification": _acknowledge,
    "FirmwareStatusNotification": _acknowledge,
    "SecurityEventNotification": _acknowledge,
    "SignedFirmwareStatusNotification": _acknowledge,
    "LogStatusNotification": _acknowledge,
    "SignCertificate": _said({"status": "Accepted"}),
}
HANDLERS_201: dict[str, Handler] = {
    "BootNotification": _boot,
    "Heartbeat": _heartbeat,
    "Authorize": _authorize_2,
    "TransactionEvent": _event,
    "StatusNotification": _status,
    "MeterValues": _acknowledge,
    "DataTransfer": _said({"status": "UnknownVendorId"}),
    "ClearedChargingLimit": _acknowledge,
    "FirmwareStatusNotification": _acknowledge,
    "Get15118EVCertificate": _said({"status": "Accepted", "exiResponse": "gAEC"}),
    "GetCertificateStatus": _said({"status": "Accepted", "ocspResult": "MAMKAQA="}),
    "LogStatusNotification": _acknowledge,
    "NotifyChargingLimit": _acknowledge,
    "NotifyCustomerInformation": _acknowledge,
    "NotifyDisplayMessages": _acknowledge,
    "NotifyEVChargingNeeds": _said({"status": "Accepted"}),
    "NotifyEVChargingSchedule": _said({"status": "Accepted"}),
    "NotifyEvent": _acknowledge,
    "NotifyMonitoringReport": _acknowledge,
    "NotifyReport": _acknowledge,
    "PublishFirmwareStatusNotification": _acknowledge,
    "ReportChargingProfiles": _acknowledge,
    "ReservationStatusUpdate": _acknowledge,
    "SecurityEventNotification": _acknowledge,
    "SignCertificate": _said({"status": "Accepted"}),
}
HANDLERS_21: dict[str, Handler] = {
    **HANDLERS_201,
    "BatterySwap": _acknowledge,
    "ClosePeriodicEventStream": _acknowledge,
    "GetCertificateChainStatus": _chain_status,
    "NotifyDERAlarm": _acknowledge,
    "NotifyDERStartStop": _acknowledge,
    "NotifyPeriodicEventStream": _acknowledge,
    "NotifyPriorityCharging": _acknowledge,
    "NotifySettlement": _acknowledge,
    "OpenPeriodicEventStream": _said({"status": "Accepted"}),
    "PullDynamicScheduleUpdate": _said({"status": "Rejected"}),
    "ReportDERControl": _acknowledge,
    "VatNumberValidation": _vat_number,
}
HANDLERS_OF = {frames.V16: HANDLERS, frames.V201: HANDLERS_201, frames.V21: HANDLERS_21}


def _is_ahead(call: Call, allowed_s: float | None) -> bool:
    if allowed_s is None:
        return False
    try:
        moment = datetime.fromisoformat(call.payload["timestamp"])
    except ValueError:
        return False
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return aware.timestamp() * 1_000 > call.at_ms + allowed_s * 1_000


def _timestamp(at_ms: int) -> str:
    moment = datetime.fromtimestamp(at_ms / 1_000, tz=UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
