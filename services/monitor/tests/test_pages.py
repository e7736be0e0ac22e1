"""The pages: everything from outside is escaped, driver tokens are masked, unknown is never shown as good,
and a page needs neither script nor style from anywhere else.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.contracts.command import Command, Disposition
from holdfast.contracts.csms import OpenDelivery, Phase, Trouble, UpstreamView
from holdfast.contracts.decision import (
    AuthoriseInputs,
    AuthoriseVerdict,
    Basis,
    CloudAnswer,
    Considered,
    DecisionMade,
)
from holdfast.contracts.driver_tokens import TokenStatus
from holdfast.contracts.journal import StorageLevel
from holdfast.contracts.mode import CsmsState, Mode, ModeChanged, Reason
from holdfast.contracts.recovery import RecoveryStepped, Step, StepOutcome
from holdfast.contracts.session import SessionState, SessionView
from monitor import views
from monitor.domain.masking import mask, masked
from monitor.domain.readings import Reading, never
from monitor.domain.rows import (
    Begun,
    ChargePointRow,
    CommandRow,
    ConnectorRow,
    DecisionRow,
    DisruptionRow,
    ModeRow,
    Note,
    Place,
    SiteState,
)
from monitor.domain.status import ModeNow, RulesNow, SiteStatus, StorageNow, Sync, Uplink
from monitor.domain.upstream import CsmsNow
from monitor.pages.html import el
from monitor.pages.site_decisions import decisions
from monitor.pages.site_page import site_page
from monitor.pages.sites_page import sites_page
from monitor.pages.words import clock, duration, energy, moment, number, size
from monitor.settling import Word

NOW = 1_750_000_000_000
NONE = CsmsState.NONE
HERE = Place("aaaaaaaa", 1)
EVIL = '<script>alert("x")</script>\'&\x00=cmd|calc'


def fresh(value: Any) -> Reading[Any]:
    return Reading(last=value, as_of_ms=NOW - 1000, source=EVIL, fresh=True)


def hostile_state() -> SiteState:
    """Every text that comes from outside is markup."""
    command = Command(
        id="c1",
        charge_point=EVIL,
        action="RemoteStartTransaction",
        payload={"idTag": "SECRETTAG99", EVIL: [EVIL, {"parentIdTag": "SECRETTAG99"}]},
        issued_at_ms=NOW,
        deadline_ms=NOW,
    )
    decided = DecisionMade(
        decision=EVIL,
        charge_point=EVIL,
        rules_version=1,
        clause=EVIL,
        inputs=AuthoriseInputs(
            at_ms=NOW,
            mode=Mode.AUTONOMOUS,
            driver_token_hash=EVIL,
            listed=None,
            list_version=1,
            cached=None,
            cloud=CloudAnswer.NOT_ASKED,
            cloud_status=None,
        ),
        verdict=AuthoriseVerdict(status=TokenStatus.ACCEPTED, basis=Basis.LIST),
        explanation=EVIL,
        considered=(Considered(clause=EVIL, said=EVIL, decided=True),),
    )
    changed = ModeChanged(
        previous=None,
        mode=Mode.AUTONOMOUS,
        reasons=(Reason.PULSE_LOST,),
        since_ms=NOW - 5000,
        disruption=EVIL,
        detail=EVIL,
    )
    step = RecoveryStepped(
        disruption=EVIL, step=Step.LINK_STABLE, outcome=StepOutcome.OPEN, evidence=EVIL
    )
    note = Note(place=HERE, at_ms=NOW, what=EVIL)
    return SiteState(
        site="berlin01",
        modes=(ModeRow(place=HERE, at_ms=NOW, fact=changed),),
        decisions=(DecisionRow(place=HERE, at_ms=NOW, cause=None, fact=decided),),
        commands={
            "c1": CommandRow(
                place=HERE,
                charge_point=EVIL,
                command=command,
                disposition=Disposition.DELIVERED,
                reason=EVIL,
                answer=EVIL,
                evidence=EVIL,
                took_effect=True,
            )
        },
        disruptions=(
            DisruptionRow(place=HERE, disruption=EVIL, began_ms=1, reasons=(EVIL,), steps=(step,)),
        ),
        rules_refused=(note,),
        damaged=(note,),
        quarantined=(note,),
        quarantined_count=1,
    )


CHARGE_POINT = ChargePointRow(
    charge_point=EVIL,
    connected=False,
    since_ms=1,
    reason=EVIL,
    vendor=EVIL,
    model=EVIL,
    firmware=EVIL,
    connectors={1: ConnectorRow(status=EVIL, error_code=EVIL), 0: ConnectorRow(status=EVIL)},
)


def upstream_view(primary: bool) -> UpstreamView:
    return UpstreamView(
        backend=EVIL,
        primary=primary,
        charge_point=EVIL,
        phase=Phase.REJECTED,
        since_ms=NOW - 60_000,
        problem=EVIL,
        waiting=1_234,
        oldest_at_ms=NOW - 120_000,
        delivered=5,
    )


STATUS = SiteStatus(
    rules_text=fresh(""),
    scope="site",
    site="berlin01",
    now_ms=NOW,
    state=hostile_state(),
    mode=fresh(ModeNow(mode=Mode.AUTONOMOUS, reasons=(EVIL,), since_ms=NOW, disruption=EVIL)),
    uplink=fresh(Uplink(pulse_answered_at_ms=None, stable=False)),
    sync=fresh(Sync(head_seq=10, watermark=2)),
    rules=fresh(RulesNow(version=1, hash=EVIL, desired_version=2, refused=EVIL)),
    storage=fresh(StorageNow(level=StorageLevel.SOFT, bytes=5, bytes_max=10)),
    charge_points=fresh((CHARGE_POINT,)),
    sessions=fresh({"running": 1}),
    gaps=never("the cloud", EVIL),
    chain_verified=fresh(False),
    open_points=fresh(()),
    waiting_commands=fresh((EVIL,)),
    csms=fresh(
        CsmsNow(
            state=CsmsState.UP,
            instance=EVIL,
            views=tuple(upstream_view(primary) for primary in (True, False)),
            deliveries=(
                OpenDelivery(
                    backend=EVIL, charge_point=EVIL, trouble=Trouble.QUARANTINED, what=EVIL
                ),
            ),
        )
    ),
)

SESSION = SessionView(
    site="berlin01",
    session=EVIL,
    charge_point=EVIL,
    connector=None,
    transaction_id=7,
    state=SessionState.STOPPED,
    meter_start_wh=1,
    meter_stop_wh=2,
    energy_wh=1,
    started_at=EVIL,
    stopped_at=EVIL,
    reason=EVIL,
    last_reading_wh=None,
    last_reading_at=None,
    readings=0,
    status=TokenStatus.ACCEPTED,
    basis=Basis.LIST,
    flagged=True,
    duplicates=0,
    stops_differing=1,
    incarnations=("aaaaaaaa",),
)


class Outline(HTMLParser):
    """Tags as a browser would see them."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def pages() -> list[bytes]:
    dark = replace(
        STATUS,
        **{
            name: never("x", EVIL)
            for name in ("mode", "sync", "rules", "storage", "uplink", "csms")
        },
    )
    return [
        site_page(replace(STATUS, scope="cloud"), (), home=True),
        site_page(replace(dark, scope="cloud"), EVIL, home=True),
        site_page(STATUS, (SESSION,), home=True),
        site_page(dark, EVIL, home=False),
        sites_page([STATUS, dark], NOW),
        sites_page([], NOW),
    ]


