"""Goal: a certificate that its CA took back lets nobody in, nor keeps anybody in; a CRL that can't be used changes
nothing.

Method: the whole service on real sockets, real handshakes, CRLs made for each test.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from base64 import b64decode
from datetime import timedelta

import pytest
from websockets.exceptions import ConnectionClosed

from holdfast.contracts.charge_point import ChargePointConnected
from holdfast.contracts.registry import EntryProblem, EntryRefused
from holdfast.settings import ConfigError
from holdfast_testkit.eventually import eventually

DAY = timedelta(days=1)


async def opened(doors, crl, **changes):
    doors.write("crl.pem", crl)
    doors.register(
        CP_1={"security_profile": 3}, CP_2={"security_profile": 3}, CP_3={"security_profile": 2}
    )
    await doors.open(client_crl_file=doors.folder / "crl.pem", **changes)


def condition(doors):
    return doors.place.health.report()["conditions"]["certificates"]


async def test_a_revoked_certificate_is_refused_and_told_the_others_come_in(doors, call):
    stolen, sound = doors.ca.client("CP-1"), doors.ca.client("CP-1")
    await opened(doors, doors.ca.crl(stolen))
    assert (await doors.refused("CP-1", None, tls=doors.client_tls(stolen))).status_code == 401
    assert doors.failures("certificate revoked") == 1
    async with doors.dial("CP-1", None, tls=doors.client_tls(sound)) as client:
        assert (await call(client))[0] == 3
    await eventually(lambda: doors.place.facts(EntryRefused))
    (told,) = doors.place.facts(EntryRefused)
    assert (told.problem, told.claimed) == (EntryProblem.CERTIFICATE, "CP-1")
    assert told.detail == "certificate revoked: CP-1"
    assert doors.place.health.is_ok


async def test_whoever_shows_a_revoked_certificate_is_refused_even_where_a_password_is_due(doors):
    stolen = doors.ca.client("CP-1")
    await opened(doors, doors.ca.crl(stolen), onboarding=True)
    tls = doors.client_tls(stolen)
    assert (await doors.refused("CP-3", tls=tls)).status_code == 401
    assert (await doors.refused("CP-9", None, tls=tls)).status_code == 401  # nor may it wait
    assert doors.failures("certificate revoked") == 2


async def test_what_is_revoked_while_it_is_connected_is_disconnected_and_nobody_else(doors, call):
    stolen, sound = doors.ca.client("CP-1"), doors.ca.client("CP-2")
    await opened(doors, doors.ca.crl())
    async with (
        doors.dial("CP-1", None, tls=doors.client_tls(stolen)) as one,
        doors.dial("CP-2", None, tls=doors.client_tls(sound)) as other,
        doors.dial("CP-3", tls=doors.client_tls()) as third,
    ):
        assert (await call(one))[0] == (await call(other))[0] == 3
        doors.write("crl.pem", doors.ca.crl(stolen))
        with pytest.raises(ConnectionClosed) as closed:
            await one.recv()
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1008, "certificate revoked")
        assert (await call(other))[0] == (await call(third))[0] == 3
    assert (await doors.refused("CP-1", None, tls=doors.client_tls(stolen))).status_code == 401


async def test_a_resumed_tls_connection_is_refused_too(doors):
    stolen = doors.ca.client("CP-1")
    await opened(doors, doors.ca.crl())
    tls = doors.client_tls(stolen, until=ssl.TLSVersion.TLSv1_2)
    request = (
        b"GET /ocpp/CP-1 HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: ocpp1.6\r\n\r\n"
    )
    session = None

    def dialled():
        nonlocal session
        plain = socket.create_connection(("127.0.0.1", doors.tls_port))
        with tls.wrap_socket(plain, server_hostname="localhost", session=session) as client:
            client.send(request)
            status, session = client.recv(12)[-3:], client.session
            return status

    assert await asyncio.to_thread(dialled) == b"101"
    doors.write("crl.pem", doors.ca.crl(stolen))

    async def is_refused():
        return await asyncio.to_thread(dialled) == b"401"

    await eventually(is_refused)


@pytest.mark.parametrize("what", ["empty", "no PEM", "certificate", "of another", "delta", "ended"])
async def test_a_crl_that_can_t_be_used_keeps_the_old_one_and_is_told(doors, call, authority, what):
    stolen, sound = doors.ca.client("CP-1"), doors.ca.client("CP-2")
    await opened(doors, doors.ca.crl(stolen))
    broken = {
        "empty": b"",
        "no PEM": b"no PEM",
        "certificate": doors.ca.pem,
        "of another": authority("site berlin01").crl(),
        "delta": doors.ca.crl(delta=True),
        "ended": doors.ca.crl(until=-DAY),
    }[what]
    doors.write("crl.pem", broken)
    await eventually(lambda: not doors.place.health.is_ok)
    assert "crl.pem" in condition(doors)
    assert (await doors.refused("CP-1", None, tls=doors.client_tls(stolen))).status_code == 401
    async with doors.dial("CP-2", None, tls=doors.client_tls(sound)) as client:
        assert (await call(client))[0] == 3
    doors.write("crl.pem", doors.ca.crl(stolen, sound))
    await eventually(lambda: doors.place.health.is_ok)
    assert (await doors.refused("CP-2", None, tls=doors.client_tls(sound))).status_code == 401


async def test_a_site_that_begins_with_a_crl_out_of_date_lets_in_who_may_and_says_so(doors, call):
    stolen, sound = doors.ca.client("CP-1"), doors.ca.client("CP-2")
    await opened(doors, doors.ca.crl(stolen, until=-DAY))
    assert "the CRL of client certificates is out of date" in condition(doors)
    assert not doors.place.health.is_ok
    assert (await doors.refused("CP-1", None, tls=doors.client_tls(stolen))).status_code == 401
    async with doors.dial("CP-2", None, tls=doors.client_tls(sound)) as client:
        assert (await call(client))[0] == 3
    ends = doors.counted("certificate_ends_timestamp_seconds", certificate="client CRL")
    assert ends > 0


async def test_of_several_cas_each_has_its_crl_and_der_will_do(doors, authority, call):
    other = authority("site berlin01, next")
    stolen, sound = other.client("CP-1"), doors.ca.client("CP-2")
    doors.write("ca.pem", doors.ca.pem + other.pem)
    await opened(doors, doors.ca.crl() + other.crl(stolen))
    assert (await doors.refused("CP-1", None, tls=doors.client_tls(stolen))).status_code == 401
    async with doors.dial("CP-2", None, tls=doors.client_tls(sound)) as client:
        assert (await call(client))[0] == 3
    doors.write("crl.pem", doors.ca.crl())
    await eventually(lambda: "has no CRL of CN=site berlin01" in condition(doors))
    doors.write("ca.pem", doors.ca.pem)
    der = b64decode(b"".join(re.findall(rb"^[^-].*$", doors.ca.crl(sound), re.MULTILINE)))
    doors.write("crl.pem", der)
    await eventually(lambda: doors.place.health.is_ok)
    assert (await doors.refused("CP-2", None, tls=doors.client_tls(sound))).status_code == 401


async def test_a_certificate_below_an_intermediate_without_crl_is_refused(doors, authority):
    between = authority("between", doors.ca)
    await opened(doors, doors.ca.crl())
    tls = doors.client_tls(between.client("CP-1"))
    assert (await doors.refused("CP-1", None, tls=tls)).status_code == 401
    assert doors.failures("certificate of an issuer without CRL") == 1
    assert not doors.place.facts(ChargePointConnected)


async def test_a_door_without_the_crl_it_is_to_have_does_not_open(doors):
    doors.place.begin(
        sockets=True,
        tls_port=1,
        certificate_file=doors.folder / "server.pem",
        key_file=doors.folder / "server.key",
        client_ca_file=doors.folder / "ca.pem",
        client_crl_file=doors.folder / "crl.pem",
    )
    ended = await doors.place.outcome()
    assert "crl.pem" in str(ended.subgroup(ConfigError).exceptions[0])
