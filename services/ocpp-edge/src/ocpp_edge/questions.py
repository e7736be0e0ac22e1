"""Asking rule-service: again while it is away, always the same request, never longer than there is time."""

from __future__ import annotations

import logging
from typing import TypeVar

from holdfast import rpc, subjects
from holdfast.bus import RequestFailed
from holdfast.contracts.command import Command
from holdfast.contracts.decision import Admit, Admitted, Authorise, Authorised
from holdfast.contracts.envelope import Contract
from holdfast.ocpp.actions import same_as
from holdfast.ocpp.payloads import driver_token_of
from ocpp_edge.command_schemas import problem_of
from ocpp_edge.domain.events import AskAdmit, AskAuthorise
from ocpp_edge.domain.running import elsewhere
from ocpp_edge.services import Services

log = logging.getLogger(__name__)

TRY_MS = 3_000
"""One try: the cloud's budget inside it is below a second by default."""
PAUSE_MS = 200
ADMIT_MS_MAX = 5_000

Reply = TypeVar("Reply", bound=Contract)


async def authorise(
    services: Services, charge_point: str, effect: AskAuthorise
) -> Authorised | None:
    """None: no decision in the time there is."""
    token, kind, connector = effect.driver_token, effect.token_type, effect.connector
    running = (
        ()
        if connector is None
        else elsewhere(services.open_sessions(), token, charge_point, connector, kind)
    )
    request = Authorise(
        request=effect.request,
        charge_point=charge_point,
        driver_token=token,
        token_type=kind,
        starts_session=effect.starts_session,
        running=running,
    )
    return await _ask(services, "authorise", request, Authorised, services.authorise_ms_max)


async def admit(services: Services, charge_point: str, effect: AskAdmit) -> Admitted | str | None:
    """A sentence: this command can't be sent at all. None: rule-service is away, ask again later."""
    command = effect.command
    if charge_point not in services.registry:
        return "no such charge point is registered at this site"
    problem = problem_of(services.schemas, effect.version, command.action, command.payload)
    if problem:
        return problem
    request = Admit(
        request=effect.request,
        command=command,
        target=effect.target.model_copy(update={"token_sessions": _charging(services, command)}),
        confirmed_by=effect.confirmed_by,
    )
    try:
        return await _ask(services, "admit", request, Admitted, ADMIT_MS_MAX)
    except rpc.Refused as refused:
        return str(refused)


def _charging(services: Services, command: Command) -> tuple[str, ...]:
    """Sessions of the driver token that a start names, anywhere at the site."""
    token = driver_token_of(command.payload)
    if same_as(command.action) != "RemoteStartTransaction" or token is None:
        return ()
    running = elsewhere(services.open_sessions(), token)
    return tuple(one.session for one in running)


async def _ask(
    services: Services, verb: str, request: Contract, kind: type[Reply], within_ms: int
) -> Reply | None:
    """Raise rpc.Refused when asking again will not help and the question is about a command."""
    clock, subject = services.clock, subjects.rpc(services.site, verb)
    ends_ms = clock.monotonic_ms() + within_ms
    while (left_ms := ends_ms - clock.monotonic_ms()) > 0:
        try:
            return await rpc.call(
                services.bus, subject, request, kind, timeout_ms=min(TRY_MS, left_ms)
            )
        except rpc.Refused as refused:
            if not refused.failure.retry:
                log.warning("not decided", extra={"verb": verb, "why": refused.failure.error})
                if isinstance(request, Admit):
                    raise
                return None
        except RequestFailed:
            pass
        await clock.sleep_ms(min(PAUSE_MS + services.rng.randrange(PAUSE_MS), max(1, left_ms)))
    log.warning("rule-service does not answer", extra={"verb": verb})
    return None
