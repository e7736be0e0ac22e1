"""Whether a step of recovery has reached its end, told from what was seen.

    judge(step, evidence, head_seq) -> Judgement(outcome | None, sentence)

`outcome` None: not yet, look again. The sentence is for the operator: it stands in the journal as the
step's evidence, or as the open point when the bound comes first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, assert_never

from holdfast.contracts.csms import CaughtUp
from holdfast.contracts.mode import CsmsState
from holdfast.contracts.recovery import Digest, Step, StepOutcome
from holdfast.contracts.rules import SiteLimit

IDS_NAMED_MAX = 5


@dataclass(frozen=True, slots=True)
class Silent:
    """The one to ask gave no answer."""

    who: str


@dataclass(frozen=True, slots=True)
class LinkSeen:
    stable: bool


@dataclass(frozen=True, slots=True)
class WatermarkSeen:
    watermark: int


@dataclass(frozen=True, slots=True)
class RulesSeen:
    active_version: int
    desired_version: int
    """0: the cloud has published none."""


@dataclass(frozen=True, slots=True)
class LimitSeen:
    at_ms: int
    desired_id: str | None
    held: SiteLimit | None
    """The newest in the site's copy of DOWNLINK."""


@dataclass(frozen=True, slots=True)
class LanesSeen:
    pending: tuple[str, ...]
    handled_seq: int
    copied_seq: int
    """Of the newest command in the site's copy of DOWNLINK; 0 when there is none."""
    waiting: tuple[str, ...] = ()
    """For an operator's word or a better time: that may be days."""


@dataclass(frozen=True, slots=True)
class CsmsSeen:
    """What the csms-bridge says; None where nobody was asked, for there is no CSMS."""

    told: CaughtUp | None


@dataclass(frozen=True, slots=True)
class DigestsSeen:
    site: Digest
    cloud: Digest


Evidence = (
    Silent | LinkSeen | WatermarkSeen | RulesSeen | LimitSeen | LanesSeen | CsmsSeen | DigestsSeen
)


class Judgement(NamedTuple):
    outcome: StepOutcome | None
    sentence: str


def judge(evidence: Evidence, head_seq: int) -> Judgement:
    match evidence:
        case Silent(who=who):
            return Judgement(None, f"no answer from {who}")
        case LinkSeen(stable=stable):
            return (
                _done("pulses are answered without a miss")
                if stable
                else _not_yet("pulses still fail")
            )
        case WatermarkSeen(watermark=watermark):
            sentence = (
                f"verified and committed in the cloud up to {watermark}, asked for {head_seq}"
            )
            return _done(sentence) if watermark >= head_seq else _not_yet(sentence)
        case RulesSeen():
            return _rules(evidence)
        case LimitSeen():
            return _limit(evidence)
        case LanesSeen():
            return _lanes(evidence)
        case CsmsSeen(told=told):
            return _csms(told, head_seq)
        case DigestsSeen(site=site, cloud=cloud):
            return _digests(site, cloud, head_seq)
        case _:
            assert_never(evidence)


STEPS = tuple(Step)
"""In the order in which they are taken."""


def _rules(seen: RulesSeen) -> Judgement:
    if seen.desired_version == 0:
        return _not_applicable("the cloud has published no rules for this site")
    sentence = f"rules version {seen.active_version} active, {seen.desired_version} desired"
    return _done(sentence) if seen.active_version == seen.desired_version else _not_yet(sentence)


def _limit(seen: LimitSeen) -> Judgement:
    if seen.desired_id is None:
        return _not_applicable("the cloud has set no current limit for this site")
    if seen.held is None or seen.held.id != seen.desired_id:
        held = "none" if seen.held is None else repr(seen.held.id)
        return _not_yet(f"limit {seen.desired_id!r} desired, {held} held")
    until_ms = seen.held.valid_until_ms
    if until_ms is not None and until_ms <= seen.at_ms:
        return _not_yet(f"limit {seen.held.id!r} has expired and no newer one has come")
    return _done(f"limit {seen.held.id!r} of {seen.held.limit_a:g} A is the newest")


