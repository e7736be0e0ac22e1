"""A charge point of 1.6 as a running thing: the body with this version's core."""

from __future__ import annotations

import ssl
from pathlib import Path

from holdfast_simulators.charge_points.body.body import Body, Report
from holdfast_simulators.charge_points.body.clock import Clock, Instant
from holdfast_simulators.charge_points.body.config import ChargePointConfig
from holdfast_simulators.charge_points.body.core import Core
from holdfast_simulators.charge_points.body.link import Call, Link
from holdfast_simulators.charge_points.body.reconnecting import Restart
from holdfast_simulators.charge_points.body.reply import Reply
from holdfast_simulators.charge_points.body.running import Running
from holdfast_simulators.charge_points.body.settings import Switch
from holdfast_simulators.charge_points.v16.commands import obey
from holdfast_simulators.charge_points.v16.decision import decide
from holdfast_simulators.charge_points.v16.device import Device, Situation
from holdfast_simulators.charge_points.v16.events import StartAnswered
from holdfast_simulators.charge_points.v16.keys import KEYS
from holdfast_simulators.charge_points.v16.maintenance import Upkeep
from holdfast_simulators.charge_points.v16.outbox import Action
from holdfast_simulators.charge_points.v16.store import Store
from holdfast_simulators.charge_points.v16.talker import Talker

CORE: Core[Device, StartAnswered] = Core(
    decide=decide,
    settings=KEYS,
    switches={
        Switch.CACHE: "AuthorizationCacheEnabled",
        Switch.LOCAL_LIST: "LocalAuthListEnabled",
        Switch.PRE_AUTHORISES: "LocalPreAuthorize",
    },
    reading=Action.METER,
)


def made(
    config: ChargePointConfig, file: Path, report: Report, url: str, tls: ssl.SSLContext | None
) -> RunningChargePoint:
    store, clock = Store(file, config.id), Clock(config.behaviour)
    return RunningChargePoint(Body(CORE, config, store, clock, report), store, url, tls)


class RunningChargePoint(Running[Device, StartAnswered]):
    def __init__(
        self, body: Body[Device, StartAnswered], store: Store, url: str, tls: ssl.SSLContext | None
    ) -> None:
        super().__init__(body, url, tls)
        self._store = store
        self._maintenance = Upkeep(body, self._restart_for_firmware)

    async def _talk(self, link: Link) -> None:
        await Talker(self.body, self._store, link).run()

    def _obeyed(self, at: Instant, call: Call) -> Reply:
        body = self.body
        situation = Situation(
            behaviour=body.behaviour, device=body.device, at=at, has_room=body.has_room
        )
        return obey(situation, call.action, call.payload)

    def _reset(self, kind: str) -> None:
        is_hard = kind == "Hard"
        if is_hard and self.body.behaviour.hard_reset_loses_queue:
            at_ms = self.body.clock.now().true_ms
            with self.body.store.transaction():
                lost = self.body.store.discard_all("hard reset", at_ms)
            self.body.report("discarded", why="hard reset", messages=lost)
        self.reboot(
            Restart(
                is_graceful=not is_hard,
                reason="HardReset" if is_hard else "SoftReset",
                always_stops=not is_hard,
            )
        )
