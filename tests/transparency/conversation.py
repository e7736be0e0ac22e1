"""A scripted conversation of one charge point with whoever is its central system, and where it can take place.

Direct    the charge point's line ends at the simulated CSMS
Through   it ends at ocpp-edge; journal, cloud and csms-bridge stand between, on virtual time
"""

from __future__ import annotations

import asyncio
import itertools
import random
import re
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Protocol

from holdfast import rpc, subjects
from holdfast.bus import BusError
from holdfast.contracts.csms import UpstreamRequest, UpstreamStatus
from holdfast.contracts.mode import Mode, ModeStatus
from holdfast.contracts.rpc import Empty
from holdfast.ocpp.versions import OcppVersion
from holdfast_testkit.eventually import eventually
from holdfast_testkit.sim_clock import SimClock, run_virtual
from simulation.charge_point import Line, LineEnded
from simulation.csms import Asked, Ledger, Said, SimCsms
from simulation.faults import CsmsFaults, Faults
from simulation.provisioning import BLOCKED, CSMS_TOKENS, LISTED, SITE, STRANGER
from simulation.story import scratch_folder
from simulation.world import HEARTBEAT_S, SimWorld

CHARGE_POINT = "CP-01"
ANSWER_S = 10
PAUSE_MS = 700
QUIET_MS = 30_000
"""After the last word: for what is on its way, and a heartbeat."""

_ANSWER = re.compile(r'\s*\[\s*[34]\s*,\s*"([^"]*)"\s*,\s*(.*\S)\s*\]\s*', re.DOTALL)
_CALL = re.compile(r'\s*\[\s*2\s*,\s*"([^"]*)"\s*,\s*"(\w+)"\s*,\s*(.*\S)\s*\]\s*', re.DOTALL)
_ID = re.compile(r'"transactionId"\s*:\s*(\d+)')


@dataclass(frozen=True, slots=True)
class Heard:
    """A CALL that the charge point got."""

    action: str
    payload: str


class ChargePoint:
    """Says what it is told to, one CALL at a time; answers CALLs in its own spelling."""

    ANSWER = '{ "status" :"Accepted"}'

    def __init__(self, line: Line) -> None:
        self.heard: list[Heard] = []
        self.said_ids: list[str] = []
        self._line = line
        self._ids = itertools.count(1)
        self._waiting: dict[str, asyncio.Future[str]] = {}

    async def listen(self) -> None:
        """Until the line ends."""
        try:
            while True:
                await self._take(await self._line.receive())
        except LineEnded:
            pass

    async def say(self, action: str, payload: str) -> str:
        """The payload of the answer."""
        message_id = f"own-{next(self._ids)}"
        self.said_ids.append(message_id)
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._waiting[message_id] = answer
        await self._line.send(f'[2, "{message_id}", "{action}", {payload}]')
        async with asyncio.timeout(ANSWER_S):
            return await answer

    async def _take(self, frame: str) -> None:
        call = _CALL.fullmatch(frame)
        if call is not None:
            self.heard.append(Heard(call[2], call[3]))
            await self._line.send(f'[3,"{call[1]}",{self.ANSWER}]')
            return
        answer = _ANSWER.fullmatch(frame)
        assert answer is not None, frame
        self._waiting.pop(answer[1]).set_result(answer[2])


class Place(Protocol):
    """Where it takes place."""

    charge_point: ChargePoint
    csms: SimCsms

    async def pause(self, ms: int = PAUSE_MS) -> None: ...
    async def cut(self) -> None:
        """The WAN, where there is one; returns when its site is on its own."""
        ...

    async def heal(self) -> None: ...


Script = Callable[[Place], Coroutine[None, None, "Told"]]


# --- the script ---


@dataclass(frozen=True, slots=True)
class Told:
    """What the conversation left behind."""

    ledger: Ledger
    heard: tuple[Heard, ...]
    local_ids: tuple[int, ...]
    """Transaction ids as the charge point was given them."""
    verdicts: tuple[str, ...]
    """Answers to its Authorizes."""
    said_ids: tuple[str, ...]

    def upstream(self, *actions: str) -> list[Said]:
        return [one for one in self.ledger.taken if not actions or one.action in actions]

    @property
    def remote(self) -> Asked:
        [asked] = self.ledger.asked
        return asked