def _lanes(seen: LanesSeen) -> Judgement:
    if seen.pending:
        count = len(seen.pending)
        named = _named(seen.pending, count, ", ")
        return _not_yet(f"{count} commands without disposition: {named}")
    if seen.handled_seq < seen.copied_seq:
        return _not_yet(
            f"commands are handled up to {seen.handled_seq} of {seen.copied_seq} in the downlink copy"
        )
    if seen.waiting:
        named = _named(seen.waiting, len(seen.waiting), ", ")
        return _done(
            f"every other command has its disposition; for a word or a better time wait {named}"
        )
    return _done("every command received has its disposition")


def _csms(told: CaughtUp | None, head_seq: int) -> Judgement:
    if told is None:
        return _not_applicable("no CSMS stands behind this site")
    match told.csms:
        case CsmsState.NONE:
            return _not_applicable("no CSMS stands behind this site")
        case CsmsState.DOWN:
            return _not_yet(f"the CSMS is down{_waiting(told)}")
        case CsmsState.UP:
            return _caught_up(told, head_seq)
        case _:
            assert_never(told.csms)


def _caught_up(told: CaughtUp, head_seq: int) -> Judgement:
    if not told.read:
        return _not_yet(f"the csms-bridge has not read the site's journal up to {head_seq}")
    if told.behind_count:
        return _not_yet(f"the CSMS is not caught up{_waiting(told)}")
    if told.open_points:
        # What the CSMS refuses does not get better by waiting: named now, the site goes on.
        named = _named(told.open_points, len(told.open_points), "; ")
        return Judgement(StepOutcome.OPEN, f"the CSMS does not take everything: {named}")
    return _done(f"the CSMS has everything of every charge point up to {head_seq}")


def _waiting(told: CaughtUp) -> str:
    if not told.behind_count:
        return ""
    named = _named(told.behind, told.behind_count, ", ")
    charge_points = "charge point" if told.behind_count == 1 else "charge points"
    messages = "message waits" if told.waiting == 1 else "messages wait"
    return f": {told.waiting} {messages} of {told.behind_count} {charge_points}: {named}"


def _named(names: Sequence[str], count: int, between: str) -> str:
    """The first of them, and how many more there are than are named."""
    shown = names[:IDS_NAMED_MAX]
    more = count - len(shown)
    return between.join(shown) + (f" and {more} more" if more > 0 else "")


def _digests(site: Digest, cloud: Digest, head_seq: int) -> Judgement:
    if site.fold_version != cloud.fold_version:
        return _not_comparable(
            f"fold version {site.fold_version} at the site, {cloud.fold_version} in the cloud"
        )
    for who, digest in (("the site", site), ("the cloud", cloud)):
        if digest.reason:
            return _not_comparable(f"{who} has no digest at {head_seq}: {digest.reason}")
        if digest.digest is None:
            return _not_yet(f"{who} has folded up to {digest.seq} of {head_seq}")
    if site.digest == cloud.digest:
        return _done(f"{site.sessions} sessions, digest {str(site.digest)[:16]} at {head_seq}")
    return _not_yet(
        f"digests differ at {head_seq}: {str(site.digest)[:16]} of {site.sessions} sessions at the "
        f"site, {str(cloud.digest)[:16]} of {cloud.sessions} in the cloud"
    )


def _done(sentence: str) -> Judgement:
    return Judgement(StepOutcome.DONE, sentence)


def _not_applicable(sentence: str) -> Judgement:
    return Judgement(StepOutcome.NOT_APPLICABLE, sentence)


def _not_comparable(sentence: str) -> Judgement:
    return Judgement(StepOutcome.NOT_COMPARABLE, sentence)


def _not_yet(sentence: str) -> Judgement:
    return Judgement(None, sentence)
