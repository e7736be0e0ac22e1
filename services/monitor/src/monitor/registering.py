"""Which charge points may connect to a site: an operator's changes, passed on to the site's own registry.

A password that comes in clear is hashed here; only its hash goes on, and into no log.
"""

from __future__ import annotations

import asyncio
from typing import Any

from pydantic import ConfigDict, Field, SecretStr, StrictBool, StrictInt
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from holdfast import subjects
from holdfast.contracts.registry import RegistryReply, RegistryRequest, RegistryVerb
from holdfast.passwords import LONGEST, SHORTEST, hash_password
from holdfast.service import Context
from monitor.answering import Problem, answer
from monitor.config import Config
from monitor.known_site import site_asked_for
from monitor.passing_on import Asked, pass_on, read
from monitor.watching import Watch


class _Changed(Asked):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    password: SecretStr | None = Field(None, min_length=SHORTEST, max_length=LONGEST)
    password_scrypt: SecretStr | None = None
    password_random: StrictBool = False
    security_profile: StrictInt | None = Field(None, ge=0, le=3)
    at_once: StrictBool = False
    certificate_cn: str | None = Field(None, min_length=1, max_length=64)


class _Added(_Changed):
    charge_point: str = Field(min_length=1, max_length=255)


class Registering:
    def __init__(self, context: Context[Config], watch: Watch) -> None:
        self._context, self._watch = context, watch
        self._in_cloud = context.config.scope == "cloud"

    def routes(self) -> list[Route]:
        here = "/api/sites/{site}"
        one = f"{here}/charge-points/{{charge_point:path}}"  # an identity may have a slash
        return [
            Route(f"{here}/pending-charge-points", self.pending, methods=["GET"]),
            Route(f"{here}/charge-points", self.add, methods=["POST"]),
            Route(one, self.remove, methods=["DELETE"]),
            *(
                Route(f"{one}/{verb.value}", self._changing(verb), methods=["POST"])
                for verb in (
                    RegistryVerb.ACCEPT,
                    RegistryVerb.REJECT,
                    RegistryVerb.PASSWORD,
                    RegistryVerb.PROFILE,
                )
            ),
        ]

    async def pending(self, request: Request) -> Response:
        asked = RegistryRequest(verb=RegistryVerb.PENDING)
        return await self._ask(request, asked)

    async def add(self, request: Request) -> Response:
        body = await read(request, _Added)
        return await self._change(request, RegistryVerb.ADD, body.charge_point, body)

    async def remove(self, request: Request) -> Response:
        body = await read(request, Asked)
        identity = request.path_params["charge_point"]
        asked = RegistryRequest(verb=RegistryVerb.REMOVE, charge_point=identity, by=body.by)
        return await self._ask(request, asked)

    def _changing(self, verb: RegistryVerb) -> Any:
        async def change(request: Request) -> Response:
            body = await read(request, _Changed)
            return await self._change(request, verb, request.path_params["charge_point"], body)

        return change

    async def _change(
        self, request: Request, verb: RegistryVerb, identity: str, body: _Changed
    ) -> Response:
        hashed = body.password_scrypt.get_secret_value() if body.password_scrypt else None
        if body.password:
            secret = body.password.get_secret_value()
            hashed = await asyncio.to_thread(hash_password, secret)
        asked = RegistryRequest(
            verb=verb,
            charge_point=identity[:255],
            password_scrypt=hashed,
            password_random=body.password_random,
            security_profile=body.security_profile,
            at_once=body.at_once,
            certificate_cn=body.certificate_cn,
            by=body.by,
        )
        return await self._ask(request, asked)

    async def _ask(self, request: Request, asked: RegistryRequest) -> Response:
        site = site_asked_for(request, self._watch)
        who = f"ocpp-edge of {site} (is the site cut off?)" if self._in_cloud else "ocpp-edge"
        subject = subjects.rpc(site, "charge-point-registry")
        reply = await pass_on(
            self._context, subject, asked, RegistryReply, who=who, by=asked.by or "who looks"
        )
        if reply.status == "refused":
            raise Problem(409, f"not taken: {reply.reason}")
        return answer(reply.model_dump(mode="json"))
