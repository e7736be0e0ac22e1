"""Goal: who operates a site says who may connect, while it runs: every change counts at once, is told, and shows no
secret.

Method: the whole service on real sockets; the operator asks its rpc, or writes the registry's file.
"""

from __future__ import annotations

import asyncio
import json
import stat

import pytest
from websockets.exceptions import ConnectionClosed

from holdfast.contracts.charge_point import ChargePointBooted, ChargePointConnected
from holdfast.contracts.registry import (
    ChargePointRegistered,
    ChargePointUnregistered,
    DoorConditionsChanged,
    EntryProblem,
    EntryRefused,
    PendingEnded,
    RegistryReply,
    RegistryRequest,
    RegistryVerb,
)
from holdfast.entries import read
from holdfast.passwords import hash_password
from holdfast_testkit.eventually import eventually
from ocpp_edge.told import AT_FIRST, MEANWHILE

CLOSING_S = 8
"""Less than a WebSocket waits for the other end's goodbye."""
OTHER = "another-password-20c"
OTHER_HASH = hash_password(OTHER)
BOOT = {"chargePointVendor": "ACME", "chargePointModel": "One", "chargePointSerialNumber": "SN-1"}
START = {"connectorId": 1, "idTag": "TAG", "meterStart": 0, "timestamp": "2025-06-15T15:00:00Z"}


def registered(doors):
    """Since the first start, which tells of all of them."""
    return [it for it in doors.place.facts(ChargePointRegistered) if it.by != AT_FIRST]


async def ask(doors, verb, identity="", **more):
    request = RegistryRequest(verb=verb, charge_point=identity, by="anna", **more)
    return await doors.place.ask("charge-point-registry", RegistryReply, request)


async def done(doors, verb, identity, **more):
    reply = await ask(doors, verb, identity, **more)
    assert (reply.status, reply.reason) == ("done", "")
    return reply


async def closed(client):
    with pytest.raises(ConnectionClosed) as how:
        await client.recv()
    return how.value.rcvd


def entries(doors):
    return json.loads(doors.place.registry.read_text())


async def test_who_is_added_comes_in_and_who_is_removed_is_out_at_once(doors, call):
    await doors.open()
    assert (await doors.refused("CP-9", OTHER)).status_code == 401
    await done(doors, "add", "CP-9", password_scrypt=OTHER_HASH, password_random=True)
    async with doors.dial("CP-9", OTHER) as client:
        assert (await call(client))[0] == 3
        await done(doors, "remove", "CP-9")
        assert (await closed(client)).reason == "not registered any more"
    assert (await doors.refused("CP-9", OTHER)).status_code == 401
    (added,) = registered(doors)
    assert (added.charge_point, added.by, added.password_changed) == (
        "CP-9",
        "anna",
        True,
    )
    assert [it.charge_point for it in doors.place.facts(ChargePointUnregistered)] == ["CP-9"]
    assert sorted(entries(doors)) == ["CP-1", "CP-2"]


async def test_another_password_counts_at_once_and_whoever_came_by_the_old_one_is_out(doors, call):
    await doors.open()
    async with doors.dial() as client, doors.dial("CP-2") as bystander:
        assert (await call(client))[0] == 3
        await done(doors, "password", "CP-1", password_scrypt=OTHER_HASH)
        assert "registration has changed" in (await closed(client)).reason
        assert (await call(bystander))[0] == 3
    assert (await doors.refused("CP-1")).status_code == 401
    async with doors.dial("CP-1", OTHER) as client:
        assert (await call(client))[0] == 3


async def test_the_file_changed_by_hand_counts_like_an_operator_s_word(doors, call):
    await doors.open()
    async with doors.dial() as client:
        assert (await call(client))[0] == 3
        doors.register(CP_2={}, CP_7={"security_profile": 3})
        assert (await closed(client)).code == 1008
    await eventually(lambda: registered(doors))
    await eventually(lambda: doors.place.facts(ChargePointUnregistered))
    assert registered(doors)[0].security_profile == 3
    assert doors.place.facts(ChargePointUnregistered)[0].by == "the registry's file"


