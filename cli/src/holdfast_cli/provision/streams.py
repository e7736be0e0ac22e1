"""The cloud's own streams. A site's streams and their copies belong to the journal services: they come and
go with incarnations.
"""

from __future__ import annotations

import asyncio

from holdfast import subjects
from holdfast.bus import StreamSpec
from holdfast.contracts.rollout import HISTORY_MAX
from holdfast.nats_bus import open_bus
from holdfast_cli.provision.layout import CLOUD, World

LISTENS_WITHIN_S = 1.0
CLOUD_STREAMS = (
    StreamSpec(
        name=subjects.DOWNLINK,
        subjects=(subjects.DOWNLINK_SUBJECTS,),
        bytes_max=1 << 30,
        when_full="refuse",
        per_subject_max=1,
        ttl=True,
    ),
    StreamSpec(
        name=subjects.RULES,
        subjects=(subjects.RULES_SUBJECTS,),
        bytes_max=1 << 30,
        when_full="refuse",
        per_subject_max=HISTORY_MAX,
    ),
    StreamSpec(
        name=subjects.CLOUD_JOURNAL,
        subjects=(subjects.CLOUD_JOURNAL_SUBJECTS,),
        bytes_max=10 << 30,
        when_full="drop-oldest",
        age_max_s=30 * 86_400,
    ),
    StreamSpec(
        name=subjects.UPSTREAM_KV,
        subjects=(subjects.UPSTREAM_KV_SUBJECTS,),
        bytes_max=1 << 30,
        when_full="refuse",
        per_subject_max=1,
        duplicate_window_s=120,
    ),
)


async def server_listens(world: World) -> bool:
    """At once: whether anything takes connections where the cloud's server would."""
    try:
        async with asyncio.timeout(LISTENS_WITHIN_S):
            _, writer = await asyncio.open_connection("127.0.0.1", world.port("cloud.nats"))
    except OSError:
        return False
    writer.close()
    return True


async def provision_streams(world: World) -> list[str]:
    """What was made or changed, one line each."""
    password = (world.secrets / "cloud.password").read_text().strip()
    async with open_bus(
        world.nats_url(CLOUD),
        user="cloud",
        password=password,
        name="provision",
        inbox_prefix="_INBOX.cp",
    ) as bus:
        return [
            f"made or changed stream {spec.name} in the cloud"
            for spec in CLOUD_STREAMS
            if await bus.ensure_stream(spec)
        ]
