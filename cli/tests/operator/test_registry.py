"""Goal: an operator says who may connect by a command line; a password is shown once, and only its hash leaves.

Method: the shipped monitor over a simulated bus; the site's registry is a responder that remembers what it was asked.
"""

from __future__ import annotations

import io
import json

import pytest

from holdfast.contracts.charge_point import ChargePointConnected
from holdfast.contracts.registry import (
    ChargePointRegistered,
    ChargePointUnregistered,
    PendingChargePoint,
    RegistryReply,
    RegistryRequest,
    RegistryVerb,
)
from holdfast.ocpp.versions import OcppVersion
from holdfast.passwords import matches
from holdfast_cli.main import _parser
from holdfast_cli.operator.arguments import parse

both = pytest.mark.parametrize("scope", ["site", "cloud"])
WAITING = PendingChargePoint(
    charge_point="CP-9", security_profile=1, address="10.0.0.9", version=OcppVersion.V16, connected=True,
    since_ms=1_750_000_000_000, heard_ms=1_750_000_000_000, vendor="ACME\x1b[31m", model="One",
)  # fmt: skip
DONE = RegistryReply(status="done", pending=(WAITING,))


async def connected(world):
    """The site is known by what it said."""
    fact = ChargePointConnected(charge_point="CP-1", connection="x", protocol="ocpp1.6", remote="a")
    await world.tell(fact)


@pytest.fixture
def registry():
    async def begin(world, reply=DONE):
        await world.serve("charge-point-registry", RegistryRequest, lambda _: reply, at_site=True)

    return begin


@both
async def test_a_password_is_shown_once_and_only_its_hash_is_sent(a_monitor, registry, scope):
    async with a_monitor(scope, connected) as world:
        await registry(world)
        said = await world.ask(
            "charge-points", "add", "CP-9", "--profile", "2", "--site", "berlin01"
        )
        assert said.code == 0, said.err
        password = said.out.split("shown once: ")[1].strip()
        ((_, asked),) = world.asked
        assert (asked.verb, asked.charge_point, asked.security_profile) == (
            RegistryVerb.ADD,
            "CP-9",
            2,
        )
        assert matches(asked.password_scrypt, password)
        assert asked.password_random
        assert asked.by
        assert password not in asked.model_dump_json()


async def test_a_password_of_one_s_own_comes_from_a_file_or_standard_input(
    a_monitor, registry, tmp_path, monkeypatch
):
    file = tmp_path / "secret"
    file.write_text("a-password-of-20-ch.\n")
    async with a_monitor("site", connected) as world:
        await registry(world)
        for source in (str(file), "-"):
            monkeypatch.setattr("sys.stdin", io.StringIO(file.read_text()))
            said = await world.ask("charge-points", "password", "CP-1", "--password-file", source)
            assert (said.code, "a-password" in said.out + said.err) == (0, False)
        for _, asked in world.asked:
            assert matches(asked.password_scrypt, "a-password-of-20-ch.")
            assert not asked.password_random
        file.write_text("short")
        said = await world.ask("charge-points", "password", "CP-1", "--password-file", str(file))
        assert (said.code, "16 to 64" in said.err) == (2, True)
        assert len(world.asked) == 2


async def test_each_verb_asks_the_site_s_registry(a_monitor, registry):
    async with a_monitor("site", connected) as world:
        await registry(world)
        for words in (
            ("remove", "CP-9"), ("accept", "CP-9"), ("reject", "CP/ä 9"),
            ("profile", "CP-9", "3", "--at-once", "--certificate-cn", "SN"), ("add", "CP-8", "--profile", "3"),
        ):  # fmt: skip
            said = await world.ask("charge-points", *words, "--by", "anna")
            assert said.code == 0, said.err
            assert "password" not in said.out
        asked = [one for _, one in world.asked]
        assert [one.verb.value for one in asked] == ["remove", "accept", "reject", "profile", "add"]
        assert {one.by for one in asked} == {"anna"}
        assert asked[2].charge_point == "CP/ä 9"
        assert (asked[3].security_profile, asked[3].at_once, asked[3].certificate_cn) == (
            3,
            True,
            "SN",
        )
        assert asked[4].password_scrypt is None


async def test_who_waits_is_listed_and_what_it_says_of_itself_is_shown_safely(a_monitor, registry):
    async with a_monitor("site", connected) as world:
        await registry(world)
        said = await world.ask("charge-points", "pending")
        assert said.code == 0
        assert "CP-9" in said.out
        assert "10.0.0.9" in said.out
        assert "\x1b" not in said.out
        told = json.loads((await world.ask("charge-points", "pending", "--json")).out)
        assert told["pending"][0]["model"] == "One"


async def test_a_refusal_is_told_with_its_reason_and_shows_no_password(a_monitor, registry):
    async with a_monitor("site", connected) as world:
        await registry(
            world, RegistryReply(status="refused", reason="'CP-1' is registered already")
        )
        said = await world.ask("charge-points", "add", "CP-1")
        assert (said.code, "registered already" in said.err, "shown once" in said.out) == (
            1,
            True,
            False,
        )


@pytest.mark.parametrize(
    "words",
    [
        ("--api", "URL", "remove", "CP-9", "--by", "anna"),
        ("--api=URL", "--json", "remove", "CP-9", "--by", "anna"),
        ("remove", "--by", "anna", "CP-9"),
    ],
)
def test_a_verb_of_the_registry_is_found_behind_options_too(words):
    arguments = parse(_parser(), ["charge-points", *words])
    assert (arguments.charge_point, arguments.by) == ("CP-9", "anna")


@pytest.mark.parametrize("words", [("--api", "add", "berlin01"), ("--json", "berlin01"), ("-h",)])
def test_the_value_of_an_option_is_no_verb(words, capsys):
    try:
        arguments = parse(_parser(), ["charge-points", *words])
    except SystemExit:
        assert "charge-points" in capsys.readouterr().out
    else:
        assert arguments.site == "berlin01"


async def test_who_may_connect_is_listed_with_its_profile_before_it_ever_came(a_monitor):
    async with a_monitor("cloud", connected) as world:
        for number in range(120):
            await world.tell(
                ChargePointRegistered(
                    charge_point=f"X-{number:03}", security_profile=2, next_security_profile=3,
                    password_changed=True, by="anna",
                )
            )  # fmt: skip
        said = await world.ask("charge-points", "list")
        assert "never connected" in said.out
        assert "2, then 3" in said.out
        assert "X-119" in said.out
        rows = json.loads((await world.ask("charge-points", "list", "--json")).out)
        assert len(rows["charge_points"]) == 121
        await world.tell(ChargePointUnregistered(charge_point="X-119", by="anna"))
        assert "X-119" not in (await world.ask("charge-points", "list")).out


async def test_the_list_of_charge_points_is_still_asked_for_by_its_site(a_monitor, registry):
    async with a_monitor("site", connected) as world:
        said = await world.ask("charge-points", "berlin01")
        assert said.code == 0
