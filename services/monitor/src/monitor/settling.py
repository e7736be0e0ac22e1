"""A person's word that an open delivery is seen to, passed on to the csms-bridge with that person's name."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request

from holdfast import subjects
from holdfast.bus import NoResponder, RequestFailed
from holdfast.contracts.csms import DeliverySettled, SettleDelivery, Trouble
from holdfast.contracts.envelope import first_problem
from holdfast.rpc import call
from holdfast.service import Context
from monitor.answering import Problem, problem_of, read_body
from monitor.config import Config

BODY_BYTES_MAX = 4 * 1024
TIMEOUT_MS = 5_000
WHO = "csms-bridge"


class Word(BaseModel):
    """What a caller sends: the open delivery as the list of them describes it, and who says so."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    backend: str = Field(min_length=1, max_length=32)
    charge_point: str = Field(min_length=1, max_length=255)
    trouble: Trouble
    incarnation: str = Field("", max_length=8)
    seq: int = Field(0, ge=0)
    by: str = Field(min_length=1, max_length=100)


async def read(request: Request, site: str) -> SettleDelivery:
    """Raise Problem."""
    body = await read_body(request, BODY_BYTES_MAX)
    try:
        word = Word.model_validate_json(body)
    except ValidationError as error:
        raise Problem(
            400, f"not a description of an open delivery: {first_problem(error)}"
        ) from error
    return SettleDelivery(site=site, **word.model_dump())


async def settle(context: Context[Config], asked: SettleDelivery) -> DeliverySettled:
    """Raise Problem."""
    subject = subjects.cloud_rpc("upstream-settle")
    try:
        return await call(context.bus, subject, asked, DeliverySettled, timeout_ms=TIMEOUT_MS)
    except NoResponder as error:
        raise Problem(503, f"{WHO} is not there: nothing was settled, try again shortly") from error
    except RequestFailed as error:
        raise problem_of(error, WHO) from error
