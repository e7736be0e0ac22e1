"""From stored bytes to typed entries, with quarantine: what can't be read is kept with its reason, and the
next ones go on.
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass

from holdfast.bus import Message
from holdfast.contracts.envelope import ContractError, Entry, Envelope, Fact
from holdfast.contracts.journal import MessageQuarantined
from holdfast.ids import derived
from holdfast.recorder import Recorder

QUARANTINED_BYTES_MAX = 64 * 1024


@dataclass(frozen=True, slots=True)
class Read:
    """An entry and its typed fact."""

    entry: Entry
    fact: Fact


def read(message: Message) -> Read:
    """Raise ContractError when the bytes are no envelope, or the fact is malformed."""
    envelope = Envelope.from_bytes(message.data)
    return Read(Entry(seq=message.seq, envelope=envelope), envelope.fact())


async def read_or_quarantine(message: Message, recorder: Recorder) -> Read | None:
    """None: it was quarantined. The id is derived, so a message met twice is quarantined once."""
    try:
        return read(message)
    except ContractError as error:
        await quarantine(message, str(error), recorder)
        return None


async def quarantine(message: Message, reason: str, recorder: Recorder) -> None:
    fact = MessageQuarantined(
        stream=message.stream,
        seq=message.seq,
        subject=message.subject,
        reason=reason,
        data_base64=b64encode(message.data[:QUARANTINED_BYTES_MAX]).decode(),
    )
    await recorder.record(fact, id=derived("quarantine", message.stream, message.seq))
