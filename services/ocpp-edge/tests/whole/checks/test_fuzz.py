"""Goal: whatever text comes, nothing fails, no frame is answered twice, the connection stays and the honest charge
point beside is served.

Method: the frames of `tests/fuzz`, a fixed number from fresh seeds (printed when one fails); Hypothesis for what no
schema has thought of. Longer: make fuzz.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz.edge_frames import Maker, judged
from holdfast.ocpp import frames
from holdfast.ocpp.versions import OcppVersion
from holdfast_testkit.sim_clock import virtual_time
from ocpp_edge.adapters.schemas import Schemas

FRAMES, ROUND = 400, 20
SCHEMAS = Schemas()
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4)
    ),
    max_leaves=12,
)


class Reading:
    """What comes back, by message id."""

    def __init__(self, end):
        self.end = end
        self.answers = Counter()
        self.news = asyncio.Event()

    async def run(self):
        while True:
            message = json.loads(await self.end.receive())
            self.answers[str(message[1])] += 1
            self.news.set()

    async def until(self, id):
        while id not in self.answers:
            self.news.clear()
            async with asyncio.timeout(60):
                await self.news.wait()


@pytest.mark.parametrize("version", list(OcppVersion))
@virtual_time
async def test_random_frames_harm_nobody(new_place, version, request):
    seed = request.config.getoption("--seed", None) or 20_251_126
    place = await new_place()
    place.begin(frames_per_s=1_000_000, authorize_per_min=1_000_000)
    honest = await place.connect("CP-2")
    end = place.door.connect("CP-1", version)
    reading = Reading(end)
    task = asyncio.get_running_loop().create_task(reading.run())
    maker = Maker(version, seed)
    asked = Counter()  # a torn id may be another frame's
    for number in range(FRAMES):
        frame = maker.frame(number)
        asked[str(getattr(frames.parse(frame), "message_id", None))] += 1
        await end.send(frame)
        if number % ROUND == 0:
            probe = f"alive-{number}"
            await end.send(f'[2,"{probe}","Heartbeat",{{}}]')
            await reading.until(probe)
            assert "currentTime" in await honest.call("Heartbeat", {})
    task.cancel()
    answers = {id: times for id, times in reading.answers.items() if not id.startswith("alive-")}
    unreadable = answers.pop("-1", 0)
    assert unreadable <= asked["None"]
    assert not {id: times for id, times in answers.items() if times > asked[id]}, seed
    assert sum(answers.values()) > FRAMES / 4
    await place.kill()


@settings(max_examples=150, deadline=None)
@given(JSON, st.sampled_from(list(OcppVersion)))
def test_any_json_is_judged(value, version):
    judged(SCHEMAS, version, json.dumps(value))
    judged(SCHEMAS, version, json.dumps([2, "m", "Heartbeat", value]))
    judged(SCHEMAS, version, json.dumps([2, value, "Heartbeat", {}]))


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=200), st.sampled_from(list(OcppVersion)))
def test_any_text_is_judged(text, version):
    judged(SCHEMAS, version, text)
    judged(SCHEMAS, version, '[2,"m","Authorize",' + text)
