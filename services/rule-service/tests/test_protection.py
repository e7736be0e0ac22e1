"""Goal: while the site is on its own no remote command that is admitted ends or throttles a running session; a lower
limit never grows old, and a higher one does not come late.

Method: one case for each way to harm; then Hypothesis throws commands of all kinds at a charge point, and a model
of what a charge point does with them says what became of its sessions.
"""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from holdfast.contracts.command import Action, Command, Disposition, Issuer
from holdfast.contracts.decision import AdmitInputs, ConnectorState, RunningOn, WaitsFor
from holdfast.contracts.mode import Mode
from holdfast.contracts.rules import ProtectionRules, RefusedStart, Rules, UpstreamRules
from holdfast.ocpp.profiles import installed_with, is_cleared, profile_of
from rule_service.domain.admit import evaluate

AT_MS = 1_750_000_000_000
RULES = Rules(version=1)
PROTECTED = (Mode.DEGRADED, Mode.AUTONOMOUS, Mode.RECOVERY)
FLOOR_A = 6.0
ON_1 = RunningOn(connector=1, transaction_id=17, started_at_ms=AT_MS - 9_000_000)
ON_2 = RunningOn(connector=2, transaction_id=18, started_at_ms=AT_MS - 9_000_000)


def target(*running, profiles=(), connector=1):
    there = [one.transaction_id for one in running if connector in (0, one.connector)]
    return ConnectorState(
        connected=True,
        status="Charging" if there else "Available",
        transaction_id=there[0] if there else None,
        booted_at_ms=None,
        running=running,
        status_since_ms=AT_MS - 8_000_000,
        profiles=profiles,
    )


def command(action, payload, *, issuer=Issuer.CSMS, age_ms=1_000, by_rule=""):
    return Command(
        id="c-1",
        charge_point="CP-01",
        action=action,
        payload=payload,
        issued_at_ms=AT_MS - age_ms,
        deadline_ms=AT_MS + 30_000,
        issuer=issuer,
        by_rule=by_rule,
    )


def decide(given_command, mode=Mode.DEGRADED, meets=None, rules=RULES):
    meets = target(ON_1) if meets is None else meets
    inputs = AdmitInputs(at_ms=AT_MS, mode=mode, command=given_command, target=meets)
    return evaluate(rules, inputs)


def setting(connector=1, limit=16.0, unit="A", id=1, stack=0, purpose="TxDefaultProfile", **more):
    schedule = {
        "chargingRateUnit": unit,
        "chargingSchedulePeriod": [
            {"startPeriod": place, "limit": one}
            for place, one in enumerate(limit if isinstance(limit, list) else [limit])
        ],
        **({"duration": more.pop("duration")} if "duration" in more else {}),
    }
    profile = {
        "chargingProfileId": id,
        "stackLevel": stack,
        "chargingProfilePurpose": purpose,
        "chargingProfileKind": "Relative",
        "chargingSchedule": schedule,
        **more,
    }
    return {"connectorId": connector, "csChargingProfiles": profile}


def installed(*args, **kwargs):
    return profile_of(setting(*args, **kwargs))


HARMFUL = [
    ("RemoteStopTransaction", {"transactionId": 17}),
    ("Reset", {"type": "Soft"}),
    ("Reset", {"type": "Hard"}),
    ("UnlockConnector", {"connectorId": 1}),
    ("ChangeAvailability", {"connectorId": 1, "type": "Inoperative"}),
    ("ChangeAvailability", {"connectorId": 0, "type": "Inoperative"}),
    ("UpdateFirmware", {"location": "x", "retrieveDate": "2999-01-01T00:00:00Z"}),
    ("SetChargingProfile", setting(limit=5.9)),
    ("SetChargingProfile", setting(connector=0, limit=0)),
    ("SetChargingProfile", setting(limit=[32, 0, 32])),
    ("SetChargingProfile", setting(limit=4_000, unit="W")),
    ("SetChargingProfile", setting(limit=[])),
    ("SetChargingProfile", {}),
    ("ChangeConfiguration", {"key": "MaxCurrent", "value": "0"}),
    ("DataTransfer", {"vendorId": "x"}),
]


@pytest.mark.parametrize("mode", PROTECTED)
@pytest.mark.parametrize(("action", "payload"), HARMFUL)
@pytest.mark.parametrize("issuer", [Issuer.CSMS, Issuer.CLOUD])
def test_nothing_from_afar_harms_a_running_session(action, payload, issuer, mode):
    assert not decide(command(action, payload, issuer=issuer), mode).verdict.admitted


