"""The attendants of one site: one per charge point and backend, as the backends file has it now.

A charge point's record is taken up where it was left; a backend that is new to it is told from what runs now.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple

from csms_bridge import attaching
from csms_bridge.adapters.backends import Backends, Role
from csms_bridge.adapters.records import Record, Unreadable, kept_of
from csms_bridge.attendant import Attendant
from csms_bridge.config import Config
from csms_bridge.domain import site as site_domain
from csms_bridge.domain.kept import Kept
from csms_bridge.domain.state import Policy, State
from csms_bridge.services import Services
from holdfast import subjects
from holdfast.backoff import Backoff
from holdfast.bus import RequestFailed
from holdfast.contracts.command import Command
from holdfast.contracts.rules import Rules, UpstreamRules

log = logging.getLogger(__name__)

Give = Callable[[Attendant, Command], None]
AWAITING_MAX = 64
"""Questions of charge points that nothing was read of yet; further ones have no answer at once."""
HELD_MS = 3_600_000
"""Where the rules always want an operator's word, and do not say how long it is waited for."""
ReadSeq = Callable[[], int]
"""How far the site's journal is read by now."""


class Key(NamedTuple):
    charge_point: str
    backend: str


class Held(NamedTuple):
    """A record that nobody attends to: of a charge point not heard of since, or of a role that went away."""

    kept: Kept
    revision: int
    after_seq: int | None = None
    """What the stream holds after this has to be read again: the site is read beyond it."""


