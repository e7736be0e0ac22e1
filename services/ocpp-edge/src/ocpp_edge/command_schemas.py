"""What a command may look like, by the version of OCPP that its charge point speaks.

problem_of(schemas, version, action, payload) -> a sentence | None
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from holdfast.ocpp.actions import Sender, row
from holdfast.ocpp.instead import why_not
from holdfast.ocpp.versions import OcppVersion
from ocpp_edge.adapters.schemas import Schemas


def problem_of(
    schemas: Schemas, version: OcppVersion | None, action: str, payload: Mapping[str, Any]
) -> str | None:
    """Why no charge point of this version takes it. None as version: it never connected, and any will do."""
    if version is not None:
        return _problem(schemas, version, action, payload)
    having = [one for one in OcppVersion if row(one, Sender.CSMS, action) is not None]
    problems = {one: _problem(schemas, one, action, payload) for one in having}
    if None in problems.values():
        return None
    told = "; ".join(f"OCPP {one}: {problem}" for one, problem in problems.items())
    return f"right in no version ({told})"


def _problem(
    schemas: Schemas, version: OcppVersion, action: str, payload: Mapping[str, Any]
) -> str | None:
    has_it_not = why_not(version, action)
    if has_it_not:
        return has_it_not
    problem = schemas.problem(action, payload, version)
    return f"{problem.sentence} of {action}" if problem else None
