"""A charge point as the core sees it: what the journal knows, and what this process has in hand.

state = known (a fold over the journal) + live (empty at each start)
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import msgspec
from msgspec.structs import replace as structs_replace

from holdfast.contracts.charge_point import ChargePointConnected, ChargePointDisconnected
from holdfast.contracts.command import CommandSettled
from holdfast.contracts.decision import ConnectorState
from holdfast.contracts.envelope import Fact
from holdfast.contracts.session import SeqRange
from holdfast.contracts.transaction import TransactionId
from holdfast.empty import nothing
from holdfast.ocpp.versions import OcppVersion
from ocpp_edge.domain.calls import Call
from ocpp_edge.domain.dedupe import Memory, no_memory
from ocpp_edge.domain.events import CallReceived, Record
from ocpp_edge.domain.known import Known
from ocpp_edge.domain.left_out import Untold


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    heartbeat_s: int = 300
    """What a charge point is told at boot."""
    transaction_ms_max: int = 9_000
    """A transactional CALL not acknowledged after so long: the socket is closed. Charge points give up
    after 10 s and more; from an open socket without answers they delete."""
    answer_ms_max: int = 30_000
    """A charge point's answer to a command; then the command is uncertain."""
    commands_max: int = 64
    """Waiting for one charge point; further ones are refused."""
    new_sessions: bool = True
    """False: the journal is above its soft limit, and what is left finishes the running sessions."""
    mode: str = ""
    """The site's, as its journal last said: a command that waits for another one is asked about anew."""
    telemetry_every_ms: int = 0
    """By rule, in the site's mode: see `thinning.py`. 0: all is kept."""
    meter_values_every_ms: int = 0
    meter_values_from_ms: int = 0
    """Wall clock: from then on, when the mode has lasted long enough."""
    opened_at_ms: int = 0
    """When this life of the disk began; 0: nobody knows any more. A command issued before it is not sent."""


JUST_COME_MS = 500
LANE_MAX = 32
"""Transactional CALLs of one charge point in hand; at the bound its socket is not read on."""
ASKED_MAX = 8
"""Authorize questions of one charge point in hand; at the bound its socket is not read on."""
RELAYED_MAX = 4
"""Questions of one charge point to its CSMS in hand; at the bound its socket is not read on."""
RECORDING_MAX = 64
"""Facts of one charge point on their way to the journal; at the bound its socket is not read on."""
JOINED_MAX = 16
"""CALLs that say again what is on its way already; at the bound its socket is not read on."""


ANSWERED_MAX = 64
"""Of our own CALLs to one charge point: beyond, a second answer counts as one to nothing."""


ConnectionFact = ChargePointConnected | ChargePointDisconnected


class Outstanding(msgspec.Struct, frozen=True, kw_only=True):
    """Our CALL that the charge point has not answered: at most one (OCPP-J 4.1.1)."""

    command_id: str
    message_id: str
    since_mono_ms: int
    answer_ms_max: int
    """By its action."""


