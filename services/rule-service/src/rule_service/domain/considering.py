"""Why not? Every source that was looked at on the way to a verdict: what it would have said alone, and why it did not
decide. In the order in which they count; exactly one decided.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from holdfast.contracts.decision import AuthoriseInputs, Basis, CloudAnswer, Considered
from holdfast.contracts.driver_tokens import TokenStatus, TokenType, Whitelist
from holdfast.contracts.rules import Concurrent, GroupStatus, Rules
from rule_service.domain.sources import (
    Authorisation,
    accepts,
    by_cache,
    by_cloud,
    by_list,
    by_rule_for_unknown,
    never,
    refused_since,
    running_now,
    status_now,
    whitelist,
)

OVERRULES = {
    "group_status": "its group goes over it",
    "whitelist": "its whitelist kind goes over it",
    "concurrent": "the session that runs goes over it",
}
"""What comes later and counts all the same."""


@dataclass(frozen=True, slots=True)
class _Case:
    rules: Rules
    inputs: AuthoriseInputs
    ruling: Authorisation

    @property
    def decider(self) -> str:
        return self.ruling.clause.rpartition(".")[2]


_Says = Callable[[_Case], Authorisation | str]
"""What the source says alone, or why it says nothing."""


def considered(
    rules: Rules, inputs: AuthoriseInputs, ruling: Authorisation, *, cloud_first: bool
) -> tuple[Considered, ...]:
    case = _Case(rules, inputs, ruling)
    if inputs.token_type is TokenType.GROUP:
        return (Considered(clause=ruling.clause, said=ruling.explanation, decided=True),)
    local: dict[str, _Says] = {
        "revoked": _revoked,
        "list": _list,
        "cache": _cache,
        "whitelist": _whitelist,
        "group_status": _group,
    }
    cloud: dict[str, _Says] = {"ask_cloud": _cloud}
    last: dict[str, _Says] = {"unknown": _unknown, "concurrent": _concurrent}
    order = {**cloud, **local, **last} if cloud_first else {**local, **cloud, **last}
    before = list(order)[: list(order).index(case.decider)]
    return tuple(
        _considered(case, part, says, is_before=part in before) for part, says in order.items()
    )


def _considered(case: _Case, part: str, says: _Says, *, is_before: bool) -> Considered:
    clause = (
        "authorise.group_status"
        if part == "group_status"
        else f"authorise.{case.inputs.mode}.{part}"
    )
    if part == case.decider:
        return Considered(clause=clause, said=case.ruling.explanation, decided=True)
    said = says(case)
    if isinstance(said, str):
        return Considered(clause=clause, said=said)
    why_not = OVERRULES.get(case.decider, "") if is_before else f"{case.decider} comes before it"
    return Considered(clause=clause, said=f"alone {said.explanation}; {why_not}")


# --- what the site knows ---


def _revoked(case: _Case) -> Authorisation | str:
    ruling = refused_since(case.rules, case.inputs)
    if ruling is not None:
        return ruling
    word = case.inputs.revoked
    if word is None:
        return "nothing was said against the driver token"
    if not word.known and case.inputs.listed is None:
        return f"{word.status} was said of a driver token that nobody knew: that makes it a stranger, no more"
    return f"{word.status} was said, and a newer word for the driver token lifts it"


def _list(case: _Case) -> Authorisation | str:
    not_there = f"it is not on the local list (version {case.inputs.list_version})"
    return by_list(case.inputs) or not_there


def _cache(case: _Case) -> Authorisation | str:
    cached = case.inputs.cached
    if cached is None:
        return "no earlier answer of the cloud is kept"
    max_min = case.rules.authorise.cache_age_ms_max // 60_000
    too_old = f"the cloud's earlier answer {cached.status} is older than {max_min} minutes: not used again"
    return by_cache(case.rules, case.inputs) or too_old


def _whitelist(case: _Case) -> Authorisation | str:
    match whitelist(case.rules, case.inputs):
        case None:
            return "no whitelist kind is known: the mode says whether the cloud is asked"
        case Whitelist.ALWAYS:
            return "ALWAYS: nobody is asked, the site's own word counts"
        case Whitelist.ALLOWED:
            return "ALLOWED: an acceptance of the site's own counts without waiting for another"
        case Whitelist.ALLOWED_OFFLINE:
            return "ALLOWED_OFFLINE: the site's own word counts only without an answer of the cloud"
        case Whitelist.NEVER if case.decider in ("revoked", "list", "cache"):
            return "NEVER: the site itself may not accept it, and did not"
        case Whitelist.NEVER:
            return never(case.inputs)


def _group(case: _Case) -> Authorisation | str:
    group = case.inputs.group
    if group is None:
        return "the driver token belongs to no group on the local list"
    if case.rules.authorise.group_status is GroupStatus.IGNORE:
        return "by rule what the list says of the group does not count for its members"
    status = status_now(group, case.inputs.at_ms)
    if status is TokenStatus.ACCEPTED:
        return "the group is accepted: nothing against the driver token"
    return f"the group is {status}; that counts only where the site itself would accept"


# --- what others say, and what remains ---


def _cloud(case: _Case) -> Authorisation | str:
    inputs = case.inputs
    by_mode = case.rules.authorise.of(inputs.mode)
    match inputs.cloud:
        case CloudAnswer.ANSWERED:
            return by_cloud(case.rules, inputs) or "the cloud's answer can't be used"
        case CloudAnswer.NOT_AWAITED:
            return "asked for the next time; this driver did not wait for the answer"
        case CloudAnswer.TOO_LATE:
            return f"no answer within {by_mode.budget_ms} ms"
        case CloudAnswer.UNREACHABLE:
            return "the cloud could not be asked"
        case CloudAnswer.NOT_ASKED:
            return f"not asked: {_why_not_asked(case)}"


def _why_not_asked(case: _Case) -> str:
    by_mode = case.rules.authorise.of(case.inputs.mode)
    if not by_mode.ask_cloud or by_mode.budget_ms == 0:
        return f"the rules ask nobody in {case.inputs.mode}"
    if whitelist(case.rules, case.inputs) is Whitelist.ALWAYS:
        return "the whitelist kind is ALWAYS"
    return "too many questions were on their way"


def _unknown(case: _Case) -> Authorisation | str:
    ruling = by_rule_for_unknown(case.rules, case.inputs)
    policy = case.rules.authorise.of(case.inputs.mode).unknown
    because = f"the rule for unknown driver tokens in {case.inputs.mode} is {policy}"
    return replace(ruling, explanation=f"{ruling.verdict.status}: {because}")


def _concurrent(case: _Case) -> Authorisation | str:
    inputs, rules = case.inputs, case.rules
    if not inputs.starts_session:
        return "no session begins with this question"
    if rules.authorise.of(inputs.mode).concurrent is Concurrent.ALLOW:
        return "by rule one driver token may charge at several connectors"
    if not inputs.running:
        return "no other session of the driver token runs"
    if inputs.token_type is TokenType.NO_AUTHORIZATION:
        return "a start without a driver token is nobody's: others of its kind do not count"
    if not accepts(case.ruling):
        return "it is not accepted in any case"
    if not running_now(rules, inputs):
        return "a session without a stop is so old that it is taken for lost"
    if case.ruling.verdict.basis is Basis.CLOUD:
        return "a session runs, and the cloud accepted all the same: its word stands"
    return "no other session of the driver token runs"
