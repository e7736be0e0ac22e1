"""What a hostile charge point sends, check by check (S11 to S19), and what is due to it in each version of OCPP.

    attacks("2.0.1"): one list; in its frames $ID is a fresh message id, $NOW the time; for the rest see `forms.py`

`answer` is what the last $ID gets (a frame without one: the id -1): OK, the CALLERROR code, NONE where nothing can be
answered, ANY where the standard leaves it open. `closed` is the WebSocket code where the connection can't go on; else
it stays.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from holdfast_simulators.hostile.forms import (
    ANY,
    FORMS,
    NONE,
    OK,
    PROPERTY,
    TYPE,
    Form,
    Said,
    authorize,
)

UNKNOWN = "NotImplemented"
FRAME_BYTES_MAX = 64 * 1024


@dataclass(frozen=True, slots=True)
class Text:
    """Bytes sent as a text frame, whatever they are."""

    data: bytes


Frame = str | bytes | Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    check: str
    name: str
    frames: tuple[Frame, ...]
    answer: str = OK
    closed: int | None = None


def attacks(version: str) -> tuple[Attack, ...]:
    form = FORMS[version]
    checks = (_size, _envelope, _payload, _clocks, _meters, _foreign, _places, _shown)
    return tuple(attack for check in checks for attack in check(form))


def floods(version: str) -> tuple[tuple[str, str, float], ...]:
    """S18: frame, name, seconds between two; sent without waiting for an answer."""
    return (
        (call(authorize(FORMS[version], "GUESS")), "1,000 Authorize a minute", 0.06),
        (call(("Heartbeat", "{}")), "a Heartbeat every 10 ms", 0.01),
    )


def call(said: Said, id: str = "$ID") -> str:
    action, payload = said
    return f'[2,"{id}","{action}",{payload}]'


def _one(
    check: str, name: str, *frames: Frame, answer: str | None = OK, closed: int | None = None
) -> Attack:
    """Without an answer: NONE."""
    return Attack(check=check, name=name, frames=frames, answer=answer or NONE, closed=closed)


def _nested(depth: int) -> Said:
    return "DataTransfer", '{"vendorId":' + "[" * depth + "]" * depth + "}"


def _size(form: Form) -> Iterator[Attack]:
    frame, payload = form.codes.frame, form.codes.payload
    largest = call(form.array("[" + "1," * 30_000 + "1]"))
    million = call(form.array("[" + "1," * 1_000_000 + "1]"))
    yield _one(
        "S11", "a frame beyond 64 KiB", "x" * (FRAME_BYTES_MAX + 1), answer=NONE, closed=1009
    )
    yield _one("S11", "an array of a million elements", million, answer=NONE, closed=1009)
    yield _one("S11", "the largest array that fits", largest, answer=TYPE)
    yield _one("S11", "JSON 33 deep", call(_nested(33)), answer=payload)
    yield _one("S11", "JSON 30,000 deep", call(_nested(30_000)), answer=frame)
    yield _one("S11", "arrays without an end", "[" * 60_000, answer=NONE)
    for name, escaped in (("a key twice", False), ("a key twice, written differently", True)):
        twice = call(("Authorize", form.token_twice(escaped=escaped)))
        yield _one("S11", name, twice, answer=payload)
    for number in ("NaN", "Infinity", "-Infinity", "0x10", "01", "+1", "1."):
        yield _one("S11", number, call(form.number(number)), answer=frame)
    yield _one("S11", "5,000 digits", call(form.number("9" * 5_000)), answer=payload)
    yield _one("S11", "1e999", call(form.number("1e999")), answer=ANY)
    yield _one("S11", "invalid UTF-8", Text(b'[2,"a","b",{"c":"\xff"}]'), answer=NONE, closed=1007)
    surrogates = Text(b'[2,"a","b",{"c":"\xed\xa0\x80"}]')
    yield _one("S11", "surrogates as UTF-8", surrogates, answer=NONE, closed=1007)
    lone = call(("Authorize", form.token('"\\ud800"')))
    yield _one("S11", "a lone surrogate", lone, answer=frame)
    yield _one("S11", "NUL in a text", call(("Authorize", form.token('"A\\u0000"'))))
    yield _one("S11", "a binary frame", b"\x00\x01\x02", answer=NONE)
    yield _one("S11", "a CALL as a binary frame", b'[2,"a","Heartbeat",{}]', answer=NONE)
    yield _one("S11", "an empty frame", "", answer=NONE)
    yield _one("S11", "spaces only", " " * 60_000, answer=NONE)


def _envelope(form: Form) -> Iterator[Attack]:
    frame, unread = form.codes.frame, form.codes.unread
    for text in ("{}", '"text"', "2", "null", "true", "[]", '{"2":"Heartbeat"}'):
        yield _one("S12", f"not an array: {text}", text, answer=NONE)
    yield _one("S12", "nothing but a message type", "[2]", answer=unread)
    for kind in ("0", "1", "99"):
        due = form.codes.message_type
        yield _one("S12", f"message type {kind}", f'[{kind},"$ID","Heartbeat",{{}}]', answer=due)
    for kind in ("5", "-2", '"2"', "2.5", "null", "[2]", "true"):
        yield _one("S12", f"message type {kind}", f'[{kind},"$ID","Heartbeat",{{}}]', answer=NONE)
    yield from _sends(form)
    yield _one("S12", "two elements", '[2,"$ID"]', answer=frame)
    yield _one("S12", "three elements", '[2,"$ID","Heartbeat"]', answer=frame)
    yield _one("S12", "five elements", '[2,"$ID","Heartbeat",{},{}]', answer=frame)
    yield _one("S12", "cut off", '[2,"$ID","Heartbeat",{', answer=frame)
    yield _one("S12", "something behind it", '[2,"$ID","Heartbeat",{}] x', answer=frame)
    yield _one("S12", "no message id", '[2,"","Heartbeat",{}]', answer=unread)
    overlong = call(("Heartbeat", "{}"), id="i" * 300)
    yield _one("S12", "an overlong message id", overlong, answer=unread)
    for id in ("7", "null", "[]", "{}", "true"):
        yield _one("S12", f"message id {id}", f'[2,{id},"Heartbeat",{{}}]', answer=unread)
    yield _one("S12", "action is a number", '[2,"$ID",7,{}]', answer=frame)
    for text in ("[]", "null", "7", '"text"', "true"):
        bad = f'[2,"$ID","Heartbeat",{text}]'
        yield _one("S12", f"payload {text}", bad, answer=form.codes.payload)
    twice = call(authorize(form, "A"), id="twice")
    yield _one(
        "S12",
        "one message id for two messages",
        twice,
        call(form.status(), id="twice"),
        call(form.status()),
    )
    yield _one("S12", "an answer to nothing", '[3,"nothing",{}]', answer=NONE)
    yield _one("S12", "an error to nothing", '[4,"nothing","InternalError","",{}]', answer=NONE)
    yield _one("S12", "an error of three elements", '[4,"nothing","InternalError"]', answer=NONE)
    yield _one("S12", "an answer without payload", '[3,"nothing"]', answer=NONE)
    anything = '[3,"nothing",[1,"x",null]]'
    yield _one("S12", "an answer with a payload of anything", anything, answer=NONE)


def _sends(form: Form) -> Iterator[Attack]:
    """2.1 has messages that are never answered, whatever is wrong with them; the others know no such type."""
    due = NONE if form.version == "2.1" else form.codes.message_type
    sent = '"NotifyPeriodicEventStream",{"id":7,"pending":0,"basetime":"$NOW","data":[]}]'
    yield _one("S12", "a SEND of a stream that is none", f'[6,"$ID",{sent}', answer=due)
    yield _one("S12", "a SEND of what is a CALL", '[6,"$ID","Heartbeat",{}]', answer=due)
    yield _one("S12", "a SEND without payload", '[6,"$ID","Heartbeat"]', answer=NONE)
    yield _one("S12", "a SEND without a message id", f"[6,7,{sent}", answer=NONE)
    due = form.codes.message_type if form.version == "2.1" else UNKNOWN
    yield _one("S12", "a CALL of what is a SEND", f'[2,"$ID",{sent}', answer=due)
    refused = '[5,"nothing","FormatViolation","",{}]'
    yield _one("S12", "an error about an answer to nothing", refused, answer=NONE)


def _payload(form: Form) -> Iterator[Attack]:
    codes, token = form.codes, form.token
    for name in ("Fly", "heartbeat", "__class__", "../Heartbeat", "$SRV", "*", " "):
        yield _one("S13", f"unknown action {name}", call((name, "{}")), answer=UNKNOWN)
    yield _one("S13", "an action of the other side", call(("Reset", "{}")), answer="NotSupported")
    yield _one("S13", "an action of another version", call(form.elsewhere), answer=UNKNOWN)
    yield _one("S13", "missing", call(("Authorize", "{}")), answer=codes.occurrence)
    yield _one("S13", "wrong type", call(("Authorize", token("7"))), answer=TYPE)
    yield _one("S13", "null", call(("Authorize", token("null"))), answer=TYPE)
    long = "x" * (form.token_characters_max + 1)
    yield _one("S13", "too long", call(authorize(form, long)), answer=PROPERTY)
    more = token('"A"')[:-1] + ',"x":1}'
    yield _one("S13", "one more", call(("Authorize", more)), answer=codes.payload)
    word = call(form.status(word="Splendid"))
    yield _one("S13", "a word of no list", word, answer=PROPERTY)
    for name, literal, due in (
        ("a fraction for a whole number", "1.5", TYPE),
        ("a number that no store holds", str(2**63), PROPERTY),
        ("a truth for a number", "true", TYPE),
        ("a text for a number", '"1"', TYPE),
    ):
        yield _one("S13", name, call(form.number(literal)), answer=due)


TIMES = (
    "222222017-01-01T00:00:00Z",
    "1000000",
    "2025-06-15T15:00:00",
    "2035-06-15T15:00:00Z",
    "1995-06-15T15:00:00Z",
    "0000-00-00T00:00:00Z",
    "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59-23:59",
    "2025-02-30T25:61:61Z",
    "now",
    "",
    "-1",
    "2025-06-15T15:00:00.123456789012345678Z",
)
"""S14. Taken as said: what a charge point was not acknowledged, it would keep and send again."""


def _clocks(form: Form) -> Iterator[Attack]:
    for at in TIMES:
        yield _one("S14", f"started at {at!r}", call(form.begins(at=at)))
        yield _one("S14", f"read at {at!r}", call(form.reads(at=at)))
        yield _one("S14", f"stopped at {at!r}", call(form.ends(at=at)))


def _meters(form: Form) -> Iterator[Attack]:
    def from_to(name: str, begin: Said, *rest: Said) -> Attack:
        return _one("S15", name, *map(call, (begin, *rest)))

    yield from_to(
        "stopped below its start", form.begins(reads=5_000, at="2025-06-15T16:00:00Z"), form.ends()
    )
    yield from_to("started below zero", form.begins(reads=-5))
    yield from_to("stopped below zero", form.ends(reads=-5))
    begin = form.begins(at="2025-06-15T17:00:00Z")
    yield from_to("more than 10^9 Wh", begin, form.ends(reads=2_000_000_000))
    yield from_to(
        "a jump in one reading",
        form.begins(at="2025-06-15T18:00:00Z"),
        form.reads("900000000"),
        form.reads("5"),
        form.ends(reads=6),
    )
    for value, due in form.readings:
        yield _one("S15", f"a reading of {value[:20]}", call(form.reads(value)), answer=due)


def _foreign(form: Form) -> Iterator[Attack]:
    yield _one("S16", "stops another's transaction", call(form.ends(of="$OTHERS")))
    yield _one("S16", "reads for another's transaction", call(form.reads(of="$OTHERS")))
    for of in ("2000000000", "-1", "0"):
        yield _one("S16", f"stops the transaction {of}", call(form.ends(of=of)))


def _places(form: Form) -> Iterator[Attack]:
    yield _one("S17", "status of connector 42", call(form.status(42)))
    yield _one("S17", "starts on connector 42", call(form.begins(place=42)))
    yield _one("S17", "starts on connector 0", call(form.begins(place=0)))
    yield _one("S17", "starts on connector -1", call(form.begins(place=-1)), answer=ANY)
    yield _one("S17", "reads connector 42", call(form.reads(place=42)))
    yield _one("S17", "status of connector 2,147,483,647", call(form.status(2**31 - 1)))


TOKENS = (
    "<script>alert(1)</script>"[:20],
    "<img src=x onerror=1",
    "'\"><b>x",
    "=1+1",
    '=HYPERLINK("http://x',
    "+1",
    "-1+1",
    "@SUM(A1)",
    "\t=1+1",
    "\r\n=1+1",
    "\x1b[2J\x1b[31mred",
    "\x00\x01\x02",
    "a\u202eb",
    "{{7*7}}",
    "%0d%0aX: y",
    "'; DROP TABLE x;--",
    "a,b;c|d",
    "$(id)",
)
"""S19. Of 20 characters at most, as the standard has it: whoever shows one must show it as it is."""


def _shown(form: Form) -> Iterator[Attack]:
    for token in TOKENS:
        yield _one("S19", f"asks for {token!r}", call(authorize(form, token)))
        yield _one("S19", f"starts with {token!r}", call(form.begins(token=token)))
