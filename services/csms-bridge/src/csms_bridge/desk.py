"""One site that this instance speaks for: its journal in, its charge points served, its state told.

the site's facts, in order -> each charge point's attendants (one per backend)
beside it: the site's record in KV (how far it is read, is the CSMS up), its reach, its webhook
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from contextlib import aclosing
from typing import NamedTuple

from csms_bridge.adapters.backends import Backends
from csms_bridge.adapters.source import Found
from csms_bridge.adapters.webhook import Webhook
from csms_bridge.attendant import Attendant
from csms_bridge.config import Config
from csms_bridge.domain import site as site_domain
from csms_bridge.domain.events import (
    CommandEnded,
    CommandNotTaken,
    CommandTaken,
    CommandWaits,
    Settle,
)
from csms_bridge.domain.outgoing import Place
from csms_bridge.domain.state import State
from csms_bridge.keeping import Fenced
from csms_bridge.reach import Reach
from csms_bridge.roster import Roster
from csms_bridge.services import Services
from holdfast import rpc, subjects
from holdfast.backoff import Backoff
from holdfast.bus import AppendRefused, BusError, Conflict, RequestFailed
from holdfast.clock import iso
from holdfast.contracts.command import (
    Command,
    CommandHeld,
    CommandReceipt,
    CommandSettled,
    SendCommand,
)
from holdfast.contracts.csms import (
    AskCsms,
    CaughtUp,
    CaughtUpRequest,
    DeliverySettled,
    RelayReply,
    RelayRequest,
    SettleDelivery,
    SiteOwned,
    UpstreamStatus,
)
from holdfast.contracts.decision import CloudVerdict
from holdfast.contracts.envelope import ContractError, Fact
from holdfast.contracts.mode import CsmsState, Mode, ModeChanged
from holdfast.contracts.rules import RulesActivated
from holdfast.standing import parse_rules

log = logging.getLogger(__name__)

TICK_MS = 100
TELL_MS = 250
"""How often the site's record is looked at; it is written when it changed."""
READ_TOLD_MS = 2_000
"""How far the journal is read is written down this often: more is only read again."""
MARKS_MAX = 1_000
"""Places remembered while a charge point holds the reading back; beyond it every second one is forgotten."""
ANNOUNCE_MS = 500
TELL_AGAIN_MS = 5_000
COMMAND_MS_MAX = 3_000
RELEASE_S = 2
BREATHE_EVERY = 50


class Mark(NamedTuple):
    """A place of the stream that reading may begin after."""

    seq: int
    id: str
    live: bool


