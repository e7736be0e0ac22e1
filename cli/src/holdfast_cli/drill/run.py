"""A drill from bare folder to verdict: provision, start, play, wait until all is settled, judge."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from holdfast_cli.drill import bridge, fleet, quirk
from holdfast_cli.drill.account import Account, AccountError
from holdfast_cli.drill.bundles import bundles
from holdfast_cli.drill.play import Marks, Player
from holdfast_cli.drill.report import Evidence, Report, judge
from holdfast_cli.drill.scenario import Scenario
from holdfast_cli.drill.steps import CsmsQuirk, LoseAnswer
from holdfast_cli.drill.timeline import Timeline
from holdfast_cli.nats_server import find
from holdfast_cli.provision.layout import CLOUD, World
from holdfast_cli.provision.rules import laid_over_default
from holdfast_cli.provision.step import provision
from holdfast_cli.world import simulated
from holdfast_cli.world.lock import held
from holdfast_cli.world.replace import clear_drill
from holdfast_cli.world.running import RunningWorld, running
from holdfast_cli.world.talk import Conversation, TalkError

SITE = "berlin01"
CONNECTED_WITHIN_S = 120
SERVED_WITHIN_S = 120
QUIET_WITHIN_S = 120
DELIVERED_WITHIN_S = 120
TRIES = 15
TRY_EVERY_S = 2.0
"""The archive may be a moment behind; what is still wrong after the last try is wrong."""


async def drill(scenario: Scenario, root: Path, timeline: Timeline) -> Report:
    """Play it in a fresh world under `root`; the report is also written to `root/report.json`."""
    with held(root):
        return await _drill(scenario, root, timeline)


async def _drill(scenario: Scenario, root: Path, timeline: Timeline) -> Report:
    find()
    clear_drill(root)
    world, made = provision(
        root,
        sites=(SITE,),
        charge_points=scenario.provisioned,
        rules_text=laid_over_default(scenario.rules),
        rules_name=f"the rules of scenario {scenario.name}",
        made_by="drill",
        security_profiles={it.id: it.security_profile for it in scenario.charge_points},
        csms=scenario.csms.given(),
        bridge=bridge.laid_over(scenario.bridge),
    )
    timeline.say("drill", f"{scenario.name}: {scenario.summary}")
    timeline.say("drill", f"provisioned {world.root} ({len(made)} files), starting all processes")
    async with running(world, timeline.supervisor, timeline.csms) as up:
        report = await _play_and_settle(scenario, up, timeline)
    (world.root / "report.json").write_text(report.model_dump_json(indent=2) + "\n")
    return report


async def _play_and_settle(scenario: Scenario, up: RunningWorld, timeline: Timeline) -> Report:
    world = up.world
    async with AsyncExitStack() as stack:
        accounts = {scope: Account(world, scope, SITE) for scope in world.scopes}
        for account in accounts.values():
            stack.push_async_callback(account.close)
        await accounts[SITE].until_mode("connected", CONNECTED_WITHIN_S)
        await accounts[CLOUD].until_served(SERVED_WITHIN_S)
        devices = [device.model_dump() for device in scenario.charge_points]
        charge_points = simulated.charge_points(
            world, SITE, devices, timeline.supervisor, timeline.simulator
        )
        await up.run(charge_points.child)
        group = await stack.enter_async_context(asyncio.TaskGroup())
        stack.callback(group.create_task(_watch_modes(accounts[SITE], timeline)).cancel)
        player = Player(up, SITE, charge_points, accounts, timeline)
        await player.play(scenario)
        problems = await player.hostile.ended()
        problems += await _settle(scenario, accounts, charge_points, timeline)
        problems += _not_shown(scenario, up.csms, charge_points)
        timeline.say("drill", "asking the product and the oracle")
        for _ in range(TRIES):
            evidence = await _gather(scenario, up, accounts[CLOUD], player.marks, problems)
            report = judge(evidence, scenario.expect)
            if report.passed:
                break
            await asyncio.sleep(TRY_EVERY_S)
        return report


def _not_shown(scenario: Scenario, csms: Conversation, charge_points: Conversation) -> list[str]:
    """What was to go wrong and did not: then this drill has not shown what it is for."""
    asked = [step.quirk for step in scenario.steps if isinstance(step, CsmsQuirk)]
    happened = [line for line in csms.said("quirk") if line["did"] == "happened"]
    lost = Counter((it["charge_point"], it["action"]) for it in charge_points.said("answer-lost"))
    lost.subtract(
        (it.charge_point, it.action) for it in scenario.steps if isinstance(it, LoseAnswer)
    )
    return [
        *quirk.never_happened(asked, happened),
        *(f"{name} answered {action} all the same" for (name, action), n in lost.items() if n < 0),
    ]


async def _gather(
    scenario: Scenario, up: RunningWorld, cloud: Account, marks: Marks, problems: list[str]
) -> Evidence:
    """One sample of everything the report is judged by."""
    status = await cloud.status()
    return Evidence(
        scenario=scenario.name,
        site=SITE,
        open_points=status.open_points,
        quarantined=status.quarantined,
        modes=await cloud.all("modes"),
        sessions=await cloud.all("sessions"),
        decisions=await cloud.all("decisions"),
        journal=await cloud.journal(),
        bundles=bundles(scenario.rules, scenario.ordered),
        published_ms=marks.published_ms,
        commands=await cloud.all("commands"),
        gaps=await cloud.all("gaps"),
        oracle=await _ask_oracle(up.world),
        wanted_fleet=fleet.wanted(scenario.charge_points),
        answered_calls=up.csms.said("answered"),
        copies=await cloud.all("copies"),
        problems=[*problems, *(f"csms: {line['error']}" for line in up.csms.said("error"))],
        cut_ms=marks.cut_ms,
        healed_ms=marks.healed_ms,
        killed=marks.killed,
        restarts={n: child.starts - 1 for n, child in up.children.items() if child.starts > 1},
    )


async def _settle(
    scenario: Scenario,
    accounts: dict[str, Account],
    charge_points: Conversation,
    timeline: Timeline,
) -> list[str]:
    """Wait for connected, then end all sessions, then until the CSMS has them.

    What does not come within its bound is a problem of the drill, not an end of it: the report says it.
    """
    problems = []
    timeline.say("drill", "waiting for the site to be connected again")
    try:
        await accounts[SITE].until_mode("connected", scenario.expect.reconciled_within_s)
    except AccountError as error:
        problems.append(str(error))
    timeline.say("drill", "ending all sessions, emptying the charge points' queues")
    try:
        await charge_points.ask({"do": "quiesce"}, QUIET_WITHIN_S, event="all-quiesced")
    except TalkError as error:
        problems.append(str(error))
    timeline.say("drill", "waiting until the CSMS has everything")
    try:
        await accounts[CLOUD].until_delivered(DELIVERED_WITHIN_S)
    except AccountError as error:
        problems.append(str(error))
    return problems


async def _ask_oracle(world: World) -> dict[str, Any]:
    """The independent judge, as a process of its own."""
    command: list[str | Path] = [
        Path(sys.executable).with_name("holdfast-sim"), "oracle",
        "--state", simulated.ledgers(world, SITE), "--api", world.api(CLOUD), "--site", SITE,
        "--credential", world.secrets / f"{CLOUD}.api-credential", "--csms", world.csms_ledger,
    ]  # fmt: skip
    process = await asyncio.create_subprocess_exec(*map(str, command), stdout=PIPE, stderr=PIPE)
    out, error = await process.communicate()
    try:
        verdict: dict[str, Any] = json.loads(out)
    except ValueError:
        raise AccountError(f"the oracle could not judge: {error.decode()[-500:]}") from None
    return verdict


async def _watch_modes(account: Account, timeline: Timeline) -> None:
    """Say each mode change as the site itself shows it, also while it is cut off."""
    seen: set[tuple[str, int]] = set()
    while True:
        try:
            for row in await account.all("modes"):
                key = (row["mode"], row["since_ms"])
                if key not in seen:
                    seen.add(key)
                    timeline.mode(row)
        except AccountError:
            pass  # a killed monitor is back in a moment; nothing is lost by looking later
        await asyncio.sleep(0.5)
