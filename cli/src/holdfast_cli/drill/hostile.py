"""The hostile charge point of a drill: a process beside the honest ones, and what is wrong when it has ended."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from pathlib import Path

from holdfast_cli.drill.steps import Hostile
from holdfast_cli.provision.layout import World
from holdfast_cli.provision.secrets import write_private

ENDS_WITHIN_S = 180.0
TOLD_MAX = 5


class HostileOnes:
    def __init__(self, world: World, site: str) -> None:
        self._world = world
        self._site = site
        self._begun: list[Process] = []

    async def begins(self, step: Hostile) -> None:
        """Each has one of the site's last identities."""
        identity = self._world.plan.charge_point_ids(self._site)[-1 - len(self._begun)]
        passwords = json.loads(
            (self._world.secrets / f"{self._site}.charge-points.json").read_text()
        )
        password = self._world.secrets / f"{self._site}.hostile.{identity}.password"
        write_private(password, passwords[identity].encode())
        command: list[str | Path] = [
            Path(sys.executable).with_name("holdfast-sim"), "hostile",
            "--url", self._world.ocpp_url(self._site), "--id", identity, "--password-file", password,
            "--version", step.version, "--rounds", str(step.rounds), "--flood-s", str(step.flood_s),
            *(word for check in step.checks for word in ("--check", check)),
        ]  # fmt: skip
        self._begun.append(
            await asyncio.create_subprocess_exec(*command, stdin=DEVNULL, stdout=PIPE)
        )

    async def ended(self) -> list[str]:
        """What did not end as it is due, in the order it was tried."""
        problems: list[str] = []
        for process in self._begun:
            try:
                async with asyncio.timeout(ENDS_WITHIN_S):
                    said, _ = await process.communicate()
            except TimeoutError:
                process.kill()
                problems.append(f"the hostile charge point did not end within {ENDS_WITHIN_S:g} s")
                continue
            if process.returncode:
                problems += [f"hostile: {line}" for line in said.decode().splitlines()[:TOLD_MAX]]
        return problems
