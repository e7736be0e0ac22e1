"""Commands on their way to a site: checked lightly, stored in DOWNLINK under their own subject, then accepted.

Whether a command is admitted is decided at the site, when it is due. It outlives its deadline in DOWNLINK,
so that the site itself says `expired`.
"""

from __future__ import annotations

import asyncio
import json
import logging

from holdfast import subjects
from holdfast.bus import Bus
from holdfast.clock import Clock
from holdfast.contracts.command import (
    Command,
    CommandReceipt,
    CommandWord,
    Issuer,
    SendCommand,
    SendWord,
)
from holdfast.contracts.command_rules import keys_of
from holdfast.ids import derived
from rule_service.cloud_scope.sites import Sites

log = logging.getLogger(__name__)

PAYLOAD_BYTES_MAX = 16 * 1024
DEADLINE_AHEAD_MS_MAX = 24 * 3_600_000
"""A command is no wish for some day."""
KEPT_AHEAD_MS_MAX = 7 * DEADLINE_AHEAD_MS_MAX
"""But the erasure of a person's data is kept until it is done."""
ISSUED_AHEAD_MS_MAX = 300_000
"""Clocks differ; a command from further in the future would never grow old."""
KEPT_AFTER_DEADLINE_S = 24 * 3_600


class Commanding:
    def __init__(self, bus: Bus, clock: Clock, sites: Sites) -> None:
        self._bus = bus
        self._clock = clock
        self._sites = sites
        self._one_at_a_time = asyncio.Lock()

    async def send(self, asked: SendCommand, _: str) -> CommandReceipt:
        """Raise ContractError when there is no such site."""
        self._sites.check(asked.site)
        command = asked.command
        wrong = problem(command, self._clock.now_ms())
        if wrong is None:
            async with self._one_at_a_time:
                wrong = await self._store(asked.site, command)
        receipt = CommandReceipt(id=command.id, accepted=wrong is None, reason=wrong or "")
        log.info(
            "command",
            extra={
                "site": asked.site,
                "id": command.id,
                "action": command.action,
                "accepted": receipt.accepted,
                "why": receipt.reason,
            },
        )
        return receipt

    async def word(self, asked: SendWord, _: str) -> CommandReceipt:
        """Raise ContractError when there is no such site. Whether it comes in time the site's journal says."""
        self._sites.check(asked.site)
        word = asked.word
        async with self._one_at_a_time:
            refused = await self._store_word(asked.site, word)
        log.info(
            "word",
            extra={"site": asked.site, "id": word.id, "word": word.word, "why": refused or ""},
        )
        return CommandReceipt(id=word.id, accepted=refused is None, reason=refused or "")

    async def _store_word(self, site: str, word: CommandWord) -> str | None:
        """None once it is on its way, behind its command; the same word again is the same."""
        command = await self._bus.last(subjects.DOWNLINK, subjects.down_command(site, word.id))
        if command is None:
            return (
                f"no command {word.id!r} was sent to this site from the cloud in the last day: one that was "
                "given there is confirmed or cancelled there"
            )
        subject = subjects.down_command_word(site, word.id, word.word)
        if await self._bus.last(subjects.DOWNLINK, subject):
            return None
        deadline_ms = Command.from_bytes(command.data).deadline_ms
        left_s = max(0, deadline_ms - self._clock.now_ms()) // 1000
        await self._bus.append(
            subjects.DOWNLINK,
            subject,
            word.to_bytes(),
            id=derived("command-word", site, word.id, word.word),
            ttl_s=left_s + KEPT_AFTER_DEADLINE_S,
        )
        return None

    async def _store(self, site: str, command: Command) -> str | None:
        """None once it is on its way; the same id twice is one command."""
        subject, data = subjects.down_command(site, command.id), command.to_bytes()
        last = await self._bus.last(subjects.DOWNLINK, subject)
        if last:
            return (
                None
                if _is_the_same(Command.from_bytes(last.data), command)
                else f"id {command.id!r} was used for another command: choose a new one"
            )
        left_s = max(0, command.deadline_ms - self._clock.now_ms()) // 1000
        await self._bus.append(
            subjects.DOWNLINK,
            subject,
            data,
            id=derived("command", site, command.id),
            ttl_s=left_s + KEPT_AFTER_DEADLINE_S,
        )
        return None


def _is_the_same(known: Command, command: Command) -> bool:
    """But for its times and who gives it: whoever got no answer sends it again with its id, and the first one holds."""
    again = {"issued_at_ms": known.issued_at_ms, "deadline_ms": known.deadline_ms, "by": known.by}
    return command.model_copy(update=again) == known


def problem(command: Command, at_ms: int) -> str | None:
    """What keeps it from being sent at all."""
    size = len(json.dumps(command.payload).encode())
    if size > PAYLOAD_BYTES_MAX:
        return f"its payload of {size} bytes is over the limit of {PAYLOAD_BYTES_MAX}"
    if command.issuer not in (Issuer.CLOUD, Issuer.CSMS):
        return f"nobody in the cloud is the {command.issuer}: that issuer is admitted in every mode"
    if command.by_rule and command.issuer is not Issuer.CSMS:
        return "only the csms-bridge acts by a rule of the site"
    if command.deadline_ms <= at_ms:
        return "its deadline has passed"
    is_kept = "CustomerInformation.Clear" in keys_of(command)
    ahead_ms_max = KEPT_AHEAD_MS_MAX if is_kept else DEADLINE_AHEAD_MS_MAX
    if command.deadline_ms > at_ms + ahead_ms_max:
        return f"its deadline is more than {ahead_ms_max // 3_600_000} h away"
    if command.issued_at_ms > at_ms + ISSUED_AHEAD_MS_MAX:
        return "it was issued in the future: correct the clock of whoever sent it"
    return None
