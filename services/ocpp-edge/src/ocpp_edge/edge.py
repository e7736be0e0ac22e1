"""All charge points of the site: who attends to which, what the site's own services ask, and snapshots."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

from holdfast import subjects
from holdfast.bus import Bus, NotAcknowledged
from holdfast.contracts.charge_point import ChargePointsStatus, ChargePointView, ConnectorView
from holdfast.contracts.command import (
    Command,
    CommandLanes,
    CommandReceipt,
    CommandWord,
    Issuer,
)
from holdfast.contracts.data_rules import Thinning
from holdfast.contracts.envelope import ContractError
from holdfast.contracts.journal import IncarnationOpened
from holdfast.contracts.local_state import LocalStateRequest, LocalStateView, StandView
from holdfast.contracts.mode import Mode
from holdfast.contracts.registry import ChargePointRegistered, ChargePointUnregistered
from holdfast.contracts.rpc import Empty
from holdfast.contracts.transaction import TransactionId
from holdfast.entries import Read, read
from holdfast.ids import Ids
from holdfast.records import replace
from ocpp_edge.adapters.connection import INTERNAL, POLICY, Connection
from ocpp_edge.adapters.store import Store
from ocpp_edge.attendant import Attendant
from ocpp_edge.command_schemas import problem_of
from ocpp_edge.domain import thinning
from ocpp_edge.domain.identity import reserved, used
from ocpp_edge.domain.left_out import Untold
from ocpp_edge.domain.running import Open
from ocpp_edge.domain.state import State
from ocpp_edge.link import Link
from ocpp_edge.receipts import NotTaken
from ocpp_edge.registry import Registered
from ocpp_edge.services import Services
from ocpp_edge.strangers import Strangers, not_registered
from ocpp_edge.told import Told

log = logging.getLogger(__name__)

SOURCE = "ocpp-edge"
CHARGE_POINTS_MAX = 10_000
"""Known by one process without being registered (any more); what is registered is never locked out by them."""
PAYLOAD_BYTES_MAX = 16 * 1024
STRICT = "strict: the CSMS is away"


class TooMany(Exception):
    """More charge points than one process attends to."""


class Edge:
    def __init__(self, services: Services, ids: Ids, store: Store) -> None:
        self._services = services
        self._ids = ids
        self._store = store
        self.told = Told(store)
        self._attendants: dict[str, Attendant] = {}
        self._strangers = Strangers(services.recorder, services.metrics)
        self._nobodys_saved = self._strangers.ids
        self._links: dict[Link, None] = {}
        """Connections that are served now, or wait to be."""
        services.open_sessions = self._open_sessions
        self._opening_is_known = False
        self.turns_away = False
        """By rule, while the CSMS is away."""
        self._thins_no_more = False
        self._untold_saved: dict[str, dict[TransactionId, Untold]] = {}
        self.saved = 0
        """The newest snapshot reaches so far."""
        self.downlink_seq = 0
        """Highest DOWNLINK sequence whose command is in the journal (or in quarantine)."""

    # --- start ---

    async def restore(self, bus: Bus) -> None:
        """The snapshot, then the journal after it; then what is due."""
        await self._learn_opening()
        snapshot = self._store.load()
        for identity, known in snapshot.known.items():
            state = State(charge_point=identity, known=known)
            self._attendants[identity] = Attendant(self._services, state)
        self._strangers.restore(snapshot.nobodys)
        self._nobodys_saved = self._strangers.ids
        journal = self._services.recorder.incarnation.journal
        stands = await bus.state(journal)
        last_seq = stands.last_seq
        if last_seq >= max(stands.first_seq, snapshot.seq + 1):
            async for message in bus.follow(journal, start=snapshot.seq + 1):
                try:
                    self._restore(read(message))
                except ContractError as error:
                    # The journal service quarantines it; the next ones go on.
                    names = {"seq": message.seq, "why": str(error)}
                    log.warning("unreadable entry", extra=names)
                if message.seq >= last_seq:
                    break
        for owed in self._strangers.owed():
            self._folds(owed)
        self._services.position.seen = last_seq
        self.saved = snapshot.seq
        self.downlink_seq = snapshot.downlink_seq
        self._untold_saved = self._store.load_untold()
        for attendant in self._attendants.values():
            known = attendant.state.known
            self._services.transactions.restore(attendant.name, known.transaction_ids())
            self.downlink_seq = max(self.downlink_seq, known.downlink_seq)
            attendant.restarted(self._untold_saved.get(attendant.name, {}))
        log.info(
            "restored",
            extra={"seq": last_seq, "charge_points": len(self._attendants)},
        )

    async def _learn_opening(self) -> None:
        """When this life of the disk began: the journal's first fact says it, and the store keeps it beyond
        the trimming. The journal service writes it before it makes the copy of DOWNLINK.
        """
        if self._opening_is_known:
            return
        at_ms = self._store.opened_at_ms()
        if at_ms is None:
            incarnation = self._services.recorder.incarnation
            opened = subjects.journal(incarnation.site, *IncarnationOpened.TYPE.split("."))
            message = await self._services.bus.last(incarnation.journal, opened)
            if message is None:
                return
            at_ms = read(message).entry.envelope.at_ms
            self._store.remember_opening(at_ms)
        self._opening_is_known = True
        self._services.policy = replace(self._services.policy, opened_at_ms=at_ms)

    def _restore(self, found: Read) -> None:
        envelope = found.entry.envelope
        identity = envelope.body.get("charge_point")
        if envelope.source != SOURCE or not isinstance(identity, str):
            return
        if isinstance(found.fact, ChargePointRegistered | ChargePointUnregistered):
            self.told.folds(found.fact)  # what stands the registry itself says
            return
        is_ours = identity in self._attendants or identity in self._services.registry
        if is_ours or not self._strangers.folds(found):
            self._folds(found)

    def _folds(self, found: Read) -> None:
        identity = found.entry.envelope.body["charge_point"]
        try:
            self._attendant(identity).restore(found.entry, found.fact)
        except TooMany as error:
            log.warning("entry not folded", extra={"seq": found.entry.seq, "why": str(error)})

    # --- charge points ---

    async def serve(
        self, identity: str, connection: Connection, remote: str, security_profile: int
    ) -> None:
        """One authenticated connection, to its end."""
        link = Link(self._ids.new(), connection, remote, security_profile, self._services.clock)
        self._links[link] = None
        try:
            if self.turns_away:  # since the handshake
                link.close(STRICT)
            elif identity not in self._services.registry:
                link.close("not registered any more", POLICY)
            else:
                await self._attendant(identity).serve(link)
        except TooMany as error:
            link.close(str(error))
        except Exception:
            log.exception("a fault of ours", extra={"charge_point": identity})
            link.close("internal error", INTERNAL)
        finally:
            self._links.pop(link, None)
        await link.shut()

    def _attendant(self, identity: str) -> Attendant:
        found = self._attendants.get(identity)
        if found is None:
            is_registered = identity in self._services.registry
            if len(self._attendants) >= CHARGE_POINTS_MAX and not is_registered:
                raise TooMany(f"{CHARGE_POINTS_MAX} charge points are attended to already")
            found = Attendant(self._services, State(charge_point=identity))
            self._attendants[identity] = found
        return found

    def _open_sessions(self) -> Iterator[Open]:
        for attendant in self._attendants.values():
            for session in attendant.state.known.running():
                yield attendant.name, session

    def tick(self) -> None:
        mono_ms = self._services.clock.monotonic_ms()
        for attendant in list(self._attendants.values()):
            attendant.tick(mono_ms)

    def allow_new_sessions(self, allowed: bool) -> None:
        if self._services.policy.new_sessions != allowed:
            log.warning("new sessions", extra={"allowed": allowed})
            self._services.policy = replace(self._services.policy, new_sessions=allowed)

    def mode_stands(self, mode: Mode) -> None:
        if self._services.policy.mode != mode:
            self._services.policy = replace(self._services.policy, mode=mode)

    def thinning_stands(self, thinning: Thinning, mode_since_ms: int) -> None:
        """By the rules in force, in the mode in force."""
        if self._thins_no_more:
            return
        policy = replace(
            self._services.policy,
            telemetry_every_ms=thinning.telemetry_every_ms,
            meter_values_every_ms=thinning.meter_values_every_ms,
            meter_values_from_ms=mode_since_ms + thinning.meter_values_after_ms,
        )
        if policy != self._services.policy:
            self._services.policy = policy

    def turn_out(self, identity: str, is_right: Callable[[int], bool], reason: str) -> None:
        """Close its connection, unless the security profile it came by `is_right`."""
        attendant = self._attendants.get(identity)
        if attendant:
            attendant.turn_out(is_right, reason)

    def turn_away(self, away: bool) -> None:
        """Close every connection, once, and take none; or take them again. What is not acknowledged stays with
        the charge points, which send it again.
        """
        if self.turns_away == away:
            return
        self.turns_away = away
        log.warning("charge points turned away", extra={"away": away, "why": STRICT})
        for link in list(self._links) if away else ():
            link.close(STRICT)

    # --- commands ---

    async def take_from_downlink(self, command: Command, seq: int) -> None:
        """Return once it is in the journal. Raise NotTaken or AppendRefused; ContractError when its id is not free."""
        if command.issuer not in (Issuer.CLOUD, Issuer.CSMS):
            # Only who stands at the site is the operator there: rules let that one do more. So with the site.
            command = command.model_copy(update={"issuer": Issuer.CLOUD})
        if command.issuer is not Issuer.CSMS:
            command = command.model_copy(update={"by_rule": ""})
        await self._learn_opening()
        problem = self._id_taken(command)
        if problem:
            raise ContractError(problem)
        if self._is_of_nobody(command):
            await self._strangers.take(command, seq)
        else:
            receipt = await self._attendant(command.charge_point).take(command, seq)
            if not receipt.accepted:
                raise ContractError(receipt.reason)
        self.downlink_seq = max(self.downlink_seq, seq)

    def _is_of_nobody(self, command: Command) -> bool:
        """Never heard of, nor registered: nothing here has to remember it."""
        name = command.charge_point
        return name not in self._attendants and not self._services.registry.has(name)

    def _id_taken(self, command: Command) -> str | None:
        """Why its id can't be this command's, as far as its own charge point does not know that itself."""
        problem = reserved(command.id)
        if problem:
            return problem
        elsewhere = any(
            one.knows(command.id)
            for name, one in self._attendants.items()
            if name != command.charge_point
        )
        nobodys = self._strangers.knows(command.id) and not self._is_of_nobody(command)
        return used(command.id) if elsewhere or nobodys else None

    async def command(self, command: Command, _: str) -> CommandReceipt:
        """`rpc.command`: the operator at the site."""
        refusal = self._refusal(command)
        if refusal:
            return CommandReceipt(id=command.id, accepted=False, reason=refusal)
        here = {"issuer": Issuer.OPERATOR_AT_SITE, "by_rule": ""}
        return await self._commanded(command.model_copy(update=here))

    async def csms_command(self, command: Command, _: str) -> CommandReceipt:
        """`rpc.csms-command`: a csms-bridge at this site. Its CSMS has no more rights than through the cloud."""
        refusal = self._refusal(command)
        if refusal:
            return CommandReceipt(id=command.id, accepted=False, reason=refusal)
        return await self._commanded(command.model_copy(update={"issuer": Issuer.CSMS}))

    async def command_word(self, word: CommandWord, _: str) -> CommandReceipt:
        """`rpc.command-word`: an operator confirms or cancels."""
        attendant = self._whose(word.id)
        if attendant is None:
            reason = "no command of this id is known at this site"
            if self._strangers.knows(word.id):
                reason = "the command has ended: refused, for a charge point that is not registered"
            return CommandReceipt(id=word.id, accepted=False, reason=reason)
        try:
            return await attendant.word(word)
        except NotTaken as error:
            raise NotAcknowledged(f"the word is not journaled: {error}") from error

    async def take_word_from_downlink(self, word: CommandWord) -> None:
        """Return once it is in the journal. Raise NotTaken, or ContractError when there is no such command."""
        attendant = self._whose(word.id)
        if attendant is None:
            raise ContractError(f"{word.word} for command {word.id!r}, which is not known here")
        await attendant.word(word)

    def _whose(self, command_id: str) -> Attendant | None:
        """The one whose command waits; one that has ended only tells that it has."""
        ended = None
        for attendant in self._attendants.values():
            known = attendant.state.known
            if command_id in known.commands:
                return attendant
            if command_id in known.settled:
                ended = attendant
        return ended

    async def _commanded(self, command: Command) -> CommandReceipt:
        try:
            return await self._attendant(command.charge_point).take(command, 0)
        except NotTaken as error:
            raise NotAcknowledged(f"command {command.id} is not journaled: {error}") from error

    def _refusal(self, command: Command) -> str | None:
        if not self._services.registry.has(command.charge_point):
            return not_registered(command.charge_point)
        if len(command.to_bytes()) > PAYLOAD_BYTES_MAX:
            return f"a command has at most {PAYLOAD_BYTES_MAX} bytes"
        attendant = self._attendants.get(command.charge_point)
        version = attendant.state.version if attendant else None
        problem = problem_of(self._services.schemas, version, command.action, command.payload)
        return problem or self._id_taken(command)

    async def lanes(self, _: Empty, __: str) -> CommandLanes:
        """`rpc.lanes`."""
        attendants = self._attendants.values()
        pending: list[str] = []
        waiting: list[str] = []
        for one in attendants:
            for id, command in one.state.known.commands.items():
                waits = command.dispatched_ms is None and (
                    command.held or id in one.state.live.parked
                )
                (waiting if waits else pending).append(id)
        return CommandLanes(
            pending=tuple(pending), waiting=tuple(waiting), downlink_seq=self.downlink_seq
        )

    # --- views ---

    async def charge_points(self, _: Empty, __: str) -> ChargePointsStatus:
        """`rpc.charge-points`."""
        identities = sorted({*self._services.registry.identities(), *self._attendants})
        views = (
            view_of(
                one.state if one else State(charge_point=identity),
                one.heard_at_ms if one else None,
                self._services.registry.entry(identity),
            )
            for identity in identities
            for one in [self._attendants.get(identity)]
        )
        return ChargePointsStatus(at_ms=self._services.clock.now_ms(), charge_points=tuple(views))

    async def charge_point_state(self, request: LocalStateRequest, _: str) -> LocalStateView:
        """`rpc.charge-point-state`. Raise ContractError where nothing was ever heard of it."""
        attendant = self._attendants.get(request.charge_point)
        if attendant is None:
            raise ContractError(
                f"charge point {request.charge_point[:40]!r} has never been here: rpc.charge-points has those that have"
            )
        at_ms = self._services.clock.now_ms()
        stands = attendant.state.known.local.passed(at_ms).stands
        return LocalStateView(
            charge_point=request.charge_point,
            at_ms=at_ms,
            stands=tuple(
                StandView(key=key, value=one.value, since_ms=one.since_ms, heard_ms=one.heard_ms)
                for key, one in sorted(stands.items())
            ),
        )

    # --- snapshots ---

    def saw(self, seq: int) -> None:
        """The journal has come so far: entries of other services must not hold its trimming up."""
        self._services.position.saw(seq)

    @property
    def unsaved(self) -> int:
        """So many entries of the journal are folded and in no snapshot."""
        return self._services.position.folded - self.saved

    def save_untold(self, *, is_whole: bool = False) -> None:
        """What a restart would forget of what the rules left out. `is_whole`: from now on nothing is left out."""
        if is_whole:
            self.thinning_stands(Thinning(), 0)
            self._thins_no_more = True
        stands = {
            attendant.name: untold
            for attendant in self._attendants.values()
            if (untold := thinning.to_save(attendant.state, is_whole=is_whole))
        }
        before = self._untold_saved
        changed = {
            name: stands.get(name, {})
            for name in {*stands, *before}
            if stands.get(name) != before.get(name)
        }
        if changed:
            self._store.save_untold(changed)
            self._untold_saved = stands

    def save(self) -> int:
        """Write what changed; the sequence up to which the journal may be forgotten."""
        seq = self._services.position.folded
        changed = {
            one.name: one.state.known
            for one in self._attendants.values()
            if one.state.known.seq > one.snapshot_seq
        }
        nobodys = self._strangers.ids
        news = None if nobodys == self._nobodys_saved else nobodys
        self._store.save(seq, self.downlink_seq, changed, news)
        self._nobodys_saved = nobodys
        self.saved = seq
        for name, known in changed.items():
            self._attendants[name].snapshot_seq = known.seq
        return seq


def view_of(
    state: State, heard_at_ms: int | None, registered: Registered | None
) -> ChargePointView:
    known, live = state.known, state.live
    running = {
        session.connector: session.transaction_id
        for session in known.running()
        if session.connector is not None
    }
    connectors = sorted({*known.connectors, *running})
    return ChargePointView(
        charge_point=state.charge_point,
        connected=live.connection is not None,
        connection=live.connection,
        connected_at_ms=live.connected_at_ms,
        version=known.version,
        heard_at_ms=heard_at_ms,
        booted_at_ms=known.booted.at_ms if known.booted else None,
        vendor=known.booted.vendor if known.booted else None,
        model=known.booted.model if known.booted else None,
        connectors=tuple(
            ConnectorView(
                connector=connector,
                status=stands.status if stands else None,
                error_code=stands.error_code if stands else None,
                transaction_id=running.get(connector),
            )
            for connector in connectors
            for stands in [known.connectors.get(connector)]
        ),
        waiting_messages=len(live.lane),
        waiting_commands=len(known.commands),
        registered=registered is not None,
        security_profile=registered.security_profile if registered else None,
        next_security_profile=registered.next_security_profile if registered else None,
    )
