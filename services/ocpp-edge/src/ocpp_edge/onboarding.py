"""Charge points that are not registered, let in as far as the doormat: an operator sees them and decides.

    knocks -> pending: Boot is answered Pending, everything else SecurityError
              `-> accepted: registered with what it showed | rejected | gone for an hour

Off by default. Nothing of them reaches the journal but that they wait, and the first who claims an identity holds it:
another credential for it is a wrong one.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from holdfast.clock import Clock
from holdfast.contracts.registry import EntryProblem, PendingChargePoint
from holdfast.ocpp import frames
from holdfast.ocpp.versions import OcppVersion
from holdfast.ocpp.websocket import ConnectionEnded
from holdfast.passwords import hash_password, is_plausible, matches
from ocpp_edge.adapters.connection import POLICY, Connection
from ocpp_edge.adapters.schemas import Schemas, read_call
from ocpp_edge.config import Config
from ocpp_edge.domain import answers
from ocpp_edge.domain.calls import Boot
from ocpp_edge.domain.door import MUTUAL, TLS, Offer, certificate_problem, shown_by
from ocpp_edge.domain.text import plain
from ocpp_edge.notices import Notices
from ocpp_edge.registry import Registered

GONE_MS = 3_600_000
REJECTED_MS = 3_600_000
REJECTED_MAX = 256
PAUSE_MS = 200
"""Between two frames of one that waits: it has nothing to say that is urgent."""


@dataclass(slots=True)
class Pending:
    identity: str
    entry: Registered
    """What it would be registered with."""
    address: str
    since_ms: int
    heard_ms: int
    version: OcppVersion = OcppVersion.V16
    connection: Connection | None = None
    boot: Boot | None = None


class Onboarding:
    def __init__(self, config: Config, schemas: Schemas, clock: Clock, notices: Notices) -> None:
        self.is_on = config.onboarding
        self._organisation = config.client_organisation
        self._pending_max, self._interval_s = config.onboarding_max, config.onboarding_interval_s
        self._schemas, self._clock, self.notices = schemas, clock, notices
        self._pending: dict[str, Pending] = {}
        self._rejected: dict[str, int] = {}
        self._gone: list[str] = []
        self._thread = asyncio.Semaphore(1)
        self._closing: set[asyncio.Task[None]] = set()

    # --- at the door ---

    async def knocks(self, offer: Offer) -> bool:
        """It may wait inside. False: to be refused like anybody who is not known."""
        self._forget()
        now_ms = self._clock.now_ms()
        known = self._pending.get(offer.identity)
        if known is None and (
            offer.identity in self._rejected or len(self._pending) >= self._pending_max
        ):
            return False
        profile = shown_by(offer)
        if profile == MUTUAL:
            if certificate_problem(offer, None, self._organisation, now_ms):
                return False
            entry = Registered(security_profile=MUTUAL)
        elif offer.password is not None and is_plausible(offer.password):
            if known and known.entry.password_scrypt:
                stored, password = known.entry.password_scrypt, offer.password
                async with self._thread:
                    is_same = await asyncio.to_thread(matches, stored, password)
                return is_same and profile == known.entry.security_profile
            async with self._thread:
                stored = await asyncio.to_thread(hash_password, offer.password)
            entry = Registered(password_scrypt=stored, security_profile=profile)
        else:
            return False
        if known:
            return known.entry == entry
        # Another may have come while this one's password was hashed.
        if offer.identity in self._pending or len(self._pending) >= self._pending_max:
            return False
        self._pending[offer.identity] = Pending(
            identity=offer.identity, entry=entry, address=offer.address,
            since_ms=now_ms, heard_ms=now_ms,
        )  # fmt: skip
        how = "TLS and password" if profile == TLS else "password"
        how = "certificate" if profile == MUTUAL else how
        detail = f"by {how}: `holdfast charge-points pending`"
        self.notices.noticed(EntryProblem.PENDING, offer.identity, offer.address, detail)
        return True

    # --- inside ---

    async def serve(self, identity: str, connection: Connection) -> None:
        """To its end. The newest connection is the one that waits."""
        one = self._pending.get(identity)
        if one is None:
            await connection.close(POLICY, "not registered")
            return
        if one.connection:
            await one.connection.close(POLICY, "replaced by a newer connection")
        one.connection, one.version = connection, connection.version
        try:
            while True:
                frame = await connection.receive()
                one.heard_ms = self._clock.now_ms()
                answer = self._answer(one, frame)
                if answer:
                    await connection.send(answer)
                await self._clock.sleep_ms(PAUSE_MS)
        except ConnectionEnded:
            pass
        finally:
            if one.connection is connection:
                one.connection = None

    def _answer(self, one: Pending, frame: str | bytes) -> str | None:
        version, parsed = one.version, frames.parse(frame)
        if isinstance(parsed, frames.Wrong):
            answered_id = parsed.answered_id(version)
            if answered_id is None:
                return None
            return frames.error(answered_id, parsed.code, parsed.sentence, version)
        if not isinstance(parsed, frames.Call):
            return None
        if parsed.action != "BootNotification":
            sentence = "not accepted yet: only BootNotification is"
            return frames.error(parsed.message_id, frames.Code.SECURITY, sentence, version)
        call = read_call(self._schemas, "", parsed, version)
        if isinstance(call, frames.Wrong):
            return frames.error(parsed.message_id, call.code, call.sentence, version)
        if isinstance(call.request, Boot):
            one.boot = call.request
        payload = answers.to_boot(self._clock.now_ms(), self._interval_s, "Pending")
        return frames.result(parsed.message_id, payload)

    # --- the operator ---

    def pending(self) -> tuple[PendingChargePoint, ...]:
        self._forget()
        return tuple(_view(one) for one in self._pending.values())

    def entry_of(self, identity: str) -> Registered | None:
        one = self._pending.get(identity)
        return one.entry if one else None

    def leave(self, identity: str, reason: str, *, rejected: bool = False) -> None:
        """It waits no longer; one that was accepted comes again, as itself. How long it takes to say goodbye must not
        keep the operator waiting: nobody knows who that is.
        """
        one = self._pending.pop(identity, None)
        if rejected:
            self._rejected[identity] = self._clock.now_ms()
            if len(self._rejected) > REJECTED_MAX:
                del self._rejected[next(iter(self._rejected))]
        if one and one.connection:
            closing = asyncio.get_running_loop().create_task(one.connection.close(POLICY, reason))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    def gone(self) -> tuple[str, ...]:
        """Who was forgotten since this was asked last."""
        self._forget()
        gone, self._gone = tuple(self._gone), []
        return gone

    def _forget(self) -> None:
        now_ms = self._clock.now_ms()
        for identity, one in list(self._pending.items()):
            if one.connection is None and now_ms - one.heard_ms > GONE_MS:
                del self._pending[identity]
                self._gone.append(identity)
        for identity, at_ms in list(self._rejected.items()):
            if now_ms - at_ms > REJECTED_MS:
                del self._rejected[identity]


def _view(one: Pending) -> PendingChargePoint:
    boot = one.boot
    return PendingChargePoint(
        charge_point=one.identity,
        security_profile=one.entry.security_profile,
        address=one.address,
        version=one.version,
        connected=one.connection is not None,
        since_ms=one.since_ms,
        heard_ms=one.heard_ms,
        vendor=plain(boot.vendor) if boot else None,
        model=plain(boot.model) if boot else None,
        serial=plain(boot.serial) if boot and boot.serial else None,
    )