def session(connector: int, start_wh: int) -> tuple[str, list[str], str]:
    """Start, meter values, stop: each with another spelling. `%d` is the transaction id."""
    start = (
        f'{{ "meterStart":{start_wh},"timestamp" : "2025-06-15T15:07:00.000+02:00",'
        f'"idTag": "{LISTED}" , "connectorId":{connector} }}'
    )
    plain = (
        f'{{"transactionId" :  %d,"connectorId":{connector},"meterValue":[{{"timestamp":'
        f'"2025-06-15T15:08:00Z","sampledValue":[{{"value":"{start_wh + 10}.0","unit":"Wh"}}]}}]}}'
    )
    signed = (
        f'{{"connectorId":{connector},"meterValue":[ {{"sampledValue":[{{"format":"SignedData",'
        '"value":"OCMF|{\\"FV\\":\\"1.0\\",\\"transactionId\\": 7}|{\\"SD\\":\\"30\\u00e9/\\/\\"}",'
        f'"context":"Sample.Periodic"}},{{"value" : "{start_wh + 20}", "location":"Outlet"}}],'
        '"timestamp":"2025-06-15T15:09:00Z"} ],"transactionId":%d}'
    )
    stop = (
        '{"reason":"EVDisconnected","transactionData":[{"timestamp":"2025-06-15T15:10:00Z",'
        f'"sampledValue":[{{"value":"{start_wh}","context":"Transaction.Begin"}},{{"value":'
        f'"{start_wh + 30}","context":"Transaction.End"}}]}}], "transactionId":%d ,'
        f'"meterStop":{start_wh + 30},"timestamp":"2025-06-15T15:10:00Z"}}'
    )
    return start, [plain, signed], stop


def status(connector: int, word: str, error: str = "NoError", info: str = "") -> str:
    told = f',"info":"{info}"' if info else ""
    return f'{{"status" : "{word}","connectorId":{connector}, "errorCode":"{error}"{told}}}'


BOOT = (
    '{"chargePointModel":"Säule Ω","chargePointVendor" :"\\u00dcberlader", "firmwareVersion":"1.0"}'
)
OUTSIDE = (
    '{"connectorId":1,"meterValue":[{"timestamp":"2025-06-15T15:07:00Z",'
    '"sampledValue":[{"value":"99"}]}]}'
)
DATA = '{"vendorId":"com.example","data":"привет"}'
NOTICE = '{"status":"Idle"}'


async def converse(place: Place) -> Told:
    """The whole of it; with a cut in the middle where there is something to cut."""
    charge_point = place.charge_point
    ids: list[int] = []

    async def say(action: str, payload: str) -> str:
        answer = await charge_point.say(action, payload)
        await place.pause()
        return answer

    async def begin(start: str) -> int:
        found = _ID.search(await say("StartTransaction", start))
        assert found is not None
        ids.append(int(found[1]))
        return ids[-1]

    async def meter(meters: list[str], id: int) -> None:
        for payload in meters:
            await say("MeterValues", payload % id)

    await say("BootNotification", BOOT)
    for connector in (0, 1, 2):
        await say("StatusNotification", status(connector, "Available"))
    await say("Heartbeat", "{}")
    await say("DataTransfer", DATA)
    await say("FirmwareStatusNotification", NOTICE)
    await say("MeterValues", OUTSIDE)
    verdicts = [
        await say("Authorize", f'{{ "idTag":"{token}"}}') for token in (LISTED, BLOCKED, STRANGER)
    ]

    start, meters, stop = session(1, 1_000)
    await say("StatusNotification", status(1, "Preparing"))
    first = await begin(start)
    await say("StatusNotification", status(1, "Charging"))
    await meter(meters, first)

    await place.cut()
    start, other_meters, other_stop = session(2, 50_000)
    await say("StatusNotification", status(2, "Preparing"))
    second = await begin(start)
    await say("StatusNotification", status(2, "Charging"))
    await meter(other_meters, second)
    await say("StatusNotification", status(2, "Faulted", "GroundFailure", "Fehler 17 – é"))
    await say("StopTransaction", other_stop % second)
    await say("StatusNotification", status(2, "Finishing"))
    await place.heal()

    await asyncio.gather(
        place.csms.call(
            CHARGE_POINT, "RemoteStopTransaction", '{ "transactionId": 1000001}', within_ms=20_000
        ),
        place.pause(3_000),
    )
    await say("StopTransaction", stop % first)
    await say("StatusNotification", status(1, "Available"))
    start, meters, stop = session(1, 1_030)
    third = await begin(start)
    await meter(meters, third)
    await say("StopTransaction", stop % third)
    await say("StatusNotification", status(1, "Available"))
    await say("StatusNotification", status(2, "Available"))
    await place.pause(QUIET_MS)
    return Told(
        place.csms.ledger,
        tuple(charge_point.heard),
        tuple(ids),
        tuple(verdicts),
        tuple(charge_point.said_ids),
    )