def test_nothing_from_outside_becomes_markup() -> None:
    for page in pages():
        scripts = [attributes for tag, attributes in Outline(page).tags if tag == "script"]
        assert scripts == [{"src": "/static/refresh.js", "defer": None}]
        assert b"<script>alert" not in page
    assert b"&lt;script&gt;alert(&quot;x&quot;)" in pages()[0]


def test_what_the_rules_left_out_is_shown_and_that_there_may_be_more() -> None:
    told = SESSION.model_copy(update={"left_out": 12, "left_out_uncounted": True})
    page = site_page(STATUS, (told,), home=True)
    assert b"12 readings left out by rule, perhaps more left out right before a restart" in page


def test_a_page_needs_no_style_or_script_that_the_policy_forbids() -> None:
    for page in pages():
        for tag, attributes in Outline(page).tags:
            assert tag not in ("style", "iframe", "form", "img")
            assert not any(name == "style" or name.startswith("on") for name in attributes)
            for name in ("href", "src"):
                assert (attributes.get(name) or "/").startswith("/")


def test_driver_tokens_are_masked_wherever_they_stand() -> None:
    page = site_page(STATUS, (SESSION,), home=False).decode()
    assert "SECRETTAG" not in page
    assert "••••99" in page


def test_secrets_of_commands_and_of_answers_to_them_are_shown_nowhere() -> None:
    hidden = "s3cr3t-Value"
    command = Command(
        id="c1",
        charge_point="CP-01",
        action="ChangeConfiguration",
        payload={"key": "AuthorizationKey", "value": hidden},
        issued_at_ms=0,
        deadline_ms=1,
    )
    told = {"configurationKey": [{"key": "WifiPassword", "value": hidden, "readonly": False}]}
    fetched = {"location": f"ftp://user:{hidden}@files.example/log"}
    other = command.model_copy(update={"id": "c2", "payload": fetched})
    rows = [
        CommandRow(place=HERE, charge_point="CP-01", command=one, answer=json.dumps(told))
        for one in (command, other)
    ]
    state = SiteState(site="berlin01", commands={row.command.id: row for row in rows})
    page = site_page(replace(STATUS, state=state), (), home=False).decode()
    for shown in (page, json.dumps([views.command(row) for row in rows])):
        assert hidden not in shown
        assert shown.count("(secret)") >= 2
        assert "files.example" in shown


