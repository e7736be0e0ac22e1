"""A drill deletes nothing but a drill's world, and nobody touches a world that is running."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from holdfast_cli.main import main
from holdfast_cli.provision.layout import MadeBy, ProvisionError, load_world
from holdfast_cli.provision.rules import default_rules_text
from holdfast_cli.provision.step import provision
from holdfast_cli.world.lock import held
from holdfast_cli.world.replace import clear_drill


def make(root: Path, made_by: MadeBy) -> None:
    provision(
        root, sites=("berlin01",), charge_points=1, rules_text=default_rules_text(), made_by=made_by
    )


def test_a_world_that_no_drill_made_is_kept(tmp_path: Path):
    make(tmp_path, "up")
    with pytest.raises(ProvisionError, match="no drill made"):
        clear_drill(tmp_path)
    assert (tmp_path / "secrets" / "rules.key").exists()


def test_a_world_without_the_mark_counts_as_one_to_keep(tmp_path: Path):
    make(tmp_path, "drill")
    record = tmp_path / "world.json"
    record.write_text(record.read_text().replace(',\n  "made_by": "drill"', ""))
    assert load_world(tmp_path).plan.made_by == "up"


def test_a_folder_with_a_world_s_names_but_no_record_is_kept(tmp_path: Path):
    (tmp_path / "data").mkdir()
    with pytest.raises(ProvisionError, match=r"no world\.json"):
        clear_drill(tmp_path)


def test_a_drill_s_world_goes_and_its_last_report_and_foreign_files_stay(tmp_path: Path):
    make(tmp_path, "drill")
    (tmp_path / "report.json").write_text("last")
    (tmp_path / "notes.txt").write_text("mine")
    clear_drill(tmp_path)
    assert {it.name: it.read_text() for it in tmp_path.iterdir()} == {
        "report.previous.json": "last",
        "notes.txt": "mine",
    }


def test_an_older_drill_s_world_goes_too(tmp_path: Path):
    make(tmp_path, "drill")
    record = tmp_path / "world.json"
    record.write_text(record.read_text().replace('"csms.ocpp"', '"gone"'))
    clear_drill(tmp_path)
    assert not record.exists()


@pytest.mark.parametrize("command", ["drill", "up", "provision"])
def test_a_running_world_is_left_alone(
    tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str], monkeypatch
):
    monkeypatch.setattr("holdfast_cli.main.find", lambda: None)
    with held(tmp_path), pytest.raises(SystemExit) as ended:
        main([command, "--world", str(tmp_path)])
    assert ended.value.code == 2
    assert "is running" in capsys.readouterr().err
    assert [it.name for it in tmp_path.iterdir()] == ["world.lock"]


def test_a_folder_that_can_t_be_made_is_said_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit) as ended:
        main(["provision", "--world", str(tmp_path / "file" / "world")])
    assert ended.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_sigterm_lets_a_command_stop_in_order():
    code = (
        "import asyncio, argparse, sys\nfrom holdfast_cli.main import _until_terminated\n"
        "async def run(arguments):\n"
        "    try:\n        print('up', flush=True)\n        await asyncio.sleep(600)\n"
        "    finally:\n        print('in order', flush=True)\n"
        "sys.exit(asyncio.run(_until_terminated(argparse.Namespace(run=run))))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=60)
    assert (out, process.returncode) == ("in order\n", 143)
