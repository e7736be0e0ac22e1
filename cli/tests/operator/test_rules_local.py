"""Goal: at one's own desk a draft is checked, composed, compared and signed exactly as cloud and site do it.

Method: the `holdfast` command itself, on files in a folder.
"""

from __future__ import annotations

import json
import stat

import pytest

from holdfast.contracts.rules import SignedRules
from holdfast_cli.main import main
from rule_service.domain.bundle_text import read_rules
from rule_service.domain.signatures import is_signed

DRAFT = """\
version: 5
name: autumn
groups:
  motorway:
    sites: [berlin01, munich01]
    rules:
      modes: {pulse_ms: 3000}
sites:
  berlin01:
    commands: {Reset: null}
    upstream: {strict: true}
"""


@pytest.fixture
def said(tmp_path, monkeypatch, capsys):
    """Run in a folder with `draft.yaml`: (exit code, what it printed, what it complained)."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "draft.yaml").write_text(DRAFT)

    def run(line):
        with pytest.raises(SystemExit) as ended:
            main(["rules", *line.split()])
        told = capsys.readouterr()
        return ended.value.code, told.out, told.err

    return run


def test_a_key_is_made_once_for_its_owner_only(said, tmp_path):
    code, public, _ = said("keygen --out a.key")
    assert (code, len(bytes.fromhex(public.strip()))) == (0, 32)
    made = (tmp_path / "a.key").read_bytes()
    assert stat.S_IMODE((tmp_path / "a.key").stat().st_mode) == 0o600
    code, out, complaint = said("keygen --out a.key")
    assert (code, out) == (2, "")
    assert "never overwritten" in complaint
    assert (tmp_path / "a.key").read_bytes() == made


def test_a_sound_draft_is_ok_and_says_what_each_site_gets(said):
    code, out, _ = said("check draft.yaml")
    assert code == 0
    assert out.startswith("ok: a draft, version 5\n\nberlin01, otherwise")
    assert "upstream.strict  " in out
    assert "munich01, otherwise" in out
    assert "any other site, otherwise than the built-in rules:\nnothing" in out
    code, out, _ = said("check draft.yaml --site munich01 --json")
    assert json.loads(out) == {
        "ok": True,
        "problem": None,
        "sites": [
            {
                "site": "munich01",
                "version": 5,
                "changes": [{"clause": "modes.pulse_ms", "old": 2000, "new": 3000}],
            }
        ],
    }


def test_an_unsound_draft_is_told_with_line_and_path(said, tmp_path):
    (tmp_path / "draft.yaml").write_text(DRAFT.replace("strict: true", "strikt: true"))
    code, out, _ = said("check draft.yaml")
    assert code == 1
    assert "draft.yaml: line 11: sites.berlin01.upstream.strikt: there is no such clause" in out
    code, out, _ = said("check draft.yaml --json")
    assert (code, json.loads(out)["ok"]) == (1, False)
    for line in ("compose draft.yaml --site berlin01", "diff default draft.yaml --site berlin01"):
        code, out, complaint = said(line)
        assert (code, out) == (2, "")
        assert "line 11" in complaint


def test_what_is_composed_is_a_plain_bundle_for_that_site(said, tmp_path):
    code, out, _ = said("compose draft.yaml --site berlin01")
    assert code == 0
    rules = read_rules(out)
    assert (rules.site, rules.version, rules.modes.pulse_ms) == ("berlin01", 5, 3000)
    assert "pulse_ms: 3000  # group motorway" in out
    (tmp_path / "berlin.yaml").write_text(out)
    assert said("diff berlin.yaml draft.yaml --site berlin01")[:2] == (0, "no difference\n")
    code, out, complaint = said("compose berlin.yaml --site munich01")
    assert (code, out) == (2, "")
    assert "for site 'berlin01'" in complaint


def test_two_sets_of_rules_are_compared_clause_by_clause(said):
    code, out, _ = said("diff default draft.yaml --site munich01")
    assert code == 1
    rows = [line.split() for line in out.splitlines()]
    assert ["modes.pulse_ms", "2000", "3000"] in rows
    assert ["site", "*", "munich01"] in rows
    code, _, complaint = said("diff default draft.yaml")
    assert (code, "--site" in complaint) == (2, True)
    code, out, _ = said("diff default draft.yaml --site berlin01 --json")
    clauses = {change["clause"]: change["new"] for change in json.loads(out)["changes"]}
    assert clauses["upstream.strict"] is True
    assert clauses["commands.Reset.age_ms_max"] is None
    assert said("diff default default")[0] == 0


def test_bundles_are_signed_for_each_site_and_can_be_compared_as_such(said, tmp_path):
    public = said("keygen --out a.key")[1].strip()
    code, out, _ = said("sign draft.yaml --key a.key --site berlin01 --site munich01 --out signed")
    assert code == 0
    for site in ("berlin01", "munich01"):
        path = tmp_path / "signed" / f"{site}.signed.json"
        assert f"signed/{site}.signed.json: version 5" in out
        signed = SignedRules.from_bytes(path.read_bytes())
        assert is_signed(signed)
        assert (signed.key, signed.version, read_rules(signed.text).site) == (public, 5, site)
    line = "diff signed/berlin01.signed.json draft.yaml --site berlin01"
    assert said(line)[:2] == (0, "no difference\n")


def test_nothing_is_signed_that_locks_its_key_out_or_for_a_site_that_can_be_none(said, tmp_path):
    said("keygen --out a.key")
    (tmp_path / "other.yaml").write_text(f"version: 5\nsigning: {{keys: ['{'ab' * 32}']}}\n")
    for line, why in (
        ("sign other.yaml --key a.key --site berlin01 --out signed", "locks itself out"),
        ("sign draft.yaml --key a.key --site berlin01 --site Berlin --out signed", "can't name"),
        ("sign draft.yaml --key draft.yaml --site berlin01 --out signed", "neither PEM"),
        ("sign nothing.yaml --key a.key --site berlin01 --out signed", "can't be read"),
    ):
        code, out, complaint = said(line)
        assert (code, out) == (2, "")
        assert why in complaint
    assert not (tmp_path / "signed").exists()


def test_rules_that_are_over_already_are_not_ok(said, tmp_path):
    (tmp_path / "over.yaml").write_text("version: 5\nvalid_until_ms: 5\n")
    code, out, _ = said("check over.yaml")
    assert (code, "has passed" in out) == (1, True)
