"""Goal: what only the CSMS can say is asked of it live, overtakes the backlog, and is never kept."""

from __future__ import annotations

import json

import pytest

from csms_bridge.domain import authorising
from csms_bridge.domain.events import AnswerAuthorise, AnswerRelay, AuthoriseAsked, RelayAsked
from holdfast.contracts.driver_tokens import TokenStatus, TokenType
from holdfast_testkit.facts_2x import V16, V21, V201, booted, connected, started

RAW = '{"csr": "-----BEGIN", "n":1.0}'


@pytest.fixture
def scene_2x(scene):
    scene.journal(connected(), booted())
    scene.open()
    scene.accept()
    return scene


def ask(scene, token="D", kind=TokenType.ISO14443, request="r1", budget_ms=800):
    scene.handle(
        AuthoriseAsked(
            at_ms=0,
            mono_ms=scene.mono_ms,
            request=request,
            driver_token=token,
            token_type=kind,
            budget_ms=budget_ms,
        )
    )


def relay(scene, version=V201, action="SignCertificate", request="r1", budget_ms=5_000):
    scene.handle(
        RelayAsked(
            at_ms=0,
            mono_ms=scene.mono_ms,
            request=request,
            version=version,
            action=action,
            raw=RAW,
            budget_ms=budget_ms,
        )
    )


def verdicts(scene):
    return [one.verdict for one in scene.effects if isinstance(one, AnswerAuthorise)]


def replies(scene):
    return [one.reply for one in scene.effects if isinstance(one, AnswerRelay)]


# --- drivers ---


def test_a_driver_of_2x_is_asked_about_under_the_token_s_type_and_before_the_backlog(scene_2x):
    scene_2x.journal(started("a"), started("b"))
    ask(scene_2x, kind=TokenType.EMAID)
    scene_2x.answer({"idTokenInfo": {"status": "Accepted"}})
    assert scene_2x.called() == ("Authorize", {"idToken": {"idToken": "D", "type": "eMAID"}})
    info = {
        "status": "Accepted",
        "groupIdToken": {"idToken": "FLEET", "type": "Central"},
        "cacheExpiryDateTime": "2026-09-22T00:00:00Z",
    }
    scene_2x.answer({"idTokenInfo": info})
    (verdict,) = verdicts(scene_2x)
    assert (verdict.status, verdict.parent, verdict.known) == (TokenStatus.ACCEPTED, "FLEET", True)
    assert verdict.valid_until_ms is not None


@pytest.mark.parametrize(
    ("word", "status", "known"),
    [
        ("Unknown", TokenStatus.INVALID, False),
        ("NoCredit", TokenStatus.BLOCKED, True),
        ("NotAtThisTime", TokenStatus.BLOCKED, True),
        ("ConcurrentTx", TokenStatus.CONCURRENT_TX, True),
    ],
)
def test_words_of_2x_come_to_what_they_mean_for_the_driver(scene_2x, word, status, known):
    ask(scene_2x)
    scene_2x.answer({"idTokenInfo": {"status": word}})
    (verdict,) = verdicts(scene_2x)
    assert (verdict.status, verdict.known) == (status, known)


def test_a_word_that_nobody_knows_is_none(scene_2x):
    ask(scene_2x)
    scene_2x.answer({"idTokenInfo": {"status": "Perhaps"}})
    assert verdicts(scene_2x) == [None]


def test_an_id_tag_is_not_asked_about_in_2x(scene_2x):
    ask(scene_2x, kind=TokenType.ID_TAG)
    assert verdicts(scene_2x) == [None]
    assert scene_2x.sent("Authorize") == []


def test_a_token_whose_type_is_not_known_is_not_asked_about(scene_2x):
    ask(scene_2x, kind=TokenType.OTHER)
    assert verdicts(scene_2x) == [None]


def test_a_typed_token_is_not_asked_about_in_1_6(scene):
    scene.connect()
    ask(scene, kind=TokenType.ISO14443)
    assert verdicts(scene) == [None]
    ask(scene, kind=TokenType.ID_TAG)
    assert scene.called() == ("Authorize", {"idTag": "D"})


# --- while the connection is just opening ---


def test_who_asks_before_its_connection_stands_is_answered_by_the_csms_once_it_does(scene):
    ask(scene, kind=TokenType.ID_TAG)  # the site's news of it is still on the way
    scene.wait(100)
    scene.journal(connected(V16), booted(V16))
    ask(scene, token="E", kind=TokenType.ID_TAG, request="r2")
    scene.wait(100)
    scene.open()
    ask(scene, token="F", kind=TokenType.ID_TAG, request="r3")
    assert verdicts(scene) == [], "none of them is told no"
    scene.wait(100)
    scene.accept()
    for token in "DEF":
        assert scene.called() == ("Authorize", {"idTag": token})
        scene.answer({"idTagInfo": {"status": "Accepted"}})
    assert [one.status for one in verdicts(scene)] == [TokenStatus.ACCEPTED] * 3


