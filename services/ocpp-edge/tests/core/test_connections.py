"""Goal: however fast a charge point comes and goes, its connections never fill the way to the journal."""

from __future__ import annotations

import pytest

from holdfast.contracts.charge_point import ChargePointConnected, ChargePointDisconnected
from ocpp_edge.domain.state import RECORDING_MAX

RECONNECTS = 3_000
BOOT = {"chargePointVendor": "v", "chargePointModel": "m"}


@pytest.mark.parametrize("ends_connected", [True, False])
@pytest.mark.parametrize("takes", [False, None])
def test_thousands_of_reconnects_leave_a_bounded_queue_and_the_last_state(
    new_bench, takes, ends_connected
):
    bench = new_bench()
    bench.journal_takes = takes
    for number in range(RECONNECTS):
        bench.connect()
        bench.call("Heartbeat", {}, f"h{number}")
        assert bench.told(f"h{number}")
        if number % 3 or number == RECONNECTS - 1:
            bench.disconnect()
        assert len(bench.state.live.recording) <= RECORDING_MAX
        assert len(bench.state.live.news) <= 2
        assert bench.state.has_room
    if ends_connected:
        bench.connect()
    bench.journal_takes = True
    bench.resolve(stored=True)
    for _ in range(4):
        bench.tick()
    last = f"connection-{bench.connections}"
    assert bench.state.known.connection == (last if ends_connected else None)
    told = [*bench.facts(ChargePointConnected), *bench.facts(ChargePointDisconnected)]
    assert len(told) <= 4
    happened = RECONNECTS + RECONNECTS * 2 // 3 + 1 + ends_connected
    assert abs(len(told) + sum(fact.coalesced for fact in told) - happened) <= 1
    assert not bench.state.live.news
    if ends_connected:
        bench.start("m1")
        assert bench.told("m1")


def test_where_the_journal_takes_facts_nothing_is_left_out(new_bench):
    bench = new_bench()
    for _ in range(20):
        bench.connect()
        bench.disconnect()
    told = [*bench.facts(ChargePointConnected), *bench.facts(ChargePointDisconnected)]
    assert len(told) == 40
    assert not any(fact.coalesced for fact in told)
