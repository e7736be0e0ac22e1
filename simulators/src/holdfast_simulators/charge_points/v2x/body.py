"""The station's body: it holds the device, asks the core, and makes what was decided durable.

    handle(event):  decide  ->  one transaction in the store  ->  what is left to say

Nothing here knows a socket. What is to be sent besides the queue waits in `Agenda`, in memory, and a
reboot forgets it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any, assert_never

from holdfast_simulators.charge_points.body.agenda import Agenda
from holdfast_simulators.charge_points.body.clock import Clock
from holdfast_simulators.charge_points.body.config import Behaviour, ChargePointConfig
from holdfast_simulators.charge_points.body.message_ids import MessageIds
from holdfast_simulators.charge_points.body.outbox import Outbox
from holdfast_simulators.charge_points.body.queue_rules import Entry
from holdfast_simulators.charge_points.v2x import variables
from holdfast_simulators.charge_points.v2x.decision import decide
from holdfast_simulators.charge_points.v2x.events import (
    AskAuthorisation,
    Authorised,
    BeginTransaction,
    DeviceEvent,
    Effect,
    EndTransaction,
    Enqueue,
    ReadingDue,
    Refuse,
    StatusChanged,
)
from holdfast_simulators.charge_points.v2x.store import Store

Report = Callable[..., None]


class Body:
    def __init__(
        self, config: ChargePointConfig, store: Store, clock: Clock, report: Report
    ) -> None:
        self.config = config
        self.store = store
        self.clock = clock
        self.agenda = Agenda()
        self.ids = MessageIds(config)
        self.is_online = False
        """The link is up and the central system has accepted the boot."""
        self.boot_reason = "PowerUp"
        self.transactions_changed = asyncio.Event()
        self.settled = asyncio.Event()
        """No transaction runs and the queue is empty."""
        self.upkeep = asyncio.Event()
        """Something happened that firmware or logs may wait for."""
        self.log_status: dict[str, Any] = {"status": "Idle"}
        self.device = store.load(config.connectors, clock.now().monotonic_ms)
        self._booted_with = self.device.memory.variables
        self.behaviour = self._configured()
        self._report = report

    @property
    def outbox(self) -> Outbox:
        return self.store

    def report(self, event: str, **fields: Any) -> None:
        self._report(event, charge_point=self.config.id, **fields)

    def _configured(self) -> Behaviour:
        given, changed = self.config.behaviour, self.device.memory.variables
        if self.config.version != "2.1":
            given = replace(given, settles=False, stream_s=None)
        return variables.configured(given, changed, at_boot=self._booted_with)

    def boot(self) -> None:
        """Variables that need a boot take effect."""
        self._booted_with = self.device.memory.variables
        self.behaviour = self._configured()

    def notice(self, action: str, payload: dict[str, Any]) -> None:
        self.report("notice", action=action, status=payload.get("status"))
        self.agenda.notices.append((action, payload))
        self.agenda.work.set()

    @property
    def has_room(self) -> bool:
        running = len(self.device.in_transaction)
        return self.store.has_room(running, self.behaviour.queue_capacity)

    def handle(self, event: DeviceEvent, together_with: Callable[[], None] | None = None) -> None:
        """`together_with` is written in the same transaction."""
        device, effects = decide(self.behaviour, self.device, event)
        running = len(device.in_transaction)
        if effects or together_with or not isinstance(event, ReadingDue):
            with self.store.transaction():
                if together_with is not None:
                    together_with()
                for effect in effects:
                    self._persist(effect, running, event.at.true_ms)
                self.store.save(device)
        is_reconfigured = device.memory.variables is not self.device.memory.variables
        self.device = device
        if is_reconfigured:
            self.behaviour = self._configured()
        for effect in effects:
            self._perform(effect)
        self.queue_changed()
        self.transactions_changed.set()
        self.upkeep.set()

    def queue_changed(self) -> None:
        self.agenda.work.set()
        if self.device.in_transaction or self.store.queue_length():
            self.settled.clear()
        else:
            self.settled.set()

    def authorise_offline(self, connector: int, driver_token: str) -> None:
        """The local list decides, then the cache; a driver token neither knows is a matter of behaviour."""
        known = self._known_locally(driver_token)
        is_accepted = self.behaviour.offline_start if known is None else known
        self.authorised(connector, driver_token, is_accepted=is_accepted, is_online=False)

    def _known_locally(self, driver_token: str) -> bool | None:
        """C13: the list over the cache."""
        memory = self.device.memory
        listed = memory.local_list.tokens.get(driver_token)
        if listed is not None and variables.is_on(memory.variables, "LocalAuthListCtrlr.Enabled"):
            return listed.is_accepted(self.clock.now().device_ms)
        return self.store.known_token(driver_token) if self.has_cache else None

    @property
    def has_cache(self) -> bool:
        return variables.is_on(self.device.memory.variables, "AuthCacheCtrlr.Enabled")

    def authorised(
        self,
        evse: int,
        driver_token: str,
        *,
        is_accepted: bool,
        is_online: bool,
        group: str | None = None,
    ) -> None:
        at = self.clock.now()

        def record() -> None:
            self.store.record_authorisation(
                evse, driver_token, at.true_ms, accepted=is_accepted, online=is_online
            )
            if is_online and self.has_cache:
                self.store.remember_token(driver_token, accepted=is_accepted)

        self.report("authorised", connector=evse, accepted=is_accepted, online=is_online)
        self.handle(
            Authorised(
                at=at,
                evse=evse,
                driver_token=driver_token,
                is_accepted=is_accepted,
                is_online=is_online,
                has_room=self.has_room,
                group=group,
            ),
            together_with=record,
        )

    def _is_authorised_before(self, driver_token: str) -> bool:
        """LocalPreAuthorize: who is known to be accepted does not wait for the central system."""
        is_asked_for = variables.is_on(self.device.memory.variables, "AuthCtrlr.LocalPreAuthorize")
        return is_asked_for and self._known_locally(driver_token) is True

    def _persist(self, effect: Effect, running: int, at_ms: int) -> None:
        match effect:
            case BeginTransaction():
                self.store.begin(effect)
            case EndTransaction():
                self.store.end(effect)
            case Enqueue(message=message):
                entry = self.store.enqueue(
                    message,
                    running=running,
                    capacity=self.behaviour.queue_capacity,
                    in_flight=self.agenda.in_flight,
                    at_ms=at_ms,
                    is_offline=not self.is_online,
                )
                if entry is not Entry.ADMITTED:
                    self.report("discarded", action="TransactionEvent", why="queue full")
            case AskAuthorisation() | Refuse() | StatusChanged():
                pass
            case _:
                assert_never(effect)

    def _perform(self, effect: Effect) -> None:
        match effect:
            case AskAuthorisation(evse=evse, driver_token=driver_token):
                if self.is_online and not self._is_authorised_before(driver_token):
                    self.agenda.authorisations[evse] = driver_token
                else:
                    self.authorise_offline(evse, driver_token)
            case BeginTransaction(evse=evse, transaction=transaction, is_online=is_online):
                self.report(
                    "session-started",
                    connector=evse,
                    session=transaction.key,
                    meter_start_wh=transaction.meter_start_wh,
                    online=is_online,
                )
                self.report(
                    "transaction-id",
                    session=transaction.key,
                    transaction_id=transaction.id,
                    accepted=True,
                )
            case EndTransaction(evse=evse, transaction=transaction):
                self.report(
                    "session-stopped",
                    connector=evse,
                    session=transaction.key,
                    meter_stop_wh=effect.meter_stop_wh,
                    reason=effect.reason,
                )
            case Refuse(evse=evse, reason=reason):
                self.report("refused", connector=evse, reason=reason)
            case StatusChanged(evse=evse):
                self.agenda.statuses.add(evse)
            case Enqueue():
                pass
            case _:
                assert_never(effect)
