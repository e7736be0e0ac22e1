"""What each source says of a driver token by itself: words against it, the list, the cache, its group, the cloud, the
rule for unknown ones. Which of them decides: `authorise.py`.
"""

from __future__ import annotations

from holdfast.contracts.decision import (
    AuthoriseInputs,
    AuthoriseVerdict,
    Basis,
    CachedToken,
    CloudAnswer,
    Revocation,
    RunningSession,
)
from holdfast.contracts.driver_tokens import (
    ListedToken,
    TokenStatus,
    TokenType,
    Whitelist,
)
from holdfast.contracts.rules import (
    Concurrent,
    GroupStatus,
    Rules,
    UnknownToken,
)
from rule_service.domain.ruling import Ruling

Authorisation = Ruling[AuthoriseVerdict]


def whitelist(rules: Rules, inputs: AuthoriseInputs) -> Whitelist | None:
    """The list's word goes before that of an earlier answer; NEVER goes before everything, and does not age."""
    listed, cached = inputs.listed, inputs.cached
    if Whitelist.NEVER in (listed and listed.whitelist, cached and cached.whitelist):
        return Whitelist.NEVER
    if listed is not None and listed.whitelist is not None:
        return listed.whitelist
    return cached.whitelist if cached is not None and _is_fresh(rules, inputs, cached) else None


# --- what the site knows ---


def refused_since(rules: Rules, inputs: AuthoriseInputs) -> Authorisation | None:
    """A word against the driver token stands until a newer one for it:

    an answer of the cloud that accepts it   newer by the site's own clock
    a list that names it                     drawn up later, by more than the two clocks may differ
    """
    word = _newest_refusal(inputs)
    if word is None:
        return None
    listed, cached = inputs.listed, inputs.cached
    if listed is not None and _is_drawn_up_after(rules, listed, word.said_at_ms):
        return None
    if cached is not None and cached.status is TokenStatus.ACCEPTED:
        if cached.answered_at_ms > word.said_at_ms:
            return None
    elif listed is None and not word.known:
        return None  # a stranger then and now: the rule for unknown driver tokens
    age_min = max(0, inputs.at_ms - word.said_at_ms) // 60_000
    return _ruling(
        inputs,
        AuthoriseVerdict(status=word.status, basis=Basis.CACHE),
        "revoked",
        f"the cloud said so {age_min} minutes ago, and nothing newer speaks for it"
        f"{_unanswered(inputs)}",
    )


def _newest_refusal(inputs: AuthoriseInputs) -> Revocation | None:
    cached, revoked = inputs.cached, inputs.revoked
    is_dated = inputs.listed is not None and inputs.listed.as_of_ms is not None
    if cached is None or cached.status is TokenStatus.ACCEPTED or not is_dated:
        return revoked  # a decision of before lists had a time: there the list stands
    if revoked is not None and revoked.said_at_ms >= cached.answered_at_ms:
        return revoked
    return Revocation(status=cached.status, said_at_ms=cached.answered_at_ms)


def _is_drawn_up_after(rules: Rules, listed: ListedToken, said_at_ms: int) -> bool:
    """A list has the cloud's time, an answer the site's. Without a time it is older than anything said."""
    margin_ms = rules.modes.clock_offset_ms_max
    return listed.as_of_ms is not None and listed.as_of_ms > said_at_ms + margin_ms


def by_list(inputs: AuthoriseInputs) -> Authorisation | None:
    listed = inputs.listed
    if listed is None:
        return None
    return _ruling(
        inputs,
        AuthoriseVerdict(
            status=status_now(listed, inputs.at_ms), basis=Basis.LIST, parent=listed.parent
        ),
        "list",
        f"the local list (version {inputs.list_version}) says so{_kind(listed.whitelist)}"
        f"{_unanswered(inputs)}",
    )


def by_cache(rules: Rules, inputs: AuthoriseInputs) -> Authorisation | None:
    cached = inputs.cached
    if cached is None or not _is_fresh(rules, inputs, cached):
        return None
    age_min = _age_ms(cached, inputs) // 60_000
    return _ruling(
        inputs,
        AuthoriseVerdict(
            status=status_now(cached, inputs.at_ms), basis=Basis.CACHE, parent=cached.parent
        ),
        "cache",
        f"the cloud said so {age_min} minutes ago{_kind(cached.whitelist)}{_unanswered(inputs)}",
    )


def never(inputs: AuthoriseInputs) -> Authorisation:
    """Never by the site itself, and the rule for unknown driver tokens is no way round it."""
    known = inputs.listed or inputs.cached
    basis = Basis.LIST if inputs.listed else Basis.CACHE
    return _ruling(
        inputs,
        AuthoriseVerdict(
            status=TokenStatus.INVALID, basis=basis, parent=known.parent if known else None
        ),
        "whitelist",
        f"only the cloud may accept this driver token (NEVER){_unanswered(inputs)}",
    )


