"""The registry at work: what operators change of it, what its file changes, and what follows from either.

Whoever is not registered any more, or by something else than it showed, is disconnected: it has lost nothing, keeps
what was not acknowledged, and comes again with what counts now. Every change is a fact in the journal,
one that was made while this service was away too.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Literal

from pydantic import ValidationError

from holdfast.bus import AppendRefused
from holdfast.clock import Clock
from holdfast.contracts.registry import (
    ChargePointUnregistered,
    EntryProblem,
    PendingEnded,
    RegistryReply,
    RegistryRequest,
    RegistryVerb,
)
from holdfast.recorder import Recorder
from ocpp_edge.conditions import DoorConditions
from ocpp_edge.domain.door import IDENTITY_CHARACTERS_MAX, MUTUAL, PLAIN_IDENTITY
from ocpp_edge.onboarding import Onboarding
from ocpp_edge.registry import Registered, Registry, RegistryProblem
from ocpp_edge.told import RegistryFact, Told, registered_as

log = logging.getLogger(__name__)

LOOK_EVERY_MS = 2_000
CONDITION = "registry"
ENDED_MAX = 256
TurnOut = Callable[[str, Callable[[int], bool], str], None]
"""Close the connection of this identity, unless its security profile is still right; with this reason."""


class Registrar:
    def __init__(
        self,
        registry: Registry,
        onboarding: Onboarding,
        recorder: Recorder,
        clock: Clock,
        turn_out: TurnOut,
        told: Told,
        conditions: DoorConditions,
        *,
        any_identity: bool,
    ) -> None:
        self._registry, self._onboarding = registry, onboarding
        self._recorder, self._clock, self._turn_out = recorder, clock, turn_out
        self._any_identity = any_identity
        self._told, self._conditions = told, conditions
        self._ended: dict[str, PendingEnded] = {}
        """Who waits no longer and was not accepted, and the journal does not say so yet."""
        self._untold: dict[str, RegistryFact] = {
            fact.charge_point: fact for fact in told.differences(registry.entries())
        }
        """The newest of each charge point: as many as are or were registered. At first what was changed while nobody
        looked.
        """
        registry.on_change = self._changed

    async def run(self) -> None:
        """Look at the file, and tell the journal. Raise IncarnationChanged."""
        while True:
            self._registry.refresh()
            self._judge()
            for identity in self._onboarding.gone():
                self._ends(PendingEnded(claimed=identity, why="gone", by="an hour without it"))
            await self._tell()
            await self._clock.sleep_ms(LOOK_EVERY_MS)

    def _judge(self) -> None:
        problem = self._registry.problem
        if problem:
            self._conditions.wrong(
                CONDITION, f"{problem}: what it said before counts on: correct the file"
            )
        else:
            self._conditions.ok(CONDITION)

    def _ends(self, fact: PendingEnded) -> None:
        self._onboarding.notices.mended(fact.claimed, (EntryProblem.PENDING,))
        self._ended[fact.claimed] = fact
        if len(self._ended) > ENDED_MAX:
            del self._ended[next(iter(self._ended))]

    async def handle(self, request: RegistryRequest, _: str) -> RegistryReply:
        """`rpc.charge-point-registry`."""
        try:
            status = await self._handled(request)
        except RegistryProblem as problem:
            return RegistryReply(status="refused", reason=str(problem))
        await self._tell()
        return RegistryReply(status=status, pending=self._onboarding.pending())

    async def _handled(self, request: RegistryRequest) -> Literal["done", "unchanged"]:
        """Raise RegistryProblem."""
        verb, identity, by = request.verb, request.charge_point, request.by or "an operator"
        if verb is RegistryVerb.PENDING:
            return "unchanged"
        if verb is RegistryVerb.REJECT:
            if self._onboarding.entry_of(identity) is None:
                raise RegistryProblem(f"{identity!r} is not pending")
            self._onboarding.leave(identity, "rejected", rejected=True)
            self._ends(PendingEnded(claimed=identity, why="rejected", by=by))
            return "done"
        before = self._registry.now(identity)
        after = self._wanted(request, before)
        if after == before:
            return "unchanged"
        self._registry.put(identity, after, by)
        self._onboarding.leave(identity, "accepted: come again")
        return "done"

    def _wanted(self, request: RegistryRequest, before: Registered | None) -> Registered | None:
        """How it is to stand in the registry; None: not at all. Raise RegistryProblem."""
        identity = request.charge_point
        match request.verb:
            case RegistryVerb.ACCEPT:
                return self._accepted(identity)
            case RegistryVerb.ADD:
                return self._added(request, before)
            case _ if before is None:
                raise RegistryProblem(f"{identity!r} is not registered")
            case RegistryVerb.REMOVE:
                return None
            case _:
                return _changed(request, before)

    def _accepted(self, identity: str) -> Registered:
        entry = self._onboarding.entry_of(identity)
        if entry is None:
            raise RegistryProblem(
                f"{identity!r} is not pending: see `holdfast charge-points pending`"
            )
        return entry

    def _added(self, request: RegistryRequest, before: Registered | None) -> Registered:
        identity = request.charge_point
        if not (self._any_identity or PLAIN_IDENTITY.fullmatch(identity)):
            raise RegistryProblem(
                f"{identity[:64]!r} can't be an identity: letters, digits, and * = + | @ . _ - between them, "
                f"{IDENTITY_CHARACTERS_MAX} characters at most (or identities = any)"
            )
        entry = _sound(
            Registered(security_profile=MUTUAL),
            password_scrypt=request.password_scrypt,
            password_random=request.password_random,
            certificate_cn=request.certificate_cn,
            security_profile=1 if request.security_profile is None else request.security_profile,
        )
        if before and before != entry:
            raise RegistryProblem(
                f"{identity!r} is registered already: use password, profile, or remove it first"
            )
        return entry

    def _changed(
        self, identity: str, before: Registered | None, after: Registered | None, by: str
    ) -> None:
        log.info("registry changed", extra={"charge_point": identity, "by": by})
        self._onboarding.notices.mended(identity, tuple(EntryProblem))
        if after is None:
            self._untold[identity] = ChargePointUnregistered(charge_point=identity, by=by)
            self._turn_out(identity, lambda _: False, "not registered any more")
            return
        password_changed = before is None or before.password_scrypt != after.password_scrypt
        self._untold[identity] = registered_as(
            identity, after, by, password_changed=password_changed
        )
        if before is not None:
            reason = "its registration has changed: come again"
            self._turn_out(identity, lambda profile: _still_right(before, after, profile), reason)

    async def _tell(self) -> None:
        try:
            for identity, fact in list(self._untold.items()):
                await self._recorder.record(fact)
                self._told.folds(fact)
                if self._untold.get(identity) is fact:
                    del self._untold[identity]
            for identity, ended in list(self._ended.items()):
                await self._recorder.record(ended)
                if self._ended.get(identity) is ended:
                    del self._ended[identity]
        except AppendRefused as error:
            log.warning("registry's change not journaled yet", extra={"why": str(error)})
        finally:
            self._told.save()


def _still_right(before: Registered, after: Registered, profile: int) -> bool:
    if profile not in (after.security_profile, after.next_security_profile):
        return False
    if profile == MUTUAL:
        return before.certificate_cn == after.certificate_cn
    return profile == 0 or before.password_scrypt == after.password_scrypt


def _changed(request: RegistryRequest, before: Registered) -> Registered:
    if request.verb is RegistryVerb.PASSWORD:
        return _sound(
            before,
            password_scrypt=request.password_scrypt,
            password_random=request.password_random,
        )
    profile = request.security_profile
    if profile is None:
        raise RegistryProblem("which security profile? 0 to 3")
    more = {"certificate_cn": request.certificate_cn} if request.certificate_cn else {}
    if request.at_once or profile == before.security_profile:
        return _sound(before, security_profile=profile, next_security_profile=None, **more)
    if profile < before.security_profile:
        raise RegistryProblem(
            f"{profile} is below {before.security_profile}: lowered only at once (--at-once), and by intent"
        )
    return _sound(before, next_security_profile=profile, **more)


def _sound(entry: Registered, **changes: object) -> Registered:
    """Raise RegistryProblem, without repeating what was given."""
    try:
        return Registered.model_validate({**entry.model_dump(), **changes})
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
        field = ".".join(map(str, problem["loc"])) or "entry"
        raise RegistryProblem(f"{field}: {problem['msg']}") from None
