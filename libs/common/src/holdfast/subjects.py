"""Every subject, stream and durable name of Holdfast, built and parsed here and nowhere else.

    hf.<site>.journal.<topic>...      facts of a site, into its own JOURNAL only
    hf.<site>.telemetry.<topic>...    data that may be thinned, into its own TELEMETRY only
    hf.<site>.down.<topic>...         rule-service in the cloud, into DOWNLINK
    hf.<site>.up.<verb>               requests of a site to the cloud; the site stands in the subject, so
                                      permissions stop one site from speaking for another
    hf.<site>.rpc.<verb>              requests to services of a site
    hf.cloud.rpc.<verb>               requests to services of the cloud
    hf.cloud.rules.<site>             every bundle published to a site, in RULES
    hf.cloud.journal.<site>.<topic>.. verified facts of all sites, in order per site, in CLOUD_JOURNAL

    $KV.upstream.<key>                what the csms-bridge keeps, the newest of each key, in KV_upstream

    JOURNAL_<site>_<incarnation>, TELEMETRY_<site>_<incarnation>   at the site, and as copies in the cloud
    DOWNLINK                                                       in the cloud, and as copy at each site

Identities come from outside: `token()` makes one subject token of any of them, `identity()` takes it back.
Characters follow NATS ADR-6.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

CLOUD = "cloud"
RETIRED = "retired"
SITE_NAME = re.compile(r"^[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?\Z")
INCARNATION = re.compile(r"^[a-z0-9]{8}\Z")
IDENTITY_BYTES_MAX = 255
"""Longer identities are refused: OCPP allows 48 characters, certificates 64."""

DOWNLINK = "DOWNLINK"
CLOUD_JOURNAL = "CLOUD_JOURNAL"
DOWNLINK_SUBJECTS = "hf.*.down.>"
CLOUD_JOURNAL_SUBJECTS = "hf.cloud.journal.>"
RULES = "RULES"
"""The registry of bundles: what was published to each site, and when."""
RULES_SUBJECTS = "hf.cloud.rules.*"
UPSTREAM_KV = "KV_upstream"
"""A JetStream key-value bucket: one message per key, the newest."""
UPSTREAM_KV_SUBJECTS = "$KV.upstream.>"

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")


class SubjectError(ValueError):
    """A name that can't stand in a subject."""


def check_site(site: str) -> str:
    if not SITE_NAME.match(site) or site in (CLOUD, RETIRED):
        raise SubjectError(
            f"{site!r} can't name a site: use 1 to 32 of a-z, 0-9 and -, not {CLOUD!r} or {RETIRED!r}"
        )
    return site


@lru_cache(maxsize=16_384)
def token(identity: str) -> str:
    """One subject token: every byte outside A-Z a-z 0-9 - _ becomes %XX, so it can be taken back."""
    data = identity.encode("utf-8", "surrogatepass")
    if not data:
        raise SubjectError("an empty identity can't stand in a subject")
    if len(data) > IDENTITY_BYTES_MAX:
        raise SubjectError(
            f"an identity of {len(data)} bytes is over the limit of {IDENTITY_BYTES_MAX}"
        )
    return "".join(chr(b) if chr(b) in _PLAIN else f"%{b:02X}" for b in data)


def identity(subject_token: str) -> str:
    """The identity that `token` was made of."""
    data = re.sub(
        rb"%([0-9A-F]{2})", lambda m: bytes([int(m[1], 16)]), subject_token.encode("ascii")
    )
    return data.decode("utf-8", "surrogatepass")


# --- streams, consumers ---


class StreamName(NamedTuple):
    """A stream that belongs to one life of one site's disk."""

    kind: str
    site: str
    incarnation: str


def journal_stream(site: str, incarnation: str) -> str:
    return f"JOURNAL_{site}_{incarnation}"


def telemetry_stream(site: str, incarnation: str) -> str:
    return f"TELEMETRY_{site}_{incarnation}"


def parse_stream(name: str) -> StreamName | None:
    match name.split("_"):
        case ["JOURNAL" | "TELEMETRY" as kind, site, incarnation]:
            return StreamName(kind, site, incarnation)
        case _:
            return None


def up_consumer(site: str) -> str:
    """On the site's streams: the cloud's copy reads through it."""
    return f"up_{site}"


def down_consumer(site: str) -> str:
    """On DOWNLINK in the cloud: the site's copy reads through it."""
    return f"down_{site}"


def fold_consumer(service: str) -> str:
    """On JOURNAL: acknowledged up to the service's last durable snapshot; trimming never passes it."""
    return f"fold_{service}"


def reader(service: str) -> str:
    """A service's ordinary durable on any stream."""
    return f"reader_{service}"


def up_deliver(site: str, stream: str) -> str:
    return f"sync.up.{site}.{stream}"


def down_deliver(site: str) -> str:
    return f"sync.down.{site}.{DOWNLINK}"


def domain(site: str) -> str:
    """JetStream domain of a site's server."""
    return f"site-{site}"


