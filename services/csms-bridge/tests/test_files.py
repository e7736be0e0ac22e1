"""Goal: a backends file that is wrong is said with field and remedy, and never takes a running bridge down."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from csms_bridge.adapters.backends import Backends, read
from csms_bridge.config import Config
from holdfast.settings import ConfigError

MAIN: dict[str, Any] = {"name": "main", "url": "ws://main/ocpp"}
NEXT: dict[str, Any] = {"name": "next", "url": "ws://next/ocpp"}


def write(folder: Path, **parts: Any) -> Path:
    path = folder / "backends.yaml"
    document = {"backends": [MAIN, NEXT], "routes": [{"site": "berlin01", "primary": "main"}]}
    path.write_text(yaml.safe_dump({**document, **parts}))
    return path


def test_the_first_route_that_matches_counts(tmp_path: Path):
    backends = Backends(
        write(
            tmp_path,
            groups={"depots": ["berlin01", "munich01"]},
            routes=[
                {"site": "berlin01", "charge_points": ["CP-7"], "primary": "next"},
                {"group": "depots", "primary": "main", "followers": ["next"]},
            ],
        )
    )
    seven = [(role.backend.name, role.primary) for role in backends.roles("berlin01", "CP-7")]
    other = [(role.backend.name, role.primary) for role in backends.roles("munich01", "CP-1")]
    assert seven == [("next", True)]
    assert other == [("main", True), ("next", False)]
    assert backends.roles("paris01", "CP-1") == ()
    assert backends.sites() == {"berlin01", "munich01"}


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"backends": []}, "backends: "),
        ({"backends": [{**MAIN, "url": "http://main"}]}, "url: "),
        ({"backends": [{**MAIN, "url": "ws://user:secret@main/ocpp"}]}, "url: "),
        ({"backends": [MAIN, MAIN]}, "two backends have one name"),
        ({"backends": [{**MAIN, "colour": "red"}]}, "colour"),
        ({"routes": [{"site": "berlin01", "primary": "nobody"}]}, "'nobody', which is not there"),
        ({"routes": [{"primary": "main"}]}, "give site or group"),
        ({"routes": [{"group": "none", "primary": "main"}]}, "group 'none'"),
        (
            {"routes": [{"site": "a", "primary": "main", "followers": ["main"]}]},
            "each backend stands once",
        ),
        (
            {"backends": [{**MAIN, "auth": {"kind": "basic"}}]},
            "give password_file or passwords_file",
        ),
        (
            {
                "backends": [
                    {
                        **MAIN,
                        "auth": {"kind": "certificate", "certificate_file": "c", "key_file": "k"},
                    }
                ]
            },
            "a certificate needs a wss:// url",
        ),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, parts: dict[str, Any], said: str):
    path = write(tmp_path, **parts)
    with pytest.raises(ConfigError, match="correct this field") as caught:
        read(path)
    assert said in str(caught.value)
    assert str(path) in str(caught.value)


def test_no_file_and_no_yaml_are_said(tmp_path: Path):
    with pytest.raises(ConfigError, match="can't be read"):
        read(tmp_path / "none.yaml")
    (tmp_path / "odd.yaml").write_text("backends: [")
    with pytest.raises(ConfigError, match="not YAML"):
        read(tmp_path / "odd.yaml")


def test_a_file_that_turns_wrong_leaves_what_was_read_before(tmp_path: Path):
    backends = Backends(write(tmp_path))
    assert not backends.changed()
    write(tmp_path, routes=[{"site": "berlin01", "primary": "main", "followers": ["next"]}])
    assert backends.changed()
    (tmp_path / "backends.yaml").write_text("routes: [")
    with pytest.raises(ConfigError):
        backends.changed()
    assert [role.backend.name for role in backends.roles("berlin01", "CP-1")] == ["main", "next"]
    assert not backends.changed(), "the same wrong file is said once"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"lease_ms": 2_000}, "three beats"),
        ({"give_up_ms": 5_000}, "answer_ms"),
        ({"scope": "site"}, "scope site needs"),
        ({"instance": "a b"}, "instance"),
    ],
)
def test_a_configuration_that_can_not_work_is_refused(
    tmp_path: Path, changes: dict[str, Any], said: str
):
    values = {
        "scope": "cloud",
        "nats_url": "nats://x",
        "nats_user": "x",
        "nats_password_file": str(tmp_path / "p"),
        "data_dir": str(tmp_path),
        "instance": "bridge-1",
        "backends_file": str(tmp_path / "b.yaml"),
        **changes,
    }
    path = tmp_path / "bridge.toml"
    path.write_text("".join(f"{key} = {value!r}\n" for key, value in values.items()))
    with pytest.raises(ConfigError, match=said):
        Config.load(path)
