"""Which local states of a site's charge points differ between two moments."""

from __future__ import annotations

from collections.abc import Iterable

from holdfast.local_state import LOCAL, Change
from monitor.domain.rows import SiteState


def changed(
    state: SiteState, from_ms: int, to_ms: int, *, is_all: bool = False
) -> Iterable[tuple[str, Change]]:
    """Which local states of which charge points differ between the two moments."""
    for charge_point in sorted(state.histories):
        for change in state.histories[charge_point].between(from_ms, to_ms):
            if is_all or change.aspect in LOCAL:
                yield charge_point, change
