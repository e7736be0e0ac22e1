"""Goal: what the simulation shows holds on real servers: a permissioned TLS leaf, a link that is cut, a server
killed, a disk replaced. One story, because the servers cost seconds.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from holdfast import rpc, subjects
from holdfast.bus import BusError, ServerBus, StreamSpec
from holdfast.clock import SystemClock
from holdfast.contracts.journal import CopiesRequest, GapCause, Gaps, HeadRequest
from holdfast.contracts.mode import Head, Mode, ModeChanged, Pulse, PulseReply, Reason
from holdfast.health import Health
from holdfast.ids import RandomIds
from holdfast.recorder import Recorder, wait_for_incarnation
from holdfast.service import Context
from holdfast_testkit.eventually import eventually
from holdfast_testkit.nats_server import LeafPair, RealServer, leaf_pair
from journal import app
from journal.adapters.keys import SiteKey
from journal.config import Config

SITE = "berlin01"
CLOCK = SystemClock()

pytestmark = pytest.mark.nats


@asynccontextmanager
async def service(server: RealServer, config: Config) -> AsyncIterator[None]:
    """The journal service, started again a moment after it ends, as a supervisor does."""
    wanted = True

    async def live() -> None:
        while wanted:
            try:
                async with server.connect("journal") as bus:
                    ids, chance = RandomIds(), random.Random(1)
                    health = Health("journal")
                    await app.run(Context(config, bus, CLOCK, ids, chance, health))
            except Exception as error:  # noqa: BLE001  a supervisor takes every end alike
                print("ended:", repr(error))
            await asyncio.sleep(0.2)

    task = asyncio.get_running_loop().create_task(live())
    try:
        yield
    finally:
        wanted = False
        task.cancel()
        await asyncio.wait([task])


def configs(folder: Path) -> tuple[Config, Config]:
    private = Ed25519PrivateKey.generate()
    key_file = folder / "site.key"
    pem = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    key_file.write_bytes(private.private_bytes(*pem, serialization.NoEncryption()))
    common = {"nats_url": "", "nats_user": "", "nats_password_file": key_file}
    at_site = common | {
        "site": SITE,
        "site_key_file": key_file,
        "data_dir": folder / "at-site",
        "confirm_ms": 1_000,
    }
    in_cloud = common | {
        "scope": "cloud",
        "data_dir": folder / "in-cloud",
        "site_keys": {SITE: SiteKey(private).public.hex()},
        "stalled_after_ms": 8_000,
    }
    return Config.model_validate(at_site), Config.model_validate(in_cloud)


async def make_cloud_streams(pair: LeafPair) -> None:
    async with pair.cloud.connect() as bus:
        for name, bound, per_subject in (
            (subjects.DOWNLINK, subjects.DOWNLINK_SUBJECTS, 1),
            (subjects.CLOUD_JOURNAL, subjects.CLOUD_JOURNAL_SUBJECTS, -1),
        ):
            await bus.ensure_stream(
                StreamSpec(
                    name=name,
                    subjects=(bound,),
                    bytes_max=1 << 28,
                    when_full="refuse",
                    per_subject_max=per_subject,
                    ttl=per_subject == 1,
                )
            )


async def record(bus: ServerBus, count: int) -> None:
    incarnation = await wait_for_incarnation(bus, CLOCK, SITE)
    recorder = Recorder(bus, CLOCK, RandomIds(), incarnation, "mode-manager")
    fact = ModeChanged(
        previous=Mode.AUTONOMOUS,
        mode=Mode.AUTONOMOUS,
        reasons=(Reason.STARTED,),
        since_ms=0,
        disruption=None,
    )
    ids = RandomIds()
    for _ in range(count):
        # Under the same id until it is acknowledged: the server may be just coming back.
        await eventually(partial(recorder.record, fact, id=ids.new()))


async def in_sync(bus: ServerBus) -> Head:
    """As mode-manager pulses, until the cloud has verified the head of the site."""
    seen: list[Head] = []

    async def look() -> bool:
        head = await rpc.call(
            bus, subjects.rpc(SITE, "head"), HeadRequest(), Head, timeout_ms=1_000
        )
        pulse = Pulse(
            at_ms=CLOCK.now_ms(), mode=Mode.CONNECTED, head=head, rules_version=0, backlog=0
        )
        reply = await rpc.call(bus, subjects.up(SITE, "pulse"), pulse, PulseReply, timeout_ms=1_000)
        seen[:] = [head]
        return (reply.incarnation, reply.watermark) == (head.incarnation, head.seq)

    await eventually(look, within_s=60, every_s=0.5)
    return seen[0]


async def published(bus: ServerBus, count: int) -> list[tuple[str, int]]:
    """(incarnation, seq) of everything in CLOUD_JOURNAL once there are so many; a site goes on writing checkpoints."""

    async def enough() -> bool:
        return (await bus.state(subjects.CLOUD_JOURNAL)).messages >= count

    await eventually(enough, within_s=30)
    found = []
    for seq in range(1, (await bus.state(subjects.CLOUD_JOURNAL)).last_seq + 1):
        message = await bus.get(subjects.CLOUD_JOURNAL, seq)
        assert message is not None
        found.append((message.headers["Hf-Incarnation"], int(message.headers["Hf-Seq"])))
    return found


async def has_rules(bus: ServerBus) -> bool:
    try:
        return await bus.last(subjects.DOWNLINK, subjects.down_rules(SITE)) is not None
    except BusError:
        return False


async def test_a_real_site_is_copied_over_cuts_kills_and_a_new_disk(tmp_path: Path) -> None:
    at_site, in_cloud = configs(tmp_path)
    async with leaf_pair(tmp_path, SITE) as pair:
        await make_cloud_streams(pair)
        async with service(pair.cloud, in_cloud), pair.cloud.connect() as cloud:
            await cloud.append(subjects.DOWNLINK, subjects.down_rules(SITE), b"{}", id="r1")
            async with service(pair.site, at_site), pair.site.connect() as site:
                await record(site, 300)
                await in_sync(site)
                await eventually(lambda: has_rules(site), within_s=30)
                pair.cut()
                await record(site, 300)
                await pair.site.kill()
                await pair.site.start()
                await record(site, 300)
                pair.heal()
                old = await in_sync(site)
                found = await published(cloud, old.seq)
                assert found == [(old.incarnation, seq) for seq in range(1, len(found) + 1)]

            # The disk is replaced, and with it the service's own store.
            await pair.site.kill(wipe=True)
            await pair.site.start()
            at_site = at_site.model_copy(update={"data_dir": tmp_path / "new-disk"})
            async with service(pair.site, at_site), pair.site.connect() as site:
                await record(site, 100)
                new = await in_sync(site)
                assert new.incarnation != old.incarnation
                await eventually(lambda: has_rules(site), within_s=30)
                found = await published(cloud, len(found) + new.seq)
                kept = [seq for incarnation, seq in found if incarnation == old.incarnation]
                assert len(kept) >= old.seq
                assert found == [
                    *((old.incarnation, seq) for seq in range(1, len(kept) + 1)),
                    *((new.incarnation, seq) for seq in range(1, len(found) - len(kept) + 1)),
                ]
                gaps = await rpc.call(
                    cloud,
                    subjects.cloud_rpc("gaps"),
                    CopiesRequest(site=SITE),
                    Gaps,
                    timeout_ms=20_000,
                )
                (gap,) = gaps.gaps
                assert (gap.incarnation, gap.from_seq, gap.to_seq, gap.cause) == (
                    old.incarnation,
                    len(kept) + 1,
                    None,
                    GapCause.DISK_LOST,
                )
                retired = subjects.journal_stream(SITE, old.incarnation)

                async def is_retired() -> bool:
                    return bool((await cloud.state(retired)).subjects)

                await eventually(is_retired, within_s=20)
