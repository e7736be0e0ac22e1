"""A charge point's body: it holds the device, asks the core, and makes what was decided durable.

    handle(event):  decide  ->  one transaction in the store  ->  what is left to say

Nothing here knows a socket, or a version. What is to be sent besides the queue waits in `Agenda`, in memory, and
a reboot forgets it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Generic, assert_never

from holdfast_simulators.charge_points.body.agenda import Agenda
from holdfast_simulators.charge_points.body.clock import Clock
from holdfast_simulators.charge_points.body.config import Behaviour, ChargePointConfig
from holdfast_simulators.charge_points.body.core import Core, E
from holdfast_simulators.charge_points.body.device import D
from holdfast_simulators.charge_points.body.events import (
    AskAuthorisation,
    Authorised,
    BeginSession,
    Effect,
    EndSession,
    Enqueue,
    Happened,
    ReadingDue,
    Refuse,
    StatusChanged,
)
from holdfast_simulators.charge_points.body.message_ids import MessageIds
from holdfast_simulators.charge_points.body.queue_rules import Entry
from holdfast_simulators.charge_points.body.settings import Switch, configured, is_on
from holdfast_simulators.charge_points.body.store import Store

Report = Callable[..., None]
IDLE = "Idle"


class Body(Generic[D, E]):
    def __init__(
        self,
        core: Core[D, E],
        config: ChargePointConfig,
        store: Store[D],
        clock: Clock,
        report: Report,
    ) -> None:
        self.config = config
        self.store = store
        self.clock = clock
        self.agenda = Agenda()
        self.ids = MessageIds(config)
        self.is_online = False
        """The link is up and the central system has accepted the boot."""
        self.booted_for = "PowerLoss"
        """Why it booted last."""
        self.sessions_changed = asyncio.Event()
        self.settled = asyncio.Event()
        """No session runs and the queue is empty."""
        self.upkeep = asyncio.Event()
        """Something happened that firmware or uploads may wait for."""
        self.upload_status: dict[str, Any] = {"status": IDLE}
        """As it is told when a TriggerMessage asks."""
        self._core = core
        self.device: D = store.load(config.connectors, clock.now().monotonic_ms)
        self._booted_with = self.device.memory.settings
        self.behaviour = self._configured()
        self._report = report

    def report(self, event: str, **fields: Any) -> None:
        self._report(event, charge_point=self.config.id, **fields)

    def _configured(self) -> Behaviour:
        return configured(
            self._core.settings,
            self.config.behaviour,
            self.device.memory.settings,
            at_boot=self._booted_with,
        )

    def _is_on(self, switch: Switch) -> bool:
        names, changed = self._core.switches, self.device.memory.settings
        return is_on(self._core.settings, changed, names[switch])

    def boot(self, reason: str) -> None:
        """Settings that need a boot take effect; what was to be said is forgotten."""
        self.ids.boot()
        self._booted_with = self.device.memory.settings
        self.behaviour = self._configured()
        self.booted_for = reason
        self.agenda.forget(tuple(one.number for one in self.device.connectors))

    def notice(self, action: str, payload: dict[str, Any]) -> None:
        self.report("notice", action=action, status=payload.get("status"))
        self.agenda.notices.append((action, payload))
        self.agenda.work.set()

    @property
    def has_room(self) -> bool:
        running = len(self.device.in_session)
        return self.store.has_room(running, self.behaviour.queue_capacity)

    # --- what happens

    def handle(self, event: Happened | E, together_with: Callable[[], None] | None = None) -> None:
        """`together_with` is written in the same transaction."""
        device, effects = self._core.decide(self.behaviour, self.device, event)
        running = len(device.in_session)
        if effects or together_with or not isinstance(event, ReadingDue):
            with self.store.transaction():
                if together_with is not None:
                    together_with()
                for effect in effects:
                    self._persist(effect, running, event.at.true_ms)
                self.store.save(device)
        is_reconfigured = device.memory.settings is not self.device.memory.settings
        self.device = device
        if is_reconfigured:
            self.behaviour = self._configured()
        for effect in effects:
            self._perform(effect)
        self.queue_changed()
        self.sessions_changed.set()
        self.upkeep.set()

    def queue_changed(self) -> None:
        self.agenda.work.set()
        if self.device.in_session or self.store.queue_length():
            self.settled.clear()
        else:
            self.settled.set()

    def _persist(self, effect: Effect, running: int, at_ms: int) -> None:
        match effect:
            case BeginSession():
                self.store.begin_session(effect)
            case EndSession():
                self.store.end_session(effect)
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
                    self.report("discarded", action=self._core.reading, why="queue full")
            case AskAuthorisation() | Refuse() | StatusChanged():
                pass
            case _:
                assert_never(effect)

    def _perform(self, effect: Effect) -> None:
        match effect:
            case AskAuthorisation(connector=connector, driver_token=driver_token):
                if self.is_online and not self._is_authorised_before(driver_token):
                    self.agenda.authorisations[connector] = driver_token
                else:
                    self.authorise_offline(connector, driver_token)
            case BeginSession():
                self._say_begun(effect)
            case EndSession(connector=connector, session=session):
                self.report(
                    "session-stopped",
                    connector=connector,
                    session=session.key,
                    meter_stop_wh=effect.meter_stop_wh,
                    reason=effect.reason,
                )
            case Refuse(connector=connector, reason=reason):
                self.report("refused", connector=connector, reason=reason)
            case StatusChanged(connector=connector):
                self.agenda.statuses.add(connector)
            case Enqueue():
                pass
            case _:
                assert_never(effect)

    def _say_begun(self, effect: BeginSession) -> None:
        session = effect.session
        self.report(
            "session-started",
            connector=effect.connector,
            session=session.key,
            meter_start_wh=session.meter_start_wh,
            online=effect.is_online,
        )
        if session.transaction_id is not None:
            # It chose the id itself; of 1.6 the central system does.
            self.report(
                "transaction-id",
                session=session.key,
                transaction_id=session.transaction_id,
                accepted=True,
            )

    # --- who may charge

    def authorise_offline(self, connector: int, driver_token: str) -> None:
        """The local list decides, then the cache; a driver token neither knows is a matter of behaviour."""
        known = self._known_locally(driver_token)
        is_accepted = self.behaviour.offline_start if known is None else known
        self.authorised(connector, driver_token, is_accepted=is_accepted, is_online=False)

    def _known_locally(self, driver_token: str) -> bool | None:
        """OCPP 1.6 3.5, 2.0.1 C13: the list over the cache."""
        listed = self.device.memory.local_list.tokens.get(driver_token)
        if listed is not None and self._is_on(Switch.LOCAL_LIST):
            return bool(listed.is_accepted(self.clock.now().device_ms))
        return self.store.known_token(driver_token) if self.has_cache else None

    def _is_authorised_before(self, driver_token: str) -> bool:
        is_asked_for = self._is_on(Switch.PRE_AUTHORISES)
        return is_asked_for and self._known_locally(driver_token) is True

    @property
    def has_cache(self) -> bool:
        return self._is_on(Switch.CACHE)

    def authorised(
        self,
        connector: int,
        driver_token: str,
        *,
        is_accepted: bool,
        is_online: bool,
        group: str | None = None,
    ) -> None:
        at = self.clock.now()

        def record() -> None:
            self.store.record_authorisation(
                connector, driver_token, at.true_ms, accepted=is_accepted, online=is_online
            )
            if is_online and self.has_cache:
                self.store.remember_token(driver_token, accepted=is_accepted)

        self.report("authorised", connector=connector, accepted=is_accepted, online=is_online)
        self.handle(
            Authorised(
                at=at,
                connector=connector,
                driver_token=driver_token,
                is_accepted=is_accepted,
                is_online=is_online,
                has_room=self.has_room,
                group=group,
            ),
            together_with=record,
        )
