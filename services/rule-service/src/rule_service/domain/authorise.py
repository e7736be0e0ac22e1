"""May this driver charge? The order of OCPP 1.6 §3.5, by mode.

connected            cloud, else list, else cache, else the rule for unknown driver tokens
degraded, recovery   list, else cache, else cloud, else the rule for unknown driver tokens
autonomous           list, else cache, else the rule for unknown driver tokens

The list goes before the cache. What the list or a fresh cached answer does not accept, or what has
expired, is rejected even where unknown driver tokens are accepted.
"""

from __future__ import annotations

from enum import Enum, auto

from holdfast.contracts.decision import (
    AuthoriseInputs,
    AuthoriseVerdict,
    Basis,
    CachedToken,
    CloudAnswer,
)
from holdfast.contracts.mode import Mode
from holdfast.contracts.rules import Rules, TokenStatus, UnknownToken
from rule_service.domain.ruling import Ruling

Authorisation = Ruling[AuthoriseVerdict]


class Asking(Enum):
    """Whether the cloud is asked, and whether the driver waits for it."""

    NOT = auto()
    AWAITED = auto()
    BESIDE = auto()
    """For the cache: the next driver, or this one's next visit, has the newer answer."""


def asking(rules: Rules, mode: Mode, *, known_locally: bool) -> Asking:
    by_mode = rules.authorise.of(mode)
    if not by_mode.ask_cloud or by_mode.budget_ms == 0:
        return Asking.NOT
    if mode is not Mode.CONNECTED and known_locally:
        return Asking.BESIDE
    return Asking.AWAITED


def knows_locally(rules: Rules, inputs: AuthoriseInputs) -> bool:
    return _local(rules, inputs) is not None


def evaluate(rules: Rules, inputs: AuthoriseInputs) -> Authorisation:
    """The same inputs under the same rules give the same verdict (I5)."""
    local, cloud = _local(rules, inputs), _cloud(inputs)
    first, second = (cloud, local) if inputs.mode is Mode.CONNECTED else (local, cloud)
    return first or second or _unknown(rules, inputs)


def _local(rules: Rules, inputs: AuthoriseInputs) -> Authorisation | None:
    return _listed(inputs) or _cached(rules, inputs)


def _listed(inputs: AuthoriseInputs) -> Authorisation | None:
    listed = inputs.listed
    if listed is None:
        return None
    status = _unless_expired(listed.status, listed.valid_until_ms, inputs.at_ms)
    return _ruling(
        inputs,
        AuthoriseVerdict(status=status, basis=Basis.LIST, parent=listed.parent),
        "list",
        f"the local list (version {inputs.list_version}) says so{_unanswered(inputs)}",
    )


def _cached(rules: Rules, inputs: AuthoriseInputs) -> Authorisation | None:
    cached = inputs.cached
    if cached is None or _age_ms(cached, inputs) > rules.authorise.cache_age_ms_max:
        return None
    status = _unless_expired(cached.status, cached.valid_until_ms, inputs.at_ms)
    age_min = _age_ms(cached, inputs) // 60_000
    return _ruling(
        inputs,
        AuthoriseVerdict(status=status, basis=Basis.CACHE, parent=cached.parent),
        "cache",
        f"the cloud said so {age_min} minutes ago{_unanswered(inputs)}",
    )


def _cloud(inputs: AuthoriseInputs) -> Authorisation | None:
    if inputs.cloud is not CloudAnswer.ANSWERED or inputs.cloud_status is None:
        return None
    return _ruling(
        inputs,
        AuthoriseVerdict(status=inputs.cloud_status, basis=Basis.CLOUD, parent=inputs.cloud_parent),
        "ask_cloud",
        "the cloud says so",
    )


def _unknown(rules: Rules, inputs: AuthoriseInputs) -> Authorisation:
    policy = rules.authorise.of(inputs.mode).unknown
    accepts = policy is UnknownToken.ACCEPT_FLAGGED
    status = TokenStatus.ACCEPTED if accepts else TokenStatus.INVALID
    why = "an older answer of the cloud is too old" if inputs.cached else "nor in the cache"
    return _ruling(
        inputs,
        AuthoriseVerdict(status=status, basis=Basis.UNKNOWN_POLICY, flagged=accepts),
        "unknown",
        f"the driver token is not on the local list, {why}{_unanswered(inputs)}; "
        f"the rule for such in {inputs.mode} is {policy}",
    )


def _ruling(
    inputs: AuthoriseInputs, verdict: AuthoriseVerdict, part: str, because: str
) -> Authorisation:
    clause = f"authorise.{inputs.mode}.{part}"
    return Ruling(verdict, clause, f"{verdict.status}: {because}")


def _unless_expired(status: TokenStatus, valid_until_ms: int | None, at_ms: int) -> TokenStatus:
    """Blocked stays blocked: the graver word counts."""
    expired = valid_until_ms is not None and at_ms >= valid_until_ms
    return TokenStatus.EXPIRED if expired and status is TokenStatus.ACCEPTED else status


def _age_ms(cached: CachedToken, inputs: AuthoriseInputs) -> int:
    """A clock that was set back makes it new, not older than it can be."""
    return max(0, inputs.at_ms - cached.answered_at_ms)


def _unanswered(inputs: AuthoriseInputs) -> str:
    match inputs.cloud:
        case CloudAnswer.TOO_LATE:
            return ", the cloud gave no answer in time"
        case CloudAnswer.UNREACHABLE:
            return ", the cloud can't be reached"
        case _:
            return ""