# --- subjects of facts ---


def journal(site: str, *topic: str) -> str:
    return ".".join(("hf", site, "journal", *map(token, topic)))


def journal_all(site: str) -> str:
    return f"hf.{site}.journal.>"


def journal_of(site: str, *topic: str) -> str:
    """Filter: every fact of this topic, whatever charge point."""
    return journal(site, *topic) + ".>"


def telemetry(site: str, *topic: str) -> str:
    return ".".join(("hf", site, "telemetry", *map(token, topic)))


def telemetry_all(site: str) -> str:
    return f"hf.{site}.telemetry.>"


def cloud_journal(site: str, site_subject: str) -> str:
    """Where a site's journal subject is republished once verified."""
    prefix = f"hf.{site}.journal."
    if not site_subject.startswith(prefix):
        raise SubjectError(f"{site_subject!r} is no journal subject of site {site!r}")
    return f"hf.cloud.journal.{site}.{site_subject.removeprefix(prefix)}"


def journal_of_charge_point(site: str, charge_point: str) -> str:
    """Filter on a site's own JOURNAL: the facts whose topic ends in this charge point."""
    return f"hf.{site}.journal.*.*.{token(charge_point)}"


def cloud_journal_all(site: str) -> str:
    return f"hf.cloud.journal.{site}.>"


def cloud_journal_of_charge_point(site: str, charge_point: str) -> str:
    return f"hf.cloud.journal.{site}.*.*.{token(charge_point)}"


def retired(site: str, incarnation: str, kind: str) -> str:
    return f"hf.{RETIRED}.{site}.{incarnation}.{kind}"


# --- downlink ---


def down_all(site: str) -> str:
    return f"hf.{site}.down.>"


def down_command(site: str, command: str) -> str:
    return f"hf.{site}.down.command.{token(command)}"


def down_commands(site: str) -> str:
    return f"hf.{site}.down.command.>"


def down_command_word(site: str, command: str, word: str) -> str:
    return f"hf.{site}.down.command-word.{token(command)}.{token(word)}"


def down_command_words(site: str) -> str:
    return f"hf.{site}.down.command-word.>"


def is_down_command_word(subject: str) -> bool:
    match subject.split("."):
        case ["hf", _, "down", "command-word", *_]:
            return True
        case _:
            return False


def down_rules(site: str) -> str:
    return f"hf.{site}.down.rules.bundle"


def down_driver_tokens(site: str) -> str:
    return f"hf.{site}.down.driver-tokens.full"


def down_driver_token_changes(site: str, place: int) -> str:
    """The changes since the last full list, by their place after it: a new full list begins anew at 0."""
    return f"hf.{site}.down.driver-tokens.changes.{place}"


def down_driver_token_changes_all(site: str) -> str:
    return f"hf.{site}.down.driver-tokens.changes.*"


def down_limit(site: str) -> str:
    return f"hf.{site}.down.limit.site"


# --- the registry of bundles ---


def published_rules(site: str) -> str:
    return f"hf.cloud.rules.{check_site(site)}"


# --- what the csms-bridge keeps ---


def upstream_instance(instance: str) -> str:
    return f"$KV.upstream.instance.{token(instance)}"


def upstream_instances() -> str:
    return "$KV.upstream.instance.*"


def upstream_site(site: str) -> str:
    return f"$KV.upstream.site.{site}"


def upstream_sites() -> str:
    return "$KV.upstream.site.*"


def upstream_charge_point(backend: str, site: str, charge_point: str) -> str:
    return f"$KV.upstream.cp.{site}.{token(backend)}.{token(charge_point)}"


def upstream_charge_points(site: str) -> str:
    return f"$KV.upstream.cp.{site}.*.*"


def upstream_key(subject: str) -> tuple[str, ...]:
    """The key's parts, decoded: ("cp", site, backend, charge point) and so on."""
    match subject.split("."):
        case ["$KV", "upstream", *parts] if parts:
            return tuple(identity(part) for part in parts)
        case _:
            raise SubjectError(f"{subject!r} is no key of the csms-bridge")


# --- requests ---


def up(site: str, verb: str) -> str:
    return f"hf.{site}.up.{verb}"


def up_from_any(verb: str) -> str:
    return f"hf.*.up.{verb}"


def rpc(site: str, verb: str) -> str:
    return f"hf.{site}.rpc.{verb}"


def cloud_rpc(verb: str) -> str:
    return f"hf.cloud.rpc.{verb}"


def cloud_rpc_of(verb: str, instance: str) -> str:
    """The same verb, asked of one instance of a service."""
    return f"hf.cloud.rpc.{verb}.{token(instance)}"


def site_of(subject: str) -> str:
    """The site a request or fact subject speaks for."""
    match subject.split("."):
        case ["hf", "cloud", "journal", site, *_] | ["hf", site, *_]:
            return site
        case _:
            raise SubjectError(f"{subject!r} is none of Holdfast's subjects")
