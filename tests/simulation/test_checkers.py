"""Goal: no checker is asleep. A short quiet life passes them all; then each violation is planted into its
evidence, one at a time, and the checker that is named for the property must find it. Here I1 to I7 and I10, between
site and cloud; what a CSMS gets (I11) is in `test_checkers_of_csms.py`, rules and words in `test_checkers_of_rules.py`.
"""

import json
from dataclasses import replace

import pytest

from holdfast.contracts.decision import DecisionMade
from holdfast.contracts.mode import Mode, ModeChanged
from holdfast.contracts.recovery import RecoveryFinished, RecoveryStepped
from holdfast.contracts.session import SessionMetered, SessionStarted
from simulation.checkers import (
    acknowledged_is_archived,
    archive_is_contiguous,
    chain_verifies,
    decisions_reevaluate,
    modes_have_no_holes,
    no_stale_command,
    sessions_match_ledgers,
    settled_means_settled,
)
from simulation.evidence import Evidence
from simulation.judging import judge
from simulation.planting import altered, first, gap, instead, without
from simulation.scripted import tell
from simulation.story import Lived


@pytest.fixture(scope="module")
def lived() -> Lived:
    return tell()


@pytest.fixture
def evidence(lived: Lived) -> Evidence:
    return lived.evidence


def test_a_quiet_life_breaks_nothing(lived: Lived) -> None:
    assert judge(lived) == []


# --- I1 ---


def test_an_entry_that_the_archive_lost_is_found(evidence: Evidence) -> None:
    lost = first(evidence.archive, SessionMetered)
    planted = replace(evidence, archive=without(evidence.archive, lost))
    found = acknowledged_is_archived.check(planted)
    assert any("is not in the archive, and in no named gap" in one for one in found)
    assert any("was acknowledged and is not in the archive" in one for one in found)


def test_a_loss_that_a_gap_names_is_no_violation(evidence: Evidence) -> None:
    lost = first(evidence.archive, SessionMetered)
    planted = replace(
        evidence, archive=without(evidence.archive, lost), gaps=(gap(lost, evidence.site),)
    )
    assert acknowledged_is_archived.check(planted) == []


def test_a_call_acknowledged_and_never_written_is_found(evidence: Evidence) -> None:
    said = replace(evidence.acknowledged[0], payload='{"never": "written"}')
    planted = replace(evidence, acknowledged=(*evidence.acknowledged, said))
    found = acknowledged_is_archived.check(planted)
    assert found == [
        f'{said.action} {{"never": "written"}} of CP-01 was acknowledged and never written'
    ]


def test_a_call_recorded_twice_is_found(evidence: Evidence) -> None:
    once = first(evidence.archive, SessionStarted)
    again = replace(once, seq=evidence.archive[-1].seq + 1)
    planted = replace(
        evidence,
        archive=(*evidence.archive, again),
        written=(*evidence.written, again),
    )
    assert any("is recorded 2 times" in one for one in acknowledged_is_archived.check(planted))


def test_an_archived_entry_with_other_bytes_is_found(evidence: Evidence) -> None:
    one = first(evidence.archive, SessionMetered)
    planted = replace(evidence, archive=instead(evidence.archive, one, altered(one, connector=7)))
    found = acknowledged_is_archived.check(planted)
    assert any("is another one in the archive" in one for one in found)


# --- I2 ---


