"""What operators change through the API. Nothing is decided here: each request goes to the service whose it is.

at the site and from the cloud   words about commands; overrides of the mode, which the site itself keeps
in the cloud only                bundles, driver tokens, limits: they come down to a site, they are not made there
"""

from __future__ import annotations

from typing import Any

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from holdfast import subjects
from holdfast.contracts.command import CommandReceipt, CommandWord, SendWord, Word
from holdfast.contracts.driver_tokens import DriverTokenChanges, DriverTokenList
from holdfast.contracts.envelope import Contract
from holdfast.contracts.mode import BeginOverride, EndOverride, OverrideKind, OverrideReceipt
from holdfast.contracts.numbers import Amps, Moment, Version
from holdfast.contracts.rollout import (
    DRAFT_BYTES_MAX,
    SITES_MAX,
    Rollback,
    RolledOut,
    Rollout,
)
from holdfast.contracts.rules import (
    NOT_IMPOSED,
    Publish,
    Published,
    SignedRules,
    SiteLimit,
)
from holdfast.service import Context
from monitor.answering import Problem, answer
from monitor.config import Config
from monitor.known_site import site_asked_for
from monitor.passing_on import TIMEOUT_MS, Asked, Reply, pass_on, read
from monitor.watching import Watch

DOCUMENT_BYTES_MAX = 1024 * 1024
"""A draft, a signed bundle, a list of driver tokens: NATS carries no more."""
RULE_SERVICE = "rule-service"
ROLLOUT_SITE_MS = 80
"""Composing, signing and publishing for one site takes a quarter of it on a small, busy machine."""
ROLLOUT_KIB_MS = 40
"""Reading a draft, and comparing its groups."""


def rollout_ms(draft: str, sites: int) -> int:
    """So long the answer may take: at most 65.5 s, which callers are to outwait."""
    kib = min(len(draft.encode()), DRAFT_BYTES_MAX) // 1024
    return TIMEOUT_MS + ROLLOUT_SITE_MS * min(sites, SITES_MAX) + ROLLOUT_KIB_MS * kib


class WordAsked(Asked):
    pass


class RolloutAsked(Asked):
    draft: str = Field(min_length=1, max_length=DRAFT_BYTES_MAX)
    sites: tuple[str, ...] = Field((), max_length=SITES_MAX)
    group: str | None = None
    percent: int | None = Field(None, ge=1, le=100)


class RollbackAsked(Asked):
    to_version: Version | None = None


class SignedAsked(Asked):
    signed: SignedRules


class TokensAsked(Asked):
    full: DriverTokenList | None = None
    changes: DriverTokenChanges | None = None


