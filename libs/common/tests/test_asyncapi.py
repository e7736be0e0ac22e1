"""Goal: the AsyncAPI document is current, sound, and names every request a service serves or asks."""

import json
import re
from pathlib import Path

import pytest

from holdfast import asyncapi
from holdfast.contracts.envelope import FACTS

ROOT = Path(__file__).resolve().parents[3]
VERB = re.compile(r"""subjects\.(rpc|up|up_from_any|cloud_rpc)\([^()]*["']([a-z-]+)["']\)""")
TABLES = {
    "rpc": asyncapi.SITE_REQUESTS,
    "up": asyncapi.UP_REQUESTS,
    "up_from_any": asyncapi.UP_REQUESTS,
    "cloud_rpc": asyncapi.CLOUD_REQUESTS,
}


def test_the_document_in_the_repository_is_current():
    written = (ROOT / "docs" / "spec" / "asyncapi.json").read_text()
    remedy = "run `python -m holdfast.asyncapi > docs/spec/asyncapi.json`"
    assert written == asyncapi.text(), remedy


def test_every_reference_leads_somewhere():
    document = asyncapi.document()
    for reference in re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(document)):
        found = document
        for part in reference.split("/"):
            found = found[part]


def test_every_fact_and_every_parameter_is_described():
    document = asyncapi.document()
    assert set(FACTS) <= set(document["components"]["messages"])
    for name, channel in document["channels"].items():
        in_address = set(re.findall(r"\{(\w+)\}", channel["address"] or ""))
        assert in_address == set(channel.get("parameters", {})), name


SOURCES = sorted((ROOT / "services").glob("*/src/**/*.py"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_request_of_a_service_is_documented(path: Path):
    for builder, verb in VERB.findall(path.read_text()):
        assert verb in {asked.verb for asked in TABLES[builder]}, f"{builder}({verb!r})"
