"""Provisioning: once made nothing changes, and secrets are readable by their owner only."""

import json
import ssl
import stat
import tomllib
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from csms_bridge.adapters.backends import Backends, password_of
from csms_bridge.config import Config as BridgeConfig
from holdfast.contracts.rules import SignedRules
from holdfast_cli.main import main
from holdfast_cli.provision.layout import CLOUD, ProvisionError, World, load_world
from holdfast_cli.provision.rules import default_rules_text, laid_over_default
from holdfast_cli.provision.secrets import write_private
from holdfast_cli.provision.services import toml
from holdfast_cli.provision.step import provision
from ocpp_edge.config import Config as EdgeConfig
from rule_service.domain.bundle import sound


def make(
    root: Path, *, charge_points: int = 2, sites: tuple[str, ...] = ("berlin01",), **more: Any
) -> tuple[World, list[str]]:
    return provision(
        root, sites=sites, charge_points=charge_points, rules_text=default_rules_text(), **more
    )


def test_the_second_time_there_is_nothing_to_do(tmp_path: Path):
    _, first = make(tmp_path / "world")
    _, second = make(tmp_path / "world")
    assert first
    assert second == []


def test_secrets_are_private(tmp_path: Path):
    world, _ = make(tmp_path / "world")
    files = [path for path in world.secrets.rglob("*") if path.is_file()]
    assert files
    # Certificates are for everybody; the folder they are in is not.
    assert all(stat.S_IMODE(p.stat().st_mode) == 0o600 for p in files if p.suffix != ".pem")
    assert stat.S_IMODE(world.secrets.stat().st_mode) == 0o700


def test_charge_points_come_by_the_profiles_they_are_given_with_certificates_of_their_site(
    tmp_path: Path,
):
    world, _ = make(
        tmp_path / "world", sites=("berlin01", "munich01"), security_profiles={"CP-03": 3}
    )
    registry = json.loads((world.conf / "munich01" / "charge-points.json").read_text())
    assert [it.get("security_profile", 1) for it in registry.values()] == [3, 1]
    folder = world.ocpp_tls("munich01")
    context = ssl.create_default_context(cafile=folder / "ca.pem")
    context.load_cert_chain(folder / "CP-03.pem", folder / "CP-03.key")
    edge = EdgeConfig.load(world.config("munich01", "ocpp-edge"))
    assert edge.client_ca_file == folder / "ca.pem"
    assert str(edge.tls_port) in world.ocpp_tls_url("munich01")
    other = (world.ocpp_tls("berlin01") / "ca.pem").read_bytes()
    assert other != (folder / "ca.pem").read_bytes()


def test_a_revoked_certificate_stands_in_the_crl_for_good_and_another_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    world, _ = make(tmp_path / "world")
    folder = world.ocpp_tls("berlin01")
    assert EdgeConfig.load(world.config("berlin01", "ocpp-edge")).client_crl_file == (
        folder / "crl.pem"
    )
    stolen = [serial(folder / "CP-01.pem")]
    for _ in range(2):
        with pytest.raises(SystemExit) as done:
            main(["revoke", "CP-01", "--world", str(world.root)])
        assert done.value.code == 0
        assert "taken back" in capsys.readouterr().out
        stolen.append(serial(folder / "CP-01.pem"))
    assert make(tmp_path / "world")[1] == []
    ca = x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes())
    crl = x509.load_pem_x509_crl((folder / "crl.pem").read_bytes())
    assert crl.is_signature_valid(ca.public_key())
    assert [one.serial_number for one in crl] == stolen[:2]
    assert len(set(stolen)) == 3
    for name in ("CP-99", "../berlin01/CP-01", "server"):
        with pytest.raises(SystemExit):
            main(["revoke", name, "--world", str(world.root)])
        assert "has no certificate" in capsys.readouterr().err


def serial(path: Path) -> int:
    return x509.load_pem_x509_certificate(path.read_bytes()).serial_number


def test_what_an_operator_did_to_the_registry_stands(tmp_path: Path):
    world, _ = make(tmp_path / "world")
    path = world.conf / "berlin01" / "charge-points.json"
    registry = json.loads(path.read_text())
    del registry["CP-02"]
    registry["CP-01"]["security_profile"] = 2
    path.write_text(json.dumps(registry, indent=2) + "\n")
    assert make(tmp_path / "world")[1] == []
    assert json.loads(path.read_text()) == registry


def test_no_password_stands_in_a_service_configuration(tmp_path: Path):
    world, _ = make(tmp_path / "world")
    password = (world.secrets / "cloud.password").read_text().strip()
    assert all(password not in path.read_text() for path in world.conf.rglob("*.toml"))


