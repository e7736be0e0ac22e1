"""What a charge point of 1.6 says, and what it makes of the answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from holdfast_simulators.charge_points.body.body import Body
from holdfast_simulators.charge_points.body.link import Answered, Link
from holdfast_simulators.charge_points.body.outbox import Queued
from holdfast_simulators.charge_points.body.talking import Talking, Verdict
from holdfast_simulators.charge_points.v16 import messages, outbox, security
from holdfast_simulators.charge_points.v16.device import Device
from holdfast_simulators.charge_points.v16.events import StartAnswered
from holdfast_simulators.charge_points.v16.maintenance import SIGNED_FIRMWARE
from holdfast_simulators.charge_points.v16.outbox import Action
from holdfast_simulators.charge_points.v16.store import Store


class Talker(Talking[Device, StartAnswered]):
    def __init__(self, body: Body[Device, StartAnswered], store: Store, link: Link) -> None:
        super().__init__(body, link)
        self._store = store

    def _boot_notification(self, *, is_triggered: bool = False) -> dict[str, Any]:
        config, firmware = self._body.config, self._body.device.memory.firmware
        return messages.boot(config.vendor, config.model, config.serial, firmware.version)

    def _status(self, connector: int, status: str, at_ms: int) -> dict[str, Any]:
        return messages.status(connector, status, at_ms)

    def _token(self, driver_token: str) -> dict[str, Any]:
        return {"idTag": driver_token}

    def _verdict(self, payload: dict[str, Any]) -> Verdict:
        info = payload.get("idTagInfo")
        parent = info.get("parentIdTag") if isinstance(info, dict) else None
        return Verdict(_is_accepted(payload), parent if isinstance(parent, str) else None)

    def _triggered(self, action: str, number: int) -> Iterator[tuple[str, dict[str, Any]]]:
        body = self._body
        match action:
            case "DiagnosticsStatusNotification":
                yield action, body.upload_status
            case "FirmwareStatusNotification":
                update = body.device.memory.firmware.update
                status = {"status": "Idle" if update is None else update.phase}
                if update is not None and update.request is not None:
                    yield SIGNED_FIRMWARE, {**status, "requestId": update.request}
                else:
                    yield action, status
            case "LogStatusNotification":
                yield action, {"status": "Idle"}
            case "SignCertificate":
                yield action, {"csr": security.CSR}
            case "MeterValues":
                for one in body.device.chosen(number):
                    at_ms = body.clock.now().device_ms
                    yield action, messages.meter(one.number, one.register_wh, 0, at_ms, "Trigger")
            case _:
                yield action, {}

    # --- the queue

    def _text(self, queued: Queued) -> str:
        transaction_id = self._store.transaction_id(queued.message.session)
        return self._link.text(outbox.payload(queued.message, transaction_id))

    def _acknowledged(
        self, queued: Queued, message_id: str, payload: str, answer: Answered
    ) -> str | None:
        at, store = self._body.clock.now(), self._store
        is_start = queued.message.action == Action.START
        transaction_id = answer.payload.get("transactionId")
        if is_start and (not isinstance(transaction_id, int) or isinstance(transaction_id, bool)):
            return "answer without transactionId"

        def acknowledge() -> None:
            text = json.dumps(answer.payload)
            store.acknowledged(queued, message_id, payload, text, at.true_ms)
            if is_start:
                store.set_transaction_id(queued.message.session, int(transaction_id or 0))

        if not is_start:
            with store.transaction():
                acknowledge()
            self._body.queue_changed()
            return None
        is_accepted = _is_accepted(answer.payload)
        self._body.report(
            "transaction-id",
            session=queued.message.session,
            transaction_id=transaction_id,
            accepted=is_accepted,
        )
        self._body.handle(
            StartAnswered(
                at=at,
                session=queued.message.session,
                transaction_id=int(transaction_id or 0),
                is_accepted=is_accepted,
            ),
            together_with=acknowledge,
        )
        return None


def _is_accepted(payload: dict[str, Any]) -> bool:
    info = payload.get("idTagInfo")
    return isinstance(info, dict) and info.get("status") == "Accepted"