async def test_a_raised_profile_counts_from_the_first_time_it_is_used(doors, call):
    await doors.open()
    async with doors.dial() as client:
        await done(doors, "profile", "CP-1", security_profile=2)
        assert (await call(client))[0] == 3  # it stays until it comes by the new one
    async with doors.dial() as client:  # which it may not manage at once
        assert (await call(client))[0] == 3
    async with doors.dial(tls=doors.client_tls()) as client:
        assert (await call(client))[0] == 3
        assert (await doors.refused()).status_code == 401
    assert entries(doors)["CP-1"]["security_profile"] == 2
    assert "next_security_profile" not in entries(doors)["CP-1"]
    await eventually(lambda: doors.failures("security profile") == 1)


async def test_a_profile_changed_at_once_turns_out_who_came_by_the_old_one(doors, call):
    await doors.open()
    async with doors.dial() as client:
        await done(doors, "profile", "CP-1", security_profile=3, at_once=True)
        assert (await closed(client)).code == 1008
    tls = doors.client_tls(doors.ca.client("CP-1"))
    async with doors.dial("CP-1", None, tls=tls) as client:
        assert (await call(client))[0] == 3


async def test_a_profile_is_lowered_only_by_intent(doors):
    doors.register(CP_1={"security_profile": 2})
    await doors.open()
    reply = await ask(doors, "profile", "CP-1", security_profile=1)
    assert (reply.status, "lowered only at once" in reply.reason) == ("refused", True)
    await done(doors, "profile", "CP-1", security_profile=1, at_once=True)


@pytest.mark.parametrize(
    ("verb", "identity", "more", "why"),
    [
        ("add", "CP-1", {"password_scrypt": OTHER_HASH}, "registered already"),
        ("add", "../x", {"password_scrypt": OTHER_HASH}, "can't be an identity"),
        ("add", "*", {"password_scrypt": OTHER_HASH}, "can't be an identity"),
        ("add", "X" * 49, {"password_scrypt": OTHER_HASH}, "48 characters at most"),
        ("add", "CP-9", {}, "need password_scrypt"),
        ("add", "CP-9", {"password_scrypt": "plain-secret"}, "is no scrypt"),
        ("add", "CP-9", {"security_profile": 4}, "less than or equal to 3"),
        ("remove", "CP-9", {}, "not registered"),
        ("password", "CP-9", {"password_scrypt": OTHER_HASH}, "not registered"),
        ("password", "CP-1", {}, "need password_scrypt"),
        ("profile", "CP-1", {}, "which security profile"),
        ("accept", "CP-9", {}, "not pending"),
        ("reject", "CP-9", {}, "not pending"),
    ],
)
async def test_what_can_t_be_is_refused_with_the_reason_and_changes_nothing(
    doors, verb, identity, more, why
):
    await doors.open()
    before = doors.place.registry.read_bytes()
    reply = await ask(doors, verb, identity, **more)
    assert reply.status == "refused"
    assert why in reply.reason
    assert "plain-secret" not in reply.reason
    assert doors.place.registry.read_bytes() == before
    assert not registered(doors)


async def test_the_same_change_again_changes_nothing(doors):
    await doors.open()
    for expected in ("done", "unchanged"):
        reply = await ask(doors, "add", "CP-9", password_scrypt=OTHER_HASH)
        assert reply.status == expected
    assert len(registered(doors)) == 1


async def test_a_broken_file_is_not_written_over(doors, call):
    await doors.open()
    doors.write("charge-points.json", b'{"CP-1": ')
    reply = await ask(doors, "add", "CP-9", password_scrypt=OTHER_HASH)
    assert reply.status == "refused"
    assert "correct the file first" in reply.reason
    assert doors.place.registry.read_bytes() == b'{"CP-1": '
    async with doors.dial() as client:
        assert (await call(client))[0] == 3


