"""Which mode may follow which, and when: the table that `modes.decide` keeps to.

`python -m mode_manager.spec` renders it into docs/spec/modes.md; a test holds both to the code.
"""

from __future__ import annotations

from typing import NamedTuple

from holdfast.contracts.mode import Mode, OverrideKind

CONNECTED, DEGRADED, AUTONOMOUS, RECOVERY = (
    Mode.CONNECTED,
    Mode.DEGRADED,
    Mode.AUTONOMOUS,
    Mode.RECOVERY,
)

WORSE: dict[tuple[Mode | None, Mode], str] = {
    (CONNECTED, DEGRADED): "any impairment stands that no open point names",
    (
        CONNECTED,
        AUTONOMOUS,
    ): "maintenance begins; or pulse lost before degraded could be seen: the process had been stopped",
    (DEGRADED, AUTONOMOUS): "pulse lost, or maintenance begins",
    (
        RECOVERY,
        DEGRADED,
    ): "journal, storage, csms or clock impaired; or any impairment stands when the "
    "procedure is done that no open point names",
    (RECOVERY, AUTONOMOUS): "pulse lost, or maintenance begins",
}
"""At once: nothing delays a change for the worse."""

BETTER: dict[tuple[Mode | None, Mode], str] = {
    (
        DEGRADED,
        CONNECTED,
    ): "nothing has stood for `stable_for_ms`, the latch is over, nothing is open",
    (
        DEGRADED,
        RECOVERY,
    ): "nothing has stood for `stable_for_ms`, the latch is over, and something was buffered "
    "or decided locally",
    (AUTONOMOUS, RECOVERY): "pulses stable, the latch over, no maintenance stands",
    (
        AUTONOMOUS,
        DEGRADED,
    ): "no maintenance stands; pulses stable and the latch over, but journal, storage, csms or clock impaired; or "
    "the uplink has lived for `changes_window_ms` without ever being stable (`uplink unstable`)",
    (
        RECOVERY,
        CONNECTED,
    ): "the recovery procedure is done, or its bound reached and what is open named",
}
"""When also the bound on changes leaves room for one change more."""

FIRST: dict[tuple[Mode | None, Mode], str] = {
    (
        None,
        AUTONOMOUS,
    ): "start with a journal that holds no mode: a site that knows nothing assumes nothing",
}

TRANSITIONS = {**FIRST, **WORSE, **BETTER}


class Effect(NamedTuple):
    """Of an override on the mode."""

    meanwhile: str
    begins: str
    ends: str
    reason: str


OVERRIDES: dict[OverrideKind, Effect] = {
    OverrideKind.MAINTENANCE: Effect(
        meanwhile="autonomous, whatever the uplink does",
        begins="from any mode, at once; leaving connected begins a disruption",
        ends="as out of any autonomous time: to recovery or degraded once pulses are stable and the latch is over",
        reason="`maintenance`, first; it counts neither as a fall of the site nor of the uplink",
    ),
    OverrideKind.PLANNED_DISRUPTION: Effect(
        meanwhile="as without it",
        begins="no change",
        ends="no change",
        reason="`planned disruption`, last in the status and in each change to another mode than connected",
    ),
}
