"""Goal: what an operator is told of a stricter candidate is true: of all decisions of a whole site's life, exactly
those that it would have given otherwise are named (and with the rules that they name, all are equal).

Which ones these are is told here from each decision's own words, not by evaluating rules.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast import rpc, subjects
from holdfast.contracts.command import Command, CommandReceipt, SendCommand
from holdfast.contracts.decision import (
    AdmitInputs,
    AdmitVerdict,
    AuthoriseVerdict,
    Basis,
    DecisionMade,
)
from holdfast.contracts.mode import Mode
from holdfast.contracts.rules import Rules, UnknownToken
from holdfast_cli.operator.retest import retest
from holdfast_testkit.sim_clock import run_virtual
from simulation.evidence import Written
from simulation.faults import Faults
from simulation.provisioning import BLOCKED, LISTED, SITE, STRANGER, brisk_rules
from simulation.scripted import until_mode
from simulation.story import Lived, scratch_folder, settle
from simulation.world import SimWorld


async def _told(folder: Path) -> Lived:
    """Drivers on the list, blocked and unknown, connected and cut off; a command waits out the cut."""
    async with SimWorld.open(Faults(seed=4), folder) as world:
        await until_mode(world, Mode.CONNECTED)
        await _visit(world, LISTED, STRANGER, BLOCKED)
        world.link.cut()
        await until_mode(world, Mode.AUTONOMOUS)
        await _send(world)
        await _visit(world, LISTED, STRANGER, BLOCKED)
        await _visit(world, STRANGER, LISTED, STRANGER)
        world.link.heal()
        return await settle(world)


async def _visit(world: SimWorld, *tokens: str) -> None:
    for charge_point, token in zip(world.charge_points, tokens, strict=True):
        await charge_point.plug(token)
    await world.clock.sleep_ms(5_000)
    for charge_point in world.charge_points:
        charge_point.unplug()
    await world.clock.sleep_ms(5_000)


async def _send(world: SimWorld) -> None:
    now_ms = world.cloud_clock.now_ms()
    command = Command(
        id="c1",
        charge_point=world.charge_points[0].identity,
        action="ChangeAvailability",
        payload={"connectorId": 1, "type": "Operative"},
        issued_at_ms=now_ms,
        deadline_ms=now_ms + 120_000,
    )
    request = SendCommand(site=SITE, command=command)
    client, subject = world.cloud.client("console"), subjects.cloud_rpc("command")
    assert (await rpc.call(client, subject, request, CommandReceipt, timeout_ms=2_000)).accepted


@pytest.fixture(scope="module")
def written() -> tuple[Written, ...]:
    with scratch_folder() as folder:
        lived = run_virtual(_told(folder))
    assert lived.unsettled == ()
    return lived.evidence.written


def decisions(written: tuple[Written, ...]) -> list[DecisionMade]:
    return [entry.fact for entry in written if isinstance(entry.fact, DecisionMade)]


def test_by_the_rules_that_they_name_all_are_equal(written: tuple[Written, ...]) -> None:
    again = retest(entry.envelope for entry in written)
    assert again.total == again.equal == len(decisions(written)) > 10
    assert again.differing == again.unexplained == ()


def test_a_stricter_candidate_differs_in_exactly_the_strangers_it_would_refuse(
    written: tuple[Written, ...],
) -> None:
    """Where the site decides alone; nothing else of the candidate is another."""
    first = brisk_rules(1)
    alone = first.authorise.autonomous.model_copy(update={"unknown": UnknownToken.REFUSE})
    by_mode = first.authorise.model_copy(update={"autonomous": alone})
    candidate = first.model_copy(update={"version": 99, "authorise": by_mode})
    let_charge = {
        one.decision
        for one in decisions(written)
        if isinstance(one.verdict, AuthoriseVerdict)
        and one.verdict.basis in (Basis.UNKNOWN_POLICY, Basis.FREE_VEND)
        and one.verdict.flagged
    }
    assert let_charge, "no stranger came while the site was cut off: nothing is tested"
    assert named(written, candidate) == let_charge


def test_a_candidate_that_takes_no_old_commands_differs_in_exactly_those(
    written: tuple[Written, ...],
) -> None:
    first = brisk_rules(1)
    row = first.commands["ChangeAvailability"].model_copy(update={"age_ms_max": 1_000})
    commands = {**first.commands, "ChangeAvailability": row}
    candidate = first.model_copy(update={"version": 99, "commands": commands})
    too_old = {
        one.decision
        for one in decisions(written)
        if isinstance(one.inputs, AdmitInputs)
        and isinstance(one.verdict, AdmitVerdict)
        and one.inputs.command.action == "ChangeAvailability"
        and one.inputs.at_ms - one.inputs.command.issued_at_ms > 1_000
        and one.inputs.at_ms <= one.inputs.command.deadline_ms
    }
    assert too_old, "no command waited for a site that was cut off: nothing is tested"
    assert named(written, candidate) == too_old


def named(written: tuple[Written, ...], candidate: Rules) -> set[str]:
    again = retest((entry.envelope for entry in written), candidate)
    assert again.unexplained == ()
    assert again.total == again.equal + len(again.differing)
    return {one.decision for one in again.differing}
