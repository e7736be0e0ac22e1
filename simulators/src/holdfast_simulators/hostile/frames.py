"""What a hostile charge point sends over OCPP 1.6J, check by check (S11 to S19), and what is due to it.

    ATTACKS: one list; in its frames $ID is a fresh message id, $TX the sender's own running transaction,
             $OTHERS another charge point's, $NOW the time

`answer` is what the last $ID gets: OK, the CALLERROR code, NONE where nothing can be answered, ANY where the
standard leaves it open. `closed` is the WebSocket code where the connection can't go on; else it stays.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

OK, NONE, ANY = "CALLRESULT", "no answer", "any answer"
FORMATION, TYPE = "FormationViolation", "TypeConstraintViolation"
OCCURRENCE, PROPERTY = "OccurenceConstraintViolation", "PropertyConstraintViolation"
UNKNOWN = "NotImplemented"
FRAME_BYTES_MAX = 64 * 1024
TIME = "2025-06-15T15:00:00Z"


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


def call(action: str, payload: Any, id: str = "$ID") -> str:
    text = payload if isinstance(payload, str) else json.dumps(payload)
    return f'[2,"{id}","{action}",{text}]'


def start(**changes: Any) -> dict[str, Any]:
    begin = {"connectorId": 1, "idTag": "TAG", "meterStart": 0, "timestamp": TIME}
    return begin | changes


def stop(transaction: Any = "$TX", **changes: Any) -> str:
    end = {"transactionId": 0, "meterStop": 10, "timestamp": TIME} | changes
    return json.dumps(end).replace('"transactionId": 0', f'"transactionId": {transaction}')


def meter(transaction: Any = "$TX", value: str = "5", at: str = TIME, connector: int = 1) -> str:
    sampled = [{"timestamp": at, "sampledValue": [{"value": value}]}]
    text = json.dumps({"connectorId": connector, "transactionId": 0, "meterValue": sampled})
    return text.replace('"transactionId": 0', f'"transactionId": {transaction}')


def _one(
    check: str, name: str, *frames: Frame, answer: str = OK, closed: int | None = None
) -> Attack:
    return Attack(check=check, name=name, frames=frames, answer=answer, closed=closed)


def _nested(depth: int) -> str:
    return '{"vendorId":' + "[" * depth + "]" * depth + "}"


SIZE = (
    _one("S11", "a frame beyond 64 KiB", "x" * (FRAME_BYTES_MAX + 1), answer=NONE, closed=1009),
    _one(
        "S11",
        "an array of a million elements",
        call("MeterValues", '{"connectorId":1,"meterValue":[' + "1," * 1_000_000 + "1]}"),
        answer=NONE,
        closed=1009,
    ),
    _one(
        "S11",
        "the largest array that fits",
        call("MeterValues", '{"connectorId":1,"meterValue":[' + "1," * 30_000 + "1]}"),
        answer=TYPE,
    ),
    _one("S11", "JSON 33 deep", call("DataTransfer", _nested(33)), answer=FORMATION),
    _one("S11", "JSON 30,000 deep", call("DataTransfer", _nested(30_000)), answer=FORMATION),
    _one("S11", "arrays without an end", "[" * 60_000, answer=NONE),
    _one("S11", "a key twice", call("Authorize", '{"idTag":"A","idTag":"B"}'), answer=FORMATION),
    _one(
        "S11",
        "a key twice, written differently",
        call("Authorize", '{"idTag":"A","id\\u0054ag":"B"}'),
        answer=FORMATION,
    ),
    *(
        _one(
            "S11", number, call("StartTransaction", f'{{"connectorId":{number}}}'), answer=FORMATION
        )
        for number in ("NaN", "Infinity", "-Infinity", "0x10", "01", "+1", "1.", "9" * 5_000)
    ),
    _one("S11", "1e999", call("MeterValues", '{"connectorId":1e999,"meterValue":[]}'), answer=ANY),
    _one(
        "S11",
        "invalid UTF-8",
        Text(b'[2,"a","Authorize",{"idTag":"\xff"}]'),
        answer=NONE,
        closed=1007,
    ),
    _one("S11", "a lone surrogate", call("Authorize", '{"idTag":"\\ud800"}'), answer=FORMATION),
    _one(
        "S11",
        "surrogates as UTF-8",
        Text(b'[2,"a","b",{"c":"\xed\xa0\x80"}]'),
        answer=NONE,
        closed=1007,
    ),
    _one("S11", "NUL in a text", call("Authorize", '{"idTag":"A\\u0000"}')),
    _one("S11", "a binary frame", b"\x00\x01\x02", answer=NONE),
    _one("S11", "a CALL as a binary frame", b'[2,"a","Heartbeat",{}]', answer=NONE),
    _one("S11", "an empty frame", "", answer=NONE),
    _one("S11", "spaces only", " " * 60_000, answer=NONE),
)

ENVELOPE = (
    *(
        _one("S12", f"not an array: {text}", text, answer=NONE)
        for text in ("{}", '"text"', "2", "null", "true", "[]", "[2]", '{"2":"Heartbeat"}')
    ),
    *(
        _one("S12", f"message type {kind}", f'[{kind},"$ID","Heartbeat",{{}}]', answer=NONE)
        for kind in ("0", "1", "5", "99", "-2", '"2"', "2.5", "null", "[2]", "true")
    ),
    _one("S12", "two elements", '[2,"$ID"]', answer=FORMATION),
    _one("S12", "three elements", '[2,"$ID","Heartbeat"]', answer=FORMATION),
    _one("S12", "five elements", '[2,"$ID","Heartbeat",{},{}]', answer=FORMATION),
    _one("S12", "cut off", '[2,"$ID","Heartbeat",{', answer=FORMATION),
    _one("S12", "something behind it", '[2,"$ID","Heartbeat",{}] x', answer=FORMATION),
    _one("S12", "no message id", '[2,"","Heartbeat",{}]', answer=NONE),
    _one("S12", "an overlong message id", call("Heartbeat", {}, id="i" * 300), answer=NONE),
    *(
        _one("S12", f"message id {id}", f'[2,{id},"Heartbeat",{{}}]', answer=NONE)
        for id in ("7", "null", "[]", "{}", "true")
    ),
    _one("S12", "action is a number", '[2,"$ID",7,{}]', answer=FORMATION),
    *(
        _one("S12", f"payload {text}", f'[2,"$ID","Heartbeat",{text}]', answer=FORMATION)
        for text in ("[]", "null", "7", '"text"', "true")
    ),
    _one(
        "S12",
        "one message id for two messages",
        call("Authorize", {"idTag": "A"}, id="twice"),
        call(
            "StatusNotification", {"connectorId": 1, "errorCode": "NoError", "status": "Available"}
        ),
    ),
    _one("S12", "an answer to nothing", '[3,"nothing",{}]', answer=NONE),
    _one("S12", "an error to nothing", '[4,"nothing","InternalError","",{}]', answer=NONE),
    _one("S12", "an error of three elements", '[4,"nothing","InternalError"]', answer=NONE),
    _one("S12", "an answer without payload", '[3,"nothing"]', answer=NONE),
    _one("S12", "an answer with a payload of anything", '[3,"nothing",[1,"x",null]]', answer=NONE),
)

PAYLOAD = (
    *(
        _one("S13", f"unknown action {name}", call(name, {}), answer=UNKNOWN)
        for name in ("Fly", "heartbeat", "__class__", "../Heartbeat", "$SRV", "*", " ")
    ),
    _one("S13", "an action of the other side", call("Reset", {}), answer="NotSupported"),
    _one("S13", "missing", call("Authorize", {}), answer=OCCURRENCE),
    _one("S13", "wrong type", call("Authorize", {"idTag": 7}), answer=TYPE),
    _one("S13", "null", call("Authorize", {"idTag": None}), answer=TYPE),
    _one("S13", "too long", call("Authorize", {"idTag": "x" * 21}), answer=PROPERTY),
    _one("S13", "one more", call("Authorize", {"idTag": "A", "x": 1}), answer=FORMATION),
    _one(
        "S13",
        "a word of no list",
        call("StatusNotification", {"connectorId": 1, "errorCode": "Fine", "status": "Available"}),
        answer=PROPERTY,
    ),
    _one(
        "S13",
        "a fraction for a whole number",
        call("StartTransaction", start(meterStart=1.5)),
        answer=TYPE,
    ),
    _one(
        "S13",
        "a number that no store holds",
        call("StartTransaction", start(meterStart=2**63)),
        answer=PROPERTY,
    ),
    _one(
        "S13",
        "a truth for a number",
        call("StartTransaction", start(connectorId=True)),
        answer=TYPE,
    ),
)

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

CLOCKS = tuple(
    attack
    for at in TIMES
    for attack in (
        _one("S14", f"started at {at!r}", call("StartTransaction", start(timestamp=at))),
        _one("S14", f"read at {at!r}", call("MeterValues", meter(at=at))),
        _one("S14", f"stopped at {at!r}", call("StopTransaction", stop(timestamp=at))),
    )
)

METERS = (
    _one(
        "S15",
        "stopped below its start",
        call("StartTransaction", start(meterStart=5_000, timestamp="2025-06-15T16:00:00Z")),
        call("StopTransaction", stop(meterStop=10)),
    ),
    _one("S15", "started below zero", call("StartTransaction", start(meterStart=-5))),
    _one("S15", "stopped below zero", call("StopTransaction", stop(meterStop=-5))),
    _one(
        "S15",
        "more than 10^9 Wh",
        call("StartTransaction", start(timestamp="2025-06-15T17:00:00Z")),
        call("StopTransaction", stop(meterStop=2_000_000_000)),
    ),
    _one(
        "S15",
        "a jump in one reading",
        call("StartTransaction", start(timestamp="2025-06-15T18:00:00Z")),
        call("MeterValues", meter(value="900000000")),
        call("MeterValues", meter(value="5")),
        call("StopTransaction", stop(meterStop=6)),
    ),
    *(
        _one("S15", f"a reading of {value}", call("MeterValues", meter(value=value)))
        for value in ("NaN", "-1", "1e999999999", "9" * 2_000, "0x10", "", "１２")
    ),
)

FOREIGN = (
    _one("S16", "stops another's transaction", call("StopTransaction", stop("$OTHERS"))),
    _one("S16", "reads for another's transaction", call("MeterValues", meter("$OTHERS"))),
    _one("S16", "stops a transaction of nobody", call("StopTransaction", stop(2_000_000_000))),
    _one("S16", "stops the transaction -1", call("StopTransaction", stop(-1))),
    _one("S16", "stops the transaction 0", call("StopTransaction", stop(0))),
)

PLACES = (
    _one(
        "S17",
        "status of connector 42",
        call(
            "StatusNotification", {"connectorId": 42, "errorCode": "NoError", "status": "Charging"}
        ),
    ),
    _one("S17", "starts on connector 42", call("StartTransaction", start(connectorId=42))),
    _one("S17", "starts on connector 0", call("StartTransaction", start(connectorId=0))),
    _one(
        "S17", "starts on connector -1", call("StartTransaction", start(connectorId=-1)), answer=ANY
    ),
    _one("S17", "reads connector 42", call("MeterValues", meter(connector=42))),
    _one(
        "S17",
        "status of connector 2,147,483,647",
        call(
            "StatusNotification",
            {"connectorId": 2**31 - 1, "errorCode": "NoError", "status": "Available"},
        ),
    ),
)

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

SHOWN = tuple(
    attack
    for token in TOKENS
    for attack in (
        _one("S19", f"asks for {token!r}", call("Authorize", {"idTag": token})),
        _one("S19", f"starts with {token!r}", call("StartTransaction", start(idTag=token))),
    )
)

ATTACKS: tuple[Attack, ...] = (
    *SIZE,
    *ENVELOPE,
    *PAYLOAD,
    *CLOCKS,
    *METERS,
    *FOREIGN,
    *PLACES,
    *SHOWN,
)

FLOODS: tuple[tuple[str, str, float], ...] = (
    (call("Authorize", {"idTag": "GUESS"}), "1,000 Authorize a minute", 0.06),
    (call("Heartbeat", {}), "a Heartbeat every 10 ms", 0.01),
)
"""S18: frame, name, seconds between two; sent without waiting for an answer."""
