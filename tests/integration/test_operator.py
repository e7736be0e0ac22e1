"""An operator's day on the shipped processes: the `holdfast` command, as a shell runs it, against a world."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.processes, pytest.mark.nats, pytest.mark.timeout(900)]

HOLDFAST = Path(sys.executable).with_name("holdfast")
SITE = "berlin01"
DRAFT = """
version: 2
name: winter
default:
  authorise:
    autonomous: {ask_cloud: false, unknown: accept-flagged}
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """With simulated drivers, who come and go."""
    root = tmp_path_factory.mktemp("operated") / "world"
    log = (root.parent / "up.log").open("w")
    up = subprocess.Popen(
        [HOLDFAST, "up", "--world", root, "--site", SITE, "--charge-points", "3", "--simulate"],
        stdout=log,
        stderr=log,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        until(lambda: "running; Ctrl-C" in Path(log.name).read_text(), up)
        yield root
    finally:
        up.send_signal(signal.SIGTERM)
        up.wait(120)
        print(Path(log.name).read_text()[-4_000:])


def until(holds: Callable[[], bool], up: subprocess.Popen[bytes] | None = None) -> None:
    deadline = time.monotonic() + 300
    while not holds():
        assert up is None or up.poll() is None, "the world ended by itself"
        assert time.monotonic() < deadline
        time.sleep(0.5)


def mode(world: Path) -> str | None:
    """None until the monitor has heard of it."""
    told = asked(world, "status", SITE)["mode"]["value"]
    return told and told["mode"]


def run(world: Path, *words: str) -> tuple[int, str]:
    done = subprocess.run(
        [HOLDFAST, *words, "--world", world], capture_output=True, text=True, timeout=300, check=False
    )  # fmt: skip
    print(words, done.returncode, done.stdout[-2_000:], done.stderr[-2_000:])
    return done.returncode, done.stdout


def asked(world: Path, *words: str) -> Any:
    code, out = run(world, *words, "--json")
    assert code == 0
    return json.loads(out)


def test_an_operators_day(world: Path, tmp_path: Path) -> None:
    until(lambda: mode(world) == "connected")
    until(lambda: len(asked(world, "decisions", SITE)["decisions"]) > 1)
    first = asked(world, "decisions", SITE)["decisions"][0]["id"]
    for where in ((), ("--at", SITE)):
        told = asked(world, "explain", first, *where)
        assert [one["decided"] for one in told["considered"]].count(True) == 1
        assert told["grounds"]

    draft = tmp_path / "draft.yaml"
    draft.write_text(DRAFT)
    assert run(world, "rules", "publish", str(draft), "--site", SITE)[0] == 0
    until(lambda: (asked(world, "rules", "status", SITE)["active"] or {}).get("version") == 2)
    assert asked(world, "rules", "status", SITE)["desired"]["version"] == 2
    assert asked(world, "rules", "history", SITE)["history"][0]["name"] == "winter"
    assert "accept-flagged" in run(world, "rules", "show", "2", "--site", SITE)[1]
    assert run(world, "rules", "publish", str(draft), "--at", SITE, "--site", SITE)[0] == 2

    sent = ("command", "send", "CP-01", "TriggerMessage", "requestedMessage=Heartbeat", "--wait")
    delivered = asked(world, *sent)
    assert delivered["disposition"] == "delivered"
    about = asked(world, "explain", delivered["decision"])
    assert about["afterwards"] == f"command {delivered['id']} ended delivered"
    held = (
        "command",
        "send",
        "CP-01",  # of 1.6, as the type says
        "Reset",
        "type=Hard",
        "--deadline",
        "20min",
        "--id",
        "hard-1",
    )
    assert run(world, *held)[0] == 0
    until(lambda: any(row["held"] for row in asked(world, "command", "list", SITE)["commands"]))
    assert run(world, "command", "cancel", "hard-1", "--by", "night desk")[0] == 0
    until(lambda: asked(world, "command", "show", "hard-1")["disposition"] == "superseded")
    assert asked(world, "command", "show", "hard-1")["words"] == ["cancel by night desk"]

    tokens = tmp_path / "tokens.csv"
    tokens.write_text("driver_token,status\nTAG-9,Blocked\n")
    assert run(world, "driver-tokens", "publish", str(tokens), "--version", "7")[0] == 0
    assert run(world, "driver-tokens", "add", "TAG-8")[0] == 0
    until(lambda: asked(world, "driver-tokens", "status")["version"] == 8)

    for where in ((), ("--at", SITE)):
        again = asked(world, "rules", "test", *where)
        assert again["total"] == again["equal"] > 1
    candidate = tmp_path / "strict.yaml"
    candidate.write_text("version: 3\ncommands: {}\n")
    strict = asked(world, "rules", "test", "--candidate", str(candidate))
    changed = {one["decision"]: one["now"]["outcome"] for one in strict["differing"]}
    assert changed[delivered["decision"]] == "refused"
    assert strict["total"] == strict["equal"] + len(changed) + len(strict["unexplained"])

    begin = ("override", "begin", "maintenance", "--for", "20min", "--why", "fuse", "--at", SITE)
    assert run(world, *begin)[0] == 0
    until(lambda: asked(world, "override", "show")["mode"] == "autonomous")
    assert run(world, "override", "end")[0] == 0
    until(lambda: asked(world, "override", "show")["overrides"] == [])
