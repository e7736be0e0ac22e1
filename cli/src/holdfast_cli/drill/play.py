"""Playing a scenario: each step at its time, into the charge points, the WAN, the world or the API."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, assert_never

from holdfast_cli.drill.account import Account, AccountError
from holdfast_cli.drill.bundles import Bundle, bundles
from holdfast_cli.drill.hostile import HostileOnes
from holdfast_cli.drill.publish import publish
from holdfast_cli.drill.scenario import Scenario
from holdfast_cli.drill.steps import (
    OPERATORS_NAME,
    AnyStep,
    CsmsCall,
    CsmsCalm,
    CsmsDown,
    CsmsQuirk,
    CsmsRestart,
    CsmsStep,
    CsmsUp,
    Cut,
    DropLink,
    Flap,
    Heal,
    Hostile,
    Kill,
    LoseAnswer,
    Plug,
    PublishRules,
    Reboot,
    SayWord,
    SendCommand,
    Slow,
    Stop,
    Wipe,
)
from holdfast_cli.drill.timeline import Timeline
from holdfast_cli.world.running import RunningWorld
from holdfast_cli.world.talk import Conversation, TalkError

PATIENCE_S = 30.0
POLL_S = 0.1
TRIES = 3


@dataclass(slots=True)
class Marks:
    """Wall times that the report measures from, in ms."""

    cut_ms: int | None = None
    """When the disruption began: the first cut of the WAN, or the CSMS's going down."""
    healed_ms: int | None = None
    """When the last of it ended."""
    killed: list[str] = field(default_factory=list)
    published_ms: dict[str, int] = field(default_factory=dict)
    """Id of a bundle to when it was published, or put before the site."""


class Player:
    def __init__(
        self,
        world: RunningWorld,
        site: str,
        charge_points: Conversation,
        accounts: dict[str, Account],
        timeline: Timeline,
    ) -> None:
        self._world = world
        self._site = site
        self._charge_points = charge_points
        self._accounts = accounts
        self._timeline = timeline
        self._bundles: dict[str, Bundle] = {}
        self.marks = Marks()
        self.hostile = HostileOnes(world.world, site)

    async def play(self, scenario: Scenario) -> None:
        self._bundles = bundles(scenario.rules, scenario.ordered)
        began = time.monotonic()  # noqa: TID251  a drill runs on real time
        for step in scenario.ordered:
            await asyncio.sleep(max(0.0, began + step.at_s - time.monotonic()))  # noqa: TID251
            self._timeline.say("drill", step.sentence())
            await self._perform(step)

    async def _perform(self, step: AnyStep) -> None:
        match step:
            case Plug() | Stop() | Reboot() | DropLink() | LoseAnswer():
                await self._charge_points.say(step.model_dump(exclude={"at_s"}))
            case Hostile():
                await self.hostile.begins(step)
            case Cut() | Flap() | Slow() | Heal():
                await self._wan(step)
            case Kill():
                process = step.process.replace("site/", f"{self._site}/", 1)
                self.marks.killed.append(process)
                self._world.kill(process, step.for_s)
            case Wipe():
                await self._world.wipe(self._site)
            case SendCommand():
                await self._command(step)
            case PublishRules():
                self.marks.published_ms[step.id] = _now_ms()
                await publish(self._world.world, self._site, self._bundles[step.id])
            case SayWord():
                by = f"{OPERATORS_NAME}, {step.by}"
                await self._account(step.by).command_word(step.id, step.word, by)
            case CsmsDown() | CsmsUp() | CsmsRestart() | CsmsQuirk() | CsmsCalm() | CsmsCall():
                await self._csms(step)
            case _:
                assert_never(step)

    async def _wan(self, step: Cut | Flap | Slow | Heal) -> None:
        wan = self._world.wan[self._site]
        if not isinstance(step, Heal):
            await _patiently(lambda: set(step.after_answers) <= self._answered())
        match step:
            case Cut():
                self.marks.cut_ms = self.marks.cut_ms or _now_ms()
                way = {"direction": step.direction} if step.how == "one-way" else {}
                await wan.say({"do": "cut", "how": step.how, **way})
            case Flap():
                self.marks.cut_ms = self.marks.cut_ms or _now_ms()
                await wan.say(step.model_dump(exclude={"at_s", "after_answers"}))
            case Slow():
                await wan.say({"do": "delay", "ms": step.delay_ms})
                await wan.say({"do": "rate", "bytes_per_s": step.bytes_per_s})
            case Heal():
                self.marks.healed_ms = _now_ms()
                await wan.say({"do": "heal"})

    async def _csms(self, step: CsmsStep) -> None:
        match step:
            case CsmsQuirk():
                line = {"do": "quirk", **step.quirk}
            case CsmsCall():
                payload = step.payload
                await _patiently(lambda: self._has_connection(step.charge_point))
                if step.transaction_of is not None:
                    payload = payload | await self._transaction(
                        self._world.csms, step.transaction_of
                    )
                fields = step.model_dump(exclude={"at_s", "transaction_of"})
                line = {**fields, "payload": payload, "do": "call"}
            case _:
                line = {"do": step.do.removeprefix("csms-")}
        if isinstance(step, CsmsDown):
            self.marks.cut_ms = self.marks.cut_ms or _now_ms()
        if isinstance(step, CsmsUp):
            self.marks.healed_ms = _now_ms()
        await self._world.csms.say(line)

    async def _command(self, step: SendCommand) -> None:
        payload = step.payload
        if step.transaction_of is not None:
            payload = payload | await self._transaction(self._charge_points, step.transaction_of)
        for tries_left in reversed(range(TRIES)):
            deadline_ms = _now_ms() + int(step.deadline_s * 1000)
            command = {
                "id": step.id,
                "charge_point": step.charge_point,
                "action": step.action,
                "payload": payload,
                "deadline_ms": deadline_ms,
            }
            try:
                await self._account(step.by).command(command)
            except AccountError:
                # Whoever takes it was just killed, and was back only after the deadline: nobody has seen it.
                if not tries_left or _now_ms() < deadline_ms:
                    raise
            else:
                return

    def _account(self, by: str) -> Account:
        return self._accounts["cloud" if by == "cloud" else self._site]

    def _answered(self) -> set[str]:
        return {line["id"] for line in self._world.csms.said("answered")}

    def _has_connection(self, charge_point: str) -> bool:
        """At the CSMS: the csms-bridge dials once the charge point is at its site."""
        csms = self._world.csms
        came, gone = (
            {it["connection"] for it in csms.said(event) if it["charge_point"] == charge_point}
            for event in ("connected", "disconnected")
        )
        return bool(came - gone)

    async def _transaction(self, whose: Conversation, place: str) -> dict[str, int | str]:
        """The newest one there, as charge points or CSMS know it. Raise TalkError."""
        charge_point, connector = place.split("/")

        def known() -> list[int]:
            return [
                line["transaction_id"]
                for event in ("transaction-id", "transaction-started")
                for line in whose.said(event)
                if line["charge_point"] == charge_point
                and str(line.get("session", line.get("connector"))).split("-")[0] == connector
            ]

        if not await _patiently(known):
            raise TalkError(f"{place} has no transaction yet: let it begin earlier in the scenario")
        return {"transactionId": known()[-1]}


async def _patiently(holds: Callable[[], Any]) -> bool:
    """Whether it comes to hold: on a machine at work, what a scenario builds upon may be a little late."""
    loop = asyncio.get_running_loop()
    ends_s = loop.time() + PATIENCE_S
    while not holds():
        if loop.time() > ends_s:
            return False
        await asyncio.sleep(POLL_S)
    return True


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
