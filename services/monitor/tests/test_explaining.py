"""Goal: a decision told to people names the question, each input with its value and age, what else was looked at, and
what came of it afterwards.

Method: facts through the monitor's own fold, then the view of the API; a page shows the same.
"""

from __future__ import annotations

from typing import Any

from holdfast.contracts.command import (
    Command,
    CommandHeld,
    CommandReceived,
    CommandSettled,
    CommandWorded,
    Disposition,
    Word,
)
from holdfast.contracts.decision import (
    AdmitInputs,
    AdmitVerdict,
    AuthoriseInputs,
    AuthoriseVerdict,
    Basis,
    CachedToken,
    CloudAnswer,
    ConnectorState,
    Considered,
    DecisionMade,
)
from holdfast.contracts.driver_tokens import ListedToken, TokenStatus, Whitelist
from holdfast.contracts.envelope import Envelope, Fact, body_of
from holdfast.contracts.mode import Mode
from holdfast.contracts.session import SessionStarted
from monitor import views
from monitor.domain.fold import take
from monitor.domain.rows import Place, SiteState

AT_MS = 1_750_000_000_000


def fold(*facts: Fact) -> SiteState:
    state = SiteState(site="berlin01")
    for seq, fact in enumerate(facts, 1):
        envelope = Envelope(
            id=str(seq), type=fact.TYPE, at_ms=AT_MS, site="berlin01", incarnation="aaaaaaaa",
            source="test", body=body_of(fact),
        )  # fmt: skip
        state = take(state, Place("aaaaaaaa", seq), envelope, fact)
    return state


def authorised(id: str = "d1", **inputs: Any) -> DecisionMade:
    given = {
        "listed": None,
        "cached": None,
        "cloud": CloudAnswer.NOT_ASKED,
        "cloud_status": None,
        **inputs,
    }
    return DecisionMade(
        decision=id,
        charge_point="CP-01",
        rules_version=3,
        clause="authorise.autonomous.list",
        inputs=AuthoriseInputs(
            at_ms=AT_MS, mode=Mode.AUTONOMOUS, driver_token_hash="5f" * 16, list_version=7, **given
        ),
        verdict=AuthoriseVerdict(status=TokenStatus.ACCEPTED, basis=Basis.LIST),
        explanation="Accepted: the local list says so",
        considered=(
            Considered(clause="authorise.autonomous.list", said="Accepted", decided=True),
            Considered(clause="authorise.autonomous.cache", said="no earlier answer"),
        ),
    )


def admitted() -> DecisionMade:
    command = Command(
        id="c1", charge_point="CP-01", action="RemoteStartTransaction",
        payload={"idTag": "SECRETTAG99", "connectorId": 1}, issued_at_ms=AT_MS - 4_000,
        deadline_ms=AT_MS + 60_000,
    )  # fmt: skip
    target = ConnectorState(
        connected=True, status="Available", transaction_id=None, booted_at_ms=AT_MS - 90_000
    )
    return DecisionMade(
        decision="d2",
        charge_point="CP-01",
        rules_version=3,
        clause="commands.RemoteStartTransaction",
        inputs=AdmitInputs(at_ms=AT_MS, mode=Mode.CONNECTED, command=command, target=target),
        verdict=AdmitVerdict(admitted=True, disposition=None),
        explanation="RemoteStartTransaction admitted",
    )


def started(decision: str) -> SessionStarted:
    return SessionStarted(
        charge_point="CP-01", connector=2, session="CP-01/9", transaction_id=9,
        driver_token="SECRETTAG99", meter_start_wh=1, at="2026-01-01T10:00:00Z",
        status=TokenStatus.ACCEPTED, basis=Basis.LIST, flagged=False, decision=decision,
        message_id="m", raw="{}",
    )  # fmt: skip


def told(state: SiteState, id: str) -> dict[str, Any]:
    row = next(row for row in state.decisions if row.fact.decision == id)
    return views.decision_in_full(row, state)


