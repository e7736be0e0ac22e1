"""The rules: one versioned, signed bundle that says what the site may decide by itself.

An unknown clause refuses the whole bundle (`extra="forbid"`): half-understood rules are no rules.
Every number has its unit in its name, every default its reason beside it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from holdfast.contracts.clause import Clause as Clause
from holdfast.contracts.command_defaults import default_commands
from holdfast.contracts.command_rules import (
    CommandRows,
    LimitRules,
    ProtectionRules,
)
from holdfast.contracts.command_rules import (
    CommandRules as CommandRules,
)
from holdfast.contracts.command_rules import (
    Precondition as Precondition,
)
from holdfast.contracts.data_rules import BillingRules, BufferingByMode, MeteredRules, Thinning
from holdfast.contracts.driver_tokens import TokenStatus as TokenStatus  # ocpp-edge finds them here
from holdfast.contracts.driver_tokens import TokenType as TokenType
from holdfast.contracts.envelope import Contract, Fact
from holdfast.contracts.life import ActivationRules, AfterExpiry, RefusedFor, SigningRules
from holdfast.contracts.mode import Mode
from holdfast.contracts.numbers import DURATION_MS_MAX, WHOLE_MAX, Amps, Moment, Version

BUDGET_MS_MAX = 7_000
"""Below the 8 s that a charge point's start waits for a decision: what comes later comes to nobody."""


class ModeRules(Clause):
    """How the uplink is judged. Hysteresis delays improvements only."""

    pulse_ms: int = Field(2_000, ge=100, le=60_000)
    pulse_timeout_ms: int = Field(1_000, ge=50, le=30_000)
    """A black hole shows as this; an answer costs milliseconds."""
    degraded_after_ms: int = Field(5_000, ge=100, le=DURATION_MS_MAX)
    """Without an answered pulse for so long: degraded. Two lost pulses, so that one lost is no event."""
    autonomous_after_ms: int = Field(15_000, ge=200, le=DURATION_MS_MAX)
    """Without an answered pulse for so long: autonomous."""
    stable_for_ms: int = Field(6_000, ge=0, le=DURATION_MS_MAX)
    """Pulses answered without a miss for so long count as stable."""
    sync_lag_ms: int = Field(10_000, ge=100, le=DURATION_MS_MAX)
    """In sync: the watermark has reached the head reported so long ago."""
    changes_max: int = Field(2, ge=2, le=10)
    """After a relapse, on a link that keeps breaking, and out of degraded: at most so many mode changes in
    `changes_window_ms`, changes to autonomous not counted."""
    changes_window_ms: int = Field(60_000, ge=1_000, le=DURATION_MS_MAX)
    breaks_max: int = Field(2, ge=1, le=20)
    """An uplink that breaks more often than this within `changes_window_ms`, however shortly, is unstable."""
    latch_ms: int = Field(30_000, ge=0, le=DURATION_MS_MAX)
    """A link called unstable must hold so long before the site believes in it again; doubles with each
    relapse, up to `latch_ms_max`."""
    latch_ms_max: int = Field(900_000, ge=0, le=DURATION_MS_MAX)
    rules_stale_after_ms: int = Field(30_000, ge=0, le=DURATION_MS_MAX)
    """Site and cloud name different rules for so long: degraded, reason `rules stale`. Activating takes seconds."""
    clock_offset_ms_max: int = Field(30_000, ge=100, le=DURATION_MS_MAX)
    """Site and cloud clock further apart than this: degraded, reason `clock`."""

    @model_validator(mode="after")
    def _ordered(self) -> ModeRules:
        if not self.pulse_ms <= self.degraded_after_ms < self.autonomous_after_ms:
            raise ValueError("pulse_ms <= degraded_after_ms < autonomous_after_ms must hold")
        return self


