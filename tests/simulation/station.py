"""A small charging station of 2.0.1 or 2.1: the same life as a charge point's, told in TransactionEvents.

The station chooses the transaction's id and numbers its events; what arises without a line says `offline`.
"""

from __future__ import annotations

import json
import uuid
from typing import Any

from holdfast.ocpp.versions import OcppVersion
from simulation.charge_point import Executed, Queued, Session, SimChargePoint

EVSE = {"id": 1, "connectorId": 1}


class SimStation(SimChargePoint):
    version = OcppVersion.V201

    def _boot_fields(self) -> dict[str, Any]:
        station = {"vendorName": "Simulated", "model": "Two"}
        return {"reason": "PowerUp", "chargingStation": station}

    def _status_fields(self, status: str) -> dict[str, Any]:
        said = "Available" if status == "Available" else "Occupied"
        at = self._now()
        return {"timestamp": at, "connectorStatus": said, "evseId": 1, "connectorId": 1}

    async def _may_charge(self, driver_token: str) -> bool:
        answer = await self._call("Authorize", {"idToken": _token(driver_token)})
        if answer is None:
            return self._habits.starts_offline and not self.is_connected
        return bool(answer["idTokenInfo"]["status"] == "Accepted")

    # --- sessions ---

    def _started(self, session: Session) -> list[Queued]:
        """By habit the token is in the Started, or the cable comes first and an Updated brings it."""
        session.transaction_id = str(uuid.UUID(int=self._rng.getrandbits(128)))
        token = {"idToken": _token(session.driver_token)}
        if self._rng.random() < 0.5:
            return [self._event(session, "Started", "Authorized", "Charging", token)]
        return [
            self._event(session, "Started", "CablePluggedIn", "EVConnected"),
            self._event(session, "Updated", "Authorized", "Charging", token, is_read=False),
        ]

    def _reading(self, session: Session) -> Queued:
        return self._event(session, "Updated", "MeterValuePeriodic", "Charging")

    def _stopped(self, session: Session, reason: str) -> Queued:
        """1.6 has reasons that 2.x has not."""
        why = "Other" if reason == "UnlockCommand" else reason
        ended = self._event(session, "Ended", "StopAuthorized", "EVConnected")
        ended.fields["transactionInfo"]["stoppedReason"] = why
        return ended

    def _event(
        self,
        session: Session,
        kind: str,
        trigger: str,
        state: str,
        more: dict[str, Any] | None = None,
        *,
        is_read: bool = True,
    ) -> Queued:
        at, context = self._now(), _CONTEXTS[kind]
        fields: dict[str, Any] = {
            "eventType": kind,
            "timestamp": at,
            "triggerReason": trigger,
            "seqNo": session.next_seq_no,
            "transactionInfo": {"transactionId": session.transaction_id, "chargingState": state},
            "evse": EVSE,
        } | (more or {})
        if is_read:
            sampled = {"value": self._register_wh, "context": context}
            fields["meterValue"] = [{"timestamp": at, "sampledValue": [sampled]}]
        if not self.is_connected:
            fields["offline"] = True
        session.next_seq_no += 1
        return Queued(session, "TransactionEvent", fields)

    def _transaction(self, _: Queued) -> dict[str, Any]:
        return {}

    def _heard(self, queued: Queued, answer: dict[str, Any]) -> None:
        info = answer.get("idTokenInfo")
        if info and info["status"] != "Accepted" and queued.session is self.session:
            self.unplug("DeAuthorized")

    # --- CALLs in ---

    def may_be_told(self, driver_token: str) -> tuple[tuple[str, dict[str, Any]], ...]:
        running = self.session.transaction_id if self.session else None
        start = {"evseId": 1, "remoteStartId": 1, "idToken": _token(driver_token)}
        return (
            ("RequestStartTransaction", start),
            ("RequestStopTransaction", {"transactionId": running or "none"}),
            ("ChangeAvailability", {"evse": {"id": 1}, "operationalStatus": "Operative"}),
            ("TriggerMessage", {"requestedMessage": "Heartbeat"}),
        )

    def _execute(self, message_id: str, action: str, payload: dict[str, Any]) -> dict[str, Any]:
        self.ledger.executed.append(
            Executed(
                self.identity, message_id, action, json.dumps(payload), self._site_clock.now_ms()
            )
        )
        match action:
            case "RequestStartTransaction":
                if self.session is not None:
                    return {"status": "Rejected"}
                self._begin(payload["idToken"]["idToken"])
            case "RequestStopTransaction":
                if self.session is None or self.session.transaction_id != payload["transactionId"]:
                    return {"status": "Rejected"}
                self.unplug("Remote")
            case "Reset":
                assert self._group is not None
                self._group.create_task(self._reset())
            case "UnlockConnector":
                return {"status": "Unlocked"}
            case "GetTransactionStatus":
                return {"messagesInQueue": bool(self.queue)}
            case "DataTransfer":
                return {"status": "UnknownVendorId"}
        return {"status": "Accepted"}


class SimStation21(SimStation):
    version = OcppVersion.V21


_CONTEXTS = {
    "Started": "Transaction.Begin",
    "Updated": "Sample.Periodic",
    "Ended": "Transaction.End",
}


def _token(driver_token: str) -> dict[str, str]:
    return {"idToken": driver_token, "type": "Central"}
