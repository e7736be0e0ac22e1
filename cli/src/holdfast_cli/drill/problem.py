"""What is wrong with a scenario, in the words of the person who wrote it: field, fault, remedy."""

from __future__ import annotations

import yaml
from pydantic import ValidationError

WHOLE = "the file must be a mapping with name, summary, charge_points and steps"
MAPPINGS = {
    "Scenario": WHOLE,
    "ChargePoint": "must be a mapping such as {id: CP-01, connectors: 1}",
    "Behaviour": "must be a mapping such as {power_w: 11000}; simulators/README.md lists its fields",
    "Csms": "must be a mapping such as {kind: steve}",
    "OwnCall": "must be a mapping such as {action: GetConfiguration, payload: {}}",
    "Expect": "must be a mapping such as {calm: true}",
    "ExpectRules": "must be a mapping such as {refused: {forged: bad-signature}}",
}
STEP = "must be a mapping such as {at_s: 4, do: cut, how: reset}"


def problem(error: ValidationError) -> str:
    """The first problem, as one line."""
    first = error.errors(include_url=False)[0]
    context = first.get("ctx", {})
    field = ".".join(str(part) for part in first["loc"])
    where = f"{field}: " if field else ""
    given = f"(given {str(first['input'])[:80]!r})"
    match first["type"]:
        case "model_type" | "model_attributes_type":
            sentence = MAPPINGS.get(context.get("class_name", ""), STEP)
            return f"{sentence} {given}" if not field else f"{where}{sentence} {given}"
        case "union_tag_not_found":
            return f"{where}{STEP} {given}"
        case "union_tag_invalid":
            return f"{where}do is one of {context['expected_tags']} {given}"
        case "missing":
            return f"{where}is missing: add it"
        case "extra_forbidden":
            return f"{where}there is no such field: remove it, or correct its name"
        case "dict_type":
            return f"{where}must be a mapping {given}: write it as {{field: value}}"
        case "tuple_type" | "list_type":
            return f"{where}must be a list {given}: write it as [a, b]"
        case "value_error":
            return f"{where}{context['error']}"
    return f"{where}{first['msg']} {given}: correct this field"


def yaml_problem(error: Exception) -> str:
    """In one line, with the line where it stands when that is known."""
    match error:
        case yaml.MarkedYAMLError(problem_mark=mark) if mark is not None:
            return f"line {mark.line + 1}: {error.problem}: correct this line"
        case RecursionError():
            return "it is nested too deep: write it flat"
    return f"{' '.join(str(error).split())}: save it as plain UTF-8 text"