class LimitAsked(Asked):
    limit_a: Amps
    valid_until_ms: Moment | None = None
    id: str | None = Field(None, min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")


class OverrideAsked(Asked):
    kind: OverrideKind
    from_ms: Moment | None = None
    until_ms: Moment
    why: str = Field(min_length=1, max_length=500)


class OverrideEndAsked(Asked):
    kind: OverrideKind | None = None


class Changes:
    def __init__(self, context: Context[Config], watch: Watch) -> None:
        self._context = context
        self._scope = context.config.scope
        self._watch = watch

    def routes(self) -> list[Route]:
        of_site = {
            "commands/{command}/confirm": self.confirm,
            "commands/{command}/cancel": self.cancel,
            "rules": self.signed,
            "rules/rollback": self.rollback,
            "driver-tokens": self.driver_tokens,
            "limit": self.limit,
            "override": self.override,
            "override/end": self.override_end,
        }
        return [
            Route("/api/rules/rollouts", self.rollout, methods=["POST"]),
            *(
                Route(f"/api/sites/{{site}}/{path}", route, methods=["POST"])
                for path, route in of_site.items()
            ),
        ]

    # --- words about commands ---

    async def confirm(self, request: Request) -> Response:
        return await self._word(request, Word.CONFIRM)

    async def cancel(self, request: Request) -> Response:
        return await self._word(request, Word.CANCEL)

    async def _word(self, request: Request, word: Word) -> Response:
        site = site_asked_for(request, self._watch)
        body = await read(request, WordAsked)
        at_ms = self._context.clock.now_ms()
        command = request.path_params["command"]
        try:
            said = CommandWord(id=command, word=word, by=body.by, at_ms=at_ms)
        except ValueError as error:
            raise Problem(404, f"{command[:64]!r} can't be a command's id") from error
        asked: Contract = said
        subject, who = subjects.rpc(site, "command-word"), "ocpp-edge"
        if self._scope == "cloud":
            asked = SendWord(site=site, word=said)
            subject, who = subjects.cloud_rpc("command-word"), RULE_SERVICE
        receipt = await pass_on(self._context, subject, asked, CommandReceipt, who=who, by=body.by)
        if not receipt.accepted:
            raise Problem(
                409, f"the word about command {receipt.id} was not taken: {receipt.reason}"
            )
        return answer(receipt.model_dump(mode="json"), 202)

    # --- rules ---

    async def rollout(self, request: Request) -> Response:
        self._in_cloud("rules are rolled out")
        body = await read(request, RolloutAsked, DOCUMENT_BYTES_MAX)
        asked = Rollout(
            draft=body.draft,
            sites=body.sites,
            group=body.group,
            percent=body.percent,
            by=body.by,
        )
        # How many a group or a share is, rule-service finds: never more than are known, or than the draft may name.
        sites = len(body.sites) or SITES_MAX
        may_take_ms = rollout_ms(body.draft, sites)
        done = await self._ask_registry("rollout", asked, RolledOut, body.by, may_take_ms)
        return answer(done.model_dump(mode="json"))

    async def rollback(self, request: Request) -> Response:
        self._in_cloud("rules are rolled back")
        site = site_asked_for(request, self._watch)
        body = await read(request, RollbackAsked)
        asked = Rollback(site=site, to_version=body.to_version, by=body.by)
        return await self._in_registry("rollback", asked, Published, body.by)

    async def signed(self, request: Request) -> Response:
        """A bundle that was signed elsewhere."""
        self._in_cloud("rules are published")
        site = site_asked_for(request, self._watch)
        body = await read(request, SignedAsked, DOCUMENT_BYTES_MAX)
        return await self._publish(site, "signed-rules", body.signed.model_dump_json(), body.by)

    # --- driver tokens and limits ---

    async def driver_tokens(self, request: Request) -> Response:
        self._in_cloud("driver tokens are published")
        site = site_asked_for(request, self._watch)
        body = await read(request, TokensAsked, DOCUMENT_BYTES_MAX)
        if (body.full is None) == (body.changes is None):
            raise Problem(400, "give either `full`, a whole list, or `changes` to the last one")
        if body.full is not None:
            return await self._publish(site, "driver-tokens", _compact(body.full), body.by)
        assert body.changes is not None
        return await self._publish(site, "driver-token-changes", _compact(body.changes), body.by)

    async def limit(self, request: Request) -> Response:
        self._in_cloud("a site's current limit is given")
        site = site_asked_for(request, self._watch)
        body = await read(request, LimitAsked)
        if body.valid_until_ms is not None and body.valid_until_ms <= self._context.clock.now_ms():
            raise Problem(400, "valid_until_ms has passed: give a later one, or none")
        id = body.id or self._context.ids.new()
        limit = SiteLimit(id=id, limit_a=body.limit_a, valid_until_ms=body.valid_until_ms)
        asked = Publish(site=site, kind="limit", text=limit.model_dump_json(), by=body.by)
        done = await self._ask_registry("publish", asked, Published, body.by)
        return answer({**done.model_dump(mode="json"), "note": NOT_IMPOSED})

    # --- overrides ---

    async def override(self, request: Request) -> Response:
        site = site_asked_for(request, self._watch)
        body = await read(request, OverrideAsked)
        asked = BeginOverride(
            kind=body.kind,
            from_ms=body.from_ms,
            until_ms=body.until_ms,
            by=body.by,
            why=body.why,
        )
        return await self._override(site, "override", asked, body.by)

    async def override_end(self, request: Request) -> Response:
        site = site_asked_for(request, self._watch)
        body = await read(request, OverrideEndAsked)
        asked = EndOverride(by=body.by, kind=body.kind)
        return await self._override(site, "override-end", asked, body.by)

    async def _override(self, site: str, verb: str, asked: Contract, by: str) -> Response:
        """Of the site itself, wherever it is asked from: a site that is cut off can't be."""
        who = "mode-manager"
        if self._scope == "cloud":
            who = f"mode-manager of {site} (is the site cut off?)"
        subject = subjects.rpc(site, verb)
        receipt = await pass_on(self._context, subject, asked, OverrideReceipt, who=who, by=by)
        if not receipt.accepted:
            raise Problem(409, f"not taken: {receipt.reason}")
        return answer(receipt.model_dump(mode="json"))

    # --- parts ---

    def _in_cloud(self, what: str) -> None:
        if self._scope != "cloud":
            raise Problem(404, f"{what} in the cloud, not at a site: ask the cloud's monitor")

    async def _publish(self, site: str, kind: Any, text: str, by: str) -> Response:
        asked = Publish(site=site, kind=kind, text=text, by=by)
        return await self._in_registry("publish", asked, Published, by)

    async def _in_registry(
        self, verb: str, asked: Contract, reply: type[Contract], by: str
    ) -> Response:
        done = await self._ask_registry(verb, asked, reply, by)
        return answer(done.model_dump(mode="json"))

    async def _ask_registry(
        self,
        verb: str,
        asked: Contract,
        reply: type[Reply],
        by: str,
        timeout_ms: int = TIMEOUT_MS,
    ) -> Reply:
        subject = subjects.cloud_rpc(verb)
        return await pass_on(
            self._context, subject, asked, reply, who=RULE_SERVICE, by=by, timeout_ms=timeout_ms
        )


def _compact(document: Contract) -> str:
    """Without what is as it is by default: it has to fit into one message, with all its quotes escaped."""
    return document.model_dump_json(exclude_defaults=True)
