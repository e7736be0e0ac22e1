"""Goal: whatever happens to sockets, processes, records and the CSMS, every transactional message is there in the end,
once in effect, in order, under the right id and on a connection of its version; never two CALLs at once; and the same
life twice is the same wire.

Method: a random journal of several lives of a disk, of a charge point that changes its version at will, read by a
bridge that is killed, whose records are late, before a CSMS that errs, hangs up, answers late, loses answers and talks
nonsense. Like some, it recognises a start by what it says.
"""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from csms_bridge.domain.charge_point import decide, restored
from csms_bridge.domain.events import (
    Close,
    CommandNotTaken,
    Connect,
    Effect,
    Ended,
    FrameCame,
    Journaled,
    NotOpened,
    Opened,
    Refill,
    Refilled,
    Saved,
    Send,
    SendToSite,
    SiteReach,
    Tick,
)
from csms_bridge.domain.kept import Kept
from csms_bridge.domain.outgoing import Place
from csms_bridge.domain.site import unhandled_since
from csms_bridge.domain.state import Policy, State
from holdfast.contracts.rules import UpstreamRules
from holdfast.ocpp.versions import OcppVersion
from holdfast_testkit.upstream_story import GUARANTEED, Story

BEGUN_MS = 1_790_000_000_000
TRANSACTIONAL = ("StartTransaction", "MeterValues", "StopTransaction", "TransactionEvent")
OF_16 = TRANSACTIONAL[:3]
V16, V201 = OcppVersion.V16, OcppVersion.V201
NOISE = [
    "[",
    '[3,"nobody asked",{}]',
    '[4,"nobody asked","InternalError","",{}]',
    '[2,"n1","GetConfiguration",{}]',
    '[2,"n2","RemoteStopTransaction",{"transactionId":1000}]',
    '[2,"n3","Reset",{"type":"Soft"}]',
    '[2,"n4"]',
]


class Csms:
    """Its own ledger; a start that it has is the transaction it was."""

    def __init__(self) -> None:
        self.starts: dict[str, int] = {}
        self.taken: list[tuple[str, str, str]] = []
        """(entry, action, payload as it stood), the first time each."""
        self.guaranteed: list[str] = []
        """Entries of class G, the first time each."""
        self._known: dict[str, str] = {}

    def take(self, message_id: str, action: str, payload: str) -> dict[str, Any]:
        entry = message_id.split("-r")[0]
        if action in TRANSACTIONAL:
            known = self._known.get(entry)
            assert known in (None, payload), "one entry, two contents"
            if known is None:
                self._known[entry] = payload
                self.taken.append((entry, action, payload))
        if action == GUARANTEED and entry not in self.guaranteed:
            self.guaranteed.append(entry)
        match action:
            case "TransactionEvent":
                return {"idTokenInfo": {"status": "Accepted"}}
            case "StartTransaction":
                csms_id = self.starts.setdefault(payload, 1_000 + len(self.starts))
                return {"transactionId": csms_id, "idTagInfo": {"status": "Accepted"}}
            case "BootNotification":
                return {"status": "Accepted", "currentTime": "2026-09-21T14:13:20Z", "interval": 60}
            case _:
                return {}