def test_both_bridges_reach_the_csms_for_every_charge_point(tmp_path: Path):
    world, _ = make(tmp_path / "world", sites=("berlin01", "munich01"))
    bridges = [
        BridgeConfig.load(world.config(CLOUD, it)) for it in ("csms-bridge", "csms-bridge-2")
    ]
    assert [it.instance for it in bridges] == ["bridge-1", "bridge-2"]
    assert len({it.health_port for it in bridges}) == len({it.data_dir for it in bridges}) == 2
    csms = json.loads(world.csms_config.read_text())
    own: dict[str, str] = {}
    for site in world.plan.sites:
        own |= json.loads((world.secrets / f"{site}.charge-points.json").read_text())
    assert list(own) == list(csms["passwords"]) == ["CP-01", "CP-02", "CP-03", "CP-04"]
    assert csms["tokens"]["DRIVER-BLOCKED"] == "Blocked"
    backends = Backends(bridges[0].backends_file)
    for site in world.plan.sites:
        for charge_point in world.plan.charge_point_ids(site):
            (role,) = backends.roles(site, charge_point)
            password = password_of(role.backend, world.conf, charge_point)
            assert password == csms["passwords"][charge_point] != own[charge_point]
            assert role.backend.url == world.csms_url
    rules = tomllib.loads(world.config(CLOUD, "rule-service").read_text())
    assert rules["csms_sites"] == ["berlin01", "munich01"]


def test_what_a_drill_says_of_csms_and_bridge_is_laid_over(tmp_path: Path):
    quirks = {"black_hole": True}
    world, _ = make(
        tmp_path / "world", csms={"kind": "steve", "quirks": quirks}, bridge={"lease_ms": 4_321}
    )
    csms = json.loads(world.csms_config.read_text())
    assert (csms["kind"], csms["quirks"]) == ("steve", quirks)
    assert len(csms["passwords"]) == 2
    for process in ("csms-bridge", "csms-bridge-2"):
        assert BridgeConfig.load(world.config(CLOUD, process)).lease_ms == 4_321


def test_the_csms_s_passwords_are_kept_and_are_nobody_else_s_to_read(tmp_path: Path):
    world, _ = make(tmp_path / "world")
    first = world.csms_passwords.read_text()
    world.csms_config.unlink()
    make(tmp_path / "world")
    assert world.csms_passwords.read_text() == first
    assert stat.S_IMODE(world.csms_config.stat().st_mode) == 0o600


def test_a_world_of_before_the_csms_is_refused_with_what_now(tmp_path: Path):
    older(tmp_path, "csms.ocpp")
    with pytest.raises(
        ProvisionError, match=r"older Holdfast, without csms\.ocpp: delete that folder"
    ):
        load_world(tmp_path)
    with pytest.raises(ProvisionError, match="provision anew"):
        make(tmp_path)


def older(root: Path, port: str) -> None:
    make(root)
    record = json.loads((root / "world.json").read_text())
    del record["ports"][port]
    (root / "world.json").write_text(json.dumps(record))


def test_a_lost_file_is_made_again_and_said(tmp_path: Path):
    world, _ = make(tmp_path / "world")
    world.config("berlin01", "journal").unlink()
    _, changes = make(tmp_path / "world")
    assert changes == ["made conf/berlin01/journal.toml"]


def test_another_plan_for_the_same_folder_is_refused(tmp_path: Path):
    make(tmp_path / "world")
    with pytest.raises(ProvisionError, match="charge points"):
        make(tmp_path / "world", charge_points=3)


@pytest.mark.parametrize("site", ["cloud", "Berlin", "a.b", "x" * 40, ""])
def test_a_name_that_is_no_site_is_refused(tmp_path: Path, site: str):
    with pytest.raises(ProvisionError, match="site"):
        make(tmp_path / "world", sites=(site,))


def test_rules_that_are_no_rules_are_named_before_anything_is_made(tmp_path: Path):
    with pytest.raises(ProvisionError, match=r"mine\.yaml.*modes\.speed"):
        provision(
            tmp_path / "world", sites=("berlin01",), charge_points=1,
            rules_text=laid_over_default({"modes": {"speed": 1}}), rules_name="mine.yaml",
        )  # fmt: skip
    assert not (tmp_path / "world").exists()


def test_a_write_that_fails_leaves_the_old_secret_and_no_rest(tmp_path: Path, monkeypatch):
    path = tmp_path / "secrets" / "it.key"
    write_private(path, b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("holdfast_cli.provision.secrets.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_private(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]


def test_toml_is_read_back_as_it_was_meant():
    values = {"a": 'x"y\\z', "b": 3, "c": True, "d": ["p", "q"], "e": {"k-1": "v"}}
    assert tomllib.loads(toml(values)) == values


def test_each_site_gets_the_first_bundle_that_a_draft_has_for_it(tmp_path: Path):
    sites = ("berlin01", "munich01")
    draft = "version: 2\nsites:\n  munich01:\n    modes: {latch_ms: 7}\n"
    world, _ = provision(tmp_path / "world", sites=sites, charge_points=1, rules_text=draft)
    for site, latch_ms in zip(sites, (30_000, 7), strict=True):
        signed = SignedRules.from_bytes((world.conf / site / "rules.json").read_bytes())
        rules = sound(signed).rules
        assert (rules.site, rules.version, rules.modes.latch_ms) == (site, 2, latch_ms)


def test_rules_with_a_clause_that_stands_twice_are_not_provisioned(tmp_path: Path):
    with pytest.raises(ProvisionError, match="stands twice"):
        provision(
            tmp_path / "world",
            sites=("berlin01",),
            charge_points=1,
            rules_text="version: 1\nversion: 2\n",
        )
    assert not (tmp_path / "world").exists()
