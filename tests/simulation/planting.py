"""One violation, planted into the evidence of a life that had none: for the tests of the checkers."""

import json
from dataclasses import replace

from holdfast.contracts.journal import Gap, GapCause
from simulation.evidence import Written


def first(entries: tuple[Written, ...], kind: type) -> Written:
    return next(entry for entry in entries if isinstance(entry.fact, kind))


def without(entries: tuple[Written, ...], gone: Written) -> tuple[Written, ...]:
    return tuple(entry for entry in entries if entry != gone)


def altered(entry: Written, **fields: object) -> Written:
    """The same entry with other fields in its body."""
    envelope = json.loads(entry.data)
    envelope["body"] |= fields
    return replace(entry, data=json.dumps(envelope).encode())


def instead(entries: tuple[Written, ...], old: Written, new: Written) -> tuple[Written, ...]:
    return tuple(new if entry == old else entry for entry in entries)


def gap(entry: Written, site: str) -> Gap:
    return Gap(
        site=site,
        incarnation=entry.incarnation,
        from_seq=entry.seq,
        to_seq=entry.seq,
        from_ms=0,
        to_ms=1,
        cause=GapCause.NOT_AT_ORIGIN,
    )
