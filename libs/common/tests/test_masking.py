"""Goal: whoever reads commands, answers or local states reads no secret, and everything else as it is.

Method: the forms in which OCPP 1.6 and 2.x carry secrets, and documents of any shape.
"""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.masking import in_answer, in_text, is_secret, without_secrets

HIDDEN = "s3cr3t-Value"


@pytest.mark.parametrize(
    "document",
    [
        {"key": "AuthorizationKey", "value": HIDDEN},
        {"key": "WiFi-Password", "value": HIDDEN},
        {"configurationKey": [{"key": "wifi_psk", "value": HIDDEN, "readonly": False}]},
        {
            "setVariableData": [
                {
                    "component": {"name": "SecurityCtrlr"},
                    "variable": {"name": "BasicAuthPassword"},
                    "attributeValue": HIDDEN,
                }
            ]
        },
        {
            "reportData": [
                {"variable": {"name": "ApiKey"}, "variableAttribute": [{"value": HIDDEN}]}
            ]
        },
        {"eventData": [{"variable": {"name": "Passphrase"}, "actualValue": HIDDEN}]},
        {"connectionData": {"vpn": {"server": "v", "user": "u", "password": HIDDEN, "key": "k"}}},
        {"connectionData": {"vpn": {"server": "v", "key": HIDDEN}}},
        {"connectionData": {"apn": {"apn": "a", "apnPassword": HIDDEN, "simPin": 1}}},
        {"connectionData": {"basicAuthPassword": HIDDEN}},
        {"location": f"ftp://user:{HIDDEN}@files.example/fw.bin"},
        {"firmware": {"location": f"https://u:{HIDDEN}@files.example/fw.bin"}},
        {"location": f"ftp://user:p@{HIDDEN}@files.example/fw.bin"},
        {"remoteLocation": f"https://files.example/l?x=1&X-Amz-Signature={HIDDEN}#a"},
        {"data": f"put it to sftp://{HIDDEN}@host/ please"},
    ],
)
def test_no_secret_is_shown_in_whatever_form_a_command_carries_it(document) -> None:
    assert HIDDEN not in json.dumps(without_secrets(document))
    assert HIDDEN not in in_answer(json.dumps(document))


@pytest.mark.parametrize(
    "document",
    [
        {"key": "HeartbeatInterval", "value": "60"},
        {"connectorId": 1, "idTag": "TAG", "ok": None, "at": [1, 2.5, True]},
        {"location": "https://files.example/fw@2.bin", "mail": "anna@example.org"},
        {"secretive": {"inner": 1}, "passwordChanged": True},
        {"variable": {"name": "HeartbeatInterval"}, "attributeValue": "60"},
        {"vpn": {"server": "v", "type": "IKEv2"}},
    ],
)
def test_what_is_no_secret_is_shown_as_it_is(document) -> None:
    assert without_secrets(document) == document
    raw = json.dumps(document, indent=3)
    assert in_answer(raw) == raw


def test_the_host_of_an_address_stays_readable() -> None:
    assert in_text("ftp://u:p@files.example/a") == "ftp://(secret)@files.example/a"


documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(documents)
def test_any_document_keeps_its_shape_and_masking_twice_is_masking_once(document) -> None:
    once = without_secrets(document)
    assert without_secrets(once) == once
    assert type(once) is type(document)


@pytest.mark.parametrize("name", ["AuthorizationKey", "authorization_key", "SIM-PIN", "WPA key"])
def test_names_of_secrets_are_known_however_they_are_written(name) -> None:
    assert is_secret(name)
