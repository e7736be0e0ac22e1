"""Goal: a long refusal by the disk thins the history of modes out, and leaves no hole in it; whatever the moment of a
crash, each override has its end (I6).
"""

from __future__ import annotations

import asyncio
from itertools import pairwise
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.backoff import Backoff
from holdfast.contracts.mode import Mode, ModeChanged, Override, OverrideKind, Reason
from holdfast.health import Health
from holdfast_testkit.sim_clock import virtual_time
from mode_manager.domain.events import ChangeMode, EndOverride
from mode_manager.domain.overrides import ended_id
from mode_manager.writer import WAITING_MAX, EndsWait, Writer


@given(modes=st.lists(st.sampled_from(Mode), min_size=1, max_size=WAITING_MAX * 3))
def test_waiting_changes_stay_few_and_without_holes(modes):
    writer = Writer(
        None, None, None, Health("test")
    )  # nothing of these is touched while the disk refuses
    previous = None
    for number, mode in enumerate(modes):
        if mode is previous:
            continue
        fact = ModeChanged(
            previous=previous, mode=mode, reasons=(Reason.STARTED,), since_ms=number, disruption="d"
        )
        writer.add(ChangeMode(id=str(number), fact=fact))
        previous = mode
    waiting = list(writer._waiting)
    assert len(waiting) <= WAITING_MAX
    assert waiting[-1].fact.mode is previous
    for earlier, later in pairwise(waiting):
        assert later.fact.previous is earlier.fact.mode


class SlowJournal:
    """Takes an entry once it is let; what it took, in order."""

    def __init__(self):
        self.let = asyncio.Event()
        self.facts = []

    async def record(self, fact, *, id, cause=None):
        await self.let.wait()
        self.facts.append(fact)
        return SimpleNamespace(seq=len(self.facts))


def over(id, kind):
    override = Override(id=id, kind=kind, from_ms=0, until_ms=1, by="ops", why="x")
    return EndOverride(id=ended_id(override), override=override, ended_at_ms=1)


async def written(journal):
    writer = Writer(journal, None, Backoff(None, None), Health("test"))
    maintenance, planned = (
        over("m", OverrideKind.MAINTENANCE),
        over("p", OverrideKind.PLANNED_DISRUPTION),
    )
    writer.add(maintenance)
    writer.add(planned)
    return writer, asyncio.create_task(writer.run())


@virtual_time
async def test_until_its_own_end_is_written_an_override_stands_in_the_journal():
    """A crash between the two ends must leave a journal that knows of the second."""
    journal = SlowJournal()
    journal.let.set()
    _, running = await written(journal)
    await asyncio.sleep(1)
    running.cancel()
    assert [[one.id for one in fact.standing] for fact in journal.facts] == [["p"], []]


@virtual_time
async def test_nobody_says_what_stands_before_what_is_over_has_its_end():
    journal = SlowJournal()
    writer, running = await written(journal)
    with pytest.raises(EndsWait):
        async with writer.turn_of_newest():
            pass
    journal.let.set()
    async with writer.turn_of_newest():
        assert len(journal.facts) == 2
    running.cancel()
