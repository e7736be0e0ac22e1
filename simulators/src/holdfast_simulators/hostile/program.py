"""`holdfast-sim hostile`: plays every attack against any central system or edge, and prints what came of it.

One JSON object per line: each attack that did not end as it is due (`--all`: each), each flood, a summary.
Exit 0: every attack ended as due and it was served to the end; 1: not so.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from typing import Any

from websockets.exceptions import InvalidHandshake

from holdfast_simulators.control import CannotStart
from holdfast_simulators.hostile.frames import Attack, attacks, floods
from holdfast_simulators.hostile.player import Outcome, Target, dialled

RECONNECT_S = 0.2


async def run(
    target: Target, checks: list[str] | None, rounds: int, flood_s: float, *, tell_all: bool
) -> int:
    chosen = [one for one in attacks(target.version) if not checks or one.check in checks]
    otherwise = 0
    for _ in range(rounds):
        async for outcome in _played(target, chosen):
            otherwise += not outcome.as_due
            if tell_all or not outcome.as_due:
                _tell("attack", **asdict(outcome))
    if flood_s and (not checks or "S18" in checks):
        for frame, name, every_s in floods(target.version):
            async with dialled(target) as player:
                sent = await player.floods(frame, every_s, flood_s)
            _tell("flood", check="S18", name=name, sent=sent)
    _tell("summary", version=target.version, attacks=len(chosen) * rounds, otherwise=otherwise)
    return 1 if otherwise else 0


async def _played(target: Target, attacks: list[Attack]) -> Any:
    """Over one connection, until it is closed; then over the next."""
    waiting = list(attacks)
    while waiting:
        try:
            async with dialled(target) as player:
                while waiting:
                    outcome: Outcome = await player.plays(waiting.pop(0))
                    yield outcome
                    if outcome.closed is not None:
                        break
        except (OSError, InvalidHandshake) as error:
            raise CannotStart(f"{target.url}: {error}") from error
        await asyncio.sleep(RECONNECT_S)


def _tell(event: str, **names: Any) -> None:
    print(json.dumps({"event": event, **names}), flush=True)