def grounds(document: dict[str, Any]) -> dict[str, tuple[str, int | None]]:
    return {ground["what"]: (ground["value"], ground["age_ms"]) for ground in document["grounds"]}


def test_each_input_about_a_driver_stands_with_its_value_and_age():
    listed = ListedToken(
        driver_token="5f" * 16,
        whitelist=Whitelist.ALLOWED,
        as_of_ms=AT_MS - 1_000,
        valid_until_ms=AT_MS + 5_000,
    )
    cached = CachedToken(status=TokenStatus.BLOCKED, answered_at_ms=AT_MS - 60_000)
    document = told(fold(authorised(listed=listed, cached=cached)), "d1")
    assert document["question"] == "may this driver token charge at CP-01?"
    assert grounds(document) == {
        "driver token": ("idTag, hash 5f5f5f5f…", None),
        "local list": ("version 7: Accepted, ALLOWED", 1_000),
        "valid until": ("", -5_000),
        "earlier answer of the cloud": ("Blocked", 60_000),
        "cloud": ("not asked", None),
    }
    assert [one["decided"] for one in document["considered"]] == [True, False]
    assert document["afterwards"] is None


def test_the_session_that_began_by_it_is_named():
    document = told(fold(authorised(starts_session=True), started("d1")), "d1")
    assert document["question"] == "may this driver token start a session at CP-01?"
    assert document["session"] == "CP-01/9"
    assert "on connector 2" in document["afterwards"]
    assert "SECRETTAG99" not in str(document)


def test_each_input_about_a_command_stands_and_its_disposition_afterwards():
    decision = admitted()
    settled = CommandSettled(
        charge_point="CP-01", command=decision.inputs.command, disposition=Disposition.DELIVERED,
        answer='{"status":"Accepted"}', decision="d2",
    )  # fmt: skip
    document = told(fold(decision, settled), "d2")
    assert document["question"] == "may RemoteStartTransaction be sent to CP-01?"
    given = grounds(document)
    assert given["command"][1] == 4_000
    assert "SECRETTAG99" not in given["command"][0]
    assert given["deadline"] == ("", -60_000)
    assert given["status"] == ("Available", None)
    assert given["booted"] == ("", 90_000)
    assert document["afterwards"] == "command c1 ended delivered"


def test_every_input_that_a_decision_has_is_shown_also_one_that_this_view_does_not_know():
    """Fields are added to the inputs as rules grow: a view that forgets one would explain half."""
    shown = set(grounds(told(fold(admitted()), "d2")))
    target = admitted().inputs.target.model_dump()
    shown_names = {name for name, value in target.items() if value not in (None, (), {})}
    assert {"connected", "status", "booted_at_ms"} <= shown_names
    for name in shown_names:
        assert name.removesuffix("_at_ms").replace("_", " ") in shown


def test_a_command_that_waits_for_a_word_says_so_until_one_is_taken():
    command = admitted().inputs.command
    held = CommandHeld(
        charge_point="CP-01", command=command, reason="a session runs", decision="d2"
    )
    late = CommandWorded(
        charge_point="CP-01", command_id="c1", word=Word.CANCEL, by="x", taken=False
    )
    word = late.model_copy(update={"word": Word.CONFIRM, "taken": True, "by": "night desk"})
    row = views.command(fold(held, late).commands["c1"])
    assert (row["held"], row["open"]) == ("a session runs", True)
    assert row["words"] == ["cancel by x, not taken: too late"]
    row = views.command(fold(held, late, word).commands["c1"])
    assert (row["held"], row["words"][-1]) == (None, "confirm by night desk")


def test_a_command_names_the_decision_that_let_it_go():
    decision = admitted()
    command = decision.inputs.command
    received = CommandReceived(charge_point="CP-01", command=command, downlink_seq=1)
    settled = CommandSettled(
        charge_point="CP-01", command=command, disposition=Disposition.DELIVERED
    )
    after = decision.model_copy(update={"decision": "later"})
    assert (
        views.command(fold(received, decision, settled, after).commands["c1"])["decision"] == "d2"
    )
