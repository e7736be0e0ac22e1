"""Asking the CSMS what only it can answer a charge point: once, for a charge point waits for it."""

from __future__ import annotations

import logging

from holdfast import rpc, subjects
from holdfast.bus import RequestFailed
from holdfast.contracts.csms import RelayReply, RelayRequest
from holdfast.ocpp import frames
from ocpp_edge.domain.events import AskCsms, CsmsAnswered
from ocpp_edge.services import Services

log = logging.getLogger(__name__)


async def ask(services: Services, charge_point: str, effect: AskCsms) -> CsmsAnswered:
    reply = await _relay(services, charge_point, effect)
    if reply.reason is not None:
        names = {"charge_point": charge_point, "action": effect.call.action}
        log.info("not relayed", extra={**names, "why": reply.reason})
    clock = services.clock
    return CsmsAnswered(
        at_ms=clock.now_ms(), mono_ms=clock.monotonic_ms(), request=effect.request, reply=reply
    )


async def _relay(services: Services, charge_point: str, effect: AskCsms) -> RelayReply:
    """Without an answer the reply says why."""
    call = effect.call
    request = RelayRequest(
        site=services.site,
        charge_point=charge_point,
        version=call.version,
        action=call.action,
        message_id=call.message_id,
        raw=call.raw,
        budget_ms=services.relay_ms_max,
    )
    subject = subjects.up(services.site, "relay")
    try:
        reply = await rpc.call(
            services.bus, subject, request, RelayReply, timeout_ms=services.relay_ms_max
        )
    except rpc.Refused as refused:
        return RelayReply(reason=refused.failure.error)
    except RequestFailed as failed:
        return RelayReply(reason=f"nobody answered: {failed}")
    if reply.raw is not None and isinstance(problem := frames.payload_of(reply.raw), frames.Wrong):
        return RelayReply(reason=f"the CSMS's answer can't be read: {problem.sentence}")
    return reply
