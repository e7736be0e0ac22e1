"""Judges handshakes: fetches what the decision in `domain/door.py` needs, and counts how it went."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus

from holdfast.clock import Clock
from holdfast.health import Health
from ocpp_edge.config import Config
from ocpp_edge.domain.door import MUTUAL, Offer, certificate_problem, profile_of
from ocpp_edge.metrics import Metrics
from ocpp_edge.registry import Registered, Registry, TooManyWaiting


@dataclass(frozen=True, slots=True)
class LetIn:
    security_profile: int


@dataclass(frozen=True, slots=True)
class Refused:
    status: HTTPStatus
    reason: str
    """For the counter: whoever is refused is not told."""
    retry_after_s: int | None = None


class Gate:
    def __init__(
        self, config: Config, registry: Registry, metrics: Metrics, health: Health, clock: Clock
    ) -> None:
        self.registry, self.metrics, self.health, self.clock = registry, metrics, health, clock
        self._organisation = config.client_organisation

    async def judge(self, offer: Offer) -> LetIn | Refused:
        """Whatever is wrong about it, it takes the same time and is told the same."""
        registered = self.registry.now(offer.identity)
        try:
            return await self._judged(offer, registered)
        except TooManyWaiting:
            return Refused(HTTPStatus.SERVICE_UNAVAILABLE, "too many handshakes", 5)

    async def _judged(self, offer: Offer, registered: Registered | None) -> LetIn | Refused:
        profile = profile_of(offer, registered) if registered else None
        if profile == MUTUAL:
            now_ms = self.clock.now_ms()
            problem = certificate_problem(offer, registered, self._organisation, now_ms)
            return _unauthorised(problem) if problem else LetIn(MUTUAL)
        if profile == 0:
            return LetIn(0)
        right = False
        if offer.password is not None:
            right = await self.registry.is_right(
                offer.identity, offer.password, as_wrong=profile is None
            )
        if registered and profile is None:
            return _unauthorised("security profile")
        if offer.password is None:
            return _unauthorised("credentials")
        if registered is None or profile is None:
            return _unauthorised("unknown")
        return LetIn(profile) if right else _unauthorised("password")


def _unauthorised(reason: str) -> Refused:
    return Refused(HTTPStatus.UNAUTHORIZED, reason)
