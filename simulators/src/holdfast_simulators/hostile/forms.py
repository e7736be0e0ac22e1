"""How each version of OCPP says what a hostile charge point has to say, and what a version calls its errors.

    FORMS["2.0.1"].begins(token="TAG") -> (action, payload as text)

In a payload $NEW is a transaction id that was never used, $TX the newest one of the sender, "$SEQ" the number of its
next event, $OTHERS another charge point's transaction. In 1.6 the central system gives the ids, as numbers.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

OK, NONE, ANY = "CALLRESULT", "no answer", "any answer"
TYPE, PROPERTY = "TypeConstraintViolation", "PropertyConstraintViolation"
TIME, DRIVER = "2025-06-15T15:00:00Z", "TAG"
Said = tuple[str, str]
"""Action and payload."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Codes:
    """Of CALLERROR."""

    frame: str
    """What was read of it is no CALL."""
    payload: str
    """The payload can't be read as an object of that action."""
    occurrence: str
    message_type: str | None
    """None: a type that is not known is not answered."""
    unread: str | None
    """To a CALL whose id can't be read, under the id -1. None: it gets no answer."""


class Form16:
    version = "1.6"
    codes = Codes(
        frame="FormationViolation",
        payload="FormationViolation",
        occurrence="OccurenceConstraintViolation",
        message_type=None,
        unread=None,
    )
    token_characters_max = 20
    elsewhere = "TransactionEvent", "{}"
    """An action that only other versions have."""
    readings = tuple(
        (value, OK) for value in ("NaN", "-1", "1e999999999", "9" * 2_000, "0x10", "", "１２")
    )
    """Of a register, none that could be; and what each is due."""

    def token(self, literal: str) -> str:
        """The payload of Authorize with this JSON text as its driver token."""
        return f'{{"idTag":{literal}}}'

    def token_twice(self, *, escaped: bool) -> str:
        """The same key twice, the second time perhaps with an escaped letter."""
        return f'{{"idTag":"A","{_key("idTag", escaped=escaped)}":"B"}}'

    def number(self, literal: str) -> Said:
        """This JSON text stands where a whole number belongs."""
        begin = {"connectorId": 1, "idTag": "TAG", "meterStart": 0, "timestamp": TIME}
        return "StartTransaction", json.dumps(begin).replace('rt": 0', f'rt": {literal}')

    def array(self, elements: str) -> Said:
        """This text stands where an array of readings belongs."""
        return "MeterValues", f'{{"connectorId":1,"meterValue":{elements}}}'

    def status(self, place: int = 1, word: str = "Available") -> Said:
        said = {"connectorId": place, "errorCode": "NoError", "status": word}
        return "StatusNotification", json.dumps(said)

    def begins(
        self, *, at: str = TIME, token: str = DRIVER, place: int = 1, reads: int = 0
    ) -> Said:
        begin = {"connectorId": place, "idTag": token, "meterStart": reads, "timestamp": at}
        return "StartTransaction", json.dumps(begin)

    def reads(self, value: str = "5", *, at: str = TIME, of: str = "$TX", place: int = 1) -> Said:
        sampled = [{"timestamp": at, "sampledValue": [{"value": value}]}]
        said = {"connectorId": place, "transactionId": of, "meterValue": sampled}
        return "MeterValues", _with_number(json.dumps(said), of)

    def ends(self, *, at: str = TIME, of: str = "$TX", reads: int = 10) -> Said:
        said = {"transactionId": of, "meterStop": reads, "timestamp": at}
        return "StopTransaction", _with_number(json.dumps(said), of)


def _key(name: str, *, escaped: bool) -> str:
    return name.replace("T", "\\u0054") if escaped else name


def _with_number(text: str, of: str) -> str:
    return text.replace(f'"transactionId": "{of}"', f'"transactionId": {of}')


@dataclass(frozen=True, slots=True)
class Form2x:
    version: str
    token_characters_max: int

    codes = Codes(
        frame="RpcFrameworkError",
        payload="FormatViolation",
        occurrence="OccurrenceConstraintViolation",
        message_type="MessageTypeNotSupported",
        unread="RpcFrameworkError",
    )
    elsewhere = "StartTransaction", "{}"
    readings = (
        ("-1", OK),
        ("-0.0", OK),
        ("1e-400", OK),
        ("1e999999999", ANY),
        ("9" * 2_000, ANY),
        ("null", TYPE),
        ('"5"', TYPE),
        ('"NaN"', TYPE),
        ("[]", TYPE),
    )

    def token(self, literal: str) -> str:
        return f'{{"idToken":{{"idToken":{literal},"type":"Central"}}}}'

    def token_twice(self, *, escaped: bool) -> str:
        second = _key("idToken", escaped=escaped)
        return f'{{"idToken":{{"idToken":"A","{second}":"B","type":"Central"}}}}'

    def number(self, literal: str) -> Said:
        return self._event("Started", "$NEW", seqNo="$NUMBER", literal=literal)

    def array(self, elements: str) -> Said:
        return "MeterValues", f'{{"evseId":1,"meterValue":{elements}}}'

    def status(self, place: int = 1, word: str = "Available") -> Said:
        said = {"evseId": place, "connectorId": 1, "connectorStatus": word, "timestamp": TIME}
        return "StatusNotification", json.dumps(said)

    def begins(
        self, *, at: str = TIME, token: str = DRIVER, place: int = 1, reads: int = 0
    ) -> Said:
        return self._event(
            "Started",
            "$NEW",
            at=at,
            place=place,
            literal=str(reads),
            idToken={"idToken": token, "type": "Central"},
            meterValue=_sampled(at, "Transaction.Begin"),
        )

    def reads(self, value: str = "5", *, at: str = TIME, of: str = "$TX", place: int = 1) -> Said:
        meter = _sampled(at, "Sample.Periodic")
        return self._event("Updated", of, at=at, place=place, literal=value, meterValue=meter)

    def ends(self, *, at: str = TIME, of: str = "$TX", reads: int = 10) -> Said:
        meter = _sampled(at, "Transaction.End")
        return self._event("Ended", of, at=at, literal=str(reads), meterValue=meter)

    def _event(
        self, kind: str, of: str, *, at: str = TIME, place: int = 1, literal: str, **more: Any
    ) -> Said:
        said = {
            "eventType": kind,
            "timestamp": at,
            "triggerReason": "Trigger",
            "seqNo": "$SEQ",
            "transactionInfo": {"transactionId": of},
            "evse": {"id": place, "connectorId": 1},
            **more,
        }
        return "TransactionEvent", json.dumps(said).replace('"$NUMBER"', literal)


def _sampled(at: str, context: str) -> list[dict[str, Any]]:
    return [{"timestamp": at, "sampledValue": [{"value": "$NUMBER", "context": context}]}]


Form = Form16 | Form2x
FORMS: dict[str, Form] = {
    "1.6": Form16(),
    "2.0.1": Form2x("2.0.1", 36),
    "2.1": Form2x("2.1", 255),
}
VERSIONS = tuple(FORMS)


def authorize(form: Form, token: Any) -> Said:
    return "Authorize", form.token(json.dumps(token))
