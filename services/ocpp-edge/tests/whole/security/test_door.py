"""Goal: checks S1, S2, S8 and S9: whoever is refused learns nothing, guesses little, and reaches no file or subject.

Method: the whole service on real sockets. An attacker and an honest charge point have addresses of their own on the
loopback, or share one as behind a NAT.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from itertools import cycle

import pytest

from holdfast.contracts.charge_point import ChargePointConnected
from holdfast.contracts.registry import EntryProblem, EntryRefused
from holdfast.ocpp.versions import OcppVersion
from holdfast.passwords import hash_password, matches
from holdfast_testkit.eventually import eventually
from ocpp_edge.gate import BEYOND_MAX

ATTACKER, HONEST = "127.0.0.2", "127.0.0.3"
RANDOM = {"password_random": True}


async def test_s1_no_wrong_and_another_s_password_are_refused_as_an_unknown_identity_is(doors):
    other = "another-password-20c"
    doors.register(CP_1={}, CP_2={"password_scrypt": hash_password(other)})
    await doors.open()
    answers = [
        await doors.refused(*arguments)
        for arguments in (
            ("CP-9",),
            ("CP-1", None),
            ("CP-1", "guess"),
            ("CP-1", other),
            ("CP-9", None),
        )
    ]
    assert {it.status_code for it in answers} == {401}
    assert len({bytes(it.body) for it in answers}) == 1
    assert (
        len(
            {
                str(sorted((k, v) for k, v in it.headers.raw_items() if k != "Date"))
                for it in answers
            }
        )
        == 1
    )


async def test_s1_an_unknown_identity_costs_the_same_work_as_a_wrong_password(doors, monkeypatch):
    worked = []

    def hashing(stored, password):
        worked.append(stored.split("$")[1:4])
        return matches(stored, password)

    monkeypatch.setattr("ocpp_edge.registry.matches", hashing)
    slow = hash_password("secret", like=f"scrypt$8192$4$2${'00' * 16}${'00' * 64}")
    doors.register(
        CP_1={"password_scrypt": slow}, CP_2={"password_scrypt": slow, "security_profile": 2}
    )
    await doors.open()
    for identity in ("CP-1", "CP-9", "CP-2"):
        await doors.refused(identity, "guess")
    # Nor does the right password, where it is shown at the wrong door, come back sooner.
    for _ in range(2):
        await doors.refused("CP-2", "secret")
    assert worked == [["8192", "4", "2"]] * 5


async def fail(doors, times, identity="CP-1", local=ATTACKER):
    return [
        (await doors.refused(identity, f"guess-{number}", local=local)) for number in range(times)
    ]


async def test_s2_after_five_failures_in_a_minute_a_guesser_is_not_listened_to(doors):
    await doors.open()
    answers = await fail(doors, 7)
    assert [it.status_code for it in answers] == [401] * 5 + [429] * 2
    assert 0 < int(answers[-1].headers["Retry-After"]) <= 60
    # Even the right password is not: else it would be found by trying.
    assert (await doors.refused(local=ATTACKER)).status_code == 429
    await eventually(lambda: doors.place.facts(EntryRefused))
    (fact,) = doors.place.facts(EntryRefused)
    assert (fact.problem, fact.claimed, fact.address) == (
        EntryProblem.TOO_MANY_FAILURES, "CP-1", ATTACKER,
    )  # fmt: skip
    assert doors.failures("too many failures") == 3


async def test_s2_the_right_charge_point_gets_in_meanwhile(doors, call):
    await doors.open()
    await fail(doors, 7)
    async with doors.dial(local=HONEST) as client:
        assert (await call(client))[0] == 3


async def test_s2_many_guesses_at_once_are_no_way_around_the_limit(doors):
    await doors.open()
    answers = await asyncio.gather(
        *(doors.refused("CP-1", f"guess-{number}", local=ATTACKER) for number in range(30))
    )
    codes = [it.status_code for it in answers]
    assert (codes.count(401), codes.count(429)) == (5, 25)


async def test_s2_one_password_tried_on_many_identities_is_stopped_by_the_address(doors):
    doors.register(**{f"CP_{number}": {} for number in range(30)})
    await doors.open()
    answers = await asyncio.gather(
        *(doors.refused(f"CP-{number}", "guess", local=ATTACKER) for number in range(30))
    )
    codes = [it.status_code for it in answers]
    assert 5 <= codes.count(401) <= 7  # two may be looked at at the same time
    assert (await doors.refused("CP-1", local=ATTACKER)).status_code == 429
    await eventually(lambda: doors.place.facts(EntryRefused))
    assert {it.address for it in doors.place.facts(EntryRefused)} == {ATTACKER}


async def test_s2_one_identity_tried_from_many_addresses_is_told_and_not_kept_out(doors, call):
    await doors.open()
    for number in range(5):
        assert (await doors.refused("CP-1", "guess", local=f"127.0.7.{number}")).status_code == 401
    async with doors.dial(local=HONEST) as client:
        assert (await call(client))[0] == 3
    await eventually(lambda: doors.place.facts(EntryRefused))
    (fact,) = doors.place.facts(EntryRefused)
    assert (fact.problem, fact.claimed, fact.address) == (
        EntryProblem.TOO_MANY_FAILURES, "CP-1", None,
    )  # fmt: skip
    assert "from many addresses" in fact.detail


async def test_s2_behind_one_nat_who_came_in_before_is_kept_out_by_nobody_else(doors, call):
    await doors.open()
    async with doors.dial("CP-2", local=ATTACKER) as client:
        assert (await call(client))[0] == 3
    for number in range(9):
        await fail(doors, 2, f"CP-{number + 10}")
    assert (await doors.refused("CP-1", local=ATTACKER)).status_code == 429
    async with doors.dial("CP-2", local=ATTACKER) as client:
        assert (await call(client))[0] == 3


async def test_s2_behind_one_nat_a_random_password_gets_in_whoever_guesses_at_it(doors, call):
    doors.register(CP_1=RANDOM)
    await doors.open()
    async with doors.dial(local=ATTACKER) as client:
        assert (await call(client))[0] == 3
    answers = await fail(doors, 9)
    assert answers[-1].status_code == 429
    async with doors.dial(local=ATTACKER) as client:
        assert (await call(client))[0] == 3


async def test_s2_a_random_password_that_never_came_in_gets_in_after_guesses_at_it_from_its_address(
    doors, call
):
    doors.register(CP_7=RANDOM)
    await doors.open()
    assert {it.status_code for it in await fail(doors, 5, "CP-7")} == {401}
    assert (await fail(doors, 1, "CP-7"))[0].status_code == 429
    guessing = [asyncio.create_task(fail(doors, 4, "CP-7")) for _ in range(3)]
    async with doors.dial("CP-7", local=ATTACKER) as client:
        assert (await call(client))[0] == 3
    assert {it.status_code for one in guessing for it in await one} == {429}


async def test_s2_of_a_flood_of_guesses_at_a_random_password_few_are_looked_at(doors, monkeypatch):
    looked = []

    def hashing(stored, password):
        looked.append(password)
        return matches(stored, password)

    monkeypatch.setattr("ocpp_edge.registry.matches", hashing)
    doors.register(CP_7=RANDOM)
    await doors.open()
    await fail(doors, 5, "CP-7")
    answers = await asyncio.gather(
        *(doors.refused("CP-7", f"guess-{number}", local=ATTACKER) for number in range(60))
    )
    assert {it.status_code for it in answers} == {429}
    assert len(looked) <= 5 + BEYOND_MAX + 1


async def test_s2_a_charge_point_with_a_wrong_password_keeps_no_other_one_out(doors, call):
    await doors.open()
    await fail(doors, 30, "CP-2")
    for local in (HONEST, ATTACKER):  # nor one that was never there before, behind the same NAT
        async with doors.dial("CP-1", local=local) as client:
            assert (await call(client))[0] == 3


async def test_s2_behind_one_nat_a_new_charge_point_with_a_random_password_gets_in_while_others_guess(
    doors, call
):
    doors.register(CP_1={}, CP_7=RANDOM)
    await doors.open()
    for number in range(9):
        await fail(doors, 1, f"CP-{number + 10}")
    assert (await doors.refused("CP-1", local=ATTACKER)).status_code == 429
    async with doors.dial("CP-7", local=ATTACKER) as client:
        assert (await call(client))[0] == 3


async def test_s2_very_many_failures_are_few_facts(doors):
    await doors.open()
    for number in range(4):
        await fail(doors, 8, local=f"127.0.0.{10 + number}")
    await eventually(lambda: len(doors.place.facts(EntryRefused)) == 4)
    await fail(doors, 20, local="127.0.0.10")
    await asyncio.sleep(1.5)  # longer than the pause between two looks
    assert len(doors.place.facts(EntryRefused)) == 4


@pytest.mark.parametrize("offered", [None, ["ocpp1.5"], ["mqtt"], ["OCPP1.6"]])
async def test_s8_without_a_subprotocol_of_ocpp_nobody_comes_in(doors, offered):
    await doors.open()
    assert (await doors.refused(subprotocols=offered)).status_code == 400
    assert doors.failures("subprotocol") == 1
    assert not doors.place.facts(ChargePointConnected)


@pytest.mark.parametrize("version", OcppVersion)
async def test_s8_one_among_others_is_found(doors, call, version):
    await doors.open()
    async with doors.dial(subprotocols=["mqtt", f"ocpp{version}"]) as client:
        assert client.subprotocol == f"ocpp{version}"
        assert (await call(client))[0] == 3


NOBODY = [
    "../x", "%2e%2e%2fx", "%2e%2e%2f", "a/b", "a%2Fb", "a%00b", "%00", "x" * 49, "CP-1%20", "%20CP-1", "a%20b",
    "*", "%3E", ">", ".", "..", "a.>", "a.*", "hf.%3E", "$JS", "%24JS.API", "CP:1", "C%D0%A0-1", "CP%E2%80%901",
    "CP-1%0D%0A", "CP-1%7F", "%FF", "%F0%9F%94%8C", "CP-%EF%BC%91", "", "CP-1/", "-1", "CP%2D1%00",
]  # fmt: skip


@pytest.mark.parametrize(
    ("identity", "version"), list(zip(NOBODY, cycle(OcppVersion), strict=False))
)
async def test_s9_what_is_no_identity_is_not_found_and_reaches_no_file_or_subject(
    doors, identity, version
):
    await doors.open()
    files = sorted(doors.folder.rglob("*"))
    before = len(doors.place.bus.disk.streams[doors.place.journal].messages)
    reader, writer = await asyncio.open_connection("127.0.0.1", doors.place.port)
    lines = (
        f"GET /ocpp/{identity} HTTP/1.1", "Host: localhost", "Upgrade: websocket",
        "Connection: Upgrade", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Protocol: ocpp{version}",
    )  # fmt: skip
    writer.write("\r\n".join((*lines, "", "")).encode())
    assert (await reader.readline()).split()[1] == b"404"
    writer.close()
    assert sorted(doors.folder.rglob("*")) == files
    assert len(doors.place.bus.disk.streams[doors.place.journal].messages) == before
    assert doors.failures("no such path") == 1


@pytest.mark.parametrize("raw", ["CP-1\x00", "CP 1", "ЅР-1"])
async def test_s9_bytes_that_are_no_path_end_the_handshake(doors, raw):
    await doors.open()
    reader, writer = await asyncio.open_connection("127.0.0.1", doors.place.port)
    writer.write(f"GET /ocpp/{raw} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    status = b""
    with suppress(ConnectionError):
        status = await reader.readline()
    assert not status.startswith(b"HTTP/1.1 101")
    writer.close()
    assert not doors.place.facts(ChargePointConnected)


@pytest.mark.parametrize("version", OcppVersion)
async def test_s9_what_ocpp_allows_in_an_identity_is_one_token_of_a_subject(doors, call, version):
    doors.version = version
    names = ["DE*ICE*E1.2", "a=b+c|d@e_f-g", "CP.1"]
    entries = {name: {"password_scrypt": hash_password("a-password-of-20-ch.")} for name in names}
    doors.write("charge-points.json", json.dumps(entries).encode())
    await doors.open()
    for name in names:
        path = "/ocpp/" + "".join(c if c.isalnum() else f"%{ord(c):02X}" for c in name)
        async with doors.dial(name, path=path) as client:
            assert (await call(client))[0] == 3
    await eventually(lambda: len(doors.place.facts(ChargePointConnected)) == 3)
    journal = doors.place.bus.disk.streams[doors.place.journal].messages.values()
    subjects = {it.subject for it in journal if ".connected." in it.subject}
    assert subjects == {
        f"hf.berlin01.journal.charge-point.connected.{token}"
        for token in ("DE%2AICE%2AE1%2E2", "a%3Db%2Bc%7Cd%40e_f-g", "CP%2E1")
    }


async def test_the_password_of_ocpp_1_6_may_be_bytes_and_stands_in_the_registry_as_hex(doors, call):
    key = "0001020304050607FFFFFFFFFFFFFFFFFFFFFFFF"  # the example of the OCPP-J specification
    doors.register(CP_1={"password_scrypt": hash_password(key)})
    await doors.open()
    for shown in (bytes.fromhex(key), key.encode(), key.lower().encode()):
        async with doors.dial("CP-1", shown) as client:
            assert (await call(client))[0] == 3
    assert (await doors.refused("CP-1", bytes.fromhex(key)[:-1])).status_code == 401


@pytest.mark.parametrize("password", ["p" * 40, "*-_=:+|@." * 7, "x" * 64, "with:colons:in:it:20"])
async def test_passwords_of_ocpp_2_x_have_up_to_64_characters(doors, call, password):
    doors.register(CP_1={"password_scrypt": hash_password(password)})
    await doors.open()
    async with doors.dial("CP-1", password) as client:
        assert (await call(client))[0] == 3


async def test_a_storm_of_wrong_passwords_does_not_keep_the_right_one_out(doors, call):
    await doors.open()
    storm = asyncio.gather(
        *(
            doors.refused("CP-1", f"guess-{number}", local=f"127.0.1.{number}")
            for number in range(40)
        )
    )
    async with doors.dial(local=HONEST) as client:
        assert (await call(client))[0] == 3
    assert {response.status_code for response in await storm} == {401}