@pytest.mark.parametrize("broken", [b'{"CP-1": ', b'{"CP-1": {}}', None])
async def test_a_broken_file_is_a_condition_told_to_operators_and_a_restart_goes_on_without_it(
    doors, call, broken
):
    await doors.open()
    sound = doors.place.registry.read_bytes()
    if broken is None:
        doors.place.registry.unlink()
    else:
        doors.write("charge-points.json", broken)
    await eventually(lambda: not doors.place.health.is_ok)
    said = doors.place.health.report()["conditions"]["registry"]
    assert "charge-points.json" in said
    assert "what it said before counts on" in said
    await eventually(lambda: doors.place.facts(DoorConditionsChanged))
    assert not doors.place.facts(DoorConditionsChanged)[0].conditions[0].holds
    for _ in range(2):
        await doors.place.kill()
        await doors.open()
        async with doors.dial() as client:
            assert (await call(client))[0] == 3
        assert (await doors.refused("CP-9", OTHER)).status_code == 401
        await eventually(lambda: not doors.place.health.is_ok)
    doors.write("charge-points.json", sound)
    await eventually(lambda: doors.place.health.is_ok)
    await eventually(lambda: len(doors.place.facts(DoorConditionsChanged)) == 2)
    (_, mended) = doors.place.facts(DoorConditionsChanged)
    assert mended.conditions == ()
    assert not doors.place.facts(ChargePointUnregistered)
    await done(doors, "add", "CP-9", password_scrypt=OTHER_HASH)
    async with doors.dial("CP-9", OTHER) as client:
        assert (await call(client))[0] == 3


async def test_the_copy_is_of_that_file_and_nobody_else_can_read_it(doors):
    await doors.open()
    (copy,) = doors.place.data_dir.glob("*.last-good.json")
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    await done(doors, "remove", "CP-2")
    assert list(json.loads(copy.read_text())["charge_points"]) == ["CP-1"]
    await doors.place.kill()
    doors.place.registry = doors.folder / "another.json"
    doors.place.begin(sockets=True)
    ended = await doors.place.outcome()
    assert "another.json" in str(ended)


async def test_what_an_operator_does_keeps_what_others_wrote_into_the_file(doors):
    doors.register(CP_1={"note": "by the gate"}, CP_2={})
    doors.place.registry.chmod(0o640)
    await doors.open()
    await done(doors, "password", "CP-1", password_scrypt=OTHER_HASH)
    assert entries(doors)["CP-1"] == {"note": "by the gate", "password_scrypt": OTHER_HASH}
    assert stat.S_IMODE(doors.place.registry.stat().st_mode) == 0o640
    assert not list(doors.folder.glob(".charge-points*"))


async def test_no_secret_and_no_hash_of_one_reaches_journal_or_log(doors, caplog):
    await doors.open()
    await done(doors, "add", "CP-9", password_scrypt=OTHER_HASH)
    await doors.refused("CP-9", "a-guess-of-20-chars.")
    async with doors.dial("CP-9", OTHER):
        await eventually(lambda: doors.place.facts(ChargePointConnected))
    await done(doors, "remove", "CP-9")
    journal = doors.place.bus.disk.streams[doors.place.journal].messages.values()
    told = "".join(read(it).entry.envelope.model_dump_json() for it in journal)
    told += "".join(f"{it.getMessage()} {it.__dict__}" for it in caplog.records)
    for secret in (OTHER, OTHER_HASH, OTHER_HASH.split("$")[-1], "a-guess-of-20-chars."):
        assert secret not in told


# --- what was changed while nobody looked ---


async def restarted(doors, **charge_points):
    """The registry's file is another one meanwhile."""
    await doors.place.kill()
    if charge_points:
        doors.register(**charge_points)
    await doors.open()


async def test_the_first_start_tells_who_is_registered_and_the_next_one_nothing(doors):
    await doors.open()
    await eventually(lambda: len(doors.place.facts(ChargePointRegistered)) == 2)
    first = doors.place.facts(ChargePointRegistered)
    assert [(it.charge_point, it.security_profile, it.by) for it in first] == [
        ("CP-1", 1, AT_FIRST),
        ("CP-2", 1, AT_FIRST),
    ]
    await restarted(doors)
    await done(doors, "add", "CP-9", password_scrypt=OTHER_HASH)  # by then the others were told
    assert [it.charge_point for it in registered(doors)] == ["CP-9"]


