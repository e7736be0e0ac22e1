"""Which monitor is asked, and what is said when it can't be, or answers what no monitor would."""

from __future__ import annotations

import argparse
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from holdfast_cli.main import _parser
from holdfast_cli.operator import rules
from holdfast_cli.operator.arguments import amperes, at_most, duration_ms, parse, payload
from holdfast_cli.operator.client import Client, Monitor, monitor_of
from holdfast_cli.operator.output import clean, fields, table
from holdfast_cli.operator.problem import OperatorError
from holdfast_cli.provision.step import provision
from holdfast_testkit.ports import free_ports
from monitor.changes import rollout_ms


def asked(*words: str) -> argparse.Namespace:
    return _parser().parse_args(["sites", *words])


def client(answer: Any) -> Client:
    """Of a monitor that is none."""
    transport = httpx.MockTransport(answer)
    return Client(Monitor("http://m", None), httpx.AsyncClient(transport=transport))


@pytest.mark.parametrize(
    ("status", "body", "code", "sentence"),
    [
        (401, b'{"error": "show the credential"}', 2, "--credential-file"),
        (404, b'{"error": "site x is not known here"}', 2, "not known here"),
        (409, b'{"error": "too late"}', 1, "too late"),
        (503, b'{"error": "journal is not there"}', 2, "journal"),
        (504, b'{"error": "no answer in time"}', 2, "no answer in time"),
        (200, b"<html>", 2, "is that a monitor's address?"),
        (200, b"[1]", 2, "is that a monitor's address?"),
        (200, b"[" * 100_000, 2, "is that a monitor's address?"),
        (301, b"", 2, "is that a monitor's address?"),
        (500, b"\xff\xfe", 2, "is that a monitor's address?"),
        (404, b'{"error": {"a": 1}}', 2, "is that a monitor's address?"),
        (200, b'{"a": "' + b"x" * (17 << 20) + b'"}', 2, "bytes"),
    ],
)
async def test_an_answer_says_what_it_means_and_what_now(status, body, code, sentence):
    it = client(lambda _: httpx.Response(status, content=body))
    with pytest.raises(OperatorError) as raised:
        await it.get("sites")
    assert (raised.value.code, sentence in str(raised.value)) == (code, True), str(raised.value)


async def test_a_change_without_an_answer_in_time_is_uncertain():
    it = client(lambda _: httpx.Response(504, content=b'{"error": "may or may not"}'))
    with pytest.raises(OperatorError, match="may or may not") as raised:
        await it.post("x", body={})
    assert raised.value.code == 3


@pytest.mark.parametrize("verb", ["sites", "status", "decisions", "charge-points"])
@pytest.mark.parametrize(
    "document",
    [
        {},
        {"sites": 5},
        {"sites": [{"site": "a"}], "decisions": [1], "charge_points": [{}], "known": 1},
    ],
)
async def test_a_monitor_of_another_version_ends_in_a_sentence(monkeypatch, verb, document):
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json=document))
    real = httpx.AsyncClient
    monkeypatch.setattr(httpx, "AsyncClient", lambda **_: real(transport=transport))
    arguments = _parser().parse_args([verb, "--api", "http://127.0.0.1:1"])
    with pytest.raises(OperatorError, match="same version"):
        await arguments.run(arguments)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--payload", '{"a": NaN}'), "NaN is no number of JSON"),
        (("--payload", "[" * 100_000), "no key=value"),
        (("--payload", '{"a": ' + "[" * 100_000), "no JSON"),
        (("a=1e999",), "can't be sent as JSON"),
        (('a="\\ud800"',), "can't be sent as JSON"),
    ],
)
async def test_what_was_typed_and_cannot_be_sent_is_not_blamed_on_the_monitor(
    monkeypatch, words, sentence
):
    sent: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(200, json={})

    transport = httpx.MockTransport(answer)
    real = httpx.AsyncClient
    monkeypatch.setattr(httpx, "AsyncClient", lambda **_: real(transport=transport))
    given = ["command", "send", "CP-01", "DataTransfer", "--site", "a", *words]
    arguments = parse(_parser(), [*given, "--by", "x", "--api", "http://127.0.0.1:1"])
    with pytest.raises(OperatorError) as raised:
        await arguments.run(arguments)
    assert len(str(raised.value)) < 500
    assert sentence in str(raised.value)
    assert "version" not in str(raised.value)
    assert (raised.value.code, sent) == (2, [])


