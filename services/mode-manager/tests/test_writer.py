"""Goal: a long refusal by the disk thins the history of modes out, and leaves no hole in it (I6)."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from holdfast.contracts.mode import Mode, ModeChanged, Reason
from holdfast.health import Health
from mode_manager.domain.events import ChangeMode
from mode_manager.writer import WAITING_MAX, Writer


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
