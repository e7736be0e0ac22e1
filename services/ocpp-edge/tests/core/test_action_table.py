"""Goal: the table of actions names every action that the schemas of the `ocpp` package have, and no other."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

import pytest

from holdfast.ocpp.actions import ROWS, ActionRow
from holdfast.ocpp.versions import OcppVersion

FOLDERS = {OcppVersion.V16: "v16", OcppVersion.V201: "v201", OcppVersion.V21: "v21"}


def schema_names(version: OcppVersion) -> set[str]:
    folder = resources.files("ocpp") / FOLDERS[version] / "schemas"
    return {
        one.name.removesuffix(".json") for one in folder.iterdir() if one.name.endswith(".json")
    }


def request_schema(version: OcppVersion, action: str) -> dict[str, Any]:
    """A SEND has no response, and its schema no `Request` in its name."""
    names = schema_names(version)
    name = next(one for one in (f"{action}Request", action) if one in names)
    folder = resources.files("ocpp") / FOLDERS[version] / "schemas"
    found: dict[str, Any] = json.loads((folder / f"{name}.json").read_text("utf-8-sig"))
    return found


@pytest.mark.parametrize("version", OcppVersion)
def test_every_action_of_the_schemas_has_a_row_and_no_row_is_of_none(version: OcppVersion) -> None:
    actions = {
        name.removesuffix("Response").removesuffix("Request") for name in schema_names(version)
    }
    assert {one.action for one in ROWS if version in one.versions} == actions


@pytest.mark.parametrize("version", OcppVersion)
def test_every_key_is_a_field_of_its_actions_schema(version: OcppVersion) -> None:
    for one in ROWS:
        if version in one.versions:
            schema = request_schema(version, one.action)
            for path in one.key:
                assert has(schema, schema, path.split(".")), f"{version} {one.action} {path}"


@pytest.mark.parametrize("one", [one for one in ROWS if one.send], ids=lambda one: one.action)
def test_a_send_has_no_response_schema(one: ActionRow) -> None:
    for version in one.versions:
        assert f"{one.action}Response" not in schema_names(version)


def has(root: dict[str, Any], schema: dict[str, Any], path: list[str]) -> bool:
    while "$ref" in schema:
        schema = root["definitions"][schema["$ref"].rpartition("/")[2]]
    if not path:
        return True
    properties = schema.get("properties", {})
    return path[0] in properties and has(root, properties[path[0]], path[1:])
