"""The one thing this service passes on rather than shows: a command, to the service that may take it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request

from holdfast import subjects
from holdfast.bus import NoResponder, RequestFailed, RequestTimedOut
from holdfast.clock import Clock
from holdfast.contracts.command import Action, Command, CommandReceipt, Issuer, SendCommand
from holdfast.contracts.envelope import Contract, first_problem
from holdfast.contracts.numbers import Moment, Payload
from holdfast.ocpp.instead import why_not
from holdfast.ocpp.versions import OcppVersion
from holdfast.rpc import call
from holdfast.service import Context
from monitor.answering import Problem, problem_of, read_body
from monitor.config import Config

BODY_BYTES_MAX = 32 * 1024
TIMEOUT_MS = 5_000
DEADLINE_MS = 60_000
"""Where none is given: whoever commands by hand is looking, and a late effect would surprise."""


class Draft(BaseModel):
    """What a caller sends. The id, where given, makes sending it again harmless."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str | None = Field(None, min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")
    charge_point: str = Field(min_length=1, max_length=255)
    action: Action
    payload: Payload = Field(default_factory=dict)
    deadline_ms: Moment | None = None
    by: str | None = Field(None, min_length=1, max_length=100)
    """In whose name: it stands in the command, and so in the journal."""


async def read_draft(request: Request) -> Draft:
    body = await read_body(request, BODY_BYTES_MAX)
    try:
        return Draft.model_validate_json(body)
    except ValidationError as error:
        raise Problem(400, f"not a command: {first_problem(error)}") from error


def command_of(draft: Draft, scope: Literal["site", "cloud"], clock: Clock, new_id: str) -> Command:
    now_ms = clock.now_ms()
    deadline_ms = now_ms + DEADLINE_MS if draft.deadline_ms is None else draft.deadline_ms
    if deadline_ms <= now_ms:
        raise Problem(400, "deadline_ms has passed: give a later one, or none")
    return Command(
        id=draft.id or new_id,
        charge_point=draft.charge_point,
        action=draft.action,
        payload=draft.payload,
        issued_at_ms=now_ms,
        deadline_ms=deadline_ms,
        by=draft.by or "",
        issuer=Issuer.CLOUD if scope == "cloud" else Issuer.OPERATOR_AT_SITE,
    )


def check_version(command: Command, version: OcppVersion | None) -> None:
    """Raise Problem when the charge point, by its last connection, has no such action: with what to send instead."""
    has_it_not = why_not(version, command.action) if version else None
    if has_it_not:
        raise Problem(409, f"{command.charge_point} speaks OCPP {version}: {has_it_not}")


def check_id(command: Command, known: Command | None) -> None:
    """Raise Problem when the site's journal knows the id as another command's: there it would not be taken."""
    if known is None:
        return
    first, second = (
        (one.charge_point, one.action, one.payload, one.issuer) for one in (known, command)
    )
    if first != second:
        raise Problem(
            409,
            f"command {command.id} was not taken: the site knows the id as that of another command "
            f"({known.action} for {known.charge_point}, of the {known.issuer}): choose a new one",
        )


async def send(context: Context[Config], site: str, command: Command) -> CommandReceipt:
    """To rule-service, the only publisher to DOWNLINK; at the site straight to ocpp-edge. Raise Problem."""
    request: Contract = command
    subject, who = subjects.rpc(site, "command"), "ocpp-edge"
    if context.config.scope == "cloud":
        request = SendCommand(site=site, command=command)
        subject, who = subjects.cloud_rpc("command"), "rule-service"
    try:
        return await call(context.bus, subject, request, CommandReceipt, timeout_ms=TIMEOUT_MS)
    except RequestTimedOut as error:
        raise Problem(
            504,
            f"{who} gave no answer in time: command {command.id} may or may not be on its way; "
            "send it again with this id",
        ) from error
    except NoResponder as error:
        raise Problem(503, f"{who} is not there: nothing was sent, try again shortly") from error
    except RequestFailed as error:
        raise problem_of(error, who) from error