@pytest.mark.parametrize("action", ["RemoteStopTransaction", "UnlockConnector"])
def test_the_clause_that_protects_is_named(action):
    payload = {"transactionId": 17, "connectorId": 1}
    ruling = decide(command(action, payload))
    assert (ruling.verdict.disposition, ruling.clause) == (Disposition.REFUSED, "protection.modes")
    assert "session 17" in ruling.verdict.reason


def test_desired_state_waits_for_the_end_of_the_session():
    out = command("ChangeAvailability", {"connectorId": 1, "type": "Inoperative"})
    verdict = decide(out).verdict
    assert (verdict.disposition, verdict.waits_for) == (None, WaitsFor.TIME)
    assert decide(out, meets=target()).verdict.admitted
    assert decide(out, Mode.CONNECTED).verdict.admitted


@pytest.mark.parametrize("issuer", [Issuer.OPERATOR_AT_SITE, Issuer.SITE])
@pytest.mark.parametrize("mode", Mode)
def test_whoever_is_at_the_site_may(issuer, mode):
    stop = command("RemoteStopTransaction", {"transactionId": 17}, issuer=issuer)
    assert decide(stop, mode).verdict.admitted


def test_what_the_rules_call_safety_may():
    rules = RULES.model_copy(
        update={"protection": ProtectionRules(safety=("RemoteStopTransaction",))}
    )
    ruling = decide(command("RemoteStopTransaction", {"transactionId": 17}), rules=rules)
    assert ruling.verdict.admitted
    assert "protection.safety" in [one.clause for one in ruling.considered]


@pytest.mark.parametrize(
    ("issuer", "then", "admitted"),
    [
        (Issuer.CSMS, RefusedStart.STOP, True),
        (Issuer.CSMS, RefusedStart.KEEP_FLAGGED, False),
        (Issuer.CLOUD, RefusedStart.STOP, False),
    ],
)
def test_the_stop_of_a_session_that_the_csms_refused_is_the_rules_own(issuer, then, admitted):
    rules = RULES.model_copy(update={"upstream": UpstreamRules(refused_start=then)})
    stop = command(
        "RemoteStopTransaction",
        {"transactionId": 17},
        issuer=issuer,
        by_rule="upstream.refused_start",
    )
    for mode in PROTECTED:
        assert decide(stop, mode, rules=rules).verdict.admitted is admitted
    gone = decide(stop, Mode.AUTONOMOUS, target(), rules)
    assert (gone.verdict.disposition is Disposition.OBSOLETE) is admitted


def test_what_a_charge_point_may_draw_is_shared_by_all_that_runs_there():
    payload = setting(connector=0, limit=11, purpose="ChargePointMaxProfile")
    assert decide(command("SetChargingProfile", payload), meets=target(ON_1)).verdict.admitted
    both = target(ON_1, ON_2)
    assert not decide(command("SetChargingProfile", payload), meets=both).verdict.admitted


def test_a_profile_that_ends_or_is_cleared_must_not_uncover_a_low_one():
    low = installed(limit=2, stack=0, id=1)
    high = installed(limit=16, stack=1, id=2)
    meets = target(ON_1, profiles=(low, high))
    over = command("SetChargingProfile", setting(limit=32, stack=2, id=3, duration=1))
    assert not decide(over, meets=meets).verdict.admitted
    assert not decide(command("ClearChargingProfile", {"id": 2}), meets=meets).verdict.admitted
    assert decide(command("ClearChargingProfile", {"id": 1}), meets=meets).verdict.admitted


def test_a_lower_limit_never_grows_old_and_a_higher_one_does():
    meets = target(profiles=(installed(limit=16, id=7),))
    day_ms = 86_000_000
    for limit, age_ms, expected in (
        (10, day_ms, None),
        (16, day_ms, None),
        (20, 300_000, None),
        (20, 300_001, Disposition.EXPIRED),
    ):
        late = command("SetChargingProfile", setting(limit=limit), age_ms=age_ms)
        ruling = decide(late, Mode.CONNECTED, meets)
        assert ruling.verdict.disposition is expected, (limit, age_ms)
        if expected:
            assert ruling.clause == "limits.higher_ms_max"
    cleared = command("ClearChargingProfile", {}, age_ms=300_001)
    assert decide(cleared, Mode.CONNECTED, meets).verdict.disposition is Disposition.EXPIRED
    nothing_known = command("SetChargingProfile", setting(limit=32), age_ms=day_ms)
    assert decide(nothing_known, Mode.CONNECTED, target()).verdict.admitted


# --- a model of a charge point ---