class Life:
    def __init__(self, seed: int, facts: Any) -> None:
        self.rng = random.Random(seed)
        self.story = [
            (Place(*place), fact, live) for place, fact, live in Story(self.rng, facts).told
        ]
        rules = UpstreamRules(attempts_max=1_000, presence=self.rng.choice(["hold", "close"]))
        self.policy = Policy(rules=rules, queue_max=self.rng.choice([3, 10, 2_000]))
        self.state = State(backend="main", site="berlin01", charge_point="CP-1")
        self.mono_ms = 0
        self.csms = Csms()
        self.wire: list[str] = []
        self.events: list[Any] = []
        self.stored = Kept()
        """What KV holds."""
        self.saving: Kept | None = None
        self.floor = 0
        """From where a process that takes over reads again."""
        self.read = 0
        self.journaled = 0
        self.connection: str | None = None
        self.connections = 0
        self.version = V16
        """Of the connection."""
        self.is_dialling = False
        self.closing: list[str] = []
        self.closed_mono_ms = 0
        self.due: tuple[str, str, str] | None = None
        """Our CALL that the CSMS has not answered."""
        self.refill: Refill | None = None
        self.commands: list[str] = []

    # --- the shell ---

    def handle(self, make: type, **fields: Any) -> None:
        event = make(at_ms=BEGUN_MS + self.mono_ms, mono_ms=self.mono_ms, **fields)
        self.events.append(event)
        self.state, effects = decide(self.policy, self.state, event)
        live = self.state.live
        assert len(live.queue) + len(live.errors) <= self.policy.queue_max
        for effect in effects:
            self.perform(effect)

    def perform(self, effect: Effect) -> None:
        match effect:
            case Connect(version=version):
                self.version = version
                assert self.connection is None, "a second connection"
                assert not self.is_dialling
                is_dead = self.mono_ms - self.closed_mono_ms >= self.policy.give_up_ms
                assert not self.closing or is_dead, "one before it is not closed yet"
                self.is_dialling = True
            case Close(connection=connection):
                if connection == self.connection:
                    self.connection, self.due = None, None
                self.closing, self.closed_mono_ms = [connection], self.mono_ms
            case Send(connection=connection, frame=frame):
                assert connection == self.connection
                self.wire.append(frame)
                self.sent(frame)
            case Refill():
                assert self.refill is None, "two refills"
                self.refill = effect
            case SendToSite(command=command):
                self.commands.append(command.id)
            case _:
                pass

    def sent(self, frame: str) -> None:
        kind, message_id, *rest = json.loads(frame)
        if kind != 2:
            return
        assert self.due is None, "two CALLs at once"
        action = rest[0]
        payload = frame[len(f'[2,"{message_id}","{action}",') : -1]
        self.due = (message_id, action, payload)
        assert (action in OF_16) <= (self.version is V16), "on a connection of another version"
        assert (action == "TransactionEvent") <= (self.version is V201)
        if action in TRANSACTIONAL:
            life, seq = message_id.removeprefix("hf-").split("-r")[0].rsplit("-", 1)
            assert not self.stored.is_past(Place(life, int(seq)), self.stored.transactional)
            if action == "StartTransaction" or rest[1].get("eventType") == "Started":
                assert self.stored.attempt is not None, (
                    "nobody would know that it may have been sent"
                )
            elif action in OF_16:
                known = {one.csms_id for one in self.stored.transactions.values()}
                assert rest[1]["transactionId"] in known, "nobody would know whose id it is"

    def journaled_at(self, stream_seq: int, *, again: bool) -> None:
        place, fact, live = self.story[stream_seq - 1]
        self.handle(
            Journaled,
            place=place,
            stream_seq=stream_seq,
            recorded_at_ms=BEGUN_MS + self.mono_ms,
            fact=fact,
            live=live and not again,
            again=again,
        )

    # --- what can happen ---

    def journal(self) -> None:
        self.journaled = min(len(self.story), self.journaled + self.rng.randrange(1, 8))

    def read_on(self) -> None:
        for _ in range(self.rng.randrange(1, 6)):
            if self.read < self.journaled:
                self.read += 1
                self.journaled_at(self.read, again=False)

    def read_twice(self) -> None:
        if self.read:
            self.journaled_at(self.rng.randrange(1, self.read + 1), again=False)

    def read_refill(self) -> None:
        asked = self.refill
        if asked is None:
            return
        to_seq = min(self.journaled, asked.after_seq + asked.limit)
        for stream_seq in range(asked.after_seq + 1, to_seq + 1):
            self.journaled_at(stream_seq, again=True)
            if self.rng.random() < 0.3:
                self.csms_answers()
        self.refill = None
        self.handle(Refilled, to_seq=max(to_seq, asked.after_seq))

    def save(self) -> None:
        if self.saving is None and self.state.kept is not self.state.live.saved:
            self.saving = self.state.kept
        elif self.saving is not None:
            self.stored, self.saving = self.saving, None
            self.handle(Saved, kept=self.stored)
            if self.state.kept is self.stored:
                self.floor = unhandled_since([self.state], self.read)

    def take_over(self) -> None:
        if self.saving is not None and self.rng.random() < 0.5:
            self.stored = self.saving  # written, and the acknowledgement lost with the process
        self.saving, self.refill, self.due = None, None, None
        self.connection, self.is_dialling, self.closing = None, False, []
        self.read = self.rng.choice([0, self.floor])
        fresh = State(backend="main", site="berlin01", charge_point="CP-1")
        self.state = restored(fresh, self.stored)
        self.events.append(self.stored)

    def dial(self) -> None:
        if not self.is_dialling:
            return
        self.is_dialling = False
        if self.rng.random() < 0.3:
            refused = self.rng.random() < 0.3
            self.handle(NotOpened, why="no", refused=refused, jitter=self.rng.random())
            return
        self.connections += 1
        self.connection = f"c{self.connections}"
        self.handle(Opened, connection=self.connection)

    def say(self, frame: Any, connection: str | None = None) -> None:
        text = frame if isinstance(frame, str) else json.dumps(frame)
        where = connection or self.connection
        if where is not None:
            self.handle(FrameCame, connection=where, frame=text)

    def csms_answers(self) -> None:
        if self.due is not None:
            asked, self.due = self.due, None
            self.say([3, asked[0], self.csms.take(*asked)])

    def csms_errs(self) -> None:
        if self.due is not None:
            asked, self.due = self.due, None
            self.say([4, asked[0], "InternalError", "", {}])

    def csms_talks_nonsense(self) -> None:
        said = {"StartTransaction": [{}, None, {"transactionId": "7"}], "TransactionEvent": [7, []]}
        if self.due is not None and self.due[1] in said:
            asked, self.due = self.due, None
            self.say([3, asked[0], self.rng.choice(said[asked[1]])])

    def csms_hangs_up(self) -> None:
        """Before or after it took what was asked; its answer is lost, or comes after the end."""
        if self.connection is None:
            return
        old, asked = self.connection, self.due
        answer = self.csms.take(*asked) if asked and self.rng.random() < 0.5 else None
        self.connection, self.due = None, None
        self.handle(Ended, connection=old, why="lost", jitter=self.rng.random())
        if asked and answer is not None:
            self.say([3, asked[0], answer], connection=old)

    def noise(self) -> None:
        self.say(self.rng.choice(NOISE))
        self.say(self.rng.choice(NOISE), connection="c0")

    def closed(self) -> None:
        if self.closing:
            self.handle(Ended, connection=self.closing.pop(0), why="closed by us")

    def refuse_command(self) -> None:
        if self.commands:
            self.handle(CommandNotTaken, command_id=self.commands.pop(), why="no")

    def reach(self) -> None:
        self.handle(SiteReach, reachable=self.rng.random() < 0.6)

    def wait(self, ms: int | None = None) -> None:
        self.mono_ms += self.rng.choice([50, 500, 2_000, 11_000, 31_000]) if ms is None else ms
        self.handle(Tick)

    # --- a life ---

    def live_through(self) -> Life:
        often = [self.journal, self.read_on, self.read_on, self.save, self.save, self.dial]
        often += [self.csms_answers] * 4 + [self.wait, self.closed, self.read_refill]
        rare = [self.csms_errs, self.csms_hangs_up, self.csms_talks_nonsense, self.take_over]
        rare += [self.noise, self.reach, self.refuse_command, self.read_twice]
        for _ in range(self.rng.randrange(50, 400)):
            self.rng.choice(often if self.rng.random() < 0.85 else rare)()
        self.end_well()
        return self

    def end_well(self) -> None:
        """Nothing goes wrong any more: now everything must come to its end."""
        self.journaled = len(self.story)
        for _ in range(5_000):
            self.read_on()
            self.save()
            self.closed()
            if self.is_dialling:
                self.is_dialling = False
                self.connections += 1
                self.connection = f"c{self.connections}"
                self.handle(Opened, connection=self.connection)
            self.read_refill()
            self.csms_answers()
            self.wait(200)
            is_saved = self.state.kept is self.state.live.saved
            is_read = self.read == self.journaled and not self.state.has_backlog
            if is_read and is_saved and self.due is None:
                return
        raise AssertionError(f"never at its end: {self.state}")

    def replayed(self) -> State:
        """The same events again, as data."""
        state = State(backend="main", site="berlin01", charge_point="CP-1")
        for event in self.events:
            if isinstance(event, Kept):
                fresh = State(backend="main", site="berlin01", charge_point="CP-1")
                state = restored(fresh, event)
            else:
                state, _ = decide(self.policy, state, event)
        return state


