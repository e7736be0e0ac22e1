"""Bundles on their way to sites: composed, checked, signed, kept in the registry, then in DOWNLINK.

    publish    one bundle, signed here, or signed elsewhere and passed on as it is
    rollout    a draft, composed for some sites
    rollback   an earlier text again, under a new version

Only a newer version goes out; the very same again is answered with where it stands: who heard no answer asks again.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from holdfast import subjects
from holdfast.bus import AppendRefused, Bus
from holdfast.clock import Clock
from holdfast.contracts.envelope import ContractError
from holdfast.contracts.rollout import (
    BundleRecord,
    KeyChanges,
    KeyChangesRequest,
    Rollback,
    RolledOut,
    Rollout,
    RulesHistory,
    RulesHistoryRequest,
    SiteRollout,
)
from holdfast.contracts.rules import Publish, Published, Rules, SignedRules
from holdfast.ids import derived
from holdfast.offload import Offload
from rule_service.cloud_scope.bundle_registry import BundleRegistry, within_one_message
from rule_service.cloud_scope.sites import Sites
from rule_service.cloud_scope.targets import targets
from rule_service.domain.bundle import lock_out, sound
from rule_service.domain.bundle_text import read_rules, with_version
from rule_service.domain.composing import Composed, Source, plain, read_source
from rule_service.domain.named_keys import named_keys
from rule_service.domain.signatures import public_hex, sign

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Going:
    """A bundle about to go out."""

    site: str
    signed: SignedRules
    rules: Rules
    by: str
    rollback_of: int | None = None
    signed_here: bool = True

    @property
    def hash(self) -> str:
        return sha256(self.signed.text.encode()).hexdigest()


class BundlePublishing:
    def __init__(
        self,
        bus: Bus,
        clock: Clock,
        key: Ed25519PrivateKey,
        trusted_keys: frozenset[str],
        sites: Sites,
    ) -> None:
        """`trusted_keys`: of those who sign elsewhere; our own is trusted anyway."""
        self._bus = bus
        self._clock = clock
        self._key = key
        self._trusted = trusted_keys | {public_hex(key)}
        self._sites = sites
        self._registry = BundleRegistry(bus)
        self._one_at_a_time = asyncio.Lock()
        self._offload = Offload(clock)
        """Composing for hundreds of sites takes seconds, and a driver waits for an answer meanwhile."""

    # --- one bundle ---

    async def publish(self, asked: Publish) -> Published:
        """Kind `rules`. Raise ContractError."""
        composed = (await self._offload(plain, asked.text)).composed(asked.site)
        going = self._signed_here(asked.site, composed.text, composed.rules, asked.by)
        async with self._one_at_a_time:
            return await self._go(going)

    async def pass_on(self, asked: Publish) -> Published:
        """Kind `signed-rules`: never signed anew. Raise ContractError."""
        signed = SignedRules.from_bytes(asked.text.encode())
        if signed.key.lower() not in self._trusted:
            raise ContractError(
                f"signed by {signed.key[:16]!r}..., which this cloud does not trust: add the key to "
                "`trusted_rule_keys`"
            )
        going = _Going(
            site=asked.site,
            signed=signed,
            rules=sound(signed).rules,
            by=asked.by,
            signed_here=False,
        )
        async with self._one_at_a_time:
            return await self._go(going)

    # --- many ---

    async def rollout(self, asked: Rollout, _: str) -> RolledOut:
        """Raise ContractError when the draft is refused; nothing has gone out then."""
        source, composed = await self._offload(_composed, asked, self._sites)
        results = tuple([await self._roll_out(one, asked.by) for one in composed])
        log.info(
            "rolled out",
            extra={
                "version": source.version,
                "sites": len(results),
                "problems": sum(1 for result in results if result.problem),
                "by": asked.by,
            },
        )
        return RolledOut(results=results)

    async def _roll_out(self, composed: Composed, by: str) -> SiteRollout:
        going = self._signed_here(composed.site, composed.text, composed.rules, by)
        seq, problem = None, None
        async with self._one_at_a_time:
            try:
                seq = (await self._go(going)).seq
            except ContractError as error:
                problem = str(error)
            except AppendRefused as error:
                problem = f"not stored ({error}): ask again"
        return SiteRollout(
            site=composed.site,
            version=composed.rules.version,
            hash=going.hash,
            seq=seq,
            problem=problem,
        )

    # --- and back ---

    async def rollback(self, asked: Rollback, _: str) -> Published:
        """Raise ContractError."""
        self._sites.check(asked.site)
        async with self._one_at_a_time:
            history = await self._registry.history(asked.site)
            again = _asked_before(asked, history)
            if again:
                return await self._go(self._of_record(asked.site, again))
            earlier = _earlier(asked, history)
            version = await self._newest_version(asked.site) + 1
            again_as = plain(with_version(earlier.text, version)).composed(asked.site)
            going = self._signed_here(
                asked.site, again_as.text, again_as.rules, asked.by, earlier.version
            )
            published = await self._go(going)
        log.warning(
            "rolled back",
            extra={"site": asked.site, "to": earlier.version, "as": version, "by": asked.by},
        )
        return published

    async def history(self, asked: RulesHistoryRequest, _: str) -> RulesHistory:
        """Raise ContractError."""
        self._sites.check(asked.site)
        if asked.version is not None:
            record = await self._registry.of_version(asked.site, asked.version)
            return RulesHistory(site=asked.site, bundles=(record,))
        records = await self._registry.history(asked.site)
        return RulesHistory(site=asked.site, bundles=within_one_message(records))

    async def key_changes(self, asked: KeyChangesRequest, subject: str) -> KeyChanges:
        """`up.rules`. Within one message: a site that needs more asks again, from where it is then."""
        found: list[BundleRecord] = []
        before: tuple[str, ...] = ()
        for record in reversed(await self._registry.history(subjects.site_of(subject))):
            keys = named_keys(record.text)
            if record.version > asked.version and keys != before:
                found.append(record)
            before = keys
        bundles = [
            SignedRules(version=it.version, text=it.text, key=it.key, signature=it.signature)
            for it in within_one_message(tuple(found))
            if it.text
        ]
        return KeyChanges(bundles=tuple(bundles))

    # --- all of them ---

    def _signed_here(
        self, site: str, text: str, rules: Rules, by: str, rollback_of: int | None = None
    ) -> _Going:
        signed = sign(self._key, rules.version, text)
        return _Going(site=site, signed=signed, rules=rules, by=by, rollback_of=rollback_of)

    def _of_record(self, site: str, record: BundleRecord) -> _Going:
        return self._signed_here(
            site, record.text, read_rules(record.text), record.by, record.rollback_of
        )

    async def _newest_version(self, site: str) -> int:
        newest = await self._registry.newest(site)
        last = await self._bus.last(subjects.DOWNLINK, subjects.down_rules(site))
        down = SignedRules.from_bytes(last.data).version if last else 0
        return max(newest.version if newest else 0, down)

    async def _go(self, going: _Going) -> Published:
        """Raise ContractError, AppendRefused."""
        site, version, data = going.site, going.rules.version, going.signed.to_bytes()
        if going.rules.site not in ("*", site):
            raise ContractError(f"the rules are for site {going.rules.site!r}, not {site!r}")
        self._check_keys(going, None)
        subject = subjects.down_rules(site)
        newest = await self._registry.newest(site)
        last = await self._bus.last(subjects.DOWNLINK, subject)
        is_down = last is not None and last.data == data
        is_kept = newest is not None and (newest.version, newest.hash) == (version, going.hash)
        if not is_down and not is_kept:
            published = await self._newest_version(site)
            if version <= published:
                raise ContractError(
                    f"rules version {version} is not newer than {published}, published to {site} already: "
                    "raise its version"
                )
            self._check_keys(going, newest)
            self._check_end(going)
        if newest is None or newest.version < version:
            await self._registry.keep(site, self._record(going))
        if last is not None and is_down:
            return Published(site=site, version=str(version), seq=last.seq)
        id = derived("publish", site, "rules", version, sha256(data).hexdigest())
        stored = await self._bus.append(subjects.DOWNLINK, subject, data, id=id)
        return Published(site=site, version=str(version), seq=stored.seq)

    def _check_end(self, going: _Going) -> None:
        until_ms = going.rules.valid_until_ms
        if until_ms is not None and until_ms <= self._clock.now_ms():
            version = going.rollback_of or going.rules.version
            raise ContractError(
                f"version {version} has expired: publish it with another valid_until_ms"
            )

    def _check_keys(self, going: _Going, newest: BundleRecord | None) -> None:
        """What the site would refuse is refused here already. What is signed elsewhere may be for a site that has not
        taken the newest bundle: whether its key counts there is for the site to say.
        """
        key = going.signed.key.lower()
        problem = lock_out(going.rules, key, self._trusted)
        if problem:
            raise ContractError(problem)
        if newest is None or not going.signed_here:
            return
        named = named_keys(newest.text)
        if named and key not in named:
            raise ContractError(
                f"version {newest.version} names the keys that {going.site} trusts, and this cloud's, "
                f"{key[:16]}..., is none of them: sign elsewhere (`holdfast rules sign`), or give the cloud the new key"
            )

    def _record(self, going: _Going) -> BundleRecord:
        return BundleRecord(
            version=going.rules.version,
            hash=going.hash,
            name=going.rules.name,
            text=going.signed.text,
            key=going.signed.key,
            signature=going.signed.signature,
            published_at_ms=self._clock.now_ms(),
            by=going.by,
            rollback_of=going.rollback_of,
        )


def _composed(asked: Rollout, sites: Sites) -> tuple[Source, list[Composed]]:
    """Raise ContractError."""
    source = read_source(asked.draft, sites.names)
    return source, [source.composed(site) for site in targets(asked, source, sites)]


def _asked_before(asked: Rollback, history: tuple[BundleRecord, ...]) -> BundleRecord | None:
    """The newest bundle, when it is this very roll back already, whether its answer got lost or the process died."""
    if not history or history[0].rollback_of is None:
        return None
    return history[0] if asked.to_version in (None, history[0].rollback_of) else None


def _earlier(asked: Rollback, history: tuple[BundleRecord, ...]) -> BundleRecord:
    """Raise ContractError."""
    earlier = history[1:]
    if not earlier:
        raise ContractError(
            f"nothing was published to {asked.site} before that; what it was provisioned with is not kept here: "
            "publish that text with a higher version"
        )
    if asked.to_version is None:
        return earlier[0]
    for record in earlier:
        if record.version == asked.to_version:
            return record
    known = ", ".join(str(record.version) for record in earlier)
    raise ContractError(
        f"version {asked.to_version} is no earlier version at {asked.site}: there are {known}"
    )