@pytest.mark.parametrize("memory", ["kept", "lost"])
async def test_what_the_file_says_after_a_restart_is_told_as_far_as_it_is_another(doors, memory):
    doors.register(CP_1={}, CP_2={}, CP_3={}, CP_4={})
    await doors.open()
    await eventually(lambda: len(doors.place.facts(ChargePointRegistered)) == 4)
    if memory == "lost":  # the journal alone says what it said
        await doors.place.kill()
        for path in doors.folder.glob("ocpp-edge.sqlite*"):
            path.unlink()
        await doors.open()
    await restarted(
        doors, CP_1={}, CP_2={"security_profile": 2}, CP_3={"password_scrypt": OTHER_HASH}, CP_5={}
    )
    await eventually(lambda: len(registered(doors)) == 3)
    told = {
        it.charge_point: (it.security_profile, it.password_changed, it.by)
        for it in registered(doors)
    }
    assert told == {
        "CP-2": (2, False, MEANWHILE),
        "CP-3": (1, True, MEANWHILE),
        "CP-5": (1, True, MEANWHILE),
    }
    gone = doors.place.facts(ChargePointUnregistered)
    assert [(it.charge_point, it.by) for it in gone] == [("CP-4", MEANWHILE)]


async def test_what_was_told_at_a_start_is_not_told_by_the_next_one(doors):
    await doors.open()
    await eventually(lambda: len(doors.place.facts(ChargePointRegistered)) == 2)
    for _ in range(2):
        await restarted(doors, CP_1={})
    await eventually(lambda: doors.place.facts(ChargePointUnregistered))
    assert len(doors.place.facts(ChargePointUnregistered)) == 1


# --- onboarding ---


async def pending(doors):
    return (await ask(doors, RegistryVerb.PENDING)).pending


async def test_without_onboarding_nobody_unknown_gets_in(doors):
    await doors.open()
    assert (await doors.refused("CP-9", OTHER)).status_code == 401
    assert not await pending(doors)


async def test_an_unknown_charge_point_waits_until_it_is_accepted(doors, call):
    await doors.open(onboarding=True, onboarding_interval_s=30)
    async with doors.dial("CP-9", OTHER) as client:
        _, _, answer = await call(client, "BootNotification", BOOT)
        assert (answer["status"], answer["interval"]) == ("Pending", 30)
        refused = await call(client, "StartTransaction", START)
        assert refused[:3] == [4, "m", "SecurityError"]
        (one,) = await pending(doors)
        assert (one.charge_point, one.vendor, one.model, one.serial) == (
            "CP-9",
            "ACME",
            "One",
            "SN-1",
        )
        assert (one.connected, one.security_profile, one.address) == (True, 1, "127.0.0.1")
        await done(doors, "accept", "CP-9")
        assert "come again" in (await closed(client)).reason
    async with doors.dial("CP-9", OTHER) as client:
        assert (await call(client, "BootNotification", BOOT))[2]["status"] == "Accepted"
        assert (await call(client, "StartTransaction", START))[2]["transactionId"] > 0
    assert not await pending(doors)
    assert (await doors.refused("CP-9", "a-guess-of-20-chars.")).status_code == 401


async def test_of_one_that_waits_nothing_but_that_reaches_the_journal(doors, call):
    await doors.open(onboarding=True)
    async with doors.dial("CP-9", OTHER) as client:
        for action, payload in (
            ("BootNotification", BOOT),
            ("StartTransaction", START),
            ("Heartbeat", {}),
        ):
            await call(client, action, payload)
        await client.send("no json")
        await client.send(b"\x00")
        assert (await call(client, "Fly"))[0] == 4
    await eventually(lambda: doors.place.facts(EntryRefused))
    journal = doors.place.bus.disk.streams[doors.place.journal].messages.values()
    facts = [read(it).fact for it in journal]
    facts = [it for it in facts if not isinstance(it, ChargePointRegistered)]
    assert [type(it) for it in facts] == [EntryRefused]
    assert (facts[0].problem, facts[0].claimed) == (EntryProblem.PENDING, "CP-9")
    assert not doors.place.facts(ChargePointBooted)