async def test_a_defect_of_our_own_is_told_from_an_answer_that_cannot_be_read():
    defect = TypeError("oh")
    own = client(lambda _: httpx.Response(200, json={}))
    assert "failed by itself" in str(own.gave_up(defect))
    await own.get("sites")
    assert "same version" in str(own.gave_up(defect))
    assert own.gave_up(defect).code == 2
    await own.post("x", body={})
    assert own.gave_up(defect).code == 3
    assert "may or may not have been taken" in str(own.gave_up(defect))


@pytest.mark.parametrize("text", ["nan", "inf", "-1", "x", "1e999"])
def test_amperes_are_a_number_from_nothing_on(text: str):
    with pytest.raises(argparse.ArgumentTypeError):
        amperes(text)
    assert amperes("32.5") == 32.5


async def test_rows_that_are_not_fresh_are_said_to_be_so_with_their_age():
    def page(**told: Any) -> Client:
        return client(lambda _: httpx.Response(200, json={"sites": [{}], "next": None, **told}))

    old = {"known": False, "age_ms": 61_000, "problem": "no pulse\x1b of the site"}
    assert await page(**old).all_told("sites") == (
        [{}], "not fresh, as of 61 s ago: no pulse\\x1b of the site",
    )  # fmt: skip
    assert await page(known=True, age_ms=5, problem="").all_told("sites") == ([{}], "")
    assert await page().all_told("sites") == ([{}], "")


async def test_pages_that_go_round_in_a_circle_end():
    it = client(lambda _: httpx.Response(200, json={"sites": [], "next": "a"}))
    with pytest.raises(OperatorError, match="circle"):
        await it.sites()


async def test_silence_after_a_change_is_uncertain_and_after_a_question_is_not():
    def silent(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("", request=request)

    for ask, code in ((client(silent).get("sites"), 2), (client(silent).post("x", body={}), 3)):
        with pytest.raises(OperatorError) as raised:
            await ask
        assert raised.value.code == code


async def test_a_rollout_is_waited_for_longer_than_the_monitor_waits(tmp_path: Path):
    seen: list[float] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.extensions["timeout"]["read"])
        return httpx.Response(200, json={"results": []})

    draft = tmp_path / "draft.yaml"
    draft.write_text("version: 1\n")
    arguments = _parser().parse_args(
        ["rules", "publish", str(draft), "--percent", "100", "--by", "x"]
    )
    await rules._publish(client(answer), arguments)
    assert seen[0] * 1_000 > rollout_ms("x" * 10**6, 10**6)


async def test_what_a_person_typed_stays_one_part_of_the_path():
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.raw_path.decode())
        return httpx.Response(200, json={})

    await client(answer).get("sites", "../x?y#z/", "rules")
    assert seen == ["/api/sites/..%2Fx%3Fy%23z%2F/rules"]