def amperes(profiles, connector, transaction_id, running):
    """What a session gets: the least of what each purpose gives, and of a purpose the highest stack level counts.
    Every moment counts: a profile that ends may be gone, one with periods may be at its lowest.
    """
    worst = float("inf")
    ending = [one for one in profiles if one.ends]
    for gone in (set(), {id(one) for one in ending}):
        left = [one for one in profiles if id(one) not in gone]
        for purpose in {one.purpose for one in left}:
            here = [
                one
                for one in left
                if one.purpose == purpose
                and one.connector in (0, connector)
                and one.transaction_id in (None, transaction_id)
            ]
            own = [one for one in here if one.connector == connector] or here
            if not own:
                continue
            top = max(own, key=lambda one: one.stack_level)
            shares = len(running) if purpose == "ChargePointMaxProfile" else 1
            worst = min(worst, top.lowest_a / shares)
    return worst


def carried_out(one, meets):
    """Sessions that it ends, and the profiles that it leaves."""
    payload, running = one.payload, meets.running
    match one.action:
        case "RemoteStopTransaction":
            ended = {s for s in running if s.transaction_id == payload.get("transactionId")}
        case "Reset" | "UpdateFirmware" | "DataTransfer" | "ChangeConfiguration":
            ended = set(running)
        case "UnlockConnector" | "ChangeAvailability" if payload.get("type") != "Operative":
            ended = {s for s in running if payload.get("connectorId") in (0, s.connector)}
        case _:
            ended = set()
    profiles = meets.profiles
    if one.action == "SetChargingProfile":
        profiles = installed_with(profiles, profile_of(payload))
    if one.action == "ClearChargingProfile":
        profiles = tuple(p for p in profiles if not is_cleared(payload, p))
    return ended, profiles


limits = st.one_of(st.integers(0, 40), st.lists(st.integers(0, 40), min_size=1, max_size=3))
settings_of = st.builds(
    lambda ends, **kw: setting(**kw, **({"duration": 60} if ends else {})),
    ends=st.booleans(),
    connector=st.integers(0, 2),
    limit=limits,
    unit=st.sampled_from(["A", "A", "W"]),
    id=st.integers(1, 4),
    stack=st.integers(0, 2),
    purpose=st.sampled_from(["TxDefaultProfile", "ChargePointMaxProfile"]),
) | st.builds(
    setting,
    connector=st.integers(1, 2),
    limit=limits,
    id=st.integers(1, 4),
    purpose=st.just("TxProfile"),
    transactionId=st.integers(17, 19),
)
payloads = st.fixed_dictionaries(
    {},
    optional={
        "transactionId": st.integers(17, 19),
        "connectorId": st.integers(0, 2),
        "type": st.sampled_from(["Soft", "Hard", "Operative", "Inoperative"]),
        "idTag": st.sampled_from(["A", "B"]),
        "id": st.integers(1, 4),
        "stackLevel": st.integers(0, 2),
        "key": st.sampled_from(["HeartbeatInterval", "AuthorizationKey"]),
        "listVersion": st.integers(0, 3),
        "retrieveDate": st.just("2999-01-01T00:00:00Z"),
    },
)
hostile = st.builds(
    lambda action, payload, profile, issuer, by_rule, age_ms: command(
        action,
        profile if action == "SetChargingProfile" else payload,
        issuer=issuer,
        by_rule=by_rule if issuer is Issuer.CLOUD else "",
        age_ms=age_ms,
    ),
    st.sampled_from(get_args(Action)),
    payloads,
    settings_of,
    st.sampled_from([Issuer.CSMS, Issuer.CLOUD]),
    st.sampled_from(["", "upstream.refused_start", "authorise.unknown_energy_wh_max"]),
    st.integers(0, 1_000_000),
)


@settings(max_examples=1_500, deadline=None)
@given(
    one=hostile,
    mode=st.sampled_from(PROTECTED),
    running=st.sampled_from([(ON_1,), (ON_2,), (ON_1, ON_2), ()]),
    profiles=st.lists(settings_of, max_size=4),
    confirmed_by=st.none() | st.just("Ada"),
)
def test_no_admitted_command_ends_or_throttles_a_session(
    one, mode, running, profiles, confirmed_by
):
    there = ()
    for payload in profiles:
        there = installed_with(there, profile_of(payload))
    meets = target(*running, profiles=there, connector=one.payload.get("connectorId", 0))
    inputs = AdmitInputs(
        at_ms=AT_MS, mode=mode, command=one, target=meets, confirmed_by=confirmed_by
    )
    if not evaluate(RULES, inputs).verdict.admitted:
        return
    event(f"admitted: {one.action}")
    ended, left = carried_out(one, meets)
    assert not ended
    for session in running:
        before = amperes(there, session.connector, session.transaction_id, running)
        after = amperes(left, session.connector, session.transaction_id, running)
        assert after >= min(before, FLOOR_A), (before, after)