def test_nobody_waits_longer_than_its_budget_for_a_connection(scene):
    scene.journal(connected(V16), booted(V16))
    ask(scene, kind=TokenType.ID_TAG, budget_ms=800)
    scene.wait(799)
    assert verdicts(scene) == []
    scene.wait(1)
    assert verdicts(scene) == [None]
    scene.open()
    scene.accept()
    assert scene.sent("Authorize") == []


@pytest.mark.parametrize("how", ["away", "refused", "pending", "rejected", "lost"])
def test_a_connection_that_does_not_come_to_stand_is_told_at_once(scene, how):
    scene.journal(connected(V16), booted(V16))
    ask(scene, kind=TokenType.ID_TAG)
    assert verdicts(scene) == []
    if how in ("away", "refused"):
        scene.refused(refused=how == "refused")
    else:
        scene.open()
        assert verdicts(scene) == []
        if how == "lost":
            scene.lose()
        else:
            scene.accept(how.capitalize())
    assert verdicts(scene) == [None]
    ask(scene, kind=TokenType.ID_TAG, request="r2")
    assert verdicts(scene) == [None, None], "a CSMS that is not there is waited for by nobody"


def test_a_connection_that_turns_out_to_be_of_another_version_is_none_to_wait_for(scene):
    relay(scene, version=V21)
    assert replies(scene) == []
    scene.journal(connected(), booted())
    assert "of OCPP 2.0.1" in replies(scene)[-1].reason


# --- class R ---


def test_what_is_relayed_goes_up_byte_for_byte_and_its_answer_comes_back_raw(scene_2x):
    scene_2x.journal(started())
    relay(scene_2x)
    scene_2x.answer({"idTokenInfo": {"status": "Accepted"}})
    assert scene_2x.texts[-1].endswith(f'"SignCertificate",{RAW}]')
    scene_2x.say(f'[3,"{scene_2x.asked()}",{{ "status" : "Accepted" }}]')
    (reply,) = replies(scene_2x)
    assert (reply.raw, reply.code, reply.reason) == ('{ "status" : "Accepted" }', None, None)
    assert scene_2x.is_idle
    assert not scene_2x.state.has_backlog


def test_an_error_of_the_csms_comes_back_as_one(scene_2x):
    relay(scene_2x)
    scene_2x.fail("SecurityError", "not yours")
    (reply,) = replies(scene_2x)
    assert (reply.code, reply.description, reply.raw) == ("SecurityError", "not yours", None)


def test_a_relayed_authorize_comes_back_as_what_it_is(scene_2x):
    relay(scene_2x, action="Authorize")
    scene_2x.answer({"idTokenInfo": {"status": "Accepted"}, "certificateStatus": "Accepted"})
    (reply,) = replies(scene_2x)
    assert json.loads(reply.raw)["certificateStatus"] == "Accepted"
    assert verdicts(scene_2x) == []


def test_it_is_never_kept(scene_2x):
    relay(scene_2x, version=V16, request="other version")
    assert "of OCPP 2.0.1" in replies(scene_2x)[-1].reason
    relay(scene_2x)
    scene_2x.lose()
    assert "ended before" in replies(scene_2x)[-1].reason
    relay(scene_2x, request="not connected")
    assert "does not take this charge point" in replies(scene_2x)[-1].reason
    scene_2x.reconnect()
    assert scene_2x.is_idle, "nothing of it is sent later"


def test_one_whose_time_is_up_before_it_was_sent_is_sent_no_more(scene_2x):
    scene_2x.journal(started())
    relay(scene_2x, budget_ms=1_000)
    scene_2x.wait(1_000)
    assert replies(scene_2x)[-1].reason == "it came too late"
    scene_2x.answer({"idTokenInfo": {"status": "Accepted"}})
    assert scene_2x.sent("SignCertificate") == []


def test_a_backend_that_follows_is_not_asked(scene_2x):
    scene_2x.role(primary=False)
    relay(scene_2x)
    assert "follows" in replies(scene_2x)[-1].reason


def test_those_that_wait_are_bounded(scene_2x):
    scene_2x.journal(started())
    for number in range(authorising.ASKED_MAX + 1):
        relay(scene_2x, request=f"r{number}")
    assert len(scene_2x.state.live.asked) == authorising.ASKED_MAX
    assert replies(scene_2x)[-1].reason == "64 others wait for an answer already"


def test_the_security_whitepaper_of_1_6_is_relayed_too(scene):
    scene.connect()
    relay(scene, version=V16)
    assert scene.called()[0] == "SignCertificate"
    relay(scene, version=V21, request="r2")
    assert "of OCPP 1.6" in replies(scene)[-1].reason
