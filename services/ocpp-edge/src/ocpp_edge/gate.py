"""Judges handshakes: fetches what the decision in `domain/door.py` needs, counts how it went and tells of it."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from http import HTTPStatus

from holdfast.clock import Clock
from holdfast.contracts.registry import EntryProblem
from ocpp_edge.conditions import DoorConditions
from ocpp_edge.config import Config
from ocpp_edge.domain.attempts import Attempts
from ocpp_edge.domain.door import (
    MUTUAL,
    Offer,
    Revocations,
    certificate_problem,
    profile_of,
    shown_by,
)
from ocpp_edge.metrics import Metrics
from ocpp_edge.notices import Notices
from ocpp_edge.onboarding import Onboarding
from ocpp_edge.registry import Registered, Registry, RegistryProblem, TooManyWaiting

log = logging.getLogger(__name__)

MENDED_BY_COMING_IN = (EntryProblem.SECURITY_PROFILE, EntryProblem.CERTIFICATE)
BEYOND_EVERY_MS, BEYOND_MAX = 250, 16
"""How often a machine-made password is looked at though others failed there, and how many wait for that: with a hash's
10 ms, a flood of guesses costs 4 % of a core, and the last one waits 4 s."""


@dataclass(frozen=True, slots=True)
class LetIn:
    security_profile: int
    pending: bool = False
    """Only to wait for an operator."""


@dataclass(frozen=True, slots=True)
class Refused:
    status: HTTPStatus
    reason: str
    """For the counter: whoever is refused is not told."""
    retry_after_s: int | None = None


class _TooManyFailures(Exception):
    def __init__(self, wait_ms: int) -> None:
        self.wait_ms = wait_ms
        super().__init__()


class Gate:
    def __init__(
        self,
        config: Config,
        registry: Registry,
        metrics: Metrics,
        conditions: DoorConditions,
        clock: Clock,
        notices: Notices,
        onboarding: Onboarding,
    ) -> None:
        self.registry, self.metrics, self.clock = registry, metrics, clock
        self.conditions = conditions
        self.notices, self.onboarding = notices, onboarding
        self._organisation = config.client_organisation
        self._attempts = Attempts()
        self._beyond, self._beyond_waiting = asyncio.Lock(), 0
        self.revocations: Revocations | None = None
        """Client certificates that were taken back; None: nobody says which."""

    async def judge(self, offer: Offer) -> LetIn | Refused:
        """Whatever is wrong about it, it takes the same time and is told the same."""
        registered = self.registry.now(offer.identity)
        try:
            return await self._judged(offer, registered)
        except TooManyWaiting:
            return Refused(HTTPStatus.SERVICE_UNAVAILABLE, "too many handshakes", 5)
        except _TooManyFailures as error:
            problem, claimed = EntryProblem.TOO_MANY_FAILURES, offer.identity
            self.notices.noticed(problem, claimed if registered else None, offer.address)
            retry_s = -(-error.wait_ms // 1000)
            return Refused(HTTPStatus.TOO_MANY_REQUESTS, problem.value, retry_s)

    async def _judged(self, offer: Offer, registered: Registered | None) -> LetIn | Refused:
        profile = profile_of(offer, registered) if registered else None
        if offer.certificate and self.revocations:
            # Whatever profile it comes by: what is shown must be sound.
            problem = self.revocations.problem(offer.certificate)
            if problem:
                return self._refused_for(problem, offer, registered)
        if registered and profile == MUTUAL:
            return self._judged_by_certificate(offer, registered)
        if profile == 0:
            return LetIn(0)
        if registered is None and await self._may_wait(offer):
            return LetIn(shown_by(offer), pending=True)
        right = False
        if offer.password is not None:
            right = await self._is_right(
                offer, offer.password, registered, as_wrong=profile is None
            )
        if registered and profile is None:
            self._tell_of_profile(offer, registered, right)
            return _unauthorised("security profile")
        if offer.password is None:
            return _unauthorised("credentials")
        if registered is None or profile is None:
            return _unauthorised("unknown")
        return self._let_in(offer, registered, profile) if right else _unauthorised("password")

    def _let_in(self, offer: Offer, registered: Registered, profile: int) -> LetIn:
        self.notices.mended(offer.identity, MENDED_BY_COMING_IN, offer.address)
        if profile == registered.next_security_profile:
            upgraded = {"security_profile": profile, "next_security_profile": None}
            try:
                entry = registered.model_copy(update=upgraded)
                self.registry.put(offer.identity, entry, "the charge point, which came by it")
            except RegistryProblem as problem:
                log.warning("upgrade not written: both profiles stand", extra={"why": str(problem)})
        return LetIn(profile)

    async def _may_wait(self, offer: Offer) -> bool:
        if not self.onboarding.is_on:
            return False
        if self._attempts.wait_ms(offer.address, offer.identity, self._mono_ms):
            return False
        return await self.onboarding.knocks(offer)

    def _judged_by_certificate(self, offer: Offer, registered: Registered) -> LetIn | Refused:
        now_ms = self.clock.now_ms()
        problem = certificate_problem(offer, registered, self._organisation, now_ms)
        if problem is None:
            return self._let_in(offer, registered, MUTUAL)
        return self._refused_for(problem, offer, registered)

    def _refused_for(self, problem: str, offer: Offer, registered: Registered | None) -> Refused:
        detail = f"{problem}: {offer.certificate.common_name}" if offer.certificate else problem
        claimed = offer.identity if registered else None
        self.notices.noticed(EntryProblem.CERTIFICATE, claimed, offer.address, detail)
        return _unauthorised(problem)

    async def _is_right(
        self, offer: Offer, password: bytes, registered: Registered | None, *, as_wrong: bool
    ) -> bool:
        """Raise TooManyWaiting or _TooManyFailures: then it was not looked at."""
        attempts, address, identity = self._attempts, offer.address, offer.identity
        remembered = not as_wrong and self.registry.remembers(identity, password)
        # No rate of guessing finds a random password, so others' failures do not keep it out: once it was right it is
        # known again at no cost, and before that it has its turn. One that a person chose may be found, and a guesser
        # must not be told by being let in.
        is_random = registered is not None and registered.password_random
        wait = attempts.own_wait_ms if is_random else attempts.wait_ms
        wait_ms = wait(address, identity, self._mono_ms)
        if remembered and (is_random or not wait_ms):
            attempts.came_in(address, identity)
            return True
        if wait_ms and is_random and not as_wrong and await self._is_right_beyond(offer, password):
            attempts.came_in(address, identity)
            return True
        if wait_ms:
            raise _TooManyFailures(wait_ms)
        attempts.begin(address, identity, self._mono_ms)
        try:
            right = await self.registry.is_right(
                identity, password, lambda: is_random or not self._address_wait_ms(offer)
            )
        except TooManyWaiting:
            attempts.withdrawn(address, identity)
            raise
        if right is None:  # others there have failed while it waited
            attempts.withdrawn(address, identity)
            raise _TooManyFailures(self._address_wait_ms(offer))
        if right and not as_wrong:
            attempts.withdrawn(address, identity)
            attempts.came_in(address, identity)
        else:
            attempts.failed(address, identity, self._mono_ms)
            if registered and attempts.is_spread(identity, self._mono_ms):
                detail = "from many addresses: nobody is kept out for that, and it is not either"
                self.notices.noticed(EntryProblem.TOO_MANY_FAILURES, identity, None, detail)
        return right

    async def _is_right_beyond(self, offer: Offer, password: bytes) -> bool:
        """A machine-made one, where too many failed already: one at a time, a few a second. Raise TooManyWaiting."""
        if self._beyond_waiting >= BEYOND_MAX:
            return False
        self._beyond_waiting += 1
        try:
            async with self._beyond:
                right = bool(await self.registry.is_right(offer.identity, password))
                if not right:
                    await self.clock.sleep_ms(BEYOND_EVERY_MS)
                return right
        finally:
            self._beyond_waiting -= 1

    def _tell_of_profile(self, offer: Offer, registered: Registered, right: bool) -> None:
        detail = f"registered with {registered.security_profile}, came with {shown_by(offer)}"
        if right and not offer.encrypted:
            detail += "; its password went over the wire unencrypted: give it another one"
        self.notices.noticed(EntryProblem.SECURITY_PROFILE, offer.identity, offer.address, detail)

    def _address_wait_ms(self, offer: Offer) -> int:
        return self._attempts.address_wait_ms(offer.address, offer.identity, self._mono_ms)

    @property
    def _mono_ms(self) -> int:
        return self.clock.monotonic_ms()


def _unauthorised(reason: str) -> Refused:
    return Refused(HTTPStatus.UNAUTHORIZED, reason)