class Roster:
    def __init__(
        self, services: Services, config: Config, backends: Backends, site: str, give: Give
    ) -> None:
        """`give` sends a command on its way to the site."""
        self._services = services
        self._config = config
        self._backends = backends
        self._site = site
        self._give = give
        self._attendants: dict[Key, Attendant] = {}
        self._held: dict[Key, Held] = {}
        self._unreadable: set[str] = set()
        self._policies: dict[tuple[str, bool], Policy] = {}
        self._rules = UpstreamRules()
        self._held_ms: dict[str, int] = {}
        self._group: asyncio.TaskGroup | None = None
        self._came = asyncio.Event()
        """Of the next attendant; then there is a new one."""
        self._awaiting = 0
        self._one_at_a_time = asyncio.Lock()
        """Making an attendant reads the stream; meanwhile nobody else makes it."""

    # --- life ---

    def take(self, records: Sequence[Record]) -> None:
        for record in records:
            _, _, backend, charge_point = subjects.upstream_key(record.subject)
            try:
                held = Held(kept_of(record), record.revision)
            except Unreadable as error:
                # Served by nobody, rather than told twice what was told already.
                self._unreadable.add(charge_point)
                log.error("record unreadable: %s", error)  # noqa: TRY400  one line says it
            else:
                self._held[Key(charge_point, backend)] = held

    def begin(self, group: asyncio.TaskGroup, lost_from: int, lost_to: int) -> None:
        """`lost_...`: what the stream no longer holds, and nobody has read."""
        self._group = group
        for key in list(self._held):
            for role in self._backends.roles(self._site, key.charge_point):
                if role.backend.name == key.backend:
                    attendant = self._begin(key, role, read_seq=0)
                    if lost_to > lost_from:
                        attendant.lost(lost_from, lost_to)

    def use(self, rules: Rules) -> None:
        self._rules = rules.upstream
        self._held_ms = {
            row: one.age_ms_max or HELD_MS
            for row, one in rules.commands.items()
            if one.confirm == "always"
        }
        self._policies.clear()

    # --- who attends ---

    def all(self) -> list[Attendant]:
        return list(self._attendants.values())

    def of(self, charge_point: str) -> list[Attendant]:
        return [one for key, one in self._attendants.items() if key.charge_point == charge_point]

    def primary_of(self, charge_point: str) -> Attendant | None:
        primaries = (one for one in self.of(charge_point) if one.state.live.primary)
        return next(primaries, None)

    async def awaited(self, charge_point: str, budget_ms: int) -> Attendant | None:
        """One that its first message brings in a moment: a charge point may ask before the bridge has read of it."""
        if self.primary_of(charge_point) is not None or self._awaiting >= AWAITING_MAX:
            return self.primary_of(charge_point)
        if not any(role.primary for role in self._backends.roles(self._site, charge_point)):
            return None
        self._awaiting += 1
        try:
            async with asyncio.timeout(budget_ms / 1000):
                while self.primary_of(charge_point) is None:
                    await self._came.wait()
        except TimeoutError:
            return None
        finally:
            self._awaiting -= 1
        return self.primary_of(charge_point)

    async def named(self, charge_point: str, stream_seq: int) -> list[Attendant]:
        """Those of a charge point that the entry at `stream_seq` names; new ones where it is first heard of."""
        if charge_point in self._unreadable:
            return []
        roles = self._backends.roles(self._site, charge_point)
        keys = [Key(charge_point, role.backend.name) for role in roles]
        if not all(key in self._attendants for key in keys):
            async with self._one_at_a_time:
                for key, role in zip(keys, roles, strict=True):
                    if key not in self._attendants:
                        await self._new(charge_point, role, stream_seq)
        return [self._attendants[key] for key in keys if key in self._attendants]

    async def follow_roles(self, read_seq: ReadSeq) -> None:
        """The backends file has changed, while sessions run, and the site is read on meanwhile."""
        async with self._one_at_a_time:
            await self._follow_roles(read_seq)

    async def _follow_roles(self, read_seq: ReadSeq) -> None:
        async with asyncio.TaskGroup() as group:
            for charge_point in {key.charge_point for key in self._attendants}:
                group.create_task(self._follow_roles_of(charge_point, read_seq))

    async def _follow_roles_of(self, charge_point: str, read_seq: ReadSeq) -> None:
        roles = {role.backend.name: role for role in self._backends.roles(self._site, charge_point)}
        for attendant in self.of(charge_point):
            key = Key(charge_point, attendant.state.backend)
            role = roles.get(key.backend)
            if role is not None and role.backend == attendant.backend:
                attendant.role(role.primary)
            else:
                await self._let_go(key, attendant, read_seq)
        for role in roles.values():
            if Key(charge_point, role.backend.name) not in self._attendants:
                await self._new(charge_point, role, read_seq() + 1)

    async def _let_go(self, key: Key, attendant: Attendant, read_seq: ReadSeq) -> None:
        """Its connection has ended before anybody opens the next one. What is read until then is still given to it."""
        await attendant.end()
        floor = site_domain.unhandled_since([attendant.state], read_seq())
        self._held[key] = Held(attendant.state.kept, attendant.revision, floor)
        del self._attendants[key]

    async def _new(self, charge_point: str, role: Role, stream_seq: int) -> Attendant:
        key = Key(charge_point, role.backend.name)
        if key in self._held:
            return self._begin(key, role, read_seq=stream_seq - 1)
        attendant = self._attendant(key, role)
        attendant.state = await self._attached(attendant.state, stream_seq)
        # Not before: what the site's reader gave it meanwhile would be overwritten.
        self._attendants[key] = attendant
        attendant.begin(None, 0)
        self._tell()
        return attendant

    async def _attached(self, state: State, stream_seq: int) -> State:
        backoff = Backoff(self._services.clock, self._services.rng)
        while True:
            try:
                return await attaching.attached(self._services.source, state, stream_seq)
            except RequestFailed as error:
                names = {"site": state.site, "cp": state.charge_point, "why": str(error)}
                log.warning("not attended to yet", extra=names)
                await backoff.wait()

    def _begin(self, key: Key, role: Role, read_seq: int) -> Attendant:
        held = self._held.pop(key)
        attendant = self._attendants[key] = self._attendant(key, role)
        attendant.begin(held.kept, held.revision)
        if held.after_seq is not None and held.after_seq < read_seq:
            attendant.read_again(held.after_seq, read_seq)
        self._tell()
        return attendant

    def _tell(self) -> None:
        self._came.set()
        self._came = asyncio.Event()

    def _attendant(self, key: Key, role: Role) -> Attendant:
        assert self._group is not None
        backend = role.backend
        state = State(backend=backend.name, site=self._site, charge_point=key.charge_point)
        return Attendant(
            self._services,
            self._group,
            state.with_live(primary=role.primary),
            backend,
            policy=lambda: self._policy(backend.name, backend.deduplicates_starts),
            give=self._give,
        )

    def _policy(self, backend: str, deduplicates: bool) -> Policy:
        found = self._policies.get((backend, deduplicates))
        if found is None:
            config = self._config
            found = Policy(
                rules=self._rules,
                held_ms=self._held_ms,
                answer_ms=config.answer_ms,
                give_up_ms=config.give_up_ms,
                retry_ms_min=config.retry_ms_min,
                retry_ms_max=config.retry_ms_max,
                queue_max=config.queue_max,
                linger_ms=config.linger_ms,
                deduplicates_starts=deduplicates,
            )
            self._policies[backend, deduplicates] = found
        return found
