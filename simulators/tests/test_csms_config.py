"""Goal: a central system's configuration that is wrong is refused with file, field and remedy, exit 2."""

from __future__ import annotations

import json

import pytest

from holdfast_simulators import csms, document, main
from holdfast_simulators.csms.quirks import GOOD


def write(tmp_path, given):
    file = tmp_path / "csms.json"
    file.write_text(given if isinstance(given, str) else json.dumps(given))
    return file


def words(tmp_path, file):
    state = str(tmp_path / "csms.db")
    return ["csms", "--listen", "127.0.0.1:0", "--state", state, "--config", str(file)]


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ("{", "document"),
        ([], "document"),
        ({"colour": "red"}, "document.colour"),
        ({"kind": "best"}, "kind"),
        ({"heartbeat_s": "often"}, "heartbeat_s"),
        ({"first_transaction_id": 0}, "first_transaction_id"),
        ({"unknown_token": "Perhaps"}, "unknown_token"),
        ({"tokens": {"A": "Fine"}}, "tokens.A"),
        ({"tokens": ["A"]}, "tokens"),
        ({"parent_tokens": {"A": 1}}, "parent_tokens.A"),
        ({"passwords": {"CP-1": 5}}, "passwords.CP-1"),
        ({"tls": {"cert_file": "x"}}, "tls.key_file"),
        ({"tls": {"cert_file": "x", "key_file": "y", "colour": "z"}}, "tls.colour"),
        ({"quirks": []}, "quirks"),
        ({"quirks": {"levitate": True}}, "quirks.levitate"),
        ({"quirks": {"black_hole": "yes"}}, "quirks.black_hole.value"),
        ({"quirks": {"dedupe": {"valeu": "none"}}}, "quirks.dedupe.valeu"),
        ({"quirks": {"lose_answer": [{"count": "often"}]}}, "quirks.lose_answer.count"),
        ({"quirks": {"boot_status": {"charge_point": "x"}}}, "quirks.boot_status.status"),
    ],
)
def test_a_wrong_field_is_named_with_its_file_and_a_remedy(tmp_path, capsys, given, field):
    file = write(tmp_path, given)
    assert main.run(words(tmp_path, file)) == 2
    said = capsys.readouterr().err
    assert f"{file}: {field}: " in said
    assert ";" in said


def test_a_password_is_never_shown(tmp_path):
    file = write(tmp_path, {"passwords": {"CP-1": "hush" * 100}})
    with pytest.raises(document.ConfigError) as raised:
        csms.load(file)
    assert "hush" not in str(raised.value)


async def test_what_stands_in_the_way_of_starting_is_said(start, tmp_path):
    (tmp_path / "no.db").write_text("this is no database, and long enough to be told from one" * 20)
    tls = write(tmp_path, {"tls": {"cert_file": "/nowhere", "key_file": "/nowhere"}})
    for state, more in ((tmp_path / "no.db", ()), (tmp_path / "new.db", ("--config", tls))):
        async with start("csms", "--listen", "127.0.0.1:0", "--state", state, *more) as program:
            assert await program.process.wait() == 2


def test_a_quirk_is_written_as_one_value_as_its_fields_or_as_several(tmp_path):
    quirks = {
        "one_call_at_a_time": True,
        "answer_delay_s": [{"action": "Authorize", "value": 2}, 0.5],
        "lose_answer": {"action": "StartTransaction", "count": 3},
        "ignore": [{"action": "Heartbeat"}, {"action": "Authorize", "count": "always"}],
        "calls_after_boot": [{"action": "GetConfiguration"}],
    }
    read = csms.load(write(tmp_path, {"quirks": quirks})).quirks
    assert read.one_call_at_a_time
    assert read.answer_delay_s == {"*": 0.5}, "what is said for all replaces what was said for one"
    assert [(one.deed, one.action, one.count) for one in read.rules] == [
        ("lose_answer", "StartTransaction", 3),
        ("ignore", "Heartbeat", 1),
        ("ignore", "Authorize", None),
    ]
    assert [(one.action, one.payload) for one in read.calls_after_boot] == [
        ("GetConfiguration", {})
    ]


def test_a_kind_is_a_preset_that_quirks_change(tmp_path):
    assert csms.load(write(tmp_path, {"kind": "plain"})).quirks == GOOD
    given = {"kind": "citrineos", "quirks": {"older_connection": "close"}}
    read = csms.load(write(tmp_path, given)).quirks
    assert (read.one_call_at_a_time, read.older_connection) == (True, "close")
    assert csms.load(write(tmp_path, {"kind": "steve"})).quirks.repeated_message_id_error
