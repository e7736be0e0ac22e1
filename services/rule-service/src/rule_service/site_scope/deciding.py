"""`rpc.authorise` and `rpc.admit`: gather inputs, apply the rules, journal the decision, then answer.

The asker gets its answer only when the decision is durable; a journal that refuses is a `Failure` that may
be retried. The id of a decision comes from the request: asked again, the first decision is the answer,
from memory, or from the journal while it knows the id (its dedupe window, 1 h).
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from dataclasses import dataclass

from holdfast.clock import Clock
from holdfast.contracts.decision import (
    Admit,
    AdmitInputs,
    Admitted,
    AdmitVerdict,
    Authorise,
    Authorised,
    AuthoriseInputs,
    AuthoriseVerdict,
    CloudAnswer,
    DecisionMade,
)
from holdfast.contracts.driver_tokens import ListedToken, TokenType
from holdfast.contracts.mode import Mode
from holdfast.contracts.rules import Rules
from holdfast.expiry import in_force
from holdfast.ids import Ids, derived
from holdfast.recorder import Recorder
from rule_service.adapters.token_store import TokenStore
from rule_service.domain import admit, authorise
from rule_service.domain.authorise import Asking
from rule_service.domain.ruling import Ruling
from rule_service.site_scope.bundles import Bundles
from rule_service.site_scope.cloud_asking import NOT_ASKED, CloudAsking, Outcome
from rule_service.site_scope.lists import Lists
from rule_service.site_scope.metrics import Metrics

log = logging.getLogger(__name__)

REMEMBERED_MAX = 4_096
"""Decisions kept in memory; beyond it the journal is asked."""


@dataclass(frozen=True, slots=True)
class _Ground:
    """What a decision stands on, taken once: it may change while the cloud is asked."""

    rules: Rules
    version: int
    mode: Mode
    at_ms: int
    begun_ms: int


class Deciding:
    def __init__(
        self,
        clock: Clock,
        ids: Ids,
        recorder: Recorder,
        bundles: Bundles,
        lists: Lists,
        store: TokenStore,
        cloud: CloudAsking,
        metrics: Metrics,
    ) -> None:
        self._clock = clock
        self._ids = ids
        self._recorder = recorder
        self._bundles = bundles
        self._lists = lists
        self._store = store
        self._cloud = cloud
        self._metrics = metrics
        self._remembered: OrderedDict[str, DecisionMade] = OrderedDict()
        self._busy: dict[str, asyncio.Event] = {}
        """Requests being decided: one whose asker gave up waiting and asks again is the same question."""

    # --- authorise ---

    async def authorise(self, asked: Authorise, _: str) -> Authorised:
        id = derived("authorise", self._life, asked.charge_point, asked.request)
        while id in self._busy:
            await self._busy[id].wait()
        fact = self._remembered.get(id)
        if fact is None:
            self._busy[id] = asyncio.Event()
            try:
                fact = await self._authorise(id, asked)
            finally:
                self._busy.pop(id).set()
        assert isinstance(fact.verdict, AuthoriseVerdict)
        return Authorised(
            decision=fact.decision,
            verdict=fact.verdict,
            rules_version=fact.rules_version,
            clause=fact.clause,
            explanation=fact.explanation,
        )

    async def _authorise(self, id: str, asked: Authorise) -> DecisionMade:
        ground = self._ground()
        inputs = await self._inputs(asked, ground)
        ruling = authorise.evaluate(ground.rules, inputs)
        fact = _decision(id, asked.charge_point, ground, inputs, ruling)
        return await self._record(fact, ground, cause=asked.request)

    async def _inputs(self, asked: Authorise, ground: _Ground) -> AuthoriseInputs:
        token_hash = self._store.hash(asked.driver_token, asked.token_type)
        listed, cached = self._store.listed(token_hash), self._store.cached(token_hash)
        known = listed or cached
        inputs = AuthoriseInputs(
            at_ms=ground.at_ms,
            mode=ground.mode,
            driver_token_hash=token_hash,
            listed=listed,
            list_version=self._lists.version,
            cached=cached,
            cloud=CloudAnswer.NOT_ASKED,
            cloud_status=None,
            token_type=asked.token_type,
            revoked=self._store.revoked(token_hash),
            group=self._group(known.parent if known else None),
            starts_session=asked.starts_session,
            running=asked.running,
        )
        outcome = await self._ask(asked, ground, inputs)
        verdict = outcome.verdict
        return inputs.model_copy(
            update={
                # While this driver waited, another visit may have brought a word against the token.
                "revoked": inputs.revoked if verdict else self._store.revoked(token_hash),
                "cloud": outcome.answer,
                "cloud_status": verdict.status if verdict else None,
                "cloud_parent": verdict.parent if verdict else None,
            }
        )

    def _group(self, parent: str | None) -> ListedToken | None:
        return self._store.listed(self._store.hash(parent, TokenType.GROUP)) if parent else None

    async def _ask(self, asked: Authorise, ground: _Ground, inputs: AuthoriseInputs) -> Outcome:
        rules, token_hash = ground.rules, inputs.driver_token_hash
        budget_ms = in_force(rules, ground.at_ms).authorise.of(ground.mode).budget_ms
        match authorise.asking(rules, inputs):
            case Asking.NOT:
                return NOT_ASKED
            case Asking.BESIDE:
                return self._cloud.ask_beside(asked, token_hash, rules, budget_ms)
            case Asking.AWAITED:
                return await self._cloud.ask(asked, token_hash, rules, budget_ms)

    # --- admit ---

    async def admit(self, asked: Admit, _: str) -> Admitted:
        command = asked.command
        id = (
            derived("admit", self._life, command.charge_point, command.id, asked.request)
            if asked.request
            else self._ids.new()
        )
        fact = self._remembered.get(id)
        if fact is None:
            ground = self._ground()
            inputs = AdmitInputs(
                at_ms=ground.at_ms,
                mode=ground.mode,
                command=command,
                target=asked.target,
                confirmed_by=asked.confirmed_by,
            )
            ruling = admit.evaluate(ground.rules, inputs)
            fact = _decision(id, command.charge_point, ground, inputs, ruling)
            fact = await self._record(fact, ground, cause=command.id)
        assert isinstance(fact.verdict, AdmitVerdict)
        if fact.verdict.admitted and command.action == "ClearCache":
            self._clear_cache(fact)
        return Admitted(
            decision=fact.decision,
            verdict=fact.verdict,
            clause=fact.clause,
            explanation=fact.explanation,
        )

    def _clear_cache(self, fact: DecisionMade) -> None:
        """It may be the end of a lost card: here first, whether or not the charge point ever has it. Asked again
        by the same request, it forgets nothing that came since. A store that refuses raises: then nothing is
        delivered, and the same is asked again.
        """
        count = self._store.forget_answers(fact.inputs.at_ms)
        log.info("answers of the cloud forgotten", extra={"count": count, "cause": fact.decision})

    # --- both ---

    @property
    def _life(self) -> str:
        return self._recorder.incarnation.name

    def _ground(self) -> _Ground:
        state = self._bundles.state
        return _Ground(
            state.rules,
            state.version,
            self._bundles.mode,
            self._clock.now_ms(),
            self._clock.monotonic_ms(),
        )

    async def _record(self, fact: DecisionMade, ground: _Ground, *, cause: str) -> DecisionMade:
        """The decision that the journal has under this id: ours, or an earlier one of the same request."""
        entry = await self._recorder.record(fact, id=fact.decision, cause=cause)
        stored = entry.envelope.fact()
        assert isinstance(stored, DecisionMade)
        if fact.decision not in self._remembered:
            self._metrics.decided(stored, self._clock.monotonic_ms() - ground.begun_ms)
            log.info(
                "decided",
                extra={
                    "id": stored.decision,
                    "charge_point": stored.charge_point,
                    "clause": stored.clause,
                    "what": stored.explanation,
                    "cause": cause,
                },
            )
        self._remembered[fact.decision] = stored
        if len(self._remembered) > REMEMBERED_MAX:
            self._remembered.popitem(last=False)
        return stored


def _decision(
    id: str,
    charge_point: str,
    ground: _Ground,
    inputs: AuthoriseInputs | AdmitInputs,
    ruling: Ruling[AuthoriseVerdict] | Ruling[AdmitVerdict],
) -> DecisionMade:
    return DecisionMade(
        decision=id,
        charge_point=charge_point,
        rules_version=ground.version,
        clause=ruling.clause,
        inputs=inputs,
        verdict=ruling.verdict,
        explanation=ruling.explanation,
        considered=ruling.considered,
    )
