"""The relay as a program: a listening socket, its connections, and the weather under command.

    {"do": "cut", "how": "black-hole"}  ->  nothing passes  ->  {"do": "heal"}

The table of commands is in README.md.
"""

from __future__ import annotations

import argparse
import asyncio
import socket

from holdfast_simulators.control import CannotStart, Command, CommandError, Console
from holdfast_simulators.wan.relay import Carried, Relay, reset
from holdfast_simulators.wan.weather import Cut, Direction, Weather

Address = tuple[str, int]
CONNECTIONS_MAX = 512
"""More are reset at once; each holds at most 2 MiB."""
BACKLOG = 128


def address(text: str) -> Address:
    """`HOST:PORT`, for argparse."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65_535:
        raise argparse.ArgumentTypeError(f"write HOST:PORT, given {text!r}")
    return host.strip("[]"), int(port)


async def run(listen: Address, target: Address, console: Console) -> int:
    console.begin()
    async with asyncio.TaskGroup() as group:
        wan = Wan(listen, target, console, group)
        wan.open_door()
        host, port = wan.listening_on
        console.report("listening", host=host, port=port)
        async for command in console.commands():
            try:
                wan.obey(command)
            except CommandError as error:
                console.report("error", error=str(error))
        wan.close()
    console.report("stopped")
    return 0


class Wan:
    def __init__(
        self, listen: Address, target: Address, console: Console, group: asyncio.TaskGroup
    ) -> None:
        self.listening_on = listen
        self._target = target
        self._console = console
        self._group = group
        self._weather = Weather()
        self._carried = Carried()
        self._relays: dict[asyncio.Task[None], Relay] = {}
        self._door: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._flapping: asyncio.Task[None] | None = None

    def obey(self, command: Command) -> None:
        match command.do:
            case "cut":
                self._stop_flapping()
                self._cut(*_cut_of(command))
            case "heal":
                self._stop_flapping()
                self._heal()
            case "flap":
                self._stop_flapping()
                up_s, down_s = command.seconds("up_s"), command.seconds("down_s")
                if up_s + down_s < 0.02:
                    raise CommandError("'flap' needs 'up_s' + 'down_s' of at least 0.02")
                cut = _cut_of(command)
                self._flapping = self._group.create_task(self._flap(up_s, down_s, *cut))
            case "delay":
                self._weather.delay_ms = command.whole("ms")
            case "rate":
                given = command.fields.get("bytes_per_s")
                self._weather.set_rate(
                    None if given is None else command.whole("bytes_per_s") or None
                )
            case "status":
                pass
            case other:
                raise CommandError(f"unknown command {other!r}; the README lists them")
        self._report(command.do)

    # --- cut and heal

    def _cut(self, cut: Cut, lost: Direction | None) -> None:
        if cut is not Cut.ONE_WAY:
            # Of a connection with a hole nothing may pass on, not even after the next heal.
            self._reset_those_with_holes()
        self._weather.set_cut(cut, lost)
        if cut is Cut.RESET:
            self.close_door()
            for task in list(self._relays):
                task.cancel()
        else:
            self.open_door()

    def _heal(self) -> None:
        self._reset_those_with_holes()
        self._weather.set_cut(Cut.NONE)
        self.open_door()

    def _reset_those_with_holes(self) -> None:
        for task, relay in list(self._relays.items()):
            if relay.has_hole:
                task.cancel()

    async def _flap(self, up_s: float, down_s: float, cut: Cut, lost: Direction | None) -> None:
        while True:
            self._cut(cut, lost)
            self._report("flap")
            await asyncio.sleep(down_s)
            self._heal()
            self._report("flap")
            await asyncio.sleep(up_s)

    def _stop_flapping(self) -> None:
        if self._flapping is not None:
            self._flapping.cancel()
            self._flapping = None

    # --- connections

    def open_door(self) -> None:
        if self._door is not None:
            return
        family = socket.AF_INET6 if ":" in self.listening_on[0] else socket.AF_INET
        door = socket.socket(family, socket.SOCK_STREAM)
        door.setblocking(False)
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            door.bind(self.listening_on)
            door.listen(BACKLOG)
        except OSError as error:
            door.close()
            host, port = self.listening_on
            raise CannotStart(f"cannot listen on {host}:{port}: {error.strerror}") from error
        # Port 0 is chosen once: whoever was told it comes back to it after a reset.
        self.listening_on = door.getsockname()[:2]
        self._door = door
        self._accepting = self._group.create_task(self._accept(door))

    def close_door(self) -> None:
        if self._door is None or self._accepting is None:
            return
        self._accepting.cancel()
        asyncio.get_running_loop().remove_reader(self._door)
        self._door.close()
        self._door = None

    def close(self) -> None:
        self._stop_flapping()
        self.close_door()
        for task in list(self._relays):
            task.cancel()

    async def _accept(self, door: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            near, _ = await loop.sock_accept(door)
            near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if len(self._relays) >= CONNECTIONS_MAX and not self._let_go_of_those_who_left():
                reset(near)
                continue
            relay = Relay(near, self._weather, self._carried)
            task = self._group.create_task(self._carry(relay))
            self._relays[task] = relay
            task.add_done_callback(self._over)

    def _let_go_of_those_who_left(self) -> bool:
        """In a long black hole clients come, give up and come again; nobody misses the early ones."""
        left = [task for task, relay in self._relays.items() if relay.is_held and relay.is_left]
        for task in left:
            task.cancel()
        return bool(left)

    def _over(self, task: asyncio.Task[None]) -> None:
        relay = self._relays.pop(task, None)
        if relay is not None:
            relay.close()

    async def _carry(self, relay: Relay) -> None:
        try:
            await relay.run(self._target)
        except OSError:
            # To the near side a target that is not there looks like a connection that broke.
            relay.reset()
        except asyncio.CancelledError:
            relay.reset()
            raise

    def _report(self, did: str) -> None:
        weather = self._weather
        self._console.report(
            "weather",
            did=did,
            cut=weather.cut,
            lost=weather.lost,
            delay_ms=weather.delay_ms,
            bytes_per_s=weather.bytes_per_s,
            connections=len(self._relays),
            passed_bytes=self._carried.passed,
            lost_bytes=self._carried.lost,
        )


def _cut_of(command: Command) -> tuple[Cut, Direction | None]:
    how = Cut(command.one_of("how", (Cut.RESET, Cut.BLACK_HOLE, Cut.ONE_WAY)))
    if how is not Cut.ONE_WAY:
        return how, None
    return how, Direction(command.one_of("direction", tuple(Direction)))