def test_a_decisions_drawer_says_what_was_asked_what_was_looked_at_and_what_came_of_it() -> None:
    made = hostile_state().decisions[0]
    fact = made.fact.model_copy(
        update={
            "decision": "d1",
            "charge_point": "CP-01",
            "considered": (
                Considered(clause="authorise.autonomous.list", said="alone Blocked", decided=True),
                Considered(clause="authorise.autonomous.cache", said="none is kept"),
            ),
        }
    )
    begun = {"d1": Begun(session="CP-01/7", connector=2, at_ms=NOW)}
    state = SiteState(site="berlin01", decisions=(replace(made, fact=fact),), begun=begun)
    drawer = decisions(replace(STATUS, state=state))
    for words in (
        "may this driver token charge at CP-01?",
        "session CP-01/7 began on connector 2",
        "not on it",
        "alone Blocked",
        "none is kept",
    ):
        assert words in drawer
    assert drawer.count("decided") == 1


def test_an_open_delivery_says_its_entry_and_how_to_settle_it() -> None:
    def shown(trouble: Trouble, incarnation: str = "", seq: int = 0) -> str:
        delivery = OpenDelivery(
            backend="main",
            charge_point="CP-01",
            trouble=trouble,
            what="a start",
            incarnation=incarnation,
            seq=seq,
        )
        csms = fresh(CsmsNow(state=CsmsState.UP, views=(), deliveries=(delivery,)))
        page = site_page(replace(STATUS, scope="cloud", csms=csms), (), home=True).decode()
        return unescape(page.split('id="csms"')[1].split("</section>")[0])

    named = shown(Trouble.DOUBLE_START, "aaaaaaaa", 7)
    assert "CP-01 at main, double start: a start (entry aaaaaaaa 7)" in named
    sent = re.search(r"POST /api/sites/berlin01/upstream/settle (\{.*?\})", named)
    assert sent is not None
    word = Word.model_validate_json(sent[1])
    assert (word.trouble, word.incarnation, word.seq) == (Trouble.DOUBLE_START, "aaaaaaaa", 7)
    counted = shown(Trouble.QUARANTINED)
    assert "(the charge point as a whole)" in counted
    assert '"incarnation": "", "seq": 0' in counted
    rejected = shown(Trouble.REJECTED)
    assert "Goes when the CSMS accepts this charge point" in rejected
    assert "upstream/settle" not in rejected


def test_the_page_begins_with_the_four_answers() -> None:
    page = site_page(STATUS, (), home=False).decode()
    questions = re.findall(r"<h2>([^<]*\?)</h2>", page)
    assert questions == [
        "Can drivers charge?",
        "Is it safe?",
        "Must I act?",
        "What is still open?",
    ]


def test_an_unknown_site_shows_no_green() -> None:
    names = [
        "mode",
        "uplink",
        "sync",
        "rules",
        "storage",
        "charge_points",
        "sessions",
        "chain_verified",
        "open_points",
        "waiting_commands",
        "csms",
    ]
    stale = {name: replace(getattr(STATUS, name), fresh=False) for name in names}
    calm = SiteState(site="berlin01")
    for scope in ("site", "cloud"):
        dark = replace(STATUS, scope=scope, state=calm, **stale)
        page = site_page(dark, "none", home=False).decode()
        assert not re.search(r'class="[^"]*\bgood\b', page)
        assert "unknown now, last as of" in page


