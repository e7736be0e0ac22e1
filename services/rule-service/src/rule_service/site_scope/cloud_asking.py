"""Asks the cloud about a driver token within a budget, and keeps its answers for when it can't be asked."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from sqlalchemy.exc import OperationalError

from holdfast import subjects
from holdfast.bus import Bus, RequestFailed, RequestTimedOut
from holdfast.clock import Clock
from holdfast.contracts.csms import AskCsms
from holdfast.contracts.decision import (
    Authorise,
    CachedToken,
    CloudAnswer,
    CloudVerdict,
    Revocation,
)
from holdfast.contracts.driver_tokens import TokenStatus
from holdfast.contracts.envelope import Contract
from holdfast.contracts.rules import Rules
from holdfast.rpc import call
from rule_service.adapters.token_store import TokenStore

log = logging.getLogger(__name__)

BESIDE_MAX = 32
"""Questions beside local answers; at the bound the next one is left out, its answer only refreshes the cache."""
FROM_EACH_CASE = frozenset({TokenStatus.CONCURRENT_TX})
"""Answers about this moment, not about the driver token: not kept."""


@dataclass(frozen=True, slots=True)
class Outcome:
    answer: CloudAnswer
    verdict: CloudVerdict | None = None


NOT_ASKED = Outcome(CloudAnswer.NOT_ASKED)


class CloudAsking:
    def __init__(
        self, bus: Bus, clock: Clock, site: str, store: TokenStore, *, csms_at_site: bool = False
    ) -> None:
        """`csms_at_site`: the site has a bridge of its own, so its CSMS is asked without the cloud."""
        self._bus = bus
        self._clock = clock
        self._site = site
        self._csms_at_site = csms_at_site
        self._store = store
        self._group: asyncio.TaskGroup | None = None
        self._beside = 0

    async def run(self) -> None:
        """Holds the questions that nobody waits for."""
        async with asyncio.TaskGroup() as self._group:
            await asyncio.get_running_loop().create_future()

    async def ask(self, asked: Authorise, token_hash: str, rules: Rules, budget_ms: int) -> Outcome:
        try:
            verdict = await self._call(asked, budget_ms)
        except RequestTimedOut:
            return Outcome(CloudAnswer.TOO_LATE)
        except RequestFailed:
            return Outcome(CloudAnswer.UNREACHABLE)
        self._keep(token_hash, verdict, rules)
        return Outcome(CloudAnswer.ANSWERED, verdict)

    async def _call(self, asked: Authorise, budget_ms: int) -> CloudVerdict:
        """Raise RequestFailed."""
        subject, request = self._question(asked, budget_ms)
        return await call(self._bus, subject, request, CloudVerdict, timeout_ms=budget_ms)

    def _question(self, asked: Authorise, budget_ms: int) -> tuple[str, Contract]:
        if not self._csms_at_site:
            named = asked.model_copy(update={"budget_ms": budget_ms, "running": ()})
            return subjects.up(self._site, "authorise"), named
        of_csms = AskCsms(
            site=self._site,
            charge_point=asked.charge_point,
            driver_token=asked.driver_token,
            token_type=asked.token_type,
            budget_ms=budget_ms,
        )
        return subjects.rpc(self._site, "csms-authorise"), of_csms

    def ask_beside(
        self, asked: Authorise, token_hash: str, rules: Rules, budget_ms: int
    ) -> Outcome:
        if self._group is None or self._beside >= BESIDE_MAX:
            return NOT_ASKED
        self._beside += 1
        self._group.create_task(self._ask_beside(asked, token_hash, rules, budget_ms))
        return Outcome(CloudAnswer.NOT_AWAITED)

    async def _ask_beside(
        self, asked: Authorise, token_hash: str, rules: Rules, budget_ms: int
    ) -> None:
        try:
            await self.ask(asked, token_hash, rules, budget_ms)
        finally:
            self._beside -= 1

    def _keep(self, token_hash: str, verdict: CloudVerdict, rules: Rules) -> None:
        """Unknown tokens are not kept in the cache: anyone could fill it with them. A word against a driver token
        is kept in any case: it goes before older words for it.
        """
        if verdict.status in FROM_EACH_CASE:
            return
        try:
            self._keep_word(token_hash, verdict, rules)
            if not verdict.known:
                self._store.forget(token_hash)
                return
            token = CachedToken(
                status=verdict.status,
                parent=verdict.parent,
                valid_until_ms=verdict.valid_until_ms,
                answered_at_ms=self._clock.now_ms(),
                whitelist=verdict.whitelist,
            )
            self._store.remember(token_hash, token, rules.authorise.cache_entries_max)
        except OperationalError as error:
            # The answer still counts for this driver; only the next cut will miss it.
            log.warning("answer of the cloud not kept", extra={"why": str(error.orig)})

    def _keep_word(self, token_hash: str, verdict: CloudVerdict, rules: Rules) -> None:
        if verdict.status is TokenStatus.ACCEPTED:
            self._store.clear(token_hash)
            return
        known_here = self._store.listed(token_hash) or self._store.cached(token_hash)
        word = Revocation(
            status=verdict.status,
            said_at_ms=self._clock.now_ms(),
            known=verdict.known or known_here is not None,
        )
        self._store.revoke(token_hash, word, rules.authorise.revocations_max)
