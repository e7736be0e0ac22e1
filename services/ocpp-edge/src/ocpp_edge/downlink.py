"""Commands from the cloud, and operators' words about them, out of this site's copy of DOWNLINK.

A command is acknowledged once the site's journal has it as received: from then on the fold owes it a
disposition, and a charge point that is away for hours holds up no other command.
"""

from __future__ import annotations

import logging

from holdfast import subjects
from holdfast.bus import AdminRefused, AppendRefused, Bus, Delivery, RequestFailed, StreamGone
from holdfast.clock import Clock
from holdfast.contracts.command import Command, CommandWord
from holdfast.contracts.envelope import ContractError
from holdfast.entries import quarantine
from holdfast.recorder import Recorder
from ocpp_edge.edge import SOURCE, Edge
from ocpp_edge.receipts import NotTaken

log = logging.getLogger(__name__)

AGAIN_MS = 1_000
BATCH = 64


async def follow_downlink(edge: Edge, bus: Bus, clock: Clock, recorder: Recorder) -> None:
    """For ever. The copy is made by the journal service when the cloud is first heard: wait for it."""
    site = recorder.incarnation.site
    topics = (subjects.down_commands(site), subjects.down_command_words(site))
    while True:
        try:
            reader = subjects.reader(SOURCE)
            async for delivery in bus.pull(subjects.DOWNLINK, reader, subjects=topics, batch=BATCH):
                await _take(edge, recorder, delivery)
        except StreamGone:
            log.debug("no copy of DOWNLINK yet")
        except (RequestFailed, AdminRefused) as error:
            log.warning("DOWNLINK can't be read", extra={"why": str(error)})
        await clock.sleep_ms(AGAIN_MS)


async def _take(edge: Edge, recorder: Recorder, delivery: Delivery) -> None:
    message = delivery.message
    is_word = subjects.is_down_command_word(message.subject)
    try:
        try:
            if is_word:
                await edge.take_word_from_downlink(CommandWord.from_bytes(message.data))
            else:
                await edge.take_from_downlink(Command.from_bytes(message.data), message.seq)
        except ContractError as error:
            await quarantine(message, str(error), recorder)
            edge.downlink_seq = max(edge.downlink_seq, message.seq)
    except (NotTaken, AppendRefused) as error:
        log.warning("command not taken", extra={"seq": message.seq, "why": str(error)})
        await delivery.again(AGAIN_MS)
        return
    await delivery.ack()
