"""Goal: of a command with several parts what newer ones set anew is not sent, the rest is, and it is said which."""

from __future__ import annotations

import datetime
import hashlib
import json

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from holdfast.contracts.command import CommandDispatched, CommandSettled, Disposition, Issuer
from holdfast.ocpp.versions import OcppVersion
from ocpp_edge.domain import certificates


@pytest.fixture
def away(new_bench):
    """A station of 2.0.1 that is not there now: commands wait for it."""
    bench = new_bench()
    bench.connect(OcppVersion.V201)
    bench.disconnect()
    return bench


def of(name, **more):
    return {"component": {"name": "Ctrlr"}, "variable": {"name": name}, **more}


def set_variables(bench, id, issuer=Issuer.CLOUD, **values):
    data = [of(name, attributeValue=value) for name, value in values.items()]
    return bench.command(id, "SetVariables", issuer=issuer, setVariableData=data)


def sent(bench):
    return [
        {one["variable"]["name"]: one["attributeValue"] for one in payload["setVariableData"]}
        for _, _, payload in bench.sent
    ]


def take(bench, *names):
    """The station takes these of what was sent last."""
    results = [of(name, attributeStatus="Accepted") for name in names]
    bench.answer(bench.sent[-1][0], {"setVariableResult": results})


def settled(bench, id):
    (fact,) = [fact for fact in bench.facts(CommandSettled) if fact.command.id == id]
    return fact


def test_what_a_newer_command_sets_is_not_sent_and_the_rest_is(away):
    older = set_variables(away, "c1", A="1", B="1")
    set_variables(away, "c2", A="2")
    away.connect(OcppVersion.V201)
    take(away, "B")
    take(away, "A")
    assert sent(away) == [{"B": "1"}, {"A": "2"}]
    fact = settled(away, "c1")
    assert (fact.disposition, fact.command) == (Disposition.DELIVERED, older)
    assert fact.reason == "without what newer commands set: ctrlr.a (command c2)"
    dispatched = away.facts(CommandDispatched)[0]
    assert (dispatched.reason, len(dispatched.payload["setVariableData"])) == (fact.reason, 1)
    values = [away.state.known.local.value(f"configuration/Ctrlr.{name}") for name in "AB"]
    assert values == ["2", "1"]
    assert settled(away, "c2").reason == ""


def test_with_nothing_left_it_is_superseded_by_all_of_them(away):
    set_variables(away, "c1", A="1", B="1")
    set_variables(away, "c2", A="2")
    set_variables(away, "c3", B="3")
    fact = settled(away, "c1")
    assert (fact.disposition, fact.reason) == (Disposition.SUPERSEDED, "by commands c2, c3")


def test_a_newer_one_that_went_first_still_counts(away):
    """Held for an operator's word, the older comes after it."""
    set_variables(away, "c1", A="1", B="1")
    usual = away.admit
    away.admit = lambda command: None if command.id == "c1" else usual(command)
    set_variables(away, "c2", A="2")
    away.connect(OcppVersion.V201)
    away.crash()
    away.admit = usual
    away.connect(OcppVersion.V201)
    assert sent(away)[0] == {"B": "1"}


def test_the_cloud_takes_nothing_from_what_is_commanded_at_the_site(away):
    set_variables(away, "c1", Issuer.OPERATOR_AT_SITE, A="1", B="1")
    set_variables(away, "c2", A="2")
    away.connect(OcppVersion.V201)
    assert sent(away) == [{"A": "1", "B": "1"}]
    assert away.facts(CommandDispatched)[0].payload is None


@pytest.mark.parametrize("crash", [False, True])
def test_without_an_answer_it_is_settled_by_what_was_sent_of_it(away, crash):
    set_variables(away, "c1", A="1", B="1")
    set_variables(away, "c2", A="2")
    away.connect(OcppVersion.V201)
    if crash:
        away.crash()
        away.connect(OcppVersion.V201)
    away.tick(10 * away.policy.answer_ms_max)
    assert "without what newer commands set" in settled(away, "c1").reason
    take(away, "A")
    away.command("ask", "GetVariables", getVariableData=[of("B")])
    result = of("B", attributeStatus="Accepted", attributeValue="1")
    away.answer(away.sent[-1][0], {"getVariableResult": [result]})
    (seen,) = [fact for _, _, fact in away.journal if getattr(fact, "command_id", "") == "c1"]
    assert seen.took_effect


def test_the_same_command_again_is_still_the_same(away):
    set_variables(away, "c1", A="1", B="1")
    set_variables(away, "c2", A="2")
    away.connect(OcppVersion.V201)
    take(away, "B")
    set_variables(away, "c1", A="1", B="1")
    assert not away.refused


def test_one_key_of_1_6_goes_as_a_whole(bench):
    bench.disconnect()
    bench.command("c1", "ChangeConfiguration", key="A", value="1")
    bench.command("c2", "ChangeConfiguration", key="a", value="2")
    fact = settled(bench, "c1")
    assert (fact.disposition, fact.reason) == (Disposition.SUPERSEDED, "by command c2")


# --- certificates ---


def certificate(serial):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "A CA")])
    day = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(day)
        .not_valid_after(day + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM).decode()
    install = {"certificateType": "CSMSRootCertificate", "certificate": pem}
    named = {
        "hashAlgorithm": "SHA256",
        "issuerNameHash": hashlib.sha256(name.public_bytes()).hexdigest().upper(),
        "issuerKeyHash": "0" * 64,
        "serialNumber": f"{serial:x}",
    }
    return install, {"certificateHashData": named}


@pytest.mark.parametrize("first", ["InstallCertificate", "DeleteCertificate"])
def test_of_a_certificates_installation_and_deletion_the_newer_is_sent(away, first):
    install, delete = certificate(0xAB12)
    order = [("InstallCertificate", install), ("DeleteCertificate", delete)]
    if first == "DeleteCertificate":
        order.reverse()
    for number, (action, payload) in enumerate(order):
        away.command(f"c{number}", action, **payload)
    assert settled(away, "c0").disposition is Disposition.SUPERSEDED
    away.connect(OcppVersion.V201)
    assert [action for _, action, _ in away.sent] == [order[1][0]]


def test_other_certificates_stand_for_themselves():
    install, delete = certificate(7)
    assert certificates.is_named_by(install, delete)
    assert not certificates.is_named_by(certificate(8)[0], delete)
    hash_data = delete["certificateHashData"]
    for wrong in (
        {"issuerNameHash": "0" * 64},
        {"hashAlgorithm": "SHA512"},
        {"hashAlgorithm": "MD5"},
        {"serialNumber": "zz"},
    ):
        assert not certificates.is_named_by(
            install, {"certificateHashData": {**hash_data, **wrong}}
        )
    for nonsense in (
        "",
        "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----",
        7,
        "\udcff",
    ):
        assert not certificates.is_named_by({"certificate": nonsense}, delete)
    assert not certificates.is_named_by(install, json.loads('{"certificateHashData": []}'))
