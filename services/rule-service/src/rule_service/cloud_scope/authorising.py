"""`up.authorise`: what a site is told about a driver token, by its CSMS or by the cloud's own registry.

    site with a CSMS   hf.cloud.rpc.csms-authorise -> known and status as the CSMS has them
    other sites        the registry file

No verdict is a failure that may be retried, and never a refusal of the driver: the site decides by itself.
"""

from __future__ import annotations

from prometheus_client import Counter

from holdfast import subjects
from holdfast.contracts.csms import AskCsms
from holdfast.contracts.decision import Authorise, CloudVerdict
from holdfast.contracts.envelope import Contract, ContractError
from holdfast.rpc import call, serve
from holdfast.service import Context
from rule_service.cloud_scope.registry import Registry
from rule_service.config import Config

UPLINK_MS = 50
"""Of the site's budget kept back for the way there and back: an answer that leaves later comes too late."""


class Authorising:
    def __init__(self, context: Context[Config]) -> None:
        self._bus = context.bus
        self._clock = context.clock
        self._csms_sites = frozenset(context.config.csms_sites)
        path = context.config.driver_tokens_file
        self._registry = Registry(path, context.health) if path else None
        self._answered = Counter(
            "holdfast_cloud_verdicts",
            "Answers to sites about driver tokens",
            ["status"],
            registry=context.health.registry,
        )

    async def serve(self) -> None:
        await serve(self._bus, subjects.up_from_any("authorise"), Authorise, self._authorise)

    async def _authorise(self, asked: Authorise, subject: str) -> Contract:
        site = subjects.site_of(subject)
        if site in self._csms_sites:
            verdict = await self._ask_csms(site, asked)
        else:
            verdict = self._look_up(asked)
        self._answered.labels(verdict.status.value).inc()
        return verdict

    async def _ask_csms(self, site: str, asked: Authorise) -> CloudVerdict:
        """Raise RequestFailed, which `serve` answers as a failure that may be retried, or ContractError."""
        wait_ms = within(asked.budget_ms)
        question = AskCsms(
            site=site,
            charge_point=asked.charge_point,
            driver_token=asked.driver_token,
            token_type=asked.token_type,
            budget_ms=wait_ms,
        )
        subject = subjects.cloud_rpc("csms-authorise")
        return await call(self._bus, subject, question, CloudVerdict, timeout_ms=wait_ms)

    def _look_up(self, asked: Authorise) -> CloudVerdict:
        if self._registry is None:
            raise ContractError("this cloud has no registry of driver tokens: decide locally")
        return self._registry.verdict(asked.token_type, asked.driver_token, self._clock.now_ms())


def within(budget_ms: int) -> int:
    """A little less than the site waits; of a very short budget half."""
    return max(budget_ms - UPLINK_MS, budget_ms // 2, 1)
