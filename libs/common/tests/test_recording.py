"""Goal: a fact goes into its own stream once, reads back as it was, and what can't be read is kept with its reason."""

import asyncio
import random
from pathlib import Path

import pytest

from holdfast import subjects
from holdfast.bus import Message, NotAcknowledged, StreamFull, StreamSpec
from holdfast.contracts.charge_point import ChargePointDisconnected, FrameRefused
from holdfast.contracts.envelope import ContractError, Envelope, Fact
from holdfast.contracts.journal import MessageQuarantined
from holdfast.contracts.mode import Mode, ModeChanged, Reason
from holdfast.contracts.rules import RulesActivated
from holdfast.entries import read, read_or_quarantine
from holdfast.recorder import (
    Incarnation,
    IncarnationChanged,
    Recorded,
    Recorder,
    current_incarnation,
    wait_for_incarnation,
)
from holdfast.standing import Standing, follow_standing
from holdfast_testkit import golden
from holdfast_testkit.eventually import eventually
from holdfast_testkit.sim_bus import SimBus
from holdfast_testkit.sim_clock import SimClock, SimIds, virtual_time
from holdfast_testkit.sim_options import SimOptions

SITE = "berlin01"
GOLDEN = Path(__file__).parent / "golden"
LIFE = Incarnation(SITE, "k3v9x2ab")
GONE = ChargePointDisconnected(charge_point="CP.01", connection="c-1", reason="closed")


async def opened(bus: SimBus, life: Incarnation = LIFE) -> None:
    for name, subject in (
        (life.journal, subjects.journal_all(SITE)),
        (life.telemetry, subjects.telemetry_all(SITE)),
    ):
        await bus.ensure_stream(
            StreamSpec(name=name, subjects=(subject,), bytes_max=1 << 20, when_full="refuse")
        )


def recorder(bus: SimBus, life: Incarnation = LIFE) -> Recorder:
    return Recorder(bus, SimClock(), SimIds(random.Random(1)), life, source="test")


async def stored_by(
    writer: Recorder, fact: Fact, id: str, cause: str | None = None, at_ms: int = 1
) -> Recorded:
    return await writer.recorded(writer.begin(fact, id=id, cause=cause, at_ms=at_ms), fact, at_ms)


def read_golden(kind: type[Fact]) -> Fact:
    return Envelope.from_bytes((GOLDEN / f"{kind.TYPE}.json").read_bytes()).fact()


def mode_changed(mode: Mode) -> ModeChanged:
    return ModeChanged(
        previous=None, mode=mode, reasons=(Reason.STARTED,), since_ms=1, disruption="d-1"
    )


@virtual_time
async def test_a_fact_reads_back_as_it_was_recorded() -> None:
    bus = SimBus(SimClock())
    await opened(bus)
    entry = await recorder(bus).record(GONE, id="id-1", cause="frame-9")
    message = await bus.get(LIFE.journal, entry.seq)
    assert message is not None
    assert message.subject == "hf.berlin01.journal.charge-point.disconnected.CP%2E01"
    found = read(message)
    assert (found.fact, found.entry) == (GONE, entry)
    assert found.entry.key == (SITE, "k3v9x2ab", 1)
    assert found.entry.envelope.cause == "frame-9"


@virtual_time
async def test_telemetry_goes_into_telemetry() -> None:
    bus = SimBus(SimClock())
    await opened(bus)
    fact = FrameRefused(charge_point="CP-01", reason="no JSON", code=None, frame="[")
    await recorder(bus).record(fact)
    assert (await bus.state(LIFE.telemetry)).messages == 1
    assert (await bus.state(LIFE.journal)).messages == 0


@virtual_time
async def test_a_fact_recorded_again_with_its_id_is_stored_once() -> None:
    bus = SimBus(SimClock(), options=SimOptions(seed=1, ack_loss_ratio=1.0))
    await opened(bus)
    with pytest.raises(NotAcknowledged):
        await recorder(bus).record(GONE, id="id-1")
    bus.server.options = SimOptions()
    assert (await recorder(bus).record(GONE, id="id-1")).seq == 1
    assert (await bus.state(LIFE.journal)).messages == 1


@virtual_time
async def test_a_full_disk_refuses_and_a_fact_too_large_is_never_cut() -> None:
    bus = SimBus(SimClock())
    await opened(bus)
    bus.disk.refuse_writes = True
    with pytest.raises(StreamFull):
        await recorder(bus).record(GONE)
    with pytest.raises(ContractError, match="over the limit"):
        await recorder(bus).record(GONE.model_copy(update={"reason": "x" * 600_000}))