def test_the_clouds_page_says_what_the_csms_has_of_the_site() -> None:
    page = site_page(replace(STATUS, scope="cloud"), (), home=True).decode()
    section = page[page.index('id="csms"') :].partition("</section>")[0]
    assert re.search(r'<span class="chip good">up</span>', section)
    assert section.count("rejected since") == 1, "of the primary only"
    assert "1\u202f234, the oldest of" in section
    assert "quarantined: &lt;script&gt;" in section
    assert 'id="csms"' not in site_page(STATUS, (), home=False).decode()


@pytest.mark.parametrize("csms", [never("csms-bridge", "none"), fresh(CsmsNow(state=NONE))])
def test_a_site_without_a_csms_is_said_to_have_none_and_looks_well(csms: Reading[CsmsNow]) -> None:
    page = site_page(replace(STATUS, scope="cloud", csms=csms), (), home=True).decode()
    section = page[page.index('id="csms"') :].partition("</section>")[0]
    assert "No CSMS is known behind this site." in section
    assert not re.search(r"attention|bad|unknown", section)


def test_sites_that_need_somebody_come_first() -> None:
    quiet_state = SiteState(site="aaa")
    well = replace(
        STATUS,
        site="aaa",
        state=quiet_state,
        mode=fresh(ModeNow(mode=Mode.CONNECTED, reasons=(), since_ms=NOW, disruption=None)),
        storage=fresh(StorageNow(level=StorageLevel.OK)),
        charge_points=fresh((ChargePointRow(charge_point="CP-01", connected=True),)),
        chain_verified=fresh(True),
        rules=fresh(RulesNow(version=1, hash="")),
        sync=fresh(Sync(head_seq=1, watermark=1)),
        waiting_commands=fresh(()),
        csms=fresh(CsmsNow(state=NONE)),
    )
    page = sites_page([well, STATUS], NOW).decode()
    assert page.index("/sites/berlin01") < page.index("/sites/aaa")
    assert "1 of 2 sites wants a look." in page


def test_html_escapes_text_and_attributes_and_keeps_its_own_markup() -> None:
    assert el("p", "<b>", el("b", "x"), None, 3, cls='"', title="<", hidden=True, id=None) == (
        '<p class="&quot;" title="&lt;" hidden>&lt;b&gt;<b>x</b>3</p>'
    )


@given(st.text())
def test_no_text_escapes_its_element(text: str) -> None:
    shown = el("p", text, title=text)
    assert shown.count("<") == 2
    assert shown.count(">") == 2


json_like = st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["idTag", "IDTAG", "idToken", "password", "x"]), inner, max_size=3
        )
    ),
)


@given(json_like)
def test_masking_leaves_no_token_in_clear_at_any_depth(document: Any) -> None:
    def tokens(value: Any) -> list[str]:
        if isinstance(value, list):
            return [token for inner in value for token in tokens(inner)]
        if isinstance(value, dict):
            own = [
                v
                for k, v in value.items()
                if k.lower() in ("idtag", "idtoken") and isinstance(v, str)
            ]
            hidden = value.get("password", "(secret)")
            assert hidden == "(secret)" or not isinstance(hidden, str | int)
            return own + [token for inner in value.values() for token in tokens(inner)]
        return []

    assert all(token.startswith("••••") for token in tokens(masked(document)))


@pytest.mark.parametrize(
    ("token", "shown"), [("AB", "••••"), ("ABCDE", "••••"), ("ABCDEF", "••••EF")]
)
def test_a_short_token_is_hidden_whole(token: str, shown: str) -> None:
    assert mask(token) == shown


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (duration(59_000), "59 s"),
        (duration(600_000), "10 min"),
        (duration(3 * 3_600_000 + 300_000), "3 h 05 min"),
        (duration(90 * 3_600_000), "3 days"),
        (energy(12_345), "12.35 kWh"),
        (energy(None), "–"),
        (number(1_234_567), "1\u202f234\u202f567"),
        (size(1 << 30), "1.1 GB"),
        (size(0), "0 B"),
        (clock(NOW, NOW), "15:06:40"),
        (clock(NOW - 86_400_000, NOW), "14 Jun 15:06:40"),
        (clock(0, NOW), "1970-01-01 00:00:00"),
    ],
)
def test_amounts_are_written_for_people(said: str, words: str) -> None:
    assert said == words


@pytest.mark.parametrize("at_ms", [None, -1, 1 << 60])
def test_a_time_that_is_none_is_a_dash(at_ms: int | None) -> None:
    assert moment(at_ms, NOW) == "–"
