"""Goal: a fact that no stream takes costs its charge point the connection, and nobody anything else."""

from __future__ import annotations

import pytest

from holdfast.contracts.session import SessionMetered
from holdfast.ocpp.websocket import ConnectionEnded
from holdfast_testkit.sim_clock import virtual_time


def readings(transaction: int, padding: int) -> dict:
    values = [
        {"timestamp": "2025-06-15T15:05:00Z", "sampledValue": [{"value": "1" + "0" * padding}]}
    ]
    return {"connectorId": 1, "transactionId": transaction, "meterValue": values}


@virtual_time
async def test_what_is_too_large_is_not_acknowledged_and_what_comes_after_it_is(
    new_place, monkeypatch
):
    monkeypatch.setattr("holdfast.recorder.ENVELOPE_BYTES_MAX", 3_000)
    place = await new_place()
    place.begin()
    charger = await place.connect()
    transaction = await charger.start()
    folded = place.facts(SessionMetered)
    with pytest.raises(ConnectionEnded):
        await charger.call("MeterValues", readings(transaction, 3_000))
    again = await place.connect()
    assert await again.call("MeterValues", readings(transaction, 3)) == {}
    assert await again.stop(transaction) == {}
    assert len(place.facts(SessionMetered)) == len(folded) + 1
    await place.kill()