@virtual_time
async def test_a_process_of_an_earlier_life_learns_that_it_is_over() -> None:
    bus = SimBus(SimClock())
    await opened(bus)
    late = recorder(bus)
    for name in (LIFE.journal, LIFE.telemetry):
        await bus.release_subjects(name, f"hf.retired.{name}")
    await opened(bus, Incarnation(SITE, "bbbbbbbb"))
    with pytest.raises(IncarnationChanged):
        await late.record(GONE)
    bus.crash(wipe=True)
    bus.start()
    with pytest.raises(IncarnationChanged):
        await late.record(GONE)


@virtual_time
async def test_services_wait_for_the_incarnation_in_any_order() -> None:
    bus, clock = SimBus(SimClock()), SimClock()
    assert await current_incarnation(bus, SITE) is None
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(wait_for_incarnation(bus, clock, SITE))
        await clock.sleep_ms(5_000)
        assert not waiting.done()
        await opened(bus)
    assert waiting.result() == LIFE


@virtual_time
async def test_what_can_not_be_read_is_quarantined_once_with_its_reason() -> None:
    bus = SimBus(SimClock())
    await opened(bus)
    keeper = recorder(bus)
    bad = Message(
        stream=LIFE.journal, seq=7, subject="hf.x", id="", data=b"\xff not JSON", stored_at_ms=1
    )
    assert await read_or_quarantine(bad, keeper) is None
    assert await read_or_quarantine(bad, keeper) is None
    assert (await bus.state(LIFE.journal)).messages == 1
    stored = await bus.get(LIFE.journal, 1)
    assert stored is not None
    fact = read(stored).fact
    assert isinstance(fact, MessageQuarantined)
    assert (fact.seq, fact.stream) == (7, LIFE.journal)
    assert "not a Envelope" in fact.reason


@virtual_time
async def test_mode_and_rules_stand_as_the_journal_last_said() -> None:
    bus = SimBus(SimClock())
    await opened(bus)
    keeper = recorder(bus)
    await keeper.record(mode_changed(Mode.DEGRADED))
    await keeper.record(mode_changed(Mode.RECOVERY))
    await keeper.record(
        RulesActivated(version=4, hash="ab", text="version: 4\n", previous_version=0)
    )
    standing = Standing()
    assert standing.mode is Mode.AUTONOMOUS
    async with asyncio.TaskGroup() as group:
        following = group.create_task(follow_standing(bus, LIFE, standing))
        await standing.known.wait()
        assert (standing.mode, standing.rules.version) == (Mode.RECOVERY, 4)
        await keeper.record(mode_changed(Mode.CONNECTED))
        await eventually(lambda: standing.mode is Mode.CONNECTED)
        following.cancel()


@virtual_time
async def test_an_empty_journal_is_known_at_once() -> None:
    bus = SimBus(SimClock())
    await opened(bus)
    standing = Standing()
    async with asyncio.TaskGroup() as group:
        following = group.create_task(follow_standing(bus, LIFE, standing))
        await asyncio.wait_for(standing.known.wait(), 1)
        following.cancel()
    assert standing.rules_version == 0


@virtual_time
async def test_a_fact_stored_is_byte_for_byte_what_recording_it_would_have_written() -> None:
    bus = SimBus(SimClock())
    await opened(bus)
    writer = recorder(bus)
    facts = [(kind.TYPE, fact) for kind in golden.facts() for fact in [read_golden(kind)]]
    for number, (name, fact) in enumerate(facts):
        for cause in (None, 'a "cause" of Zürich\n'):
            id = f"{number} {name} {cause is None}"
            stored = await stored_by(writer, fact, id, cause)
            subject = subjects.journal if fact.STREAM == "journal" else subjects.telemetry
            stream = LIFE.journal if fact.STREAM == "journal" else LIFE.telemetry
            message = await bus.get(stream, stored.seq)
            assert message is not None
            assert message.subject == subject(SITE, *fact.topic())
            wanted = writer.envelope(fact, id=id, cause=cause)
            assert message.data == wanted.model_copy(update={"at_ms": stored.at_ms}).to_bytes()
            assert stored.fact == wanted.fact()


@virtual_time
async def test_a_fact_stored_before_is_the_first_one() -> None:
    bus = SimBus(SimClock())
    await opened(bus)
    first = await stored_by(recorder(bus), GONE, "id-1")
    other = GONE.model_copy(update={"reason": "another"})
    assert await stored_by(recorder(bus), other, "id-1", at_ms=2) == first


@virtual_time
@pytest.mark.parametrize("id", ["", "x" * 201])
async def test_a_fact_with_no_usable_id_is_not_stored(id: str) -> None:
    bus = SimBus(SimClock())
    await opened(bus)
    with pytest.raises(ContractError):
        recorder(bus).begin(GONE, id=id, cause=None, at_ms=1)
