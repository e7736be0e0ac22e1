"""Goal: a supervisor learns from the exit code what happened, and people from one line.

The frame is run as what it is: a process of its own.
"""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from holdfast_testkit.nats_server import SECRET, single_server

SCRIPT = """
import asyncio, sys
from holdfast import service
from holdfast.bus import StreamGone
from holdfast.recorder import IncarnationChanged
from holdfast.service import Context
from holdfast.settings import ServiceConfig

async def app(context: Context[ServiceConfig]) -> None:
    what = sys.argv[-1]
    print("running", flush=True)
    match what:
        case "incarnation": raise IncarnationChanged("another life")
        case "nested":
            async with asyncio.TaskGroup() as group:
                group.create_task(gone())
        case "fault": raise ValueError("unforeseen")
        case "wait": await asyncio.sleep(3600)
        case "done": return

async def gone() -> None:
    raise StreamGone("no journal")

argv = sys.argv[1:-1]
sys.exit(service.run("tested", "a service under test", ServiceConfig, app, argv))
"""


def config(tmp_path: Path, url: str) -> Path:
    (tmp_path / "password").write_text(SECRET)
    path = tmp_path / "tested.toml"
    path.write_text(
        f'scope = "cloud"\nnats_url = "{url}"\nnats_user = "cloud"\n'
        f'nats_password_file = "{tmp_path / "password"}"\ndata_dir = "{tmp_path}"\n'
    )
    return path


def command(path: Path, what: str) -> list[str]:
    return [sys.executable, "-c", SCRIPT, "--config", str(path), what]


def run(path: Path, what: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(path, what), capture_output=True, text=True, timeout=100)


def test_a_configuration_that_can_not_be_used_is_2(tmp_path: Path):
    path = tmp_path / "tested.toml"
    path.write_text("nats_user = 3\n")
    ended = run(path, "done")
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert "tested.toml" in ended.stderr


def test_the_configuration_can_be_looked_at_without_a_server(tmp_path: Path):
    path = config(tmp_path, "nats://127.0.0.1:1")
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT, "--config", str(path), "--check-config", "x"],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert ended.returncode == 0
    assert '"nats_user": "cloud"' in ended.stdout
    assert SECRET not in ended.stdout


def test_a_server_that_is_not_there_is_69(tmp_path: Path):
    ended = run(config(tmp_path, "nats://127.0.0.1:1"), "done")
    assert ended.returncode == 69
    assert "no nats-server at nats://127.0.0.1:1" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.nats
@pytest.mark.parametrize(
    ("what", "code", "said"),
    [
        ("done", 0, "started"),
        ("incarnation", 75, "starting afresh: another life"),
        ("nested", 75, "starting afresh: no journal"),
        ("fault", 70, "unforeseen"),
    ],
)
async def test_the_exit_code_tells_what_happened(tmp_path: Path, what: str, code: int, said: str):
    async with single_server(tmp_path) as server:
        ended = run(config(tmp_path, server.url), what)
    assert (ended.returncode, said in ended.stderr) == (code, True), ended.stderr
    assert ("Traceback" in ended.stderr) == (code == 70)


@pytest.mark.nats
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_asked_to_stop_it_ends_with_0(tmp_path: Path, number: signal.Signals):
    async with single_server(tmp_path) as server:
        path = config(tmp_path, server.url)
        process = await asyncio.create_subprocess_exec(
            *command(path, "wait"), stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        assert await process.stdout.readline() == b"running\n"
        process.send_signal(number)
        assert await asyncio.wait_for(process.wait(), 60) == 0


@pytest.mark.nats
async def test_wrong_credentials_are_69(tmp_path: Path):
    async with single_server(tmp_path) as server:
        path = config(tmp_path, server.url)
        (tmp_path / "password").write_text("wrong")
        ended = run(path, "done")
    assert ended.returncode == 69
    assert "refuses user 'cloud'" in ended.stderr
