"""From a draft to the bundles of many sites, and back: what the registry of bundles in the cloud is asked.

    draft = default, groups, sites   --composed for one site-->   a bundle   --signed-->   published

A draft never travels to a site: what does is the whole bundle composed of it, which people can read.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, field_validator

from holdfast.contracts.clause import Clause
from holdfast.contracts.envelope import Contract
from holdfast.contracts.life import AfterExpiry
from holdfast.contracts.numbers import WHOLE_MAX, Moment, Version
from holdfast.contracts.rules import SignedRules

DRAFT_BYTES_MAX = 512 * 1024
GROUPS_MAX = 2_000
"""Of one draft. Each is composed once to be checked."""
SITES_MAX = 500
"""Of one rollout; more in steps."""
HISTORY_MAX = 64
"""Bundles kept per site in the registry; the oldest go first."""

Clauses = dict[str, Any]
"""Part of a bundle: the clauses that a layer sets, in the shape of `Rules`."""


class DraftGroup(Clause):
    """Sites that have clauses in common."""

    sites: tuple[str, ...] = ()
    rules: Clauses = Field(default_factory=dict)

    @field_validator("rules", mode="before")
    @classmethod
    def _nothing_below(cls, given: Any) -> Any:
        return {} if given is None else given


class RulesDraft(Clause):
    """One readable document for all sites, as written in YAML: the site's own clauses go over its groups', those over
    `default`, those over the built-in rules. Mappings are merged clause by clause, lists are replaced whole.
    """

    version: Annotated[Version, Field(strict=True)]
    """Of every bundle that is composed of it."""
    name: str = "default"
    valid_until_ms: Annotated[Moment, Field(ge=0, strict=True)] | None = None
    after_expiry: AfterExpiry = AfterExpiry.KEEP
    default: Clauses = Field(default_factory=dict)
    """For every site."""
    groups: dict[str, DraftGroup] = Field(default_factory=dict, max_length=GROUPS_MAX)
    sites: dict[str, Clauses] = Field(default_factory=dict)

    @field_validator("default", mode="before")
    @classmethod
    def _nothing_below(cls, given: Any) -> Any:
        """`default:` with nothing but comments below it is YAML's null."""
        return {} if given is None else given

    @field_validator("groups", "sites", mode="before")
    @classmethod
    def _nothing_below_a_name(cls, given: Any) -> Any:
        if isinstance(given, dict):
            return {key: {} if value is None else value for key, value in given.items()}
        return {} if given is None else given


class Rollout(Contract):
    """Request of `hf.cloud.rpc.rollout`: a draft (or a plain bundle) composed, signed and published for some sites.
    Exactly one of `sites`, `group`, `percent`. The draft is refused as a whole or composed for all of them; then
    each site has its own result, and asking again does no harm.
    """

    draft: str = Field(max_length=DRAFT_BYTES_MAX)
    """YAML."""
    sites: tuple[str, ...] = Field((), max_length=SITES_MAX)
    group: str | None = None
    """One of the draft."""
    percent: int | None = Field(None, ge=1, le=100)
    """Of the sites that the cloud knows, in an order given by their names alone: those of 20 are among those of 50."""
    by: str = Field(min_length=1, max_length=100)


class SiteRollout(Contract):
    """What became of it for one site."""

    site: str
    version: int
    hash: str
    """SHA-256 of the composed text, hex."""
    seq: int | None = None
    """Where it stands in DOWNLINK; None when it was not published."""
    problem: str | None = None


class RolledOut(Contract):
    """Reply of `hf.cloud.rpc.rollout`."""

    results: tuple[SiteRollout, ...]


class Rollback(Contract):
    """Request of `hf.cloud.rpc.rollback`: the text of an earlier version again, under a new one. Reply is `Published`.

    Asked again it is the same roll back, as long as nothing was published since.
    """

    site: str
    to_version: Version | None = None
    """None: the one before the newest. To go further back than that, name it."""
    by: str = Field(min_length=1, max_length=100)


class RulesHistoryRequest(Contract):
    site: str
    version: Version | None = None
    """Only this one."""


class BundleRecord(Contract):
    """What the registry (stream RULES) keeps of a bundle that was published to a site."""

    version: int
    hash: str
    """SHA-256 of the text, hex."""
    name: str
    text: str
    """Empty in a history that would not fit into one message otherwise: ask for the version."""
    key: str
    """Public key that signed it, hex."""
    signature: str = ""
    published_at_ms: int
    by: str
    rollback_of: int | None = None
    """The version whose text this is again."""


class RulesHistory(Contract):
    """Reply of `hf.cloud.rpc.rules-history`."""

    site: str
    bundles: tuple[BundleRecord, ...]
    """Newest first."""


class KeyChangesRequest(Contract):
    """Request of `up.rules`: a bundle came that is signed with a key this site does not know (yet)."""

    version: int = Field(ge=0, le=WHOLE_MAX)
    """The newest that it has."""


class KeyChanges(Contract):
    """Reply of `up.rules`: DOWNLINK holds only the newest bundle, so a site that was away may have missed the one that
    names its key.
    """

    bundles: tuple[SignedRules, ...]
    """Oldest first, as they were published: those newer than the site's that changed the keys."""