def expected(life: Life) -> list[tuple[str, str, str]]:
    told = []
    for place, fact, _ in life.story:
        action = getattr(fact, "action", "")
        if action not in TRANSACTIONAL:
            continue
        local = fact.transaction_id
        raw = fact.raw
        if action in OF_16 and action != "StartTransaction":
            start = next(
                one.raw for _, one, _ in life.story if f'"n":{local}}}' in getattr(one, "raw", "")
            )
            raw = raw.replace(
                f'"transactionId":{local}', f'"transactionId":{life.csms.starts[start]}'
            )
        told.append((f"hf-{place.incarnation}-{place.seq}", action, raw))
    return told


SEEDS = st.integers(0, 2**32 - 1)


@settings(max_examples=250, deadline=None)
@given(seed=SEEDS)
def test_every_message_is_there_once_in_order_and_under_the_right_id(seed, facts):
    life = Life(seed, facts).live_through()
    assert life.csms.taken == expected(life)
    assert life.csms.guaranteed == [
        f"hf-{place.incarnation}-{place.seq}"
        for place, fact, _ in life.story
        if getattr(fact, "action", "") == GUARANTEED
    ]
    assert life.state.kept.running() == {}
    assert {one.trouble.value for one in life.state.kept.open} <= {"double start"}


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS)
def test_the_same_life_twice_is_the_same_wire(seed, facts):
    first, second = Life(seed, facts).live_through(), Life(seed, facts).live_through()
    assert first.wire == second.wire
    assert first.state == second.state


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS)
def test_events_alone_make_the_state(seed, facts):
    life = Life(seed, facts).live_through()
    assert life.replayed() == life.state


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS)
def test_who_takes_over_at_the_end_has_nothing_left_to_say_of_sessions(seed, facts):
    life = Life(seed, facts).live_through()
    taken, said = list(life.csms.taken), len(life.wire)
    life.take_over()
    life.read = 0
    life.end_well()
    assert life.csms.taken == taken
    again = {json.loads(frame)[2] for frame in life.wire[said:] if frame.startswith("[2")}
    assert again.isdisjoint(TRANSACTIONAL)


@pytest.mark.parametrize("seed", range(5))
def test_a_life_has_enough_in_it(seed, facts):
    """That the property above is not true of nothing."""
    lives = [Life(100 * seed + one, facts).live_through() for one in range(20)]
    assert sum(len(life.csms.taken) for life in lives) > 200
    assert any(life.state.kept.open for life in lives)
    assert any(len(life.state.kept.lives) > 1 for life in lives)