def test_a_hole_without_a_name_is_found(evidence: Evidence) -> None:
    lost = evidence.archive[len(evidence.archive) // 2]
    planted = replace(evidence, archive=without(evidence.archive, lost))
    found = archive_is_contiguous.check(planted)
    assert f"archive lacks {lost.incarnation}:{lost.seq}, and no gap is named there" in found


def test_two_entries_published_in_the_wrong_order_are_found(evidence: Evidence) -> None:
    one, two, *rest = evidence.published
    planted = replace(evidence, published=(two, one, *rest))
    assert any("behind what comes after it" in one for one in archive_is_contiguous.check(planted))


def test_an_entry_published_twice_is_found(evidence: Evidence) -> None:
    planted = replace(evidence, published=(*evidence.published, evidence.published[-1]))
    assert any("behind what comes after it" in one for one in archive_is_contiguous.check(planted))


# --- I3 ---


def test_another_energy_than_the_meter_says_is_found(evidence: Evidence) -> None:
    start = first(evidence.archive, SessionStarted)
    planted = replace(
        evidence, archive=instead(evidence.archive, start, altered(start, meter_start_wh=1))
    )
    assert any("start is 1 Wh" in one for one in sessions_match_ledgers.check(planted))


def test_readings_that_fall_are_found(evidence: Evidence) -> None:
    metered = first(evidence.archive, SessionMetered)
    readings = [{"at": "x", "energy_wh": 900_000}, {"at": "y", "energy_wh": 1}]
    planted = replace(
        evidence, archive=instead(evidence.archive, metered, altered(metered, readings=readings))
    )
    assert any("readings fall" in one for one in sessions_match_ledgers.check(planted))


# --- I4 ---


def test_a_recovery_called_finished_before_the_archive_had_it_is_found(evidence: Evidence) -> None:
    early = tuple(replace(one, archived_seq=0) for one in evidence.called_finished)
    planted = replace(evidence, called_finished=early)
    assert any("the archive has 0 verified" in one for one in settled_means_settled.check(planted))


def test_digests_that_agree_before_the_cloud_had_folded_are_found(evidence: Evidence) -> None:
    early = tuple(replace(one, folded_seq=0) for one in evidence.called_finished)
    planted = replace(evidence, called_finished=early)
    assert any("the cloud has folded 0" in one for one in settled_means_settled.check(planted))


def test_an_open_step_that_no_open_point_names_is_found(evidence: Evidence) -> None:
    step = first(evidence.written, RecoveryStepped)
    planted = replace(
        evidence, written=instead(evidence.written, step, altered(step, outcome="open"))
    )
    assert any("no open point names it" in one for one in settled_means_settled.check(planted))


def test_a_step_left_out_is_found(evidence: Evidence) -> None:
    step = first(evidence.written, RecoveryStepped)
    planted = replace(evidence, written=without(evidence.written, step))
    assert any("finished without step" in one for one in settled_means_settled.check(planted))


def test_connected_without_a_finished_recovery_is_found(evidence: Evidence) -> None:
    finished = first(evidence.written, RecoveryFinished)
    planted = replace(evidence, written=without(evidence.written, finished))
    assert any("is not finished" in one for one in settled_means_settled.check(planted))


# --- I5 ---


def test_a_verdict_that_the_rules_do_not_give_is_found(evidence: Evidence) -> None:
    made = first(evidence.written, DecisionMade)
    verdict = json.loads(made.data)["body"]["verdict"] | {"status": "Blocked"}
    planted = replace(
        evidence, written=instead(evidence.written, made, altered(made, verdict=verdict))
    )
    assert any("the verdict was" in one for one in decisions_reevaluate.check(planted))


def test_a_decision_by_rules_nobody_has_is_found(evidence: Evidence) -> None:
    made = first(evidence.written, DecisionMade)
    planted = replace(
        evidence, written=instead(evidence.written, made, altered(made, rules_version=99))
    )
    assert any(
        "rules 99, which the journal does not have" in one
        for one in decisions_reevaluate.check(planted)
    )


# --- I6 ---


def test_a_mode_change_that_is_missing_is_found(evidence: Evidence) -> None:
    changes = [one for one in evidence.written if isinstance(one.fact, ModeChanged)]
    planted = replace(evidence, written=without(evidence.written, changes[1]))
    assert any(" stood" in one for one in modes_have_no_holes.check(planted))


def test_an_arrow_that_does_not_exist_is_found(evidence: Evidence) -> None:
    change = next(
        one
        for one in evidence.written
        if isinstance(one.fact, ModeChanged) and one.fact.previous is Mode.CONNECTED
    )
    planted = replace(
        evidence, written=instead(evidence.written, change, altered(change, mode="recovery"))
    )
    assert any("no arrow leads" in one for one in modes_have_no_holes.check(planted))


def test_a_change_without_a_reason_is_found(evidence: Evidence) -> None:
    change = first(evidence.written, ModeChanged)
    planted = replace(
        evidence, written=instead(evidence.written, change, altered(change, reasons=[]))
    )
    assert any("without a reason" in one for one in modes_have_no_holes.check(planted))


# --- I7 ---


def test_a_command_executed_after_its_deadline_is_found(evidence: Evidence) -> None:
    late = replace(evidence.executed[0], at_ms=evidence.executed[0].at_ms + 60_000)
    planted = replace(evidence, executed=(late,))
    assert any("after its deadline" in one for one in no_stale_command.check(planted))


def test_a_command_executed_twice_is_found(evidence: Evidence) -> None:
    planted = replace(evidence, executed=evidence.executed * 2)
    assert any("was executed 2 times" in one for one in no_stale_command.check(planted))


def test_an_executed_command_that_was_never_dispatched_is_found(evidence: Evidence) -> None:
    planted = replace(
        evidence, executed=(replace(evidence.executed[0], message_id="out of nowhere"),)
    )
    assert any("never dispatched" in one for one in no_stale_command.check(planted))


def test_an_executed_command_that_is_said_to_be_expired_is_found(evidence: Evidence) -> None:
    settled = next(one for one in evidence.written if one.envelope.type == "command.settled")
    planted = replace(
        evidence,
        written=instead(evidence.written, settled, altered(settled, disposition="expired")),
    )
    assert any("is said to be expired" in one for one in no_stale_command.check(planted))


def test_a_command_without_an_end_is_found(evidence: Evidence) -> None:
    settled = next(one for one in evidence.written if one.envelope.type == "command.settled")
    planted = replace(evidence, written=without(evidence.written, settled))
    assert "command c1 has no end" in no_stale_command.check(planted)


def test_an_accepted_command_that_was_forgotten_is_found(evidence: Evidence) -> None:
    planted = replace(evidence, accepted=(*evidence.accepted, "c2"))
    found = no_stale_command.check(planted)
    assert found == ["command c2 was accepted, and the archive has no end of it"]


# --- I10 ---


@pytest.mark.parametrize("kind", [SessionStarted, SessionMetered])
def test_an_entry_altered_under_a_checkpoint_is_found(evidence: Evidence, kind: type) -> None:
    one = first(evidence.archive, kind)
    planted = replace(evidence, archive=instead(evidence.archive, one, altered(one, connector=9)))
    assert any("is not what the site signed" in one for one in chain_verifies.check(planted))


def test_a_checkpoint_of_another_hand_is_found(evidence: Evidence) -> None:
    one = next(one for one in evidence.archive if one.envelope.type == "journal.checkpoint")
    forged = altered(one, signature="00" * 64)
    planted = replace(evidence, archive=instead(evidence.archive, one, forged))
    assert any("is not signed by the site" in one for one in chain_verifies.check(planted))
