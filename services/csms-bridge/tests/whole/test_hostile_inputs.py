"""Goal: whatever a CSMS sends, and whatever stands in the journal, the next session reaches the CSMS whole.

Method: the whole bridge on virtual time; frames made of OCPP's own and torn, entries that no service of ours writes.
"""

from __future__ import annotations

import json

import pytest

from fuzz.edge_frames import Maker
from holdfast import subjects
from holdfast.contracts.session import SessionMetered, SessionStarted
from holdfast.ocpp.versions import OcppVersion
from holdfast_simulators.hostile.frames import TIMES
from holdfast_testkit.sim_clock import virtual_time

SITE, LIFE = "berlin01", "aaaaaaaa"
FRAMES = 300


def is_whole(csms, start):
    return any(
        one["start"]["meterStart"] == start and one["stop"] is not None
        for one in csms.transactions.values()
    )


@pytest.mark.parametrize("seed", [1, 2])
@virtual_time
async def test_any_frame_of_a_csms_harms_nobody(new_place, facts, seed):
    place = await new_place()
    place.begin()
    await place.record(facts.connected(), facts.booted())
    await place.record(facts.connected("CP-2", "k2"), facts.booted("CP-2"))
    await place.until(lambda: len(place.csms.ends) == 2)
    makers = [Maker(version, seed) for version in OcppVersion]
    for number in range(FRAMES):
        await place.until(lambda: "CP-1" in place.csms.ends)  # it may hang up on such a CSMS
        place.csms.ends["CP-1"].inbox.put_nowait(makers[number % len(makers)].frame(number))
    await place.record(*facts.session(5, "CP-2"))
    await place.until(lambda: is_whole(place.csms, 5))
    await place.record(*facts.session(6))
    await place.until(lambda: is_whole(place.csms, 6), within_s=600)
    await place.kill()


ENTRIES = (
    b"",
    b"\x00\xff",
    b"[]",
    b"{}",
    b'{"id":1}',
    b'{"id":"x","type":"session.started","at_ms":"yesterday"}',
    b"[" * 50_000,
    b'{"body":' * 20_000,
)
HEADERS = (
    {},
    {"Hf-Site": SITE},
    {"Hf-Site": SITE, "Hf-Incarnation": LIFE, "Hf-Seq": "-1"},
    {"Hf-Site": SITE, "Hf-Incarnation": LIFE, "Hf-Seq": "9" * 5_000},
    {"Hf-Site": "../*", "Hf-Incarnation": ">", "Hf-Seq": "1"},
    {"Hf-Site": SITE, "Hf-Incarnation": LIFE, "Hf-Seq": "three"},
)


@virtual_time
async def test_any_entry_of_the_stream_is_passed_over(new_place, facts):
    place = await new_place()
    place.begin()
    await place.record(facts.connected(), facts.booted())
    subject = subjects.cloud_journal(SITE, subjects.journal(SITE, *SessionStarted.TYPE.split(".")))
    number = 0
    for data in ENTRIES:
        for headers in HEADERS:
            number += 1
            await place.bus.append(
                subjects.CLOUD_JOURNAL, subject, data, id=f"hostile-{number}", headers=headers
            )
    await place.record(*facts.session(5))
    await place.until(lambda: is_whole(place.csms, 5))
    await place.kill()


@virtual_time
async def test_sessions_of_any_time_all_reach_the_csms_and_so_does_the_next_one(new_place, facts):
    place = await new_place()
    place.begin()
    await place.record(facts.connected(), facts.booted())
    for number, at in enumerate(TIMES, 100):
        for one in facts.session(number):
            raw = one.raw.replace('"timestamp":"t"', f'"timestamp":{json.dumps(at)}')
            at_its_time = {} if isinstance(one, SessionMetered) else {"at": at}
            await place.record(one.model_copy(update={**at_its_time, "raw": raw}))
    await place.record(*facts.session(5))
    await place.until(lambda: is_whole(place.csms, 5), within_s=600)
    assert len(place.csms.transactions) == len(TIMES) + 1
    assert all(is_whole(place.csms, number) for number in range(100, 100 + len(TIMES)))
    await place.kill()
