"""Who brought a command, or a word about one, and waits until the journal has it."""

from __future__ import annotations

import asyncio

from holdfast.contracts.command import CommandReceipt
from ocpp_edge.domain.events import CommandNotTaken, CommandTaken, WordNotTaken, WordTaken

Key = str | tuple[str, str]
"""What a command is (`identity.py`); or a command's id and the word about it."""


class NotTaken(Exception):
    """The command, or the word about one, is not in the journal; whoever brought it keeps it."""


class Receipts:
    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: dict[Key, list[asyncio.Future[CommandReceipt]]] = {}

    def waiting_for(self, key: Key) -> asyncio.Future[CommandReceipt]:
        """Ends with what came of it, or raises NotTaken."""
        receipt: asyncio.Future[CommandReceipt] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, []).append(receipt)
        return receipt

    def tell(self, effect: CommandTaken | CommandNotTaken | WordTaken | WordNotTaken) -> None:
        for waiting in self._waiting.pop(_key(effect), []):
            if waiting.done():
                continue
            match effect:
                case CommandNotTaken(why=why) | WordNotTaken(why=why):
                    waiting.set_exception(NotTaken(why))
                case _:
                    waiting.set_result(
                        CommandReceipt(
                            id=effect.command_id, accepted=effect.taken, reason=effect.reason
                        )
                    )


def _key(effect: CommandTaken | CommandNotTaken | WordTaken | WordNotTaken) -> Key:
    match effect:
        case WordTaken() | WordNotTaken():
            return effect.command_id, effect.word
        case _:
            return effect.content
