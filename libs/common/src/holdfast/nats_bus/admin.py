"""Making, copying and trimming streams, as measured to work on nats-server 2.15 (see docs: durable copies).

A copy is a mirror bound to a durable push consumer on its origin, with flow control as acknowledgement:
it resumes in seconds and needs no right to create anything at the origin. Such a consumer never sends
again what it saw acknowledged, so binding one always makes it anew.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from holdfast.bus import AdminRefused, CopySpec, Message, StreamGone, StreamSpec, StreamState
from holdfast.nats_bus import api
from holdfast.nats_bus.api import Document
from holdfast.nats_bus.connection import Connection

NS_PER_S = 1_000_000_000
HEARTBEAT_S = 5
WINDOW = 1_000
"""Messages on the way and not yet acknowledged by the copy."""
FOLD_PREFIX = "fold_"


class Admin:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def _call(
        self, verb: str, body: Document | None = None, *, domain: str | None = None
    ) -> Document:
        return await api.call(self._connection, verb, body, domain=domain)

    # --- looking ---

    async def state(self, stream: str) -> StreamState:
        return _state(await self._call(f"STREAM.INFO.{stream}"))

    async def held(self, stream: str, subject: str) -> int:
        held = offset = 0
        while True:
            asked = {"subjects_filter": subject, "offset": offset}
            info = await self._call(f"STREAM.INFO.{stream}", asked)
            counts: dict[str, int] = info["state"].get("subjects") or {}
            held += sum(counts.values())
            offset += len(counts)
            if not counts or offset >= info.get("total", 0):
                return held

    async def streams(self, prefix: str) -> Sequence[StreamState]:
        found = [_state(info) async for info in self._paged("STREAM.LIST", "streams")]
        return sorted((one for one in found if one.name.startswith(prefix)), key=lambda s: s.name)

    async def stream_of(self, subject: str) -> str | None:
        names = (await self._call("STREAM.NAMES", {"subject": subject})).get("streams")
        return names[0] if names else None

    async def fold_floor(self, stream: str) -> int | None:
        floors = [
            info["ack_floor"]["stream_seq"]
            async for info in self._paged(f"CONSUMER.LIST.{stream}", "consumers")
            if info["name"].startswith(FOLD_PREFIX)
        ]
        return min(floors, default=None)

    async def _paged(self, verb: str, items: str) -> AsyncIterator[Document]:
        offset = 0
        while True:
            page = await self._call(verb, {"offset": offset})
            found = page.get(items) or []
            for item in found:
                yield item
            offset += len(found)
            if not found or offset >= page["total"]:
                return

    async def fetch(self, stream: str, seq: int, *, domain: str | None = None) -> Message | None:
        return await self._message(stream, {"seq": seq}, domain=domain)

    async def last(self, stream: str, subject: str) -> Message | None:
        return await self._message(stream, {"last_by_subj": subject})

    async def _message(
        self, stream: str, which: Document, *, domain: str | None = None
    ) -> Message | None:
        try:
            found = await self._call(f"STREAM.MSG.GET.{stream}", which, domain=domain)
        except api.NotFound:
            return None
        return api.stored_message(stream, found)

    # --- making ---

    async def ensure_stream(self, spec: StreamSpec) -> bool:
        return await self._ensure(spec.name, _stream_config(spec))

    async def ensure_copy(self, spec: CopySpec) -> bool:
        return await self._ensure(spec.name, _copy_config(spec))

    async def _ensure(self, name: str, wanted: Document) -> bool:
        try:
            config = (await self._call(f"STREAM.INFO.{name}"))["config"]
        except StreamGone:
            await self._call(f"STREAM.CREATE.{name}", wanted)
            return True
        if _is_copy(config) != _is_copy(wanted):
            raise AdminRefused(f"{name}: a copy can't become a stream, nor a stream a copy")
        if _same(config, wanted):
            return False
        await self._call(f"STREAM.UPDATE.{name}", config | wanted)
        return True

    async def bind_consumer(
        self, stream: str, consumer: str, deliver: str, subject: str, *, domain: str | None = None
    ) -> None:
        with suppress(api.NotFound):
            await self._call(f"CONSUMER.DELETE.{stream}.{consumer}", domain=domain)
        config = {
            "durable_name": consumer,
            "deliver_subject": deliver,
            "deliver_policy": "all",
            "ack_policy": "flow_control",
            "filter_subject": subject,
            "flow_control": True,
            "idle_heartbeat": HEARTBEAT_S * NS_PER_S,
            "max_ack_pending": WINDOW,
        }
        body = {"stream_name": stream, "config": config}
        await self._call(f"CONSUMER.DURABLE.CREATE.{stream}.{consumer}", body, domain=domain)

    async def has_consumer(self, stream: str, consumer: str, *, domain: str | None = None) -> bool:
        try:
            await self._call(f"CONSUMER.INFO.{stream}.{consumer}", domain=domain)
        except api.NotFound:
            return False
        return True

    async def pause_consumer(self, stream: str, consumer: str, until_ms: int | None) -> None:
        body: Document = {}
        if until_ms is not None:
            until = datetime.fromtimestamp(until_ms / 1000, UTC)
            body = {"pause_until": until.isoformat(timespec="milliseconds")}
        await self._call(f"CONSUMER.PAUSE.{stream}.{consumer}", body)

    # --- ending ---

    async def release_subjects(self, stream: str, parked: str) -> None:
        config = (await self._call(f"STREAM.INFO.{stream}"))["config"]
        await self._call(f"STREAM.UPDATE.{stream}", config | {"subjects": [parked]})

    async def retire_copy(self, stream: str, parked: str) -> None:
        config = (await self._call(f"STREAM.INFO.{stream}"))["config"]
        config.pop("mirror", None)
        await self._call(f"STREAM.UPDATE.{stream}", config | {"subjects": [parked]})

    async def delete_stream(self, stream: str) -> None:
        try:
            await self._call(f"STREAM.DELETE.{stream}")
        except StreamGone:
            return

    async def trim(self, stream: str, below_seq: int) -> None:
        # Purging beyond the end would also move the next sequence, and tear the chain.
        end = (await self.state(stream)).last_seq + 1
        await self._call(f"STREAM.PURGE.{stream}", {"seq": min(below_seq, end)})


def _stream_config(spec: StreamSpec) -> Document:
    # The server refuses a window longer than messages live.
    window_s = min(spec.duplicate_window_s, spec.age_max_s or spec.duplicate_window_s)
    return {
        "name": spec.name,
        "subjects": list(spec.subjects),
        "storage": "file",
        "retention": "limits",
        "discard": "new" if spec.when_full == "refuse" else "old",
        "max_bytes": spec.bytes_max,
        "max_msgs_per_subject": spec.per_subject_max,
        "max_age": spec.age_max_s * NS_PER_S,
        "duplicate_window": window_s * NS_PER_S,
        "allow_atomic": spec.atomic,
        "allow_msg_ttl": spec.ttl,
        "num_replicas": spec.replicas,
    }


def _copy_config(spec: CopySpec) -> Document:
    return {
        "name": spec.name,
        "storage": "file",
        "retention": "limits",
        "max_msgs_per_subject": spec.per_subject_max,
        "allow_msg_ttl": spec.ttl,  # else it keeps what expired at its origin
        "num_replicas": spec.replicas,
        "mirror": {
            "name": spec.name,
            "external": {"api": f"$JS.{spec.origin_domain}.API", "deliver": ""},
            "consumer": {"name": spec.consumer, "deliver_subject": spec.deliver},
        },
    }


def _is_copy(config: Document) -> bool:
    return bool(config.get("mirror"))


def _same(config: Document, wanted: Document) -> bool:
    """The server leaves out what is false, zero or empty."""
    return all(_plain(config.get(key)) == _plain(value) for key, value in wanted.items())


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items() if part} or None
    return value or None


def _state(info: Document) -> StreamState:
    state, config = info["state"], info["config"]
    silent_ns = info.get("mirror", {}).get("active", -1)
    last_seq = state["last_seq"]
    return StreamState(
        name=config["name"],
        subjects=tuple(config.get("subjects") or ()),
        first_seq=state["first_seq"] if state["messages"] else last_seq + 1,
        last_seq=last_seq,
        bytes=state["bytes"],
        bytes_max=config["max_bytes"],
        messages=state["messages"],
        silent_ms=silent_ns // 1_000_000 if silent_ns >= 0 else None,
    )