class UnknownToken(StrEnum):
    """What to do with a driver token that is on no list and in no cache."""

    REFUSE = "refuse"
    ACCEPT_FLAGGED = "accept-flagged"
    """Energy flows, the session is marked so that it can never pass as a whitelist authorisation."""
    FREE_VEND = "free-vend"
    """Energy flows and nobody pays; marked likewise, under a basis of its own."""


class Concurrent(StrEnum):
    """What to do with a driver token that has a session running at the site already."""

    ALLOW = "allow"
    REFUSE = "refuse"
    """A start is answered ConcurrentTx, as OCPP has it. Authorize is not: it may be for stopping."""


class GroupStatus(StrEnum):
    """Whether what the list says of a group holds for its members."""

    INHERIT = "inherit"
    """A group that is not accepted, or not valid now, takes its members with it."""
    IGNORE = "ignore"


class AuthoriseRules(Clause):
    ask_cloud: bool
    budget_ms: int = Field(800, ge=0, le=BUDGET_MS_MAX)
    """How long the cloud may take before the local answer stands."""
    unknown: UnknownToken = UnknownToken.REFUSE
    unknown_energy_wh_max: int | None = Field(None, ge=1, le=WHOLE_MAX)
    """For a session accepted by `unknown`: the verdict and the session carry it. None: no cap."""
    concurrent: Concurrent = Concurrent.REFUSE
    """Where the site decides by itself; a verdict of the cloud stands as it is."""


class AuthoriseByMode(Clause):
    connected: AuthoriseRules = AuthoriseRules(ask_cloud=True)
    degraded: AuthoriseRules = AuthoriseRules(ask_cloud=True, budget_ms=400)
    autonomous: AuthoriseRules = AuthoriseRules(ask_cloud=False)
    recovery: AuthoriseRules = AuthoriseRules(ask_cloud=True, budget_ms=400)
    cache_age_ms_max: int = Field(7 * 86_400_000, ge=0, le=DURATION_MS_MAX)
    """An older answer of the cloud is not used again."""
    cache_entries_max: int = Field(10_000, ge=0, le=WHOLE_MAX)
    """At the bound the oldest answers go first."""
    revocations_max: int = Field(100_000, ge=1, le=WHOLE_MAX)
    """Words of cloud or CSMS against a driver token. They do not age; at the bound those about driver tokens that
    the site never knew go first, then the oldest."""
    concurrent_age_ms_max: int = Field(86_400_000, ge=0, le=DURATION_MS_MAX)
    """A session that began longer ago and has no stop is taken for lost: it stands in no driver's way."""
    group_status: GroupStatus = GroupStatus.INHERIT

    def of(self, mode: Mode) -> AuthoriseRules:
        rules: AuthoriseRules = getattr(self, mode.value)
        return rules


class StorageRules(Clause):
    journal_bytes_max: int = Field(1 << 30, ge=1 << 16, le=WHOLE_MAX)
    """Hard limit: the stream refuses, nothing is acknowledged, charge points keep their data."""
    soft_fraction: float = Field(0.8, gt=0, lt=1)
    """Above it no new session begins, so that the reserve finishes the running ones."""
    telemetry_bytes_max: int = Field(256 << 20, ge=1 << 16, le=WHOLE_MAX)
    """Oldest telemetry goes first, and the gap is said."""
    retention_ms: int = Field(30 * 86_400_000, ge=0, le=DURATION_MS_MAX)
    """Journal is kept at the site so long even when the cloud has it."""


class RecoveryRules(Clause):
    bound_ms: int = Field(120_000, ge=1_000, le=DURATION_MS_MAX)
    """Then the site returns to connected with named open points."""
    step_poll_ms: int = Field(500, ge=50, le=DURATION_MS_MAX)
    """How often a step looks whether its condition holds."""


class CheckpointRules(Clause):
    every_ms: int = Field(60_000, ge=1_000, le=DURATION_MS_MAX)
    every_entries: int = Field(1_000, ge=1, le=WHOLE_MAX)


