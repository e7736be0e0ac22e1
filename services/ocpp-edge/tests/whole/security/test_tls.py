"""Goal: checks S5, S6 and S7: which profile, which certificate and which TLS a charge point must come with.

Method: the whole service on real sockets, real handshakes, certificates made for each test.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from contextlib import suppress
from datetime import timedelta

import pytest
from websockets.exceptions import ConnectionClosed, InvalidMessage

from holdfast.contracts.charge_point import ChargePointConnected
from holdfast.contracts.registry import DoorConditionsChanged
from holdfast.settings import ConfigError
from holdfast_testkit.eventually import eventually

DAY = timedelta(days=1)
REFUSED = (ssl.SSLError, OSError, InvalidMessage, ConnectionClosed, EOFError)
"""asyncio resets a connection whose handshake fails. In TLS 1.3 a client is through before the server has looked at
its certificate.
"""


async def refused_by_tls(doors, identity="CP-1", **options):
    with pytest.raises(REFUSED):
        async with doors.dial(identity, None, tls=doors.client_tls(**options)) as client:
            await client.recv()


async def test_each_profile_comes_in_by_what_it_has_to_show(doors, call):
    doors.register(
        CP_0={"security_profile": 0, "password_scrypt": None},
        CP_1={},
        CP_2={"security_profile": 2},
        CP_3={"security_profile": 3, "password_scrypt": None},
    )
    await doors.open()
    certificate = doors.ca.client("CP-3")
    for dialled in (
        doors.dial("CP-0", None),
        doors.dial("CP-1"),
        doors.dial("CP-2", tls=doors.client_tls()),
        doors.dial("CP-3", None, tls=doors.client_tls(certificate)),
    ):
        async with dialled as client:
            assert (await call(client))[0] == 3
    await eventually(lambda: len(doors.place.facts(ChargePointConnected)) == 4)
    profiles = {
        it.charge_point: it.security_profile for it in doors.place.facts(ChargePointConnected)
    }
    assert profiles == {"CP-0": 0, "CP-1": 1, "CP-2": 2, "CP-3": 3}


async def test_s5_a_charge_point_of_tls_is_refused_without_it_even_with_its_password(doors):
    doors.register(CP_2={"security_profile": 2}, CP_3={"security_profile": 3})
    await doors.open()
    unknown = await doors.refused("CP-9")
    for identity in ("CP-2", "CP-3"):
        downgraded = await doors.refused(identity)
        assert (downgraded.status_code, downgraded.body) == (401, unknown.body)
    assert doors.failures("security profile") == 2
    assert not doors.place.facts(ChargePointConnected)


async def test_s5_every_other_profile_than_the_registered_one_is_refused(doors):
    doors.register(
        CP_0={"security_profile": 0},
        CP_1={},
        CP_3={"security_profile": 3},
        CP_9={"security_profile": 2},
    )
    await doors.open()
    tls = doors.client_tls()
    for identity in ("CP-0", "CP-1", "CP-3"):
        assert (await doors.refused(identity, tls=tls)).status_code == 401
    assert doors.failures("security profile") == 3
    assert (await doors.refused("CP-9", None, tls=tls)).status_code == 401
    assert doors.failures("credentials") == 1


@pytest.mark.parametrize("late", [False, True])
async def test_s6_a_certificate_out_of_its_time_is_refused(doors, late):
    doors.register(CP_1={"security_profile": 3})
    await doors.open()
    since, until = (-3 * DAY, -DAY) if late else (DAY, 3 * DAY)
    await refused_by_tls(doors, certificate=doors.ca.client("CP-1", since=since, until=until))
    reason = "certificate expired" if late else "certificate not yet valid"
    assert doors.counted("tls_failures_total", reason=reason) == 1
    assert not doors.place.facts(ChargePointConnected)


async def test_s6_a_certificate_of_another_ca_is_refused(doors, authority):
    doors.register(CP_1={"security_profile": 3})
    await doors.open()
    await refused_by_tls(doors, certificate=authority("site berlin01").client("CP-1"))
    assert doors.counted("tls_failures_total", reason="certificate") == 1


async def test_s6_another_site_s_certificate_is_refused_though_one_root_stands_above_both(
    doors, authority, call
):
    root = authority("operator")
    ours, other = authority("site berlin01", root), authority("site munich01", root)
    doors.write("ca.pem", ours.pem)
    doors.register(CP_1={"security_profile": 3})
    await doors.open()
    async with doors.dial(tls=doors.client_tls(ours.client("CP-1"))) as client:
        assert (await call(client))[0] == 3
    await refused_by_tls(doors, certificate=other.client("CP-1"))


async def test_s6_a_server_s_certificate_is_no_charge_point_s(doors):
    doors.register(door={"security_profile": 3})
    await doors.open()
    await refused_by_tls(doors, "door", certificate=doors.ca.server())


@pytest.mark.parametrize(
    ("entry", "common_name", "comes_in"),
    [
        ({}, "CP-1", True),
        ({}, "CP-2", False),
        ({}, "cp-1", False),
        ({"certificate_cn": "SN-0815"}, "SN-0815", True),
        ({"certificate_cn": "SN-0815"}, "CP-1", False),
    ],
)
async def test_s6_the_common_name_is_the_registered_one(doors, call, entry, common_name, comes_in):
    doors.register(CP_1={"security_profile": 3, **entry})
    await doors.open()
    tls = doors.client_tls(doors.ca.client(common_name))
    if comes_in:
        async with doors.dial(tls=tls) as client:
            assert (await call(client))[0] == 3
    else:
        assert (await doors.refused(tls=tls)).status_code == 401
        assert doors.failures("certificate of another") == 1


@pytest.mark.parametrize(
    ("organisation", "comes_in"), [("ACME", True), ("Other", False), (None, False)]
)
async def test_s6_the_organisation_is_the_configured_one(doors, call, organisation, comes_in):
    doors.register(CP_1={"security_profile": 3})
    await doors.open(client_organisation="ACME")
    tls = doors.client_tls(doors.ca.client("CP-1", organisation=organisation))
    if comes_in:
        async with doors.dial(tls=tls) as client:
            assert (await call(client))[0] == 3
    else:
        assert (await doors.refused(tls=tls)).status_code == 401
        assert doors.failures("certificate of another organisation") == 1


async def test_s6_a_charge_point_s_renewed_certificate_counts_at_once(doors, call):
    doors.register(CP_1={"security_profile": 3})
    await doors.open()
    for days in (1, 300):
        certificate = doors.ca.client("CP-1", until=days * DAY)
        async with doors.dial(tls=doors.client_tls(certificate)) as client:
            assert (await call(client))[0] == 3


async def shown_serial(doors):
    """Of the certificate that the door shows to somebody who comes now."""
    _, writer = await asyncio.open_connection("localhost", doors.tls_port, ssl=doors.client_tls())
    certificate = writer.get_extra_info("ssl_object").getpeercert()
    writer.close()
    return certificate["serialNumber"]


async def test_s6_the_door_s_renewed_certificate_counts_without_a_restart(doors, call):
    doors.register(CP_1={"security_profile": 2})
    await doors.open()
    old = await shown_serial(doors)
    async with doors.dial(tls=doors.client_tls()) as client:
        doors.serve_with(*doors.ca.server())

        async def is_renewed():
            return await shown_serial(doors) != old

        await eventually(is_renewed)
        assert (await call(client))[0] == 3  # who is in stays in


async def test_s6_another_client_ca_counts_without_a_restart_and_the_old_one_no_more(
    doors, authority, call
):
    doors.register(CP_1={"security_profile": 3})
    await doors.open()
    old, new = doors.ca.client("CP-1"), authority("new")
    async with doors.dial(tls=doors.client_tls(old)) as client:
        assert (await call(client))[0] == 3
    doors.write("ca.pem", new.pem)

    async def new_comes_in():
        try:
            async with doors.dial(tls=doors.client_tls(new.client("CP-1"))) as client:
                return (await call(client))[0] == 3
        except REFUSED:
            return False

    await eventually(new_comes_in)
    await refused_by_tls(doors, certificate=old)


@pytest.mark.parametrize("broken", ["server.pem", "server.key", "ca.pem"])
async def test_a_broken_file_keeps_the_old_one_and_is_a_condition(doors, call, broken):
    doors.register(CP_1={"security_profile": 2})
    await doors.open()
    old = await shown_serial(doors)
    before = (doors.folder / broken).read_bytes()
    other = {"server.pem": doors.ca.server()[0], "server.key": doors.ca.server()[1]}
    for data in (b"", b"no PEM", other.get(broken)):
        if data is None:
            continue
        doors.write(broken, data)
        await eventually(lambda: not doors.place.health.is_ok)
        assert broken in condition(doors)
        assert await shown_serial(doors) == old
        doors.write(broken, before)
        await eventually(lambda: doors.place.health.is_ok)
    async with doors.dial(tls=doors.client_tls()) as client:
        assert (await call(client))[0] == 3


def condition(doors):
    return doors.place.health.report()["conditions"]["certificates"]


@pytest.mark.parametrize(
    ("days", "is_ok", "said"),
    [
        (100, True, ""),
        (29.5, True, "ends in 29 days"),
        (6.5, False, "ends in 6 days"),
        (-0.5, False, "has ended"),
    ],
)
async def test_the_end_of_a_certificate_is_told_30_days_and_is_wrong_7_days_before(
    doors, days, is_ok, said
):
    doors.serve_with(*doors.ca.server(since=-2 * DAY, until=days * DAY))
    await doors.open()
    assert doors.place.health.is_ok is is_ok
    assert said in condition(doors)
    if said:
        await eventually(lambda: doors.place.facts(DoorConditionsChanged))
        (told,) = doors.place.facts(DoorConditionsChanged)[0].conditions
        assert (told.name, told.holds) == ("certificates", is_ok)
        assert "server ends on 20" in told.why or "server has ended" in told.why
    ends = doors.counted("certificate_ends_timestamp_seconds", certificate="server")
    assert abs(ends - (time.time() + days * 86_400)) < 60


@pytest.mark.parametrize("missing", ["server.pem", "server.key", "ca.pem"])
async def test_a_door_without_its_files_does_not_open(doors, missing):
    (doors.folder / missing).unlink()
    doors.place.begin(
        sockets=True,
        tls_port=1,
        certificate_file=doors.folder / "server.pem",
        key_file=doors.folder / "server.key",
        client_ca_file=doors.folder / "ca.pem",
    )
    ended = await doors.place.outcome()
    assert missing in str(ended.subgroup(ConfigError).exceptions[0])


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
async def test_s7_tls_below_1_2_is_refused(doors, version):
    doors.register(CP_1={"security_profile": 2})
    await doors.open()
    with pytest.raises(REFUSED):
        await doors.dial(tls=doors.client_tls(until=version, suites="ALL:@SECLEVEL=0"))
    await eventually(lambda: doors.counted("tls_failures_total", reason="version") == 1)


@pytest.mark.parametrize(
    "suites",
    [
        "NULL",
        "aNULL",
        "AES128-SHA256",
        "ECDHE-RSA-AES128-SHA",
        "DHE-RSA-AES128-GCM-SHA256",
        "AES128-GCM-SHA256",
    ],
)
async def test_s7_weak_suites_are_refused(doors, suites):
    doors.serve_with(*doors.ca.server(kind="rsa"))
    await doors.open()
    tls = doors.client_tls(until=ssl.TLSVersion.TLSv1_2, suites=f"{suites}:@SECLEVEL=0")
    with pytest.raises(REFUSED):
        await doors.dial(tls=tls)
    await eventually(lambda: doors.counted("tls_failures_total", reason="suite") == 1)


@pytest.mark.parametrize("kind", ["ec", "rsa"])
@pytest.mark.parametrize("size", [128, 256])
async def test_s7_the_suites_of_the_whitepaper_are_served(doors, call, kind, size):
    doors.serve_with(*doors.ca.server(kind=kind))
    doors.register(CP_1={"security_profile": 2})
    await doors.open()
    suite = (
        f"ECDHE-{'ECDSA' if kind == 'ec' else 'RSA'}-AES{size}-GCM-SHA{256 if size == 128 else 384}"
    )
    tls = doors.client_tls(until=ssl.TLSVersion.TLSv1_2, suites=suite)
    async with doors.dial(tls=tls) as client:
        assert (await call(client))[0] == 3
        used = client.transport.get_extra_info("ssl_object")
        assert used.cipher()[0] == suite
        assert used.compression() is None


async def test_s7_a_site_may_take_the_two_suites_of_rsa_key_exchange(doors, call):
    doors.serve_with(*doors.ca.server(kind="rsa"))
    doors.register(CP_1={"security_profile": 2})
    await doors.open(tls_rsa_key_exchange=True)
    tls = doors.client_tls(until=ssl.TLSVersion.TLSv1_2, suites="AES128-GCM-SHA256")
    async with doors.dial(tls=tls) as client:
        assert (await call(client))[0] == 3


async def test_a_site_may_have_no_door_without_tls(doors, call):
    doors.register(CP_1={"security_profile": 2})
    await doors.open(serve_without_tls=False)
    with pytest.raises(OSError, match=r"refused|failed"):
        await doors.dial()
    async with doors.dial(tls=doors.client_tls()) as client:
        assert (await call(client))[0] == 3


UPGRADE = (
    b"GET /ocpp/CP-1 HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Protocol: ocpp1.6\r\n\r\n"
)


async def test_s6_a_resumed_connection_is_judged_by_its_certificate_all_the_same(doors, authority):
    doors.register(CP_1={"security_profile": 3})
    await doors.open()
    tls = doors.client_tls(doors.ca.client("CP-1"), until=ssl.TLSVersion.TLSv1_2)
    session = None

    def dial():
        """The status, and whether the connection was resumed."""
        nonlocal session
        plain = socket.create_connection(("127.0.0.1", doors.tls_port))
        with tls.wrap_socket(plain, server_hostname="localhost", session=session) as client:
            client.send(UPGRADE)
            status = client.recv(12)[-3:]
            session = client.session
            reused = client.session_reused
            with suppress(OSError):
                client.unwrap()  # a session that was torn off is resumed by nobody
            return status, reused

    assert await asyncio.to_thread(dial) == (b"101", False)
    assert await asyncio.to_thread(dial) == (b"101", True)
    doors.register(CP_1={"security_profile": 3, "certificate_cn": "another"})
    assert await asyncio.to_thread(dial) == (b"401", True)
    doors.write("ca.pem", authority("new").pem)

    async def is_refused():
        try:
            await asyncio.to_thread(dial)
        except REFUSED:
            return True
        return False

    await eventually(is_refused)


async def test_tls_1_3_resumes_nothing(doors):
    await doors.open()
    tls = doors.client_tls(doors.ca.client("CP-1"))

    def dialled():
        session, reused = None, []
        for _ in range(2):
            plain = socket.create_connection(("127.0.0.1", doors.tls_port))
            with tls.wrap_socket(plain, server_hostname="localhost", session=session) as client:
                client.send(UPGRADE)
                client.recv(1)
                reused.append(client.session_reused)
                session = client.session
        return reused

    assert await asyncio.to_thread(dialled) == [False, False]
