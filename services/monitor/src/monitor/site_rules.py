"""What the API tells of a site's rules, driver tokens and overrides: what is wanted, what stands, what waits, what was
refused, what was. The site itself is asked, from the cloud too; one that is cut off is said to be so.
"""

from __future__ import annotations

from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from holdfast import subjects
from holdfast.bus import RequestFailed
from holdfast.contracts.envelope import Contract
from holdfast.contracts.mode import ModeStatus
from holdfast.contracts.rollout import BundleRecord, RulesHistory, RulesHistoryRequest
from holdfast.contracts.rpc import Empty
from holdfast.contracts.rules import Desired, RulesStatus
from holdfast.rpc import call
from holdfast.service import Context
from monitor.answering import Problem, answer, problem_of
from monitor.config import Config
from monitor.known_site import site_asked_for
from monitor.watching import Watch

Document = dict[str, Any]
Reply = TypeVar("Reply", bound=Contract)

VERSION_MAX = 2**63 - 1
TIMEOUT_MS = 2_500
"""Twice within what callers wait; a site that is cut off is soon known to be."""


class SiteRules:
    def __init__(self, context: Context[Config], watch: Watch) -> None:
        self._context = context
        self._scope = context.config.scope
        self._watch = watch

    def routes(self) -> list[Route]:
        return [
            Route("/api/sites/{site}/rules", self.rules, methods=["GET"]),
            Route("/api/sites/{site}/rules/{version:int}", self.bundle, methods=["GET"]),
            Route("/api/sites/{site}/driver-tokens", self.driver_tokens, methods=["GET"]),
            Route("/api/sites/{site}/override", self.overrides, methods=["GET"]),
        ]

    async def rules(self, request: Request) -> Response:
        site = site_asked_for(request, self._watch)
        status, problem = await self._at_site(site, "rules", RulesStatus, "rule-service")
        history, history_problem = await self._history(site)
        desired: Document | None = None
        if history:
            desired = {"version": history[0].version, "hash": history[0].hash}
        elif status is not None and status.desired_version is not None:
            desired = {"version": status.desired_version, "hash": None}
        return answer(
            {
                "site": site,
                "known": status is not None,
                "problem": problem,
                "last_known": None if status else self._last_known(site),
                "desired": desired,
                "active": status and _active(status),
                "staged": status and _staged(status),
                "refused": status and _refused(status),
                "trusted_keys": list(status.trusted_keys) if status else None,
                "trusted_by": status and status.trusted_by,
                "history": None if history is None else [_record(one) for one in history],
                "history_problem": history_problem,
            }
        )

    async def bundle(self, request: Request) -> Response:
        """One that was published to the site, with its text."""
        site = site_asked_for(request, self._watch)
        if self._scope != "cloud":
            raise Problem(
                404, "the bundles of before are kept in the cloud: ask the cloud's monitor"
            )
        version = request.path_params["version"]
        not_there = Problem(404, f"version {version} was not published to {site}, or long ago")
        if not 1 <= version <= VERSION_MAX:
            raise not_there
        asked = RulesHistoryRequest(site=site, version=version)
        subject = subjects.cloud_rpc("rules-history")
        try:
            found = await call(
                self._context.bus, subject, asked, RulesHistory, timeout_ms=TIMEOUT_MS
            )
        except RequestFailed as error:
            problem = problem_of(error, "rule-service")
            away = Problem(503, problem.sentence)
            raise (not_there if problem.status == 400 else away) from error
        # Of a whole history only the newest come with their texts; of one version it always does.
        for one in found.bundles:
            if one.version == version:
                return answer({**_record(one), "text": one.text})
        raise not_there

    async def driver_tokens(self, request: Request) -> Response:
        site = site_asked_for(request, self._watch)
        status, problem = await self._at_site(site, "rules", RulesStatus, "rule-service")
        desired: Desired | None = None
        desired_problem = "what the cloud wants is known in the cloud"
        if self._scope == "cloud":
            subject = subjects.up(site, "desired")
            desired, desired_problem = await self._ask(subject, Desired, "rule-service")
        return answer(
            {
                "site": site,
                "known": status is not None,
                "problem": problem,
                "version": status and status.driver_tokens_version,
                "refused": status and status.driver_tokens_refused,
                "full_wanted": status and status.driver_tokens_full_wanted,
                "desired_version": desired and desired.driver_tokens_version,
                "desired_problem": desired_problem,
            }
        )

    async def overrides(self, request: Request) -> Response:
        site = site_asked_for(request, self._watch)
        status, problem = await self._at_site(site, "mode", ModeStatus, "mode-manager")
        if status is None:
            raise Problem(503, problem)
        rows = [one.model_dump(mode="json") for one in status.overrides]
        return answer({"site": site, "mode": status.mode.value, "overrides": rows})

    # --- parts ---

    def _last_known(self, site: str) -> Document | None:
        """What the site's journal last said, as far as it has come."""
        rows = self._watch.state(site).rules
        if not rows:
            return None
        return {"version": rows[-1].version, "hash": rows[-1].hash, "since_ms": rows[-1].at_ms}

    async def _history(self, site: str) -> tuple[tuple[BundleRecord, ...] | None, str]:
        if self._scope != "cloud":
            return None, "what was published to a site is kept in the cloud"
        subject = subjects.cloud_rpc("rules-history")
        request = RulesHistoryRequest(site=site)
        kept, problem = await self._ask(subject, RulesHistory, "rule-service", request)
        return (kept.bundles if kept else None), problem

    async def _at_site(
        self, site: str, verb: str, reply: type[Reply], who: str
    ) -> tuple[Reply | None, str]:
        if self._scope == "cloud":
            who = f"{who} of {site} (is the site cut off?)"
        return await self._ask(subjects.rpc(site, verb), reply, who)

    async def _ask(
        self, subject: str, reply: type[Reply], who: str, asked: Contract | None = None
    ) -> tuple[Reply | None, str]:
        """The answer, or why there is none."""
        question = asked or Empty()
        try:
            return await call(
                self._context.bus, subject, question, reply, timeout_ms=TIMEOUT_MS
            ), ""
        except RequestFailed as error:
            return None, problem_of(error, who).sentence


def _active(status: RulesStatus) -> Document:
    return {
        "version": status.version,
        "hash": status.hash,
        "name": status.name,
        "valid_until_ms": status.valid_until_ms,
        "after_expiry": status.after_expiry.value,
        "since_ms": status.active_since_ms,
    }


def _staged(status: RulesStatus) -> Document | None:
    if status.staged_version is None:
        return None
    return {
        "version": status.staged_version,
        "since_ms": status.staged_since_ms,
        "why": status.staged_why,
    }


def _refused(status: RulesStatus) -> Document | None:
    if status.refused is None:
        return None
    return {
        "version": status.refused_version,
        "kind": status.refused_kind and status.refused_kind.value,
        "reason": status.refused,
        "at_ms": status.refused_at_ms,
    }


def _record(one: BundleRecord) -> Document:
    """A text is asked for by its version: 64 of them are much."""
    return one.model_dump(mode="json", exclude={"text"})
