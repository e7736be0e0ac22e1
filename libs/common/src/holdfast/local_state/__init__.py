"""What stands at a charge point, as far as the journal tells: every value with its name and when it came.

    fold(state, at_ms, fact) -> state          the state cache: rebuilt from the same facts wherever it is needed
    state.passed(at_ms).stands                 what stands now: reservations and profiles end without a fact
    History.taking(at_ms, fact)                the same, and what it was at any earlier moment
    diff(before, after) -> changes             which local states changed between two moments

Keys are for machines (`configuration/MeterValueSampleInterval`, `profile/1/TxDefaultProfile/0`), values for people.
"""

from holdfast.local_state.fold import fold
from holdfast.local_state.history import Change, History, diff
from holdfast.local_state.state import LOCAL, Aspect, LocalState, Stand, aspect_of

__all__ = [
    "LOCAL",
    "Aspect",
    "Change",
    "History",
    "LocalState",
    "Stand",
    "aspect_of",
    "diff",
    "fold",
]