class Presence(StrEnum):
    """What the CSMS sees of a site's charge points while the site is cut off."""

    HOLD = "hold"
    """They stay online: their upstream sockets are held, for `hold_ms_max` at most."""
    CLOSE = "close"
    """They go offline at once."""


class RefusedStart(StrEnum):
    """What becomes of a session that the site accepted and the CSMS afterwards did not."""

    STOP = "stop"
    """As the charge point itself would do if the answer had come in time (StopTransactionOnInvalidId)."""
    KEEP_FLAGGED = "keep-flagged"
    """Energy flows on, and the session is marked: somebody has to settle who pays."""


class Orphans(StrEnum):
    """What becomes of the rest of a session whose start the CSMS did not take."""

    HOLD = "hold"
    """Kept back with its start, and named with it."""
    SEND_UNMAPPED = "send-unmapped"
    """Sent with transactionId -1, as OCPP 1.6 errata 3.18 has it for a start that got no answer."""


class UpstreamRules(Clause):
    """How a site looks to the CSMS behind it, and what is done about what the CSMS refuses."""

    presence: Presence = Presence.HOLD
    """Held by default: charge points that go offline at a CSMS open tickets, and they do work."""
    hold_ms_max: int = Field(1_800_000, ge=0, le=DURATION_MS_MAX)
    """Cut off for longer, the upstream sockets are closed all the same: by then offline is the truth."""
    strict: bool = False
    """OCPP-J Part 4 6.3: while the CSMS can't be reached the site closes the charge points' sockets, so that
    they queue by themselves. Off: it keeps what they send, and decides for them."""
    refused_start: RefusedStart = RefusedStart.STOP
    attempts_max: int = Field(10, ge=1, le=1_000)
    """A message that a CSMS which answers other things does not take is tried so often, then quarantined."""
    orphans: Orphans = Orphans.HOLD
    command_ms_max: int = Field(25_000, ge=1_000, le=600_000)
    """A command of the CSMS without an end by then is answered negatively: most give up after 30 s."""


class Rules(Clause):
    """One bundle, as written in YAML and signed."""

    version: Version
    """Newer replaces older, never the other way."""
    name: str = "default"
    site: str = "*"
    """The one site it is for, or `*`."""
    valid_until_ms: Annotated[Moment, Field(ge=0)] | None = None
    """From then on `after_expiry` counts, and the site is degraded by reason."""
    after_expiry: AfterExpiry = AfterExpiry.KEEP
    activation: ActivationRules = ActivationRules()
    signing: SigningRules = SigningRules()
    modes: ModeRules = ModeRules()
    metered: MeteredRules = MeteredRules()
    authorise: AuthoriseByMode = AuthoriseByMode()
    commands: CommandRows = Field(default_factory=default_commands)
    """By OCPP action (or `Reset.Hard`, `SetChargingProfile.TxProfile`, `CustomerInformation.Clear`); an action of 2.x
    that means the same as one of 1.6 goes by that one's, where it has none of its own. An action not named is
    refused."""
    protection: ProtectionRules = ProtectionRules()
    limits: LimitRules = LimitRules()
    buffering: BufferingByMode = BufferingByMode()
    storage: StorageRules = StorageRules()
    recovery: RecoveryRules = RecoveryRules()
    checkpoints: CheckpointRules = CheckpointRules()
    upstream: UpstreamRules = UpstreamRules()
    billing: BillingRules = BillingRules()

    @property
    def uplink(self) -> ModeRules:
        """How the uplink is judged, be it metered or not."""
        if not self.metered.link:
            return self.modes
        instead = self.metered.model_dump(exclude={"link", "telemetry_every_ms"})
        return self.modes.model_copy(update=instead)

    def thinning(self, mode: Mode) -> Thinning:
        """What is left out in this mode, over this link."""
        thinning = self.buffering.of(mode)
        if not self.metered.link:
            return thinning
        longer_ms = max(thinning.telemetry_every_ms, self.metered.telemetry_every_ms)
        return thinning.model_copy(update={"telemetry_every_ms": longer_ms})


