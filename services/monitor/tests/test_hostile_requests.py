"""Goal: whatever is asked of the API or a page gets an answer that says what is wrong; the monitor is at fault never.

Method: Hypothesis against the whole application on virtual time: paths, queries and bodies of any kind.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdfast_simulators.hostile.frames import TIMES

SITE = "berlin01"
NAMES = st.sampled_from([SITE, "never", "..", "*", ">", "", "a/b", "x" * 300, "\x00", "CP-01", "٣"])
PARTS = st.sampled_from(
    [
        "", "charge-points", "charge-points/CP-01/state", "state-changes", "sessions", "events", "gaps",
        "copies", "decisions", "decisions/x", "disruptions", "modes", "mode-card", "upstream",
        "upstream/settle", "commands", "commands/x/confirm", "rules", "rules/1", "rules/nine",
        "overrides", "pending-charge-points", "charge-points/CP-01/password", "charge-points/CP-01",
        "charge-points/CP-01/profile",
    ]
)  # fmt: skip
HOSTILE = st.sampled_from(
    [
        *TIMES,
        "9" * 5_000,
        "-1",
        "1e999",
        "NaN",
        "٣",
        "\x00",
        "%",
        "a:b",
        "aaaaaaaa:1",
        "=",
        "1" * 19,
    ]
)
QUERY = st.dictionaries(
    st.sampled_from(
        ["after", "limit", "at", "from", "to", "charge_point", "disruption", "all", "type", "x"]
    ),
    HOSTILE | st.text(max_size=12),
    max_size=4,
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | HOSTILE,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["charge_point", "action", "payload", "by", "id", "deadline_ms", "draft", "sites",
                 "percent", "mode", "kind", "until_ms", "security_profile", "password", "reason"]
            ),
            inner,
            max_size=6,
        )
    ),
    max_leaves=10,
)  # fmt: skip
BODY = st.one_of(
    JSON.map(lambda value: json.dumps(value).encode()),
    st.binary(max_size=60),
    st.sampled_from([b"[" * 60_000, b'{"a":' * 20_000, b'{"a":1,"a":2}', b"x" * 3_000_000]),
)
REQUEST = st.tuples(
    st.sampled_from(["GET", "GET", "POST", "DELETE", "PUT"]),
    st.sampled_from(["/api/sites/{}/{}", "/sites/{}", "/api/sites", "/api/rules/rollouts", "/"]),
    NAMES,
    PARTS,
    QUERY,
    BODY,
    st.sampled_from(["application/json", "text/html"]),
)
NOBODY_ANSWERS = {503, 504}
"""Other services are not there to be asked: said so, and no fault of the monitor's."""


@pytest.mark.parametrize("scope", ["site", "cloud"])
@settings(max_examples=12, suppress_health_check=list(HealthCheck))
@given(requests=st.lists(REQUEST, min_size=10, max_size=25))
def test_any_request_is_answered_and_is_no_fault_of_the_monitor_s(with_monitor, scope, requests):
    async def look(_: Any, http: httpx.AsyncClient) -> None:
        for method, form, name, part, query, body, accept in requests:
            path = form.format(quote(name, safe=""), part)
            content = None if method == "GET" else body
            headers = {"accept": accept, "content-type": "application/json"}
            said = await http.request(method, path, params=query, content=content, headers=headers)
            asked = (method, path, query, content and content[:200], said.text[:300])
            assert said.status_code < 500 or said.status_code in NOBODY_ANSWERS, asked
            if "json" in said.headers.get("content-type", ""):
                said.json()
        assert (await http.get("/api/sites")).status_code == 200

    with_monitor(scope, look)