async def test_a_rejected_one_is_refused_like_any_unknown(doors, call):
    await doors.open(onboarding=True)
    async with doors.dial("CP-9", OTHER) as client:
        await call(client, "BootNotification", BOOT)
        await done(doors, "reject", "CP-9")
        assert (await closed(client)).reason == "rejected"
    (ended,) = doors.place.facts(PendingEnded)
    assert (ended.claimed, ended.why, ended.by) == ("CP-9", "rejected", "anna")
    assert (await doors.refused("CP-9", OTHER)).status_code == 401
    assert not await pending(doors)


@pytest.mark.parametrize("verb", [RegistryVerb.ACCEPT, RegistryVerb.REJECT])
async def test_a_waiting_one_that_does_not_take_its_leave_keeps_no_operator_waiting(
    doors, call, verb
):
    await doors.open(onboarding=True)
    async with doors.dial("CP-9", OTHER) as client:
        await call(client, "BootNotification", BOOT)
        client.transport.pause_reading()  # it answers no close
        asking = asyncio.create_task(done(doors, verb, "CP-9"))
        await asyncio.wait({asking}, timeout=CLOSING_S / 2)
        assert asking.done()
        await asking
        client.transport.resume_reading()


async def test_who_claims_a_waiting_identity_with_another_password_does_not_get_it(doors, call):
    await doors.open(onboarding=True)
    async with doors.dial("CP-9", OTHER) as client:
        await call(client, "BootNotification", BOOT)
    assert (await doors.refused("CP-9", "a-guess-of-20-chars.")).status_code == 401
    await done(doors, "accept", "CP-9")
    async with doors.dial("CP-9", OTHER) as client:
        assert (await call(client, "BootNotification", BOOT))[2]["status"] == "Accepted"


@pytest.mark.parametrize("password", [None, "short", "x" * 65])
async def test_without_a_plausible_credential_nobody_waits(doors, password):
    await doors.open(onboarding=True)
    assert (await doors.refused("CP-9", password)).status_code == 401
    assert not await pending(doors)


async def test_one_that_waits_no_longer_is_forgotten_and_that_is_told(doors, call, monkeypatch):
    monkeypatch.setattr("ocpp_edge.onboarding.GONE_MS", 0)
    await doors.open(onboarding=True)
    async with doors.dial("CP-9", OTHER) as client:
        await call(client, "BootNotification", BOOT)
    await eventually(lambda: doors.place.facts(PendingEnded))
    assert [(it.claimed, it.why) for it in doors.place.facts(PendingEnded)] == [("CP-9", "gone")]


async def test_only_so_many_wait(doors):
    await doors.open(onboarding=True, onboarding_max=2)
    waiting = [await doors.dial(f"CP-{number}", OTHER) for number in (7, 8)]
    assert (await doors.refused("CP-9", OTHER)).status_code == 401
    assert [it.charge_point for it in await pending(doors)] == ["CP-7", "CP-8"]
    async with doors.dial("CP-1"):
        pass
    for client in waiting:
        await client.close()


async def test_one_with_the_site_s_certificate_waits_too_and_is_accepted_with_profile_3(
    doors, call
):
    await doors.open(onboarding=True)
    tls = doors.client_tls(doors.ca.client("CP-9"))
    assert (await doors.refused("CP-8", None, tls=tls)).status_code == 401
    async with doors.dial("CP-9", None, tls=tls) as client:
        assert (await call(client, "BootNotification", BOOT))[2]["status"] == "Pending"
    await done(doors, "accept", "CP-9")
    assert entries(doors)["CP-9"] == {"security_profile": 3}
    async with doors.dial("CP-9", None, tls=tls) as client:
        assert (await call(client, "BootNotification", BOOT))[2]["status"] == "Accepted"
