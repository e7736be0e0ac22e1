"""The central system as a program: listens, obeys commands, keeps its ledger.

    {"do": "quirk", "name": "lose_answer", "action": "StartTransaction"}  ->  events

The table of commands, quirks and events is in README.md.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from holdfast_simulators.control import Command, CommandError, Console
from holdfast_simulators.csms import ledger
from holdfast_simulators.csms.config import Config
from holdfast_simulators.csms.connection import Ordered
from holdfast_simulators.csms.door import Address, Door
from holdfast_simulators.csms.house import House

CALL_TIMEOUT_S = 60.0


async def run(
    listen: Address,
    state_file: Path,
    config: Config,
    console: Console,
    *,
    quiet: bool = False,
    wire_log: bool = True,
) -> int:
    console.begin()
    with ledger.held(state_file) as kept:
        house = House(config, kept, console, quiet=quiet, wire_log=wire_log)
        door = Door(listen, house)
        async with asyncio.TaskGroup() as group:
            committing = group.create_task(kept.run())
            await Csms(house, door, console).run()
            committing.cancel()
    console.report("stopped")
    return 0


class Csms:
    def __init__(self, house: House, door: Door, console: Console) -> None:
        self._house = house
        self._door = door
        self._console = console

    async def run(self) -> None:
        await self._up()
        async for command in self._console.commands():
            try:
                await self._obey(command)
            except CommandError as error:
                named = {name: command.fields[name] for name in ("id",) if name in command.fields}
                self._console.report("error", error=str(error), **named)
        await self._door.close()

    async def _obey(self, command: Command) -> None:
        match command.do:
            case "quirk":
                self._quirk(command)
            case "calm":
                self._house.calm()
                self._house.report("quirk", did="calm", quirks=self._quirks())
            case "down":
                await self._down()
            case "up":
                await self._up()
            case "restart":
                await self._down()
                self._house.forget()
                await self._up()
            case "call":
                self._call(command)
            case "status":
                self._house.report("status", listening=self._door.is_open, **self._house.status())
            case other:
                raise CommandError(f"unknown command {other!r}; the README lists them")

    async def _up(self) -> None:
        if not self._door.is_open:
            await self._door.open()
        host, port = self._door.listening_on
        self._house.report("listening", host=host, port=port)

    async def _down(self) -> None:
        await self._door.close()
        self._house.report("down")

    def _quirk(self, command: Command) -> None:
        name = command.text("name")
        values = {one: command.fields[one] for one in command.fields if one not in ("do", "name")}
        self._house.set_quirk(name, values)
        self._house.report("quirk", did="set", name=name, quirks=self._quirks())

    def _quirks(self) -> dict[str, Any]:
        return self._house.quirks.changed()

    def _call(self, command: Command) -> None:
        payload = command.fields.get("payload", {})
        if not isinstance(payload, dict):
            raise CommandError(f"'call' needs 'payload' as an object, given {payload!r}")
        ordered = Ordered(
            id=command.text("id"),
            action=command.text("action"),
            payload=payload,
            timeout_s=command.seconds("timeout_s", CALL_TIMEOUT_S),
        )
        self._house.newest(command.text("charge_point")).order(ordered)