# --- the places ---


class Direct:
    def __init__(self, version: OcppVersion) -> None:
        self._clock = SimClock()
        self.csms = SimCsms(
            self._clock,
            faults=CsmsFaults(),
            chance=random.Random,
            tokens=CSMS_TOKENS,
            heartbeat_s=HEARTBEAT_S,
        )
        self.charge_point = ChargePoint(self.csms.open(CHARGE_POINT, version.value))

    async def pause(self, ms: int = PAUSE_MS) -> None:
        await self._clock.sleep_ms(ms)

    async def cut(self) -> None:
        pass

    async def heal(self) -> None:
        pass


class Through:
    def __init__(self, world: SimWorld, charge_point: ChargePoint, *, cuts: bool) -> None:
        assert world.csms is not None
        self.csms = world.csms
        self.charge_point = charge_point
        self._world = world
        self._cuts = cuts

    async def pause(self, ms: int = PAUSE_MS) -> None:
        await self._world.clock.sleep_ms(ms)

    async def cut(self) -> None:
        if self._cuts:
            self._world.link.cut()
            await eventually(lambda: _mode_is(self._world, Mode.AUTONOMOUS), within_s=60)

    async def heal(self) -> None:
        if self._cuts:
            self._world.link.heal()
            await eventually(lambda: _mode_is(self._world, Mode.CONNECTED), within_s=120)


def directly(script: Script = converse, version: OcppVersion = OcppVersion.V16) -> Told:
    async def main() -> Told:
        return await _while_listening(Direct(version), script)

    return run_virtual(main())


def through(
    script: Script = converse, version: OcppVersion = OcppVersion.V16, *, cuts: bool = False
) -> Told:
    async def main() -> Told:
        with scratch_folder() as folder:
            faults = Faults(seed=1, csms=CsmsFaults())
            async with SimWorld.open(faults, folder, charge_points=0) as world:
                await _until_ready(world)
                line = world.door.connect(CHARGE_POINT, version)
                assert line is not None
                place = Through(world, ChargePoint(line), cuts=cuts)
                return await _while_listening(place, script)

    return run_virtual(main())


async def _while_listening(place: Place, script: Script) -> Told:
    async with asyncio.TaskGroup() as group:
        listening = group.create_task(place.charge_point.listen())
        told = await script(place)
        listening.cancel()
    return told


async def _until_ready(world: SimWorld) -> None:
    """The site is connected, and one of the bridges speaks for it."""
    await eventually(lambda: _mode_is(world, Mode.CONNECTED), within_s=60)
    await eventually(lambda: _is_spoken_for(world), within_s=60)


async def _mode_is(world: SimWorld, mode: Mode) -> bool:
    client = world.site.client("looker")
    try:
        said = await rpc.call(
            client, subjects.rpc(SITE, "mode"), Empty(), ModeStatus, timeout_ms=500
        )
    finally:
        client.close()
    return said.mode is mode


async def _is_spoken_for(world: SimWorld) -> bool:
    client = world.cloud.client("looker")
    request = UpstreamRequest(site=SITE)
    try:
        await rpc.call(
            client, subjects.cloud_rpc("upstream"), request, UpstreamStatus, timeout_ms=500
        )
    except BusError:
        return False
    finally:
        client.close()
    return True
