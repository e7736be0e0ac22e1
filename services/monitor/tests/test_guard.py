"""Who gets in, and what a browser may do: the guard before every route.

Method: the guard around an application that says yes to everything, asked over ASGI.
"""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path

import httpx
import pytest
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from monitor.config import Config
from monitor.guard import Guard

CREDENTIAL = "s3cret-of-the-site"


async def yes(scope: Scope, receive: Receive, send: Send) -> None:
    await Request(scope, receive).body()
    await Response("yes")(scope, receive, send)


async def ask(
    credential: str | None,
    method: str = "GET",
    path: str = "/api/sites",
    host: str = "127.0.0.1:8080",
    **headers: str,
) -> httpx.Response:
    transport = httpx.ASGITransport(app=Guard(yes, credential))
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as client:
        return await client.request(method, path, headers={"host": host, **named})


def basic(password: str, user: str = "anybody") -> str:
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize(
    "authorization",
    [f"Bearer {CREDENTIAL}", f"bearer  {CREDENTIAL}", basic(CREDENTIAL), basic(CREDENTIAL, "")],
)
async def test_the_credential_opens_as_token_and_as_password(authorization: str) -> None:
    assert (await ask(CREDENTIAL, authorization=authorization)).status_code == 200


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        f"Bearer {CREDENTIAL}x",
        f"Token {CREDENTIAL}",
        CREDENTIAL,
        basic("wrong"),
        "Basic %%%",
        "Basic /w==",
        b64encode(CREDENTIAL.encode()).decode(),
    ],
)
async def test_anything_else_is_refused_in_a_sentence_and_a_browser_is_asked(
    authorization: str,
) -> None:
    refused = await ask(CREDENTIAL, authorization=authorization)
    assert refused.status_code == 401
    assert "credential" in refused.json()["error"]
    assert refused.headers["www-authenticate"].startswith("Basic")


async def test_metrics_need_the_credential_and_health_does_not() -> None:
    assert (await ask(CREDENTIAL, path="/metrics")).status_code == 401
    assert (await ask(CREDENTIAL, path="/health")).status_code == 200


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8080", "localhost", "localhost:1", "[::1]:8080", "127.1.2.3"]
)
async def test_without_a_credential_loopback_names_are_served(host: str) -> None:
    assert (await ask(None, host=host)).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8080", "10.0.0.1", "", "127.0.0.1.evil.example"]
)
async def test_without_a_credential_no_other_name_is(host: str) -> None:
    """A page elsewhere may point its own name at this machine."""
    assert (await ask(None, host=host)).status_code == 403


async def test_a_change_is_taken_as_json_from_no_page_or_this_one() -> None:
    json = {"content_type": "application/json; charset=utf-8"}
    assert (await ask(None, "POST", **json)).status_code == 200
    assert (await ask(None, "POST", **json, sec_fetch_site="same-origin")).status_code == 200
    assert (await ask(None, "POST", **json, sec_fetch_site="cross-site")).status_code == 403
    assert (await ask(None, "POST", content_type="text/plain")).status_code == 415
    assert (await ask(None, "POST")).status_code == 415


@pytest.mark.parametrize("authorization", ["", f"Bearer {CREDENTIAL}"])
async def test_every_answer_carries_the_policy(authorization: str) -> None:
    headers = (await ask(CREDENTIAL, authorization=authorization)).headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"


def config(**fields: object) -> Config:
    needed = {"nats_url": "x", "nats_user": "x", "nats_password_file": "x", "data_dir": "x"}
    return Config.model_validate({**needed, "site": "berlin01", **fields})


def test_a_page_others_can_reach_needs_a_credential() -> None:
    with pytest.raises(ValidationError, match="set credential_file"):
        config(api_host="0.0.0.0")
    assert config(api_host="0.0.0.0", credential_file=Path("x")).credential_file
    assert config(api_host="::1").credential_file is None


def test_a_site_needs_its_name_and_the_cloud_real_ones() -> None:
    with pytest.raises(ValidationError, match="scope site needs"):
        config(site="")
    with pytest.raises(ValidationError, match="can't name a site"):
        config(scope="cloud", sites=["../etc"])
