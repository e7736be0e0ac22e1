"""The operators' API: the same routes in both scopes, read only but for commands.

Lists answer `{"<name>": [...], "next": cursor | null}` and take `?after=` and `?limit=`.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from holdfast import subjects
from holdfast.bus import RequestFailed
from holdfast.contracts.envelope import Contract, ContractError
from holdfast.contracts.journal import (
    Copies,
    CopiesRequest,
    CopyStatus,
    Entries,
    EntriesRequest,
    Gaps,
)
from holdfast.contracts.session import Sessions, SessionsRequest
from holdfast.rpc import call
from holdfast.service import Context
from monitor import commanding, settling, views
from monitor.answering import Problem, answer, problem_of
from monitor.config import Config
from monitor.domain.cards import cards_of
from monitor.domain.paging import BadRequest, limit_of, page_by_number, page_by_place
from monitor.domain.rows import Place
from monitor.known_site import site_asked_for
from monitor.watching import Watch

log = logging.getLogger(__name__)

TIMEOUT_MS = 5_000
EVENTS_LIMIT = 500
AFTER_LENGTH_MAX = 64

Reply = TypeVar("Reply", bound=Contract)
Row = TypeVar("Row")
Endpoint = Callable[[Request], Awaitable[Response]]


class Api:
    def __init__(self, context: Context[Config], watch: Watch) -> None:
        self._context = context
        self._bus = context.bus
        self._scope = context.config.scope
        self._watch = watch

    def routes(self) -> list[Route]:
        lists: dict[str, Endpoint] = {
            "sessions": self.sessions,
            "events": self.events,
            "gaps": self.gaps,
            "copies": self.copies,
            "charge-points": self.charge_points,
            "decisions": self.decisions,
            "disruptions": self.disruptions,
            "modes": self.modes,
            "mode-card": self.mode_card,
            "upstream": self.upstream,
        }
        return [
            Route("/api/sites", self.sites),
            Route("/api/sites/{site}", self.site),
            Route("/api/sites/{site}/decisions/{decision}", self.decision),
            Route("/api/sites/{site}/commands", self.commands, methods=["GET"]),
            Route("/api/sites/{site}/commands", self.command, methods=["POST"]),
            Route("/api/sites/{site}/upstream/settle", self.settle, methods=["POST"]),
            *(Route(f"/api/sites/{{site}}/{name}", route) for name, route in lists.items()),
        ]

    # --- status ---

    async def sites(self, request: Request) -> Response:
        _, limit = _page(request)
        shown, following = page_by_number(
            self._watch.sites, request.query_params.get("after", ""), limit
        )
        rows = [views.site_summary(self._watch.status(site)) for site in shown]
        return answer({"sites": rows, "next": following})

    async def site(self, request: Request) -> Response:
        return answer(views.site_status(self._watch.status(self._site(request))))

    async def mode_card(self, request: Request) -> Response:
        """Of the rules in force; where they are not fresh, of those known last, and `known` is false."""
        status = self._watch.status(self._site(request))
        of = status.rules_text
        if of.last is None:
            raise Problem(503, f"the rules in force are not known: {of.problem or 'not asked yet'}")
        try:
            cards = cards_of(of.last, status.now_ms)
        except ContractError as error:
            raise Problem(
                503, f"the rules in force can't be read by this monitor: {error}"
            ) from error
        version = status.rules.last.version if status.rules.last else 0
        return answer({**views.mode_card(version, cards), **views.freshness(of, status.now_ms)})

    async def charge_points(self, request: Request) -> Response:
        """As a reading: where it is not fresh, the rows are what was known last, and `known` is false."""
        status = self._watch.status(self._site(request))
        of = status.charge_points
        rows = sorted(of.last or (), key=lambda row: row.charge_point)
        after, limit = _page(request)
        shown, following = page_by_number(rows, after, limit)
        return answer(
            {
                "charge_points": [views.charge_point(row) for row in shown],
                "next": following,
                **views.freshness(of, status.now_ms),
            }
        )

    # --- what other services hold ---

    async def sessions(self, request: Request) -> Response:
        site = self._site(request)
        after, limit = _page(request)
        asked = SessionsRequest(site=site, after=after, limit=limit)
        page = await self._call("reconciler", site, "sessions", asked, Sessions)
        rows = [view.model_dump(mode="json", exclude={"site"}) for view in page.sessions]
        return answer({"sessions": rows, "next": page.next})

    async def events(self, request: Request) -> Response:
        site = self._site(request)
        after, limit = _page(request, EVENTS_LIMIT)
        asked = EntriesRequest(site=site, after=after, limit=limit)
        page = await self._call("journal", site, "entries", asked, Entries)
        rows = [
            views.event(entry, subject)
            for entry, subject in zip(page.entries, page.subjects, strict=True)
        ]
        return answer({"events": rows, "next": page.next})

    async def gaps(self, request: Request) -> Response:
        """At a site there are none to tell: what the cloud lacks, the cloud knows."""
        site = self._site(request)
        after, limit = _page(request)
        gaps: Gaps = Gaps(gaps=())
        if self._scope == "cloud":
            gaps = await self._call("journal", site, "gaps", CopiesRequest(site=site), Gaps)
        shown, following = page_by_number(gaps.gaps, after, limit)
        return answer({"gaps": [views.gap(gap) for gap in shown], "next": following})

    async def copies(self, request: Request) -> Response:
        site = self._site(request)
        after, limit = _page(request)
        rows: Sequence[CopyStatus]
        if self._scope == "cloud":
            asked = CopiesRequest(site=site)
            rows = (await self._call("journal", site, "copies", asked, Copies)).copies
        else:
            rows = self._own_copy(site)
        shown, following = page_by_number(rows, after, limit)
        return answer({"copies": [views.copy(row) for row in shown], "next": following})

    def _own_copy(self, site: str) -> Sequence[CopyStatus]:
        """What the site knows of its own copy in the cloud: the watermark the last pulse brought."""
        status = self._watch.status(site)
        state, sync = status.state, status.sync.last
        if sync is None or not state.positions:
            return ()
        return (
            CopyStatus(
                site=site,
                incarnation=list(state.positions)[-1],
                committed_seq=sync.watermark,
                watermark=sync.watermark,
                head_seq=sync.head_seq or 0,
                chain_verified=not state.damage,
                retired=False,
                pulse_at_ms=status.uplink.last.pulse_answered_at_ms if status.uplink.last else None,
            ),
        )

    # --- what the monitor itself folds ---

    async def decisions(self, request: Request) -> Response:
        rows = self._watch.state(self._site(request)).decisions
        return self._list(request, "decisions", rows, lambda row: row.place, views.decision)

    async def decision(self, request: Request) -> Response:
        state = self._watch.state(self._site(request))
        wanted = request.path_params["decision"]
        row = next((row for row in reversed(state.decisions) if row.fact.decision == wanted), None)
        if row is None:
            raise Problem(
                404,
                f"decision {wanted[:64]!r} is not among the last {len(state.decisions)}: "
                "look for it in /events",
            )
        return answer(views.decision_in_full(row, state))

    async def commands(self, request: Request) -> Response:
        rows = tuple(self._watch.state(self._site(request)).commands.values())
        return self._list(request, "commands", rows, lambda row: row.place, views.command)

    async def disruptions(self, request: Request) -> Response:
        rows = self._watch.state(self._site(request)).disruptions
        return self._list(request, "disruptions", rows, lambda row: row.place, views.disruption)

    async def modes(self, request: Request) -> Response:
        rows = self._watch.state(self._site(request)).modes
        return self._list(request, "modes", rows, lambda row: row.place, views.mode)

    async def settle(self, request: Request) -> Response:
        """An open delivery that a named person has seen to."""
        site = self._site(request)
        if self._scope != "cloud":
            raise Problem(
                404, "open deliveries are settled where the csms-bridge runs: in the cloud"
            )
        asked = await settling.read(request, site)
        settled = await settling.settle(self._context, asked)
        if not settled.settled:
            raise Problem(
                404,
                "nothing is open by this description: look at open_deliveries of /upstream again",
            )
        return answer({"settled": settled.settled})

    async def upstream(self, request: Request) -> Response:
        """Each charge point at each backend, as the csms-bridge last told; at a site there is none to ask. What is
        open stands whole on the first page: the bridge bounds it.
        """
        known = self._watch.status(self._site(request)).csms.last
        after, limit = _page(request)
        rows = sorted(
            known.views or () if known else (),
            key=lambda view: (view.charge_point, not view.primary, view.backend),
        )
        shown, following = page_by_number(rows, after, limit)
        told: dict[str, Any] = {
            "upstream": [views.upstream(row) for row in shown],
            "next": following,
        }
        if not after:
            deliveries = known.deliveries if known else ()
            told["open_deliveries"] = [views.open_delivery(one) for one in deliveries]
        return answer(told)

    # --- commands ---

    async def command(self, request: Request) -> Response:
        site = self._site(request)
        draft = await commanding.read_draft(request)
        new_id = self._context.ids.new()
        command = commanding.command_of(draft, self._scope, self._context.clock, new_id)
        state = self._watch.state(site)
        row = state.commands.get(command.id)
        commanding.check_id(command, row.command if row else None)
        charge_point = state.charge_points.get(command.charge_point)
        commanding.check_version(command, charge_point.version if charge_point else None)
        receipt = await commanding.send(self._context, site, command)
        if not receipt.accepted:
            raise Problem(409, f"command {receipt.id} was not taken: {receipt.reason}")
        told = {"id": command.id, "action": command.action, "by": draft.by}
        log.info("command passed on", extra={"site": site, **told})
        return answer(receipt.model_dump(mode="json"), 202)

    # --- parts ---

    def _site(self, request: Request) -> str:
        return site_asked_for(request, self._watch)

    def _list(
        self,
        request: Request,
        name: str,
        rows: Sequence[Row],
        place_of: Callable[[Row], Place],
        view: Callable[[Row], dict[str, Any]],
    ) -> Response:
        after, limit = _page(request)
        state = self._watch.state(self._site(request))
        shown, following = page_by_place(rows, place_of, state, after, limit)
        status = self._watch.status(self._site(request))
        return answer(
            {
                name: [view(row) for row in shown],
                "next": following,
                **views.freshness(status.journal, status.now_ms),
            }
        )

    async def _call(
        self, who: str, site: str, verb: str, asked: Contract, reply: type[Reply]
    ) -> Reply:
        cloud = self._scope == "cloud"
        subject = subjects.cloud_rpc(verb) if cloud else subjects.rpc(site, verb)
        try:
            return await call(self._bus, subject, asked, reply, timeout_ms=TIMEOUT_MS)
        except RequestFailed as error:
            raise problem_of(error, who) from error


def _page(request: Request, default: int = 100) -> tuple[str, int]:
    after = request.query_params.get("after", "")
    if len(after) > AFTER_LENGTH_MAX:
        raise BadRequest(f"{after[:40]!r}... is no cursor: use `next` of the page before")
    return after, limit_of(request.query_params.get("limit"), default)