class Parked(msgspec.Struct, frozen=True, kw_only=True):
    """A command that may be sent at a better time: asked about anew when what it meets has changed."""

    target: ConnectorState
    mode: str
    since_mono_ms: int


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """The last one of its kind that was stored, and what has been left out since."""

    mono_ms: int
    at_ms: int | None = None
    """By the charge point's own clock."""
    left_out: int = 0
    last_left_out: str = ""
    """Its message id."""
    left_out_seq: tuple[SeqRange, ...] = ()
    """2.x: their seqNos."""
    seq_no: int | None = None
    """2.x: its own."""
    thinning: bool = False
    """The journal says that some may be left out behind it: then some are."""


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """The newest of its key (class L), not recorded yet."""

    event: CallReceived
    left_out: int = 0
    """So many older ones it took the place of."""


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What was said last of its kind, until its answer is known to have arrived: see `said.py`."""

    id: str
    """Of its fact."""
    connection: str
    message_id: str
    content: str
    mono_ms: int
    outlives: bool
    """Its connection: sent again on another one it is the same."""
    is_stored: bool = False
    """And so answered. False: on its way."""


class Joined(msgspec.Struct, frozen=True, kw_only=True):
    """A CALL that says again what is on its way, and waits for the same outcome."""

    of: str
    """Id of the fact, or of the question."""
    call: Call


class Live(msgspec.Struct, frozen=True, kw_only=True):
    connection: str | None = None
    connected_at_ms: int | None = None
    version: OcppVersion = OcppVersion.V16
    """Of the connection."""
    lane: tuple[CallReceived, ...] = ()
    """Transactional CALLs in their order; the first is being worked on."""
    storing: str | None = None
    """Id of the transactional fact on its way: its outcome decides before the next one begins. It may
    belong to a connection that is gone."""
    asked: Mapping[str, Call] = msgspec.field(default_factory=nothing)
    """Authorize questions by request."""
    relayed: Mapping[str, Call] = msgspec.field(default_factory=nothing)
    """Questions to the CSMS by request."""
    recording: Mapping[str, Call | None] = msgspec.field(default_factory=nothing)
    """Facts on their way to the journal, and the CALL to answer once they are there."""
    said: Mapping[str, Said] = msgspec.field(default_factory=dict)
    """By its kind, in the order it was said."""
    joined: tuple[Joined, ...] = ()
    numbered: int = 0
    """So many facts and questions of this life have ids by their number."""
    news: tuple[ConnectionFact, ...] = ()
    """Facts of connections that wait to be recorded: see `connections.py`."""
    news_on_its_way: str | None = None
    """Id of the one on its way to the journal."""
    left_out: int = 0
    """Facts of connections that were left out since the last one that was recorded."""
    samples: Mapping[tuple[str, int], Kept] = msgspec.field(default_factory=nothing)
    """Telemetry, by action and connector."""
    metered: Mapping[TransactionId, Kept] = msgspec.field(default_factory=nothing)
    """Meter values of open sessions, by transaction id."""
    untold: Mapping[TransactionId, Untold] = msgspec.field(default_factory=nothing)
    """What the store had, of the life before."""
    newest_waiting: Mapping[str, Waiting] = msgspec.field(default_factory=nothing)
    """Of class L, by key: see `newest.py`."""
    newest_until: Mapping[str, int] = msgspec.field(default_factory=nothing)
    """Keys of class L that were recorded: until then (monotonic clock) a newer one waits."""
    arriving: Mapping[str, str] = msgspec.field(default_factory=nothing)
    """Commands on their way to the journal, by id: what they are, see `identity.py`."""
    admitting: str | None = None
    """The command rule-service is asked about."""
    held: frozenset[str] = frozenset()
    """Commands admitted while the charge point was away: asked about anew when it comes, or at their end."""
    parked: Mapping[str, Parked] = msgspec.field(default_factory=nothing)
    """By command id."""
    sending: str | None = None
    """The command to send once its dispatch is stored."""
    settling: Mapping[str, CommandSettled] = msgspec.field(default_factory=nothing)
    """Dispositions that are clear and not stored yet, by command."""
    outstanding: Outstanding | None = None
    answered: Memory = msgspec.field(default_factory=partial(no_memory, ANSWERED_MAX))
    """Message ids of our own CALLs that were answered: a second answer is told from one to nothing."""
    uncertain_because: str = "ocpp-edge was restarted after the command was sent"


class State(msgspec.Struct, frozen=True, kw_only=True):
    charge_point: str
    known: Known = msgspec.field(default_factory=Known)
    live: Live = msgspec.field(default_factory=Live)

    @property
    def version(self) -> OcppVersion | None:
        """That the charge point speaks, or spoke last; None: it never connected."""
        return self.live.version if self.live.connection else self.known.version

    @property
    def has_room(self) -> bool:
        """False: read nothing more from its socket for now."""
        live = self.live
        return (
            len(live.lane) < LANE_MAX
            and len(live.asked) < ASKED_MAX
            and len(live.relayed) < RELAYED_MAX
            and len(live.recording) < RECORDING_MAX
            and len(live.joined) < JOINED_MAX
        )

    def waits(self, mono_ms: int) -> bool:
        """Something here ends by time; a CALL that came this very moment is not looked at yet."""
        live, known = self.live, self.known
        if live.news or known.commands or known.due or live.settling:
            return True
        until = live.newest_until
        if any(until.get(key, mono_ms) <= mono_ms for key in live.newest_waiting):
            return True
        return bool(live.lane) and mono_ms - live.lane[0].mono_ms >= JUST_COME_MS

    def with_live(self, **changes: object) -> State:
        return structs_replace(self, live=structs_replace(self.live, **changes))


def record(
    state: State, fact: Fact, id: str, cause: str, call: Call | None = None, **live: object
) -> tuple[State, Record]:
    """Ask for the fact to be stored; `live` changes with it."""
    recording = {**state.live.recording, id: call}
    return state.with_live(recording=recording, **live), Record(fact=fact, id=id, cause=cause)
