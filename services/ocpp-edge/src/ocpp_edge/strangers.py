"""Commands to charge points that are not registered here: each ends at once, and makes nothing that stays.

received, refused -> the journal; the newest ids -> memory, so that none of them is taken for another command's
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from holdfast.contracts.command import Command, CommandReceived, CommandSettled, Disposition
from holdfast.contracts.envelope import ContractError, Fact
from holdfast.entries import Read
from holdfast.recorder import Recorder
from ocpp_edge.domain import arrivals, commands, identity
from ocpp_edge.domain.dedupe import Memory
from ocpp_edge.metrics import Metrics

log = logging.getLogger(__name__)

IDS_MAX = 1_024
"""Remembered; the oldest is forgotten: brought again after that, it is refused and journaled again."""


class Strangers:
    def __init__(self, recorder: Recorder, metrics: Metrics) -> None:
        self._recorder = recorder
        self._metrics = metrics
        self._ended = Memory(limit=IDS_MAX)
        self._arriving = ""
        self._owed: dict[tuple[str, str], Read] = {}
        """While the journal is folded: received, and no disposition found yet."""

    def knows(self, command_id: str) -> bool:
        return command_id in self._ended or command_id == self._arriving

    async def take(self, command: Command, downlink_seq: int) -> None:
        """Return once its end is in the journal. Raise AppendRefused, or ContractError if the id is another one's."""
        content, before = identity.content(command), self._ended.get(command.id)
        if before is not None:
            if before != content:
                raise ContractError(identity.used(command.id))
            return
        self._arriving = command.id
        try:
            await self._end(command, downlink_seq)
        finally:
            self._arriving = ""
        self._ended = self._ended.remembering(command.id, content)

    async def _end(self, command: Command, downlink_seq: int) -> None:
        name, record = command.charge_point, self._recorder.record
        received = CommandReceived(charge_point=name, command=command, downlink_seq=downlink_seq)
        settled = CommandSettled(
            charge_point=name,
            command=command,
            disposition=Disposition.REFUSED,
            reason=not_registered(name),
        )
        await record(received, id=arrivals.received_id(command), cause=command.id)
        await record(settled, id=commands.settled_id(command), cause=command.id)
        labels = {"action": command.action, "disposition": settled.disposition.value}
        self._metrics.commands.labels(**labels).inc()
        log.warning("command refused", extra={"command": command.id, "why": settled.reason})

    # --- snapshots ---

    @property
    def ids(self) -> Mapping[str, str]:
        """With what each command was."""
        return self._ended.all()

    def restore(self, ids: Mapping[str, str]) -> None:
        self._ended = Memory(limit=IDS_MAX, held=ids)

    # --- while the journal is folded ---

    def folds(self, found: Read) -> bool:
        """False: not about a command to nobody."""
        fact: Fact = found.fact
        match fact:
            case CommandReceived(command=command):
                self._owed[command.charge_point, command.id] = found
            case CommandSettled(command=command):
                self._owed.pop((command.charge_point, command.id), None)
                self._ended = self._ended.remembering(command.id, identity.content(command))
            case _:
                return False
        return True

    def owed(self) -> list[Read]:
        """Received when its charge point was registered still, or we died in between: it has to end."""
        owed, self._owed = list(self._owed.values()), {}
        return owed


def not_registered(charge_point: str) -> str:
    return f"no charge point {charge_point!r} is registered at this site"
