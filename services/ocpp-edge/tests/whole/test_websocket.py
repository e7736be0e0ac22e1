"""Goal: the door. Who may come in over a real WebSocket, and what becomes of connections that misbehave.

Method: the whole service on real sockets of the loopback, a real client, the simulated server behind it.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from base64 import b64encode
from functools import partial

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from holdfast.clock import SystemClock
from holdfast.contracts.charge_point import ChargePointConnected, ChargePointDisconnected
from holdfast.contracts.session import SessionStarted, SessionStopped
from holdfast_testkit.eventually import eventually
from holdfast_testkit.ports import free_ports

PASSWORD = "secret"
START = {
    "connectorId": 1,
    "idTag": "TAG",
    "meterStart": 0,
    "timestamp": "2025-06-15T15:00:00Z",
}


@pytest.fixture
def port():
    with free_ports(1) as (port,):
        yield port


async def is_listening(port):
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


@pytest.fixture
def takeover_ping_s():
    """Long enough for whoever is alive on a machine that stands still for a while."""
    return 5


@pytest.fixture
async def place(new_place, port, takeover_ping_s):
    place = await new_place(SystemClock())
    place.port = port
    place.begin(sockets=True, port=place.port, takeover_ping_s=takeover_ping_s)
    await eventually(partial(is_listening, place.port))
    yield place
    await place.kill()


def authorization(user, password=PASSWORD):
    return {"Authorization": "Basic " + b64encode(f"{user}:{password}".encode()).decode()}


def dial(place, path="/ocpp/CP-1", user="CP-1", password=PASSWORD, **options):
    options = {
        "subprotocols": ["ocpp1.6"],
        "additional_headers": authorization(user, password),
        "compression": None,
        "proxy": None,
        "open_timeout": 60,
        **options,
    }
    return connect(f"ws://127.0.0.1:{place.port}{path}", **options)


async def call(client, action, payload, message_id="m"):
    await client.send(json.dumps([2, message_id, action, payload]))
    return json.loads(await client.recv())


async def refused(place, *arguments, **options):
    with pytest.raises(InvalidStatus) as refusal:
        async with dial(place, *arguments, **options):
            pass
    return refusal.value.response


def failures(place, reason):
    name = "holdfast_ocpp_auth_failures_total"
    return place.health.registry.get_sample_value(name, {"reason": reason})


async def test_a_session_over_a_real_socket(place):
    async with dial(place) as client:
        assert client.subprotocol == "ocpp1.6"
        _, _, answer = await call(client, "StartTransaction", START)
        stop = {
            "transactionId": answer["transactionId"],
            "meterStop": 5,
            "timestamp": "2025-06-15T15:10:00Z",
        }
        assert await call(client, "StopTransaction", stop) == [3, "m", {}]
    assert len(place.facts(SessionStarted)) == len(place.facts(SessionStopped)) == 1
    await eventually(lambda: place.facts(ChargePointDisconnected))


async def test_an_identity_of_any_characters_is_percent_encoded_where_the_site_has_such(place):
    await place.kill()
    place.begin(sockets=True, port=place.port, identities="any")
    await eventually(partial(is_listening, place.port))
    async with dial(place, "/ocpp/CP%2F%C3%A4%203?x=1", "CP/ä 3") as client:
        assert (await call(client, "Heartbeat", {}))[0] == 3
    await eventually(lambda: place.facts(ChargePointConnected))
    assert place.facts(ChargePointConnected)[0].charge_point == "CP/ä 3"


async def test_unknown_and_wrong_are_refused_alike_and_counted_apart(place):
    unknown = await refused(place, "/ocpp/CP-9", "CP-9")
    wrong = await refused(place, password="guess")
    assert (
        (unknown.status_code, unknown.body)
        == (wrong.status_code, wrong.body)
        == (
            401,
            b"Unauthorized\n",
        )
    )
    assert "Basic" in unknown.headers["WWW-Authenticate"]
    assert (failures(place, "unknown"), failures(place, "password")) == (1, 1)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer abc"},
        {"Authorization": "Basic !!!"},
        {"Authorization": "Basic " + b64encode(b"\xff\xfe").decode()},
        {"Authorization": "Basic " + b64encode(b"CP-1").decode()},
        authorization("CP-2"),  # a right password, but of another charge point
        authorization("cp-1"),
    ],
)
async def test_credentials_must_be_of_the_charge_point_itself(place, headers):
    response = await refused(place, additional_headers=headers)
    assert response.status_code == 401
    assert failures(place, "credentials") == 1


@pytest.mark.parametrize(
    "path",
    ["/", "/ocpp", "/ocpp/", "/other/CP-1", "/ocpp/CP-1/x", "/ocpp/%FF", "/ocpp/" + "x" * 256],
)
async def test_other_paths_are_not_found(place, path):
    assert (await refused(place, path)).status_code == 404


@pytest.mark.parametrize("offered", [None, ["ocpp1.5", "ocpp2.0"]])
async def test_the_subprotocol_is_required(place, offered):
    assert (await refused(place, subprotocols=offered)).status_code == 400


@pytest.mark.parametrize(
    ("offered", "agreed"),
    [
        (["ocpp2.1", "ocpp2.0.1", "ocpp1.6"], "ocpp2.1"),
        (["ocpp2.0", "ocpp2.0.1", "ocpp1.6"], "ocpp2.0.1"),
        (["ocpp1.6", "ocpp2.1"], "ocpp1.6"),
    ],
)
async def test_the_first_version_offered_that_is_spoken_here_is_agreed_on(place, offered, agreed):
    async with dial(place, subprotocols=offered) as client:
        assert client.subprotocol == agreed
        assert (await call(client, "Heartbeat", {}))[0] == 3


async def test_a_changed_registry_counts_without_a_restart(place):
    await refused(place, "/ocpp/CP-9", "CP-9")
    place.register("CP-9")
    async with dial(place, "/ocpp/CP-9", "CP-9") as client:
        assert (await call(client, "Heartbeat", {}))[0] == 3
    await refused(place)


async def test_wrong_frames_leave_the_connection_open(place):
    async with dial(place) as client:
        await client.send("not json")
        await client.send(b"\x00\x01")
        await client.send('[2,"a","Fly",{}]')
        assert json.loads(await client.recv())[:3] == [4, "a", "NotImplemented"]
        await client.send('[2,"b","StartTransaction",{"connectorId":1')
        assert json.loads(await client.recv())[:3] == [4, "b", "FormationViolation"]
        await client.send('[2,"c","Authorize",{}]')
        assert json.loads(await client.recv())[:3] == [4, "c", "OccurenceConstraintViolation"]
        assert (await call(client, "Heartbeat", {}))[0] == 3
    counted = {
        reason: place.health.registry.get_sample_value(
            "holdfast_ocpp_refused_frames_total", {"reason": reason}
        )
        for reason in ("not json", "not text", "unknown action", "schema")
    }
    assert counted == {"not json": 2, "not text": 1, "unknown action": 1, "schema": 1}


async def test_a_frame_beyond_the_limit_closes_with_1009(place):
    async with dial(place) as client:
        await client.send("x" * (64 * 1024 + 1))
        with pytest.raises(ConnectionClosed) as closed:
            await client.recv()
        assert closed.value.rcvd.code == 1009


async def test_frames_pipelined_behind_the_handshake_are_served(place):
    async with dial(place) as client:
        boot = {"chargePointVendor": "V", "chargePointModel": "M"}
        await client.send(json.dumps([2, "1", "BootNotification", boot]))
        status = {"connectorId": 1, "errorCode": "NoError", "status": "Available"}
        await client.send(json.dumps([2, "2", "StatusNotification", status]))
        answers = [json.loads(await client.recv()) for _ in range(2)]
        assert [answer[1] for answer in answers] == ["1", "2"]


@pytest.mark.parametrize("takeover_ping_s", [1])
async def test_a_newer_connection_replaces_one_that_is_half_open(place):
    _, writer = await asyncio.open_connection("127.0.0.1", place.port)
    lines = (
        "GET /ocpp/CP-1 HTTP/1.1",
        "Host: localhost",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Protocol: ocpp1.6",
        f"Authorization: {authorization('CP-1')['Authorization']}",
    )
    writer.write("\r\n".join((*lines, "", "")).encode())  # it will answer no ping
    await eventually(lambda: place.facts(ChargePointConnected))
    async with dial(place) as new:
        assert (await call(new, "Heartbeat", {}))[0] == 3
    await eventually(lambda: len(place.facts(ChargePointConnected)) == 2)
    assert [one.replaced_answered for one in place.facts(ChargePointConnected)] == [False, False]
    assert place.facts(ChargePointConnected)[1].replaced is not None
    writer.close()


async def test_a_connection_reset_is_noticed_and_the_next_one_is_served(place):
    for number in range(3):
        client = await dial(place)
        assert (await call(client, "Heartbeat", {}))[0] == 3
        linger = struct.pack("ii", 1, 0)
        client.transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, linger
        )
        client.transport.abort()
        await eventually(lambda n=number: len(place.facts(ChargePointDisconnected)) == n + 1)


async def test_a_port_that_is_taken_is_a_matter_of_configuration(place, new_place, tmp_path):
    from holdfast.settings import ConfigError

    (tmp_path / "other").mkdir()
    place.data_dir = tmp_path / "other"
    first = place._life, place._client
    place.begin(sockets=True, port=place.port)
    ended = await place.outcome()
    assert ended.subgroup(ConfigError) is not None
    place._client.close()
    place._life, place._client = first
