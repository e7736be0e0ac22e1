"""A station as a running thing: the body with the core of 2.0.1 and 2.1."""

from __future__ import annotations

import ssl
from dataclasses import replace
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
from holdfast_simulators.charge_points.v2x.commands import obey
from holdfast_simulators.charge_points.v2x.decision import decide
from holdfast_simulators.charge_points.v2x.device import Device, Situation
from holdfast_simulators.charge_points.v2x.events import OfStation, SecurityNoted
from holdfast_simulators.charge_points.v2x.maintenance import Upkeep
from holdfast_simulators.charge_points.v2x.messages import TRANSACTION_EVENT
from holdfast_simulators.charge_points.v2x.store import Store
from holdfast_simulators.charge_points.v2x.talker import Talker
from holdfast_simulators.charge_points.v2x.variables import VARIABLES

CORE: Core[Device, OfStation] = Core(
    decide=decide,
    settings=VARIABLES,
    switches={
        Switch.CACHE: "AuthCacheCtrlr.Enabled",
        Switch.LOCAL_LIST: "LocalAuthListCtrlr.Enabled",
        Switch.PRE_AUTHORISES: "AuthCtrlr.LocalPreAuthorize",
    },
    reading=TRANSACTION_EVENT,
)
RESET = Restart(is_graceful=True, reason="ImmediateReset", always_stops=True)


def made(
    config: ChargePointConfig, file: Path, report: Report, url: str, tls: ssl.SSLContext | None
) -> RunningStation:
    store, clock = Store(file, config.id), Clock(config.behaviour)
    if config.version != "2.1":
        of_201 = replace(config.behaviour, settles=False, stream_s=None)
        config = replace(config, behaviour=of_201)
    return RunningStation(Body(CORE, config, store, clock, report), store, url, tls)


class RunningStation(Running[Device, OfStation]):
    def __init__(
        self, body: Body[Device, OfStation], store: Store, url: str, tls: ssl.SSLContext | None
    ) -> None:
        super().__init__(body, url, tls)
        self._store = store
        self._maintenance = Upkeep(body, self._restart_for_firmware)
        self._resets_when_idle = False

    async def _talk(self, link: Link) -> None:
        await Talker(self.body, link).run()

    def _obeyed(self, at: Instant, call: Call) -> Reply:
        body = self.body
        situation = Situation(
            version=body.config.version,
            behaviour=body.behaviour,
            device=body.device,
            at=at,
            has_room=body.has_room,
            queued_transactions=self._store.queued_transactions(),
        )
        return obey(situation, call.action, call.payload)

    def reboot(self, restart: Restart) -> None:
        self._assert_powered()
        self._resets_when_idle = False
        super().reboot(restart)

    def _booted(self) -> None:
        self.body.handle(SecurityNoted(at=self.body.clock.now(), type="StartupOfTheDevice"))

    def _turned(self) -> None:
        device = self.body.device
        if self._resets_when_idle and device.is_powered and not device.in_session:
            self.reboot(RESET)

    def _reset(self, kind: str) -> None:
        if kind == "OnIdle" and self.body.device.in_session:
            self._resets_when_idle = True
            return
        is_resumed = kind == "ImmediateAndResume"
        self.reboot(replace(RESET, always_stops=not is_resumed))