class SignedRules(Contract):
    """What travels on `hf.<site>.down.rules.bundle`: the exact text that was signed."""

    version: Version
    """For finding it; the version inside the text counts."""
    text: str = Field(max_length=256 * 1024)
    key: str
    """Public key that signed, hex; must be one the site trusts."""
    signature: str
    """Ed25519 over the text's UTF-8 bytes, hex."""


class RulesActivated(Fact):
    """From this entry on these rules apply. Carries the text, so the journal alone explains each decision."""

    TYPE: ClassVar[str] = "rules.activated"

    version: int
    hash: str
    """SHA-256 of the text, hex."""
    text: str
    previous_version: int
    """0 for the first."""
    key: str = ""
    """Public key that signed it, hex; empty: of before keys were named here."""
    since_ms: int | None = None
    """When it took effect, where this entry only repeats it (the journal was trimmed past the first)."""


class RulesRefused(Fact):
    """A bundle that was not taken; the last good one stays."""

    TYPE: ClassVar[str] = "rules.refused"

    version: int | None
    reason: str
    kind: RefusedFor | None = None
    """None: of before kinds were named."""


class RulesStatus(Contract):
    """Reply of `rpc.rules`."""

    version: int
    hash: str
    name: str
    valid_until_ms: int | None
    driver_tokens_version: int
    driver_tokens_refused: str | None = None
    """Why the newest list, or changes to one, were not taken."""
    driver_tokens_full_wanted: bool = False
    """The site has asked for a full list: it can't come to the newest by changes."""
    staged_version: int | None = None
    refused: str | None = None
    """Why the newest bundle offered was not taken; stands until a newer one is taken."""
    refused_kind: RefusedFor | None = None
    refused_version: int | None = None
    """None: none refused, or unreadable."""
    refused_at_ms: int | None = None
    desired_version: int | None = None
    """Of the newest bundle that came down from the cloud, as far as the site has heard; None: none yet."""
    active_since_ms: int | None = None
    staged_since_ms: int | None = None
    staged_why: str | None = None
    """What the staged bundle waits for."""
    after_expiry: AfterExpiry = AfterExpiry.KEEP
    trusted_keys: tuple[str, ...] = ()
    """The first 16 characters of each."""
    trusted_by: Literal["provisioned", "bundle"] = "provisioned"
    """Where these keys are named."""
    text: str = ""
    """The bundle in force, for a service whose journal was trimmed past its activation; empty: built-in."""


class Desired(Contract):
    """Reply of `up.desired`: what the cloud wants this site to have."""

    rules_version: int
    driver_tokens_version: int
    limit_id: str | None
    """Id of the newest site current limit; None when there is none."""


NOT_IMPOSED = (
    "The site's limit is chosen and journaled, but not yet imposed on charge points: it protects no fuse "
    "(load management will do that later)."
)
"""Said wherever a site's limit is given or shown."""


class SiteLimit(Contract):
    """What travels on `hf.<site>.down.limit.site`. See `NOT_IMPOSED`."""

    id: str
    limit_a: Amps
    valid_until_ms: Moment | None = None


class Publish(Contract):
    """Request of `hf.cloud.rpc.publish`: only rule-service writes to DOWNLINK."""

    site: str
    kind: Literal["rules", "signed-rules", "driver-tokens", "driver-token-changes", "limit"]
    text: str
    """YAML of the rules (signed there), JSON of `SignedRules` (signed elsewhere, checked there and passed on as it
    is), or JSON of the list, the changes to it, or the limit."""
    by: str = Field("", max_length=100)
    """Who asked, for the history of a site's rules."""


class Published(Contract):
    site: str
    version: str
    seq: int