class Desk:
    def __init__(
        self,
        services: Services,
        config: Config,
        backends: Backends,
        reach: Reach,
        webhook: Webhook,
        record: SiteOwned,
        revision: int,
    ) -> None:
        self._services = services
        self._config = config
        self._reach = reach
        self._webhook = webhook
        self._site = record.site
        self._record = record
        self._revision = revision
        self._roster = Roster(services, config, backends, record.site, self._give)
        self._read = Mark(record.read_seq, record.read_id, record.live)
        self._marks: deque[Mark] = deque([self._read])
        self._lost_to = 0
        self._at: Place | None = None
        self._mode: Mode | None = None
        self._told_mono_ms = 0
        self._group: asyncio.TaskGroup | None = None
        self._writing = asyncio.Lock()
        self._roles_changed = asyncio.Event()
        self._known_seq = 0
        """The site's newest entry when this began: before it is read, nothing is complete."""

    # --- life ---

    async def run(self) -> None:
        """Until cancelled. Raise Fenced, StreamGone."""
        await self._take_up()
        async with asyncio.TaskGroup() as group:
            self._group = group
            self._roster.begin(group, self._read.seq, self._lost_to)
            for work in (
                self._follow(),
                self._tick(),
                self._tell(),
                self._announce(),
                self._follow_roles(),
            ):
                group.create_task(work)

    async def _take_up(self) -> None:
        """Rules, records, and where to read on."""
        services, site, read = self._services, self._site, self._read
        backoff = Backoff(services.clock, services.rng)
        while True:
            try:
                rules = await services.source.newest(site, *RulesActivated.TYPE.split("."))
                mode = await services.source.newest(site, *ModeChanged.TYPE.split("."))
                records = await services.records.all(subjects.upstream_charge_points(site))
                gone_to = await services.source.gone_to()
                self._known_seq = await services.source.newest_seq(site)
                if read.seq:
                    self._at = await services.source.place_of(read.seq, read.id)
            except RequestFailed as error:
                log.warning("not taken up yet", extra={"site": site, "why": str(error)})
                await backoff.wait()
            else:
                break
        if rules is not None:
            self._take_rules(rules)
        if isinstance(mode, ModeChanged):
            self._mode = mode.mode
        self._roster.take(records)
        if self._at is None and gone_to > read.seq > 0:
            # It was cut beyond what had been read: what was in between is named, not passed over in silence.
            self._lost_to = gone_to
        elif self._at is None:
            # Another stream: read from its beginning, what is handled is known by its place.
            self._read = Mark(0, "", True)

    # --- journal in ---

    async def _follow(self) -> None:
        source, count = self._services.source, 0
        async with aclosing(source.follow(self._site, self._read.seq + 1)) as entries:
            async for found in entries:
                live = self._read.live
                if found.fact is not None:
                    live = await self._take(found, found.fact)
                self._at = found.place
                self._read = Mark(found.stream_seq, found.id, live)
                count += 1
                if count % BREATHE_EVERY == 0:
                    await asyncio.sleep(0)

    async def _take(self, found: Found, fact: Fact) -> bool:
        """Whether the site is connected after it."""
        live = self._read.live
        match fact:
            case ModeChanged(mode=mode):
                self._mode = mode
                return mode is Mode.CONNECTED
            case RulesActivated():
                self._take_rules(fact)
            case CommandHeld():
                self._command_held(fact)
            case CommandSettled():
                self._command_settled(fact)
            case _:
                charge_point = getattr(fact, "charge_point", None)
                if isinstance(charge_point, str):
                    for attendant in await self._named(charge_point, found.stream_seq):
                        attendant.journaled(found, live=live)
        return live

    async def _named(self, charge_point: str, stream_seq: int) -> list[Attendant]:
        attendants = await self._roster.named(charge_point, stream_seq)
        reachable, behind = self._reach.is_reachable(self._site), self._is_behind()
        for attendant in attendants:
            attendant.reach(reachable, behind)
        return attendants

    def _is_behind(self) -> bool:
        """Entries are known of that have not been read yet: of the stream, or of the site and not copied yet."""
        head, at = self._reach.head(self._site), self._at
        if self._read.seq < self._known_seq:
            return True
        if head is None or head.seq == 0:
            return False
        return at is None or at.incarnation != head.incarnation or at.seq < head.seq

    def _take_rules(self, fact: Fact) -> None:
        if not isinstance(fact, RulesActivated):
            return
        try:
            rules = parse_rules(fact.text)
            self._roster.use(rules)
            self._reach.expect(self._site, rules.uplink.pulse_ms)
        except ContractError as error:
            # The site runs a newer build: what stood before goes on standing here.
            log.warning("rules unreadable", extra={"site": self._site, "why": str(error)})

    def _command_held(self, fact: CommandHeld) -> None:
        clock = self._services.clock
        for attendant in self._roster.of(fact.charge_point):
            attendant.handle(
                CommandWaits(
                    at_ms=clock.now_ms(),
                    mono_ms=clock.monotonic_ms(),
                    command_id=fact.command.id,
                    reason=fact.reason,
                )
            )

    def _command_settled(self, fact: CommandSettled) -> None:
        clock = self._services.clock
        for attendant in self._roster.of(fact.charge_point):
            attendant.handle(
                CommandEnded(
                    at_ms=clock.now_ms(),
                    mono_ms=clock.monotonic_ms(),
                    command_id=fact.command.id,
                    disposition=fact.disposition,
                    reason=fact.reason,
                    answer=fact.answer,
                )
            )

    # --- commands out ---

    def _give(self, attendant: Attendant, command: Command) -> None:
        assert self._group is not None
        self._group.create_task(self._send(attendant, command))

    async def _send(self, attendant: Attendant, command: Command) -> None:
        """To rule-service, the only publisher to DOWNLINK. What it does not take ends here."""
        services, why = self._services, ""
        try:
            receipt = await rpc.call(
                services.bus,
                self._command_subject,
                self._command_request(command),
                CommandReceipt,
                timeout_ms=COMMAND_MS_MAX,
            )
            why = "" if receipt.accepted else receipt.reason
        except RequestFailed as error:
            why = str(error)
        now = {"at_ms": services.clock.now_ms(), "mono_ms": services.clock.monotonic_ms()}
        if why:
            attendant.handle(CommandNotTaken(**now, command_id=command.id, why=why))
        else:
            attendant.handle(CommandTaken(**now, command_id=command.id))

    @property
    def _command_subject(self) -> str:
        if self._config.scope == "site":
            return subjects.rpc(self._site, "csms-command")
        return subjects.cloud_rpc("command")

    def _command_request(self, command: Command) -> Command | SendCommand:
        if self._config.scope == "site":
            return command
        return SendCommand(site=self._site, command=command)

    # --- questions ---

    async def authorise(self, asked: AskCsms) -> CloudVerdict | None:
        begun_ms = self._services.clock.monotonic_ms()
        attendant = await self._roster.awaited(asked.charge_point, asked.budget_ms)
        left_ms = asked.budget_ms - (self._services.clock.monotonic_ms() - begun_ms)
        if attendant is None or left_ms <= 0:
            return None
        return await attendant.authorise(asked.driver_token, asked.token_type, left_ms)

    async def relay(self, asked: RelayRequest) -> RelayReply:
        attendant = self._roster.primary_of(asked.charge_point)
        if attendant is None:
            return RelayReply(reason="no CSMS is behind this charge point")
        return await attendant.relay(asked)

    def settle(self, asked: SettleDelivery) -> DeliverySettled:
        clock, count = self._services.clock, 0
        for attendant in self._roster.of(asked.charge_point):
            if attendant.state.backend == asked.backend:
                before = len(site_domain.open_deliveries(attendant.state))
                attendant.handle(
                    Settle(
                        at_ms=clock.now_ms(),
                        mono_ms=clock.monotonic_ms(),
                        trouble=asked.trouble,
                        incarnation=asked.incarnation,
                        seq=asked.seq,
                        by=asked.by,
                    )
                )
                count += before - len(site_domain.open_deliveries(attendant.state))
        return DeliverySettled(settled=count)

    def caught_up(self, asked: CaughtUpRequest) -> CaughtUp:
        states = self._primaries()
        return site_domain.caught_up(
            self._csms(states),
            states,
            self._at,
            Place(asked.incarnation, asked.seq),
        )

    def status(self) -> UpstreamStatus:
        states = [one.state for one in self._roster.all()]
        return UpstreamStatus(
            at_ms=self._services.clock.now_ms(),
            csms=self._csms(self._primaries()),
            instance=self._config.instance,
            charge_points=tuple(site_domain.view(state) for state in states),
            open_deliveries=tuple(
                one for state in states for one in site_domain.open_deliveries(state)
            ),
        )

    def _csms(self, states: Sequence[State]) -> CsmsState:
        now_ms = self._services.clock.monotonic_ms()
        return site_domain.csms_state(self._record.csms, states, now_ms, self._config.down_after_ms)

    def _primaries(self) -> list[State]:
        states = (one.state for one in self._roster.all())
        return [state for state in states if state.live.primary]

    # --- what goes on beside the journal ---

    async def _tick(self) -> None:
        clock = self._services.clock
        while True:
            await clock.sleep_ms(TICK_MS)
            reachable, behind = self._reach.is_reachable(self._site), self._is_behind()
            for attendant in self._roster.all():
                attendant.reach(reachable, behind)
                if attendant.needs_tick():
                    attendant.tick()

    async def _tell(self) -> None:
        """The site's record, when something of it changed. Raise Fenced."""
        clock = self._services.clock
        while True:
            await clock.sleep_ms(TELL_MS)
            changes: dict[str, object] = {"csms": self._csms(self._primaries())}
            if clock.monotonic_ms() - self._told_mono_ms >= READ_TOLD_MS:
                seq, id, live = self._mark()
                changes |= {"read_seq": seq, "read_id": id, "live": live}
            await self._write(changes)
            self._measure()

    def _mark(self) -> Mark:
        """The newest place up to which everything is delivered, or in a record of its charge point."""
        states = [one.state for one in self._roster.all()]
        if self._marks[-1].seq < self._read.seq:
            self._marks.append(self._read)
        if all(state.kept is state.live.saved for state in states):
            floor = site_domain.unhandled_since(states, self._read.seq)
            while len(self._marks) > 1 and self._marks[1].seq <= floor:
                self._marks.popleft()
        if len(self._marks) > MARKS_MAX:
            self._marks = deque([*list(self._marks)[::2], self._marks[-1]])
        return self._marks[0]

    async def _announce(self) -> None:
        """To whoever would send people out: cut off, and back with everything delivered."""
        while self._webhook.is_there:
            await self._services.clock.sleep_ms(ANNOUNCE_MS)
            since = self._record.announced
            reachable = self._reach.is_reachable(self._site)
            if since is None and not reachable:
                await self._note_announced(iso(self._services.clock.now_ms()), told=False)
            elif since is not None and reachable and self._is_complete():
                if await self._webhook.tell_back(self._site, since):
                    await self._note_announced(None, told=False)
                else:
                    await self._services.clock.sleep_ms(TELL_AGAIN_MS)
            elif since is not None and not reachable and not self._record.announced_told:
                if await self._webhook.tell_away(self._site, since):
                    await self._note_announced(since, told=True)
                else:
                    await self._services.clock.sleep_ms(TELL_AGAIN_MS)

    def _is_complete(self) -> bool:
        backlog = any(state.has_backlog for state in self._primaries())
        is_heard = self._reach.has_pulsed(self._site)
        is_read = self._read.seq >= self._known_seq
        return self._mode is Mode.CONNECTED and is_heard and is_read and not backlog

    async def _note_announced(self, since: str | None, *, told: bool) -> None:
        await self._write({"announced": since, "announced_told": told})

    async def _write(self, changes: dict[str, object]) -> None:
        """Nothing where nothing changes. Raise Fenced."""
        async with self._writing:
            record = self._record.model_copy(update=changes)
            if record == self._record:
                return
            try:
                self._revision = await self._services.records.write(
                    subjects.upstream_site(self._site), record.to_bytes(), self._revision
                )
            except Conflict as error:
                raise Fenced(f"site {self._site}: {error}") from error
            except (AppendRefused, RequestFailed) as error:
                names = {"site": self._site, "why": str(error)}
                log.warning("site record not written", extra=names)
                return
            if record.csms is not self._record.csms:
                log.warning("csms", extra={"site": self._site, "state": record.csms.value})
            self._record = record
            self._told_mono_ms = self._services.clock.monotonic_ms()

    async def release(self) -> None:
        """Write down what is delivered, then free the record for the next, while it is still ours."""
        record = self._record.model_copy(update={"owner": None})
        subject = subjects.upstream_site(self._site)
        try:
            async with asyncio.timeout(RELEASE_S), asyncio.TaskGroup() as group:
                for attendant in self._roster.all():
                    group.create_task(attendant.save_at_end())
            await self._services.records.write(subject, record.to_bytes(), self._revision)
        except (BusError, TimeoutError, ExceptionGroup) as error:
            log.info("site record not freed", extra={"site": self._site, "why": str(error)})

    def roles_changed(self) -> None:
        """The backends file was read anew."""
        self._roles_changed.set()

    async def _follow_roles(self) -> None:
        """For ever. Raise Fenced, StreamGone."""
        while True:
            await self._roles_changed.wait()
            self._roles_changed.clear()
            await self._roster.follow_roles(lambda: self._read.seq)

    def _measure(self) -> None:
        by_backend: dict[str, list[State]] = {}
        for one in self._roster.all():
            by_backend.setdefault(one.state.backend, []).append(one.state)
        metrics = self._services.metrics
        for backend, of_backend in by_backend.items():
            accepted = sum(s.live.phase.value == "accepted" for s in of_backend)
            metrics.accepted.labels(self._site, backend).set(accepted)
            metrics.waiting.labels(self._site, backend).set(sum(s.waiting for s in of_backend))
