"""In the cloud: fold every site's verified journal; answer sites that compare digests, and operators."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import lru_cache

from prometheus_client import Gauge

from holdfast import subjects
from holdfast.bus import Message, RequestFailed, StreamGone
from holdfast.contracts.envelope import Contract, ContractError, Envelope
from holdfast.contracts.recovery import Digest, DigestRequest
from holdfast.contracts.rules import Rules, RulesActivated
from holdfast.contracts.session import SessionsRequest
from holdfast.rpc import serve
from holdfast.service import Context
from holdfast.standing import parse_rules
from reconciler.adapters.archive import refold_from_archive
from reconciler.adapters.store import Life, ReadTo, SessionStore
from reconciler.config import Config
from reconciler.domain.doubts import doubted
from reconciler.domain.sessions import FOLD_VERSION
from reconciler.folding import Placed, fold_and_commit, read_message
from reconciler.reading import catch_up, read_in_order, state_when_there

log = logging.getLogger(__name__)

SERVICE = "reconciler"
STREAM = subjects.CLOUD_JOURNAL
POLL_MS = 500
RULES_MAX = 64
"""Bundles kept as they were read: sites mostly share theirs."""
BUILT_IN = Rules(version=1, name="built-in")


async def run(context: Context[Config], store: SessionStore) -> None:
    await _InCloud(context, store).run()


class _InCloud:
    def __init__(self, context: Context[Config], store: SessionStore) -> None:
        self._context = context
        self._bus = context.bus
        self._clock = context.clock
        self._store = store
        self._folded = Gauge(
            "holdfast_reconciler_folded_seq",
            "CLOUD_JOURNAL folded up to",
            registry=context.health.registry,
        )

    async def run(self) -> None:
        await self._serve()
        held = await state_when_there(
            self._bus,
            STREAM,
            subjects.CLOUD_JOURNAL_SUBJECTS,
            clock=self._clock,
            rng=self._context.rng,
        )
        read_up_to = await self._read_up_to()
        if read_up_to == 0 and held.first_seq > 1:
            await refold_from_archive(self._context, self._store)
        await catch_up(self._bus, STREAM, read_up_to, held.last_seq, self._take)
        durable = subjects.reader(SERVICE)
        await read_in_order(self._bus, STREAM, durable, max(read_up_to, held.last_seq), self._take)

    async def _read_up_to(self) -> int:
        """0 when the stream is not the one read before, made anew or cut: entries folded already are known
        by (site, incarnation, seq).
        """
        known = self._store.read_to(STREAM)
        while known.seq:
            try:
                message = await self._bus.get(STREAM, known.seq)
            except RequestFailed as error:
                log.warning("stream can't be compared yet", extra={"why": str(error)})
                await self._clock.sleep_ms(POLL_MS)
            else:
                return known.seq if message is not None and message.id == known.id else 0
        return 0

    async def _take(self, messages: Sequence[Message]) -> None:
        last = messages[-1]
        to = ReadTo(last.seq, last.id)
        batch = [placed for message in messages if (placed := _placed(message))]
        await fold_and_commit(
            self._store, STREAM, to, batch, clock=self._clock, health=self._context.health
        )
        self._folded.set(last.seq)

    async def _rules(self, site: str) -> Rules:
        """Those that the site activated last, as its verified journal says; else the built-in ones."""
        activated = subjects.journal(site, *RulesActivated.TYPE.split("."))
        subject = subjects.cloud_journal(site, activated)
        try:
            message = await self._bus.last(STREAM, subject)
            fact = Envelope.from_bytes(message.data).fact() if message else None
            return _parsed(fact.text) if isinstance(fact, RulesActivated) else BUILT_IN
        except (RequestFailed, StreamGone, ContractError) as error:
            log.warning("rules not known", extra={"site": site, "why": str(error)})
            return BUILT_IN

    async def _serve(self) -> None:
        async def digest(request: DigestRequest, subject: str) -> Contract:
            if request.fold_version != FOLD_VERSION:
                return Digest(
                    incarnation=request.incarnation,
                    seq=request.seq,
                    fold_version=FOLD_VERSION,
                    digest=None,
                    sessions=0,
                    reason=f"this fold is of version {FOLD_VERSION}",
                )
            life = Life(subjects.site_of(subject), request.incarnation)
            return self._store.digest(life, request.seq)

        async def sessions(request: SessionsRequest, _: str) -> Contract:
            page = self._store.page(request)
            billing = (await self._rules(request.site)).billing
            return page.model_copy(
                update={"sessions": tuple(doubted(view, billing) for view in page.sessions)}
            )

        await serve(self._bus, subjects.up_from_any("digest"), DigestRequest, digest)
        await serve(self._bus, subjects.cloud_rpc("sessions"), SessionsRequest, sessions)


@lru_cache(RULES_MAX)
def _parsed(text: str) -> Rules:
    return parse_rules(text)


def _placed(message: Message) -> Placed | None:
    """None (said) for what is not the journal service's: it names no place in a site's journal."""
    headers = message.headers
    try:
        life = Life(headers["Hf-Site"], headers["Hf-Incarnation"])
        seq = int(headers["Hf-Seq"])
    except (KeyError, ValueError) as error:
        log.warning(
            "message without its place passed over",
            extra={"stream": message.stream, "seq": message.seq, "why": repr(error)},
        )
        return None
    return Placed(life=life, seq=seq, read=read_message(message, seq))
