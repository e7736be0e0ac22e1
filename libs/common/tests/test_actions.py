"""Goal: the table of actions is complete, one row each, and the document is what it says."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from holdfast.contracts.command_defaults import default_commands
from holdfast.contracts.command_rules import CommandKind
from holdfast.ocpp import __main__ as document
from holdfast.ocpp.actions import ROWS, Away, Class, Sender, row, rows
from holdfast.ocpp.versions import OcppVersion, version_of

DOCUMENT = Path(__file__).parents[3] / "docs/spec/actions.md"


def test_an_action_has_one_row_in_each_version_it_belongs_to() -> None:
    found = Counter((version, one.sender, one.action) for one in ROWS for version in one.versions)
    assert [key for key, count in found.items() if count > 1] == []


def test_a_row_is_found_by_version_sender_and_action() -> None:
    found = row(OcppVersion.V201, Sender.CHARGE_POINT, "TransactionEvent")
    assert found is not None
    assert (found.kind, found.key) == (
        Class.TRANSACTIONAL,
        ("transactionInfo.transactionId", "seqNo"),
    )
    assert row(OcppVersion.V16, Sender.CHARGE_POINT, "TransactionEvent") is None
    assert row(OcppVersion.V201, Sender.CSMS, "TransactionEvent") is None


def test_whatever_is_lost_when_it_is_not_kept_is_acknowledged_by_the_site() -> None:
    kept = {Class.TRANSACTIONAL, Class.GUARANTEED}
    assert {one.away for one in ROWS if one.kind in kept} == {Away.SITE}


def test_only_a_send_has_no_answer() -> None:
    assert {one.action for one in ROWS if one.away is Away.NOBODY} == {
        one.action for one in ROWS if one.send
    }


def test_each_direction_has_its_own_classes() -> None:
    says = {one.kind for version in OcppVersion for one in rows(version, Sender.CHARGE_POINT)}
    told = {one.kind for version in OcppVersion for one in rows(version, Sender.CSMS)}
    assert says == {
        Class.TRANSACTIONAL,
        Class.GUARANTEED,
        Class.LATEST,
        Class.ANSWERED,
        Class.RELAYED,
    }
    assert told == {Class.EXPIRING, Class.DESIRED, Class.QUERY, Class.RELAYED}


KINDS = {
    CommandKind.EXPIRING: Class.EXPIRING,
    CommandKind.DESIRED: Class.DESIRED,
    CommandKind.QUERY: Class.QUERY,
    CommandKind.REQUEST: Class.RELAYED,
}


def test_a_commands_class_is_what_the_default_rules_make_of_it() -> None:
    found: dict[str, set[Class]] = {}
    for name, rules in default_commands().items():
        found.setdefault(name.partition(".")[0], set()).add(KINDS[rules.kind])
    for one in (one for one in ROWS if one.sender is Sender.CSMS):
        classes = {one.kind, one.otherwise or one.kind}
        assert classes == (found.get(one.action) or found[one.same_as or ""]), one.action


def test_rules_shared_with_another_action_are_those_of_an_action_of_1_6() -> None:
    for one in ROWS:
        if one.same_as:
            assert row(OcppVersion.V16, one.sender, one.same_as), one.action


def test_a_subprotocol_is_one_version() -> None:
    assert version_of("ocpp2.0.1") is OcppVersion.V201
    assert OcppVersion.V16.subprotocol == "ocpp1.6"
    assert version_of("ocpp2.0") is None


def test_the_document_is_what_the_table_says() -> None:
    assert DOCUMENT.read_text("utf-8") == document.render(), (
        "run: python -m holdfast.ocpp > docs/spec/actions.md"
    )
