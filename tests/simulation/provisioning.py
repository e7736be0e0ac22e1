"""What an installer would have left at the simulated site and in the cloud: keys, rules, lists, streams.

The rules are brisk: what takes a real site minutes takes this one seconds, so that a seed is short.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from holdfast import subjects
from holdfast.bus import StreamSpec
from holdfast.contracts.driver_tokens import DriverTokenList, ListedToken, TokenStatus
from holdfast.contracts.rules import (
    AuthoriseByMode,
    AuthoriseRules,
    CheckpointRules,
    ModeRules,
    RecoveryRules,
    Rules,
    SignedRules,
    UnknownToken,
    UpstreamRules,
)

SITE = "berlin01"
BACKEND = "main"
CHARGE_POINTS = ("CP-01", "CP-02", "CP-03")
LISTED, BLOCKED, STRANGER = "TAG-LISTED", "TAG-BLOCKED", "TAG-STRANGER"
"""On the list and good; on it and blocked; on no list."""

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
        per_subject_max=64,
    ),
    StreamSpec(
        name=subjects.CLOUD_JOURNAL,
        subjects=(subjects.CLOUD_JOURNAL_SUBJECTS,),
        bytes_max=10 << 30,
        when_full="drop-oldest",
    ),
    StreamSpec(
        name=subjects.UPSTREAM_KV,
        subjects=(subjects.UPSTREAM_KV_SUBJECTS,),
        bytes_max=1 << 28,
        when_full="refuse",
        per_subject_max=1,
    ),
)
RULES_SEED = b"r"
CSMS_TOKENS = {LISTED: "Accepted", BLOCKED: "Blocked"}
"""As the CSMS knows them; others are Invalid there."""


CAP_WH = 45
"""A quarter of a minute's charging."""
UNKNOWN = (UnknownToken.ACCEPT_FLAGGED, UnknownToken.REFUSE, UnknownToken.FREE_VEND)


def brisk_rules(version: int) -> Rules:
    """Each version has another word about strangers, so that it matters which one decides."""
    return Rules(
        version=version,
        name="simulation",
        modes=ModeRules(
            pulse_ms=1_000,
            pulse_timeout_ms=700,
            degraded_after_ms=2_500,
            autonomous_after_ms=6_000,
            stable_for_ms=3_000,
            sync_lag_ms=6_000,
            changes_window_ms=20_000,
            latch_ms=5_000,
            latch_ms_max=10_000,
            rules_stale_after_ms=10_000,
            clock_offset_ms_max=60_000,
        ),
        authorise=AuthoriseByMode(
            connected=AuthoriseRules(ask_cloud=True, unknown=UnknownToken.REFUSE),
            degraded=AuthoriseRules(ask_cloud=True, budget_ms=400),
            autonomous=AuthoriseRules(
                ask_cloud=False,
                unknown=UNKNOWN[(version - 1) % len(UNKNOWN)],
                unknown_energy_wh_max=CAP_WH if version % 2 else None,
            ),
            recovery=AuthoriseRules(ask_cloud=True, budget_ms=400),
        ),
        recovery=RecoveryRules(bound_ms=30_000, step_poll_ms=500),
        checkpoints=CheckpointRules(every_ms=10_000, every_entries=100),
        upstream=UpstreamRules(hold_ms_max=15_000, attempts_max=4, command_ms_max=10_000),
    )


def rules_text(version: int) -> str:
    """Without what is as the default has it: every process of every life reads this again and again."""
    clauses = brisk_rules(version).model_dump(mode="json", exclude_defaults=True)
    return yaml.safe_dump(clauses, sort_keys=False)


def driver_tokens(version: int) -> DriverTokenList:
    return DriverTokenList(
        version=version,
        tokens=(
            ListedToken(driver_token=LISTED),
            ListedToken(driver_token=BLOCKED, status=TokenStatus.BLOCKED),
        ),
    )


@dataclass(frozen=True, slots=True)
class Provisioned:
    """Files of one simulated world. `conf` survives a lost disk, as an installer's copy does; `data` does not."""

    conf: Path
    data: Path
    site_key: str
    """Public, hex."""
    rules_key: str
    """Public, hex."""
    rules_hash: str
    """Of the first bundle."""

    def data_dir(self, scope: str, service: str) -> Path:
        return self.data / scope / service


def provision(folder: Path, *, csms_deduplicates: bool = False) -> Provisioned:
    conf = folder / "conf"
    conf.mkdir(parents=True)
    backend = {"name": BACKEND, "url": "ws://csms", "deduplicates_starts": csms_deduplicates}
    routes = [{"site": SITE, "primary": BACKEND}]
    (conf / "backends.yaml").write_text(yaml.safe_dump({"backends": [backend], "routes": routes}))
    site_key, rules_key = _key(conf / "site.key", b"s"), _key(conf / "rules.key", RULES_SEED)
    (conf / "token-hash.key").write_text(b"h".hex() * 32)
    (conf / "nats.password").write_text("none")
    text = rules_text(1)
    signed = SignedRules(
        version=1,
        text=text,
        key=_public(rules_key),
        signature=rules_key.sign(text.encode()).hex(),
    )
    (conf / "rules.json").write_bytes(signed.to_bytes())
    (conf / "driver-tokens.json").write_bytes(driver_tokens(1).to_bytes())
    registry = {name: {"password_scrypt": _NO_PASSWORD} for name in CHARGE_POINTS}
    (conf / "charge-points.json").write_text(json.dumps(registry))
    return Provisioned(
        conf,
        folder / "data",
        _public(site_key),
        _public(rules_key),
        sha256(text.encode()).hexdigest(),
    )


_NO_PASSWORD = f"scrypt$4096$8$1${'00' * 16}${'00' * 64}"
"""Nobody's: simulated charge points come in without a handshake."""


def signing_key() -> Ed25519PrivateKey:
    """Of the rules: whoever has it may do anything, but for what the site refuses all the same."""
    return Ed25519PrivateKey.from_private_bytes(RULES_SEED * 32)


def _key(path: Path, seed: bytes) -> Ed25519PrivateKey:
    raw = seed * 32
    path.write_text(raw.hex())
    return Ed25519PrivateKey.from_private_bytes(raw)


def _public(key: Ed25519PrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()