@contextmanager
def a_door_that_closes() -> Iterator[str]:
    """Accepts, and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as door:

        def hang_up() -> None:
            connection, _ = door.accept()
            connection.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        yield f"http://127.0.0.1:{door.getsockname()[1]}"
        thread.join(60)


async def test_no_monitor_there_and_one_that_hangs_up_are_told_apart():
    with free_ports(1) as (port,):
        nobody = asked("--api", f"http://127.0.0.1:{port}")
        with pytest.raises(OperatorError, match="no monitor answers"):
            await nobody.run(nobody)
    with a_door_that_closes() as url:
        rude = asked("--api", url)
        with pytest.raises(OperatorError, match="try again"):
            await rude.run(rude)


def test_the_command_line_goes_before_the_environment(tmp_path: Path):
    file = tmp_path / "credential"
    file.write_text("secret\n")
    environment = {"HOLDFAST_API": "http://env:1/", "HOLDFAST_CREDENTIAL_FILE": str(file)}
    assert monitor_of(asked(), environment).url == "http://env:1"
    assert monitor_of(asked(), environment).credential == "secret"
    assert monitor_of(asked("--api", "https://given:2"), environment).url == "https://given:2"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--api", "ftp://x"), "no address"),
        (("--api", "http://x:port"), "no address"),
        (("--api", "http://x", "--world", "w"), "give one of them"),
        (("--world", "nowhere"), "no provisioned world"),
        (("--api", "http://x", "--credential-file", "/nowhere/c"), "can't be read"),
        (("--api", "http://x", "--credential-file", "/dev/null"), "holds no credential"),
    ],
)
def test_a_monitor_that_is_not_said_well_is_asked_for(words, sentence):
    with pytest.raises(OperatorError, match=sentence):
        monitor_of(asked(*words), {})


def test_a_provisioned_world_says_both_for_the_cloud_and_for_a_site(tmp_path: Path):
    world, _ = provision(
        tmp_path / "w", sites=("berlin01",), charge_points=1, rules_text="version: 1\n",
        rules_name="r",
    )  # fmt: skip
    cloud = monitor_of(asked("--world", str(world.root)), {})
    site = monitor_of(asked("--world", str(world.root), "--at", "berlin01"), {})
    assert (cloud.url, cloud.site) == (world.api("cloud"), None)
    assert (site.url, site.site) == (world.api("berlin01"), "berlin01")
    assert site.credential != cloud.credential
    with pytest.raises(OperatorError, match="no site 'x'"):
        monitor_of(asked("--world", str(world.root), "--at", "x"), {})


def test_a_table_fits_the_terminal_and_hides_no_column():
    rows = [("CP-01", "a" * 200, "b" * 50), ("CP-02", "c", "d")]
    for width in (40, 80, 120):
        lines = table(("charge point", "why", "id"), rows, "", width).splitlines()
        assert max(map(len, lines)) <= width
        assert "…" in lines[1]
    assert table(("a",), [], "nothing", 40) == "nothing"
    assert fields([("a", None), ("bc", True)]) == "a   -\nbc  yes"


def test_nothing_from_outside_steers_a_terminal():
    assert clean("a\x1b]0;x\x07\x9b\u202e\u200f\nb") == "a\\x1b]0;x\\x07\\x9b\\u202e\\u200f\\nb"
    assert clean("Ladesäule 7") == "Ladesäule 7"


@pytest.mark.parametrize(
    ("words", "given"),
    [
        ([], {}),
        (["connectorId=1", "idTag=04AB", "type=Soft"], {"connectorId": 1, "idTag": "04AB", "type": "Soft"}),
        (['idTag="0123"', "x=null", 'p={"a":[1]}'], {"idTag": "0123", "x": None, "p": {"a": [1]}}),
        (['{"connectorId": 1}'], {"connectorId": 1}),
        (["connectorId=1", "idTag=12345678"], {"connectorId": 1, "idTag": "12345678"}),
        (["key=HeartbeatInterval", "value=0300"], {"key": "HeartbeatInterval", "value": "0300"}),
        (["key=X", "value=true"], {"key": "X", "value": "true"}),
        (['key=["A"]'], {"key": ["A"]}),
    ],
)  # fmt: skip
def test_a_payload_is_written_as_pairs_or_as_json(words, given):
    assert payload(words) == given


@pytest.mark.parametrize("words", [["x"], ["=1"], ["a=1", "a=2"], ["{"], ["{]}"]])
def test_what_is_no_payload_is_refused(words):
    with pytest.raises(ValueError, match=r".{10}"):
        payload(words)


def test_durations_are_written_with_their_unit():
    assert [duration_ms(text) for text in ("60s", "5min", "5m", "2h", "1d")] == [
        60_000, 300_000, 300_000, 7_200_000, 86_400_000,
    ]  # fmt: skip
    for text in ("60", "-1s", "1.5h", "0s", "999d", "s", "1w"):
        with pytest.raises(argparse.ArgumentTypeError):
            duration_ms(text)


@pytest.mark.parametrize(
    "text", ["99999999999999999999", "9007199254740993", "0", "-1", "1.5", "x", "9" * 5_000]
)
def test_a_number_beyond_its_bound_is_refused_however_long(text: str):
    with pytest.raises(argparse.ArgumentTypeError):
        at_most(2**53)(text)
    assert at_most(2**53)(str(2**53)) == 2**53
    assert at_most(2**53)("007") == 7


def test_words_may_stand_on_both_sides_of_an_option(capsys):
    words = ["command", "send", "CP-01", "Reset", "type=Soft", "--deadline", "5s", "a=1"]
    assert parse(_parser(), words).fields == ["type=Soft", "a=1"]
    assert parse(_parser(), ["driver-tokens", "add", "A", "--parent", "g", "B"]).tokens == [
        "A",
        "B",
    ]
    for wrong in ([*words, "--nothing"], ["sites", "x"]):
        with pytest.raises(SystemExit):
            parse(_parser(), wrong)
        assert "unrecognized" in capsys.readouterr().err


def test_a_reader_who_has_seen_enough_is_no_error():
    holdfast = Path(sys.executable).with_name("holdfast")
    asked = f"{holdfast} completion fish | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", asked], capture_output=True, text=True, timeout=60, check=True
    )
    assert (done.stdout.strip(), done.stderr) == (str(128 + signal.SIGPIPE), "")
