"""Completion scripts are made of the parser: they parse in their shell, and know every verb."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from holdfast_cli.main import _parser
from holdfast_cli.operator.completion import SHELLS, script

CHECKS = {"bash": ["bash", "-n"], "zsh": ["zsh", "-n"], "fish": ["fish", "--no-execute"]}


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_is_one_of_its_shell(shell: str):
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    subprocess.run(CHECKS[shell], input=script(shell, _parser()), text=True, check=True, timeout=30)


def completed(*words: str) -> list[str]:
    """What bash offers after these words."""
    line = " ".join(f"'{word}'" for word in words)
    asked = (
        f"{script('bash', _parser())}\n"
        f"COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; _holdfast; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    )
    told = subprocess.run(["bash", "-c", asked], capture_output=True, text=True, check=True)
    return told.stdout.split()


def test_bash_completes_verbs_options_and_choices(tmp_path):
    assert "drill" in completed("holdfast", "")
    assert completed("holdfast", "charge-p") == ["charge-points"]
    assert "--json" in completed("holdfast", "status", "--")
    assert completed("holdfast", "completion", "f") == ["fish"]
    assert completed("holdfast", "sites", "--api", "") == []
    (tmp_path / "credential").touch()
    asked = f"{tmp_path}/cred"
    assert completed("holdfast", "sites", "--credential-file", asked) == [f"{asked}ential"]


@pytest.mark.parametrize("shell", SHELLS)
def test_every_verb_stands_in_every_script(shell: str):
    text = script(shell, _parser())
    for verb in ("drill", "sites", "status", "charge-points"):
        assert verb in text