def of_group(rules: Rules, inputs: AuthoriseInputs, ruling: Authorisation) -> Authorisation | None:
    group = inputs.group
    if group is None or rules.authorise.group_status is GroupStatus.IGNORE:
        return None
    status = status_now(group, inputs.at_ms)
    if status is TokenStatus.ACCEPTED:
        return None
    return Ruling(
        ruling.verdict.model_copy(update={"status": status}),
        "authorise.group_status",
        f"{status}: so is the driver token's group by the local list (version {inputs.list_version})",
    )


# --- what others say, and what remains ---


def by_cloud(rules: Rules, inputs: AuthoriseInputs) -> Authorisation | None:
    if inputs.cloud is not CloudAnswer.ANSWERED or inputs.cloud_status is None:
        return None
    return _ruling(
        inputs,
        AuthoriseVerdict(status=inputs.cloud_status, basis=Basis.CLOUD, parent=inputs.cloud_parent),
        "ask_cloud",
        f"the cloud says so{_kind(whitelist(rules, inputs))}",
    )


def by_rule_for_unknown(rules: Rules, inputs: AuthoriseInputs) -> Authorisation:
    by_mode = rules.authorise.of(inputs.mode)
    policy = by_mode.unknown
    accepts = policy is not UnknownToken.REFUSE
    verdict = AuthoriseVerdict(
        status=TokenStatus.ACCEPTED if accepts else TokenStatus.INVALID,
        basis=Basis.FREE_VEND if policy is UnknownToken.FREE_VEND else Basis.UNKNOWN_POLICY,
        flagged=accepts,
        energy_wh_max=by_mode.unknown_energy_wh_max if accepts else None,
    )
    why = "an older answer of the cloud is too old" if inputs.cached else "nor in the cache"
    cap_wh = verdict.energy_wh_max
    cap = "" if cap_wh is None else f", up to {cap_wh} Wh"
    return _ruling(
        inputs,
        verdict,
        "unknown",
        f"the driver token is not on the local list, {why}{_unanswered(inputs)}; "
        f"the rule for such in {inputs.mode} is {policy}{cap}",
    )


def charges_already(
    rules: Rules, inputs: AuthoriseInputs, ruling: Authorisation
) -> Authorisation | None:
    """Whoever answers for the driver may know better than the site: its acceptance stands."""
    by_rule = rules.authorise.of(inputs.mode).concurrent
    if not inputs.starts_session or by_rule is Concurrent.ALLOW:
        return None
    if not accepts(ruling) or ruling.verdict.basis is Basis.CLOUD:
        return None
    if inputs.token_type is TokenType.NO_AUTHORIZATION:
        return None  # one button is pressed by many
    running = running_now(rules, inputs)
    if not running:
        return None
    refused = {"status": TokenStatus.CONCURRENT_TX, "flagged": False, "energy_wh_max": None}
    return _ruling(
        inputs,
        ruling.verdict.model_copy(update=refused),
        "concurrent",
        f"session {running[0].session} of the same driver token runs at {running[0].charge_point}",
    )


def running_now(rules: Rules, inputs: AuthoriseInputs) -> list[RunningSession]:
    """Without those that are taken for lost."""
    age_ms_max = rules.authorise.concurrent_age_ms_max
    return [one for one in inputs.running if inputs.at_ms - one.started_at_ms <= age_ms_max]


def no_driver_token(inputs: AuthoriseInputs) -> Authorisation:
    verdict = AuthoriseVerdict(status=TokenStatus.INVALID, basis=Basis.UNKNOWN_POLICY)
    return _ruling(inputs, verdict, "unknown", "a group is no driver token")


# --- parts ---


def _ruling(
    inputs: AuthoriseInputs, verdict: AuthoriseVerdict, part: str, because: str
) -> Authorisation:
    clause = f"authorise.{inputs.mode}.{part}"
    return Ruling(verdict, clause, f"{verdict.status}: {because}")


def accepts(ruling: Authorisation) -> bool:
    return ruling.verdict.status is TokenStatus.ACCEPTED


def status_now(word: ListedToken | CachedToken, at_ms: int) -> TokenStatus:
    """Blocked stays blocked: the graver word counts."""
    if word.status is not TokenStatus.ACCEPTED:
        return word.status
    if word.valid_until_ms is not None and at_ms >= word.valid_until_ms:
        return TokenStatus.EXPIRED
    from_ms = word.valid_from_ms if isinstance(word, ListedToken) else None
    return TokenStatus.INVALID if from_ms is not None and at_ms < from_ms else TokenStatus.ACCEPTED


def _is_fresh(rules: Rules, inputs: AuthoriseInputs, cached: CachedToken) -> bool:
    return _age_ms(cached, inputs) <= rules.authorise.cache_age_ms_max


def _age_ms(cached: CachedToken, inputs: AuthoriseInputs) -> int:
    """A clock that was set back makes it new, not older than it can be."""
    return max(0, inputs.at_ms - cached.answered_at_ms)


def _kind(kind: Whitelist | None) -> str:
    return "" if kind is None else f" ({kind})"


def _unanswered(inputs: AuthoriseInputs) -> str:
    match inputs.cloud:
        case CloudAnswer.TOO_LATE:
            return ", the cloud gave no answer in time"
        case CloudAnswer.UNREACHABLE:
            return ", the cloud could not be asked"
        case _:
            return ""
