"""Energy readings out of MeterValues: the lifetime register in Wh, as integers, and nothing guessed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from holdfast.contracts.session import Reading
from ocpp_edge.domain.text import number_is_sound, plain

REGISTER = "Energy.Active.Import.Register"
"""The default measurand of OCPP 1.6, too."""
READINGS_MAX = 256
"""Of one message; more stay in its raw payload."""
TIME_CHARACTERS_MAX = 64
"""Each reading repeats its time: no timestamp is longer, and 256 of what is none must not fill a fact."""
PLAIN_DIGITS = 15
"""A whole number of so many needs no decimals, and is sound."""


def energy_readings(meter_values: Iterable[Mapping[str, Any]]) -> tuple[Reading, ...]:
    readings: list[Reading] = []
    for value in meter_values:
        for sample in value["sampledValue"]:
            if sample.get("measurand", REGISTER) != REGISTER:
                continue
            energy_wh = _energy_wh(sample)
            if energy_wh is None:
                continue
            if len(readings) >= READINGS_MAX:
                return tuple(readings)
            readings.append(
                Reading(at=plain(value["timestamp"])[:TIME_CHARACTERS_MAX], energy_wh=energy_wh)
            )
    return tuple(readings)


def _is_other_unit(sample: Mapping[str, Any]) -> bool:
    """2.x: the unit is a free text there."""
    unit = sample.get("unitOfMeasure", {}).get("unit", "Wh")
    return unit not in ("Wh", "kWh")


def _energy_wh(sample: Mapping[str, Any]) -> int | None:
    """Of the register. None for one phase of several, a signed blob, or what is no number."""
    if sample.get("phase"):
        return None
    if sample.get("format", "Raw") != "Raw" or _is_other_unit(sample):
        return None
    # 1.6: a text and its unit. 2.x: a number, and a unit with a power of ten.
    measure = sample.get("unitOfMeasure", sample)
    said = sample["value"]
    is_plain = measure is sample and type(said) is str and len(said) <= PLAIN_DIGITS
    if is_plain and said.isdecimal() and sample.get("unit", "Wh") == "Wh":
        return int(said)  # nine of ten that come
    power = measure.get("multiplier", 0) + (3 if measure.get("unit") == "kWh" else 0)
    try:
        value = Decimal(str(said))
        if not value.is_finite() or abs(value.adjusted()) > 15 or abs(power) > 15:
            return None
        energy_wh = round(value.scaleb(power))
    except InvalidOperation:
        return None
    return energy_wh if number_is_sound(energy_wh) else None
