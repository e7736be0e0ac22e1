"""Goal: the nats-server that runs is the one meant, its configuration is what it says, and failures name the remedy."""

import ssl
from pathlib import Path

import pytest

from holdfast import subjects
from holdfast_cli import nats_server
from holdfast_cli.nats_server import NatsServer, NatsServerFailed, NatsServerMissing
from holdfast_cli.provision.certificates import ensure_ca, ensure_server_certificate
from holdfast_cli.provision.nats_conf import (
    CloudNode,
    SiteAccess,
    SiteNode,
    cloud_conf,
    site_conf,
)


def pretend_server(folder: Path, version: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "nats-server"
    path.write_text(f"#!/bin/sh\necho nats-server: v{version}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine on which the repository's own .tools is out of sight."""
    monkeypatch.setattr(nats_server, "__file__", str(tmp_path / "installed" / "nats_server.py"))
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_one_on_the_path_is_taken_when_it_is_new_enough(elsewhere: Path):
    unpacked = pretend_server(elsewhere / ".tools", "2.15.1")
    on_path = pretend_server(elsewhere / "path", "2.10.27")
    assert nats_server.find() == unpacked
    pretend_server(elsewhere / "path", "2.14.0")
    assert nats_server.find() == on_path


def test_the_unpacked_one_is_found_from_a_folder_below(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
):
    unpacked = pretend_server(elsewhere / ".tools", "2.15.1")
    below = elsewhere / "a" / "b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert nats_server.find() == unpacked


def test_none_that_will_do_is_said_in_one_line(elsewhere: Path):
    with pytest.raises(NatsServerMissing, match="run `make nats`"):
        nats_server.find()
    pretend_server(elsewhere / "path", "2.10.27")
    with pytest.raises(NatsServerMissing, match=r"is 2\.10\.27"):
        nats_server.find()


@pytest.mark.parametrize(
    ("said", "version"),
    [("nats-server: v2.15.1\n", (2, 15, 1)), ("v3.0.0-RC.1", (3, 0, 0)), ("nonsense", ())],
)
def test_a_version_is_read(said: str, version: tuple[int, ...]):
    assert nats_server.parse_version(said) == version


@pytest.mark.nats
async def test_a_server_that_does_not_start_leaves_its_last_words(tmp_path: Path):
    conf = tmp_path / "bad.conf"
    conf.write_text("listen: nowhere:99999999\n")
    with pytest.raises(NatsServerFailed, match="did not start"):
        await NatsServer(conf, log=tmp_path / "log").start()


def test_the_certificate_serves_the_names_it_was_made_for(tmp_path: Path):
    assert all(made for _, made in ensure_ca(tmp_path))
    names = ["127.0.0.1", "localhost"]
    assert all(made for _, made in ensure_server_certificate(tmp_path, "cloud", names))
    context = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    context.load_cert_chain(tmp_path / "cloud.pem", tmp_path / "cloud.key")
    assert (tmp_path / "cloud.key").stat().st_mode & 0o077 == 0
    assert (tmp_path / "ca.key").stat().st_mode & 0o077 == 0


def test_certificates_are_kept_until_their_names_change(tmp_path: Path):
    ensure_ca(tmp_path)
    ensure_server_certificate(tmp_path, "cloud", ["localhost"])
    ca = (tmp_path / "ca.pem").read_bytes()
    assert not any(made for _, made in ensure_ca(tmp_path))
    assert not any(made for _, made in ensure_server_certificate(tmp_path, "cloud", ["localhost"]))
    renamed = ensure_server_certificate(tmp_path, "cloud", ["cloud.example.com", "10.0.0.7"])
    assert all(made for _, made in renamed)
    assert (tmp_path / "ca.pem").read_bytes() == ca


def cloud_node(*sites: str) -> CloudNode:
    return CloudNode(
        listen="0.0.0.0:4222",
        leaf_listen="0.0.0.0:7422",
        store_dir=Path("/data"),
        cert_file=Path("/tls/cloud.pem"),
        key_file=Path("/tls/cloud.key"),
        ca_file=Path("/tls/ca.pem"),
        cloud_password='quo"ted',
        sys_password="s",
        sites=tuple(SiteAccess(site=site, password="p") for site in sites),
    )


def test_a_site_is_named_in_nobody_elses_permissions():
    lines = cloud_conf(cloud_node("berlin01", "munich01")).splitlines()
    begin = next(number for number, line in enumerate(lines) if '"munich01"' in line)
    assert not any("munich01" in line for line in lines[:begin])
    assert not any("berlin01" in line for line in lines[begin:])


def test_a_password_can_not_break_out_of_its_quotes():
    assert 'password: "quo\\"ted"' in cloud_conf(cloud_node())
    node = SiteNode(
        site="berlin01",
        listen="127.0.0.1:4222",
        store_dir=Path("/data"),
        ca_file=Path("/tls/ca.pem"),
        site_password="a",
        sys_password="b",
        leaf_password="p@ss/word:",
        leaf_urls=("cloud:7422",),
    )
    assert "tls://berlin01:p%40ss%2Fword%3A@cloud:7422" in site_conf(node)


@pytest.mark.parametrize("site", ["cloud", "a.b", "x>", 'a"b'])
def test_what_is_no_site_gets_no_permissions(site: str):
    with pytest.raises(subjects.SubjectError):
        cloud_conf(cloud_node(site))
