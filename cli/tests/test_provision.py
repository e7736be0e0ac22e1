"""Provisioning: once made nothing changes, and secrets are readable by their owner only."""

import stat
import tomllib
from pathlib import Path

import pytest

from holdfast_cli.provision.layout import ProvisionError, World
from holdfast_cli.provision.rules import default_rules_text, laid_over_default
from holdfast_cli.provision.secrets import write_private
from holdfast_cli.provision.services import toml
from holdfast_cli.provision.step import provision


def make(
    root: Path, *, charge_points: int = 2, sites: tuple[str, ...] = ("berlin01",)
) -> tuple[World, list[str]]:
    return provision(
        root, sites=sites, charge_points=charge_points, rules_text=default_rules_text()
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
    public = {"ca.pem", "cloud.pem"}
    assert all(stat.S_IMODE(p.stat().st_mode) == 0o600 for p in files if p.name not in public)
    assert stat.S_IMODE(world.secrets.stat().st_mode) == 0o700


def test_no_password_stands_in_a_service_configuration(tmp_path: Path):
    world, _ = make(tmp_path / "world")
    password = (world.secrets / "cloud.password").read_text().strip()
    assert all(password not in path.read_text() for path in world.conf.rglob("*.toml"))


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
