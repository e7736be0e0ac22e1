"""Keeps the journal within its disk: says which storage level stands, and trims what the cloud has.

The level stands in memory at once; its fact is written as soon as the disk takes one. An anchor is durable
before anything is removed.
"""

from __future__ import annotations

import logging

from holdfast import subjects
from holdfast.bus import AdminRefused, AppendRefused, RequestFailed, StreamFull, StreamState
from holdfast.contracts.envelope import ContractError
from holdfast.contracts.journal import StorageLevel, StorageLevelChanged, StorageStatus, Trimmed
from holdfast.entries import read
from holdfast.ids import derived
from holdfast.recorder import Recorder
from holdfast.service import Context
from holdfast.standing import Standing
from journal.adapters.keys import SiteKey
from journal.config import Config
from journal.domain import budget
from journal.domain.statement import Statement
from journal.site_scope.chaining import Chainer
from journal.site_scope.confirming import Confirming
from journal.site_scope.incarnation import journal_spec, telemetry_spec
from journal.site_scope.store import SiteStore

log = logging.getLogger(__name__)

MEASURE_MS = 2_000
TRIM_MS = 60_000


class Keeper:
    def __init__(
        self,
        context: Context[Config],
        store: SiteStore,
        key: SiteKey,
        recorder: Recorder,
        standing: Standing,
        chainer: Chainer,
        confirming: Confirming,
    ) -> None:
        self._context = context
        self._bus = context.bus
        self._store = store
        self._key = key
        self._recorder = recorder
        self._standing = standing
        self._chainer = chainer
        self._confirming = confirming
        self._incarnation = recorder.incarnation
        self._recorded = StorageLevel.OK
        self._change_id: str | None = None
        self._refused = False
        self.level = StorageLevel.OK
        self.measured: StreamState | None = None

    async def start(self) -> None:
        """The level that the journal last said stands until it is measured."""
        topic = subjects.journal(self._incarnation.site, *StorageLevelChanged.TYPE.split("."))
        message = await self._bus.last(self._incarnation.journal, topic)
        try:
            fact = read(message).fact if message else None
        except ContractError:
            fact = None  # quarantined by the chain; measuring tells the level
        if isinstance(fact, StorageLevelChanged):
            self.level = self._recorded = fact.level
        self.measured = await self._bus.state(self._incarnation.journal)

    def status(self) -> StorageStatus:
        """Raise RequestFailed before anything was measured."""
        if self.measured is None:
            raise RequestFailed("storage was not measured yet: ask again")
        return StorageStatus(
            level=self.level,
            bytes=self.measured.bytes,
            bytes_max=self.measured.bytes_max,
            first_seq=self.measured.first_seq,
            last_seq=self.measured.last_seq,
            watermark=self._confirming.watermark,
        )

    # --- level ---

    async def measure(self) -> None:
        """For ever."""
        while True:
            try:
                await self._ensure_sizes()
                self.measured = await self._bus.state(self._incarnation.journal)
                await self._judge(self.measured)
            except (RequestFailed, AppendRefused, AdminRefused) as error:
                log.warning("storage not measured", extra={"why": str(error)})
            await self._context.clock.sleep_ms(MEASURE_MS)

    async def _judge(self, stream: StreamState) -> None:
        seen = budget.Measured(
            stream.bytes, stream.bytes_max, self._refused or self._chainer.last_refused
        )
        soft = self._standing.rules.storage.soft_fraction
        level = budget.level(soft, self.level, seen)
        if level is not self.level:
            log.warning("storage level", extra={"level": level.value, "bytes": stream.bytes})
            self.level, self._change_id = level, None
        if level is StorageLevel.OK:
            self._context.health.ok("storage")
        else:
            used = f"{stream.bytes} of {stream.bytes_max} bytes used"
            self._context.health.wrong("storage", f"level {level.value}: {used}")
        if self.level is not self._recorded or self._refused:
            await self._record(stream)

    async def _record(self, stream: StreamState) -> None:
        """Also the probe whether a disk that refused takes writes again."""
        self._change_id = self._change_id or self._context.ids.new()
        fact = StorageLevelChanged(
            level=self.level, bytes=stream.bytes, bytes_max=max(stream.bytes_max, 0)
        )
        try:
            await self._recorder.record(fact, id=self._change_id)
        except StreamFull:
            self._refused = True
            return
        except AppendRefused:
            return  # not certain: the same id again at the next measure
        self._refused = self._chainer.last_refused = False
        self._recorded, self._change_id = self.level, None

    async def _ensure_sizes(self) -> None:
        """What the configuration fixes stands, else what the rules say."""
        config, rules = self._context.config, self._standing.rules.storage
        if self._standing.rules_version == 0 and config.journal_bytes_max is None:
            return  # until rules are known the streams stay as they were made
        journal = journal_spec(
            self._incarnation, config.journal_bytes_max or rules.journal_bytes_max
        )
        telemetry = telemetry_spec(
            self._incarnation, config.telemetry_bytes_max or rules.telemetry_bytes_max
        )
        for spec in (journal, telemetry):
            stream = await self._bus.state(spec.name)
            if stream.bytes_max != spec.bytes_max:
                await self._bus.ensure_stream(spec)

    # --- trimming ---

    async def trim(self) -> None:
        """For ever."""
        while True:
            try:
                await self.trim_once()
            except AppendRefused as error:
                log.warning("not trimmed: no anchor", extra={"why": str(error)})
            except RequestFailed as error:
                log.warning("not trimmed", extra={"why": str(error)})
            await self._context.clock.sleep_ms(TRIM_MS)

    async def trim_once(self) -> None:
        """Raise AppendRefused, RequestFailed."""
        journal = self._incarnation.journal
        stream = await self._bus.state(journal)
        retention_ms = self._standing.rules.storage.retention_ms
        mark = budget.trim_bound(
            self._store.marks(self._incarnation.name),
            watermark=min(self._confirming.watermark, self._chainer.state.seq),
            fold_floor=await self._bus.fold_floor(journal),
            kept_from_ms=self._context.clock.now_ms() - retention_ms,
            first_seq=stream.first_seq,
        )
        if mark is None:
            return
        statement = Statement(mark.seq, mark.hash)
        anchor = Trimmed(
            seq=mark.seq,
            hash=mark.hash.hex(),
            signature=self._key.sign(self._incarnation.site, self._incarnation.name, statement),
            watermark=self._confirming.watermark,
        )
        await self._recorder.record(anchor, id=derived("trimmed", self._incarnation.name, mark.seq))
        await self._bus.trim(journal, mark.seq + 1)
        self._store.drop_marks(self._incarnation.name, mark.seq)
        log.info("trimmed", extra={"up_to": mark.seq})


class TelemetryGate:
    """In recovery the journal goes first: the upward telemetry consumer is paused until it is through."""

    def __init__(self, context: Context[Config], standing: Standing, stream: str) -> None:
        self._context = context
        self._standing = standing
        self._stream = stream

    async def run(self) -> None:
        """For ever; a pause ends by itself at the rule's bound, whatever happens to this process."""
        paused: bool | None = None
        while True:
            wanted = self._standing.known.is_set() and self._standing.mode.value == "recovery"
            if wanted is not paused:
                try:
                    await self._set(wanted)
                    paused = wanted
                except (RequestFailed, AdminRefused) as error:
                    log.warning("telemetry gate not set", extra={"why": str(error)})
            await self._context.clock.sleep_ms(MEASURE_MS)

    async def _set(self, pause: bool) -> None:
        bound_ms = self._standing.rules.recovery.bound_ms
        until_ms = self._context.clock.now_ms() + bound_ms if pause else None
        consumer = subjects.up_consumer(self._context.config.site)
        await self._context.bus.pause_consumer(self._stream, consumer, until_ms)
