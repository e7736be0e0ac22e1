"""What people do to the simulated site: commands, good and hostile, words about them, overrides.

Each runs for ever, with its own luck; whatever is not answered is left at that.
"""

from __future__ import annotations

import json
import random
from typing import Any

from holdfast import rpc, subjects
from holdfast.bus import BusError
from holdfast.contracts.command import (
    Command,
    CommandReceipt,
    CommandWord,
    SendCommand,
    SendWord,
    Word,
)
from holdfast.contracts.mode import BeginOverride, EndOverride, OverrideKind, OverrideReceipt
from simulation.charge_point import SimChargePoint
from simulation.csms import FIRST_ID, SimCsms
from simulation.provisioning import LISTED, SITE
from simulation.world import SimWorld

CSMS_WAITS_MS = 30_000
"""For the answer to a CALL of its own."""
WORDS_ABOUT = 4
"""The newest commands, of which a word is about one."""
ANSWERED_MS = 2_000

Payload = dict[str, Any]


async def commands(world: SimWorld) -> None:
    rng, hostile = world.chance("commands"), world.chance("hostile commands")
    cloud, operator = world.cloud.client("console"), world.site.client("operator")
    while True:
        await world.clock.sleep_ms(rng.randint(2_000, 15_000))
        world.commands_sent += 1
        id = f"c{world.commands_sent}"
        charge_point = rng.choice(world.charge_points)
        at_site = rng.random() < 0.25
        clock = world.site_clock if at_site else world.cloud_clock
        command = _command(id, charge_point, clock.now_ms(), rng)
        if hostile.random() < world.faults.hostile_commands_ratio:
            action, payload = hostile.choice(_hostile(charge_point))
            command = command.model_copy(update={"action": action, "payload": payload})
        try:
            if at_site:
                subject = subjects.rpc(SITE, "command")
                await rpc.call(operator, subject, command, CommandReceipt, timeout_ms=ANSWERED_MS)
            else:
                send = SendCommand(site=SITE, command=command)
                subject = subjects.cloud_rpc("command")
                receipt = await rpc.call(
                    cloud, subject, send, CommandReceipt, timeout_ms=ANSWERED_MS
                )
                world.accepted += [command.id] if receipt.accepted else []
        except BusError as error:
            world.note(f"command {command.id} not sent: {type(error).__name__}")


def _command(id: str, charge_point: SimChargePoint, now_ms: int, rng: random.Random) -> Command:
    action, payload = rng.choice(charge_point.may_be_told(LISTED))
    return Command(
        id=id,
        charge_point=charge_point.identity,
        action=action,
        payload=payload,
        issued_at_ms=now_ms,
        deadline_ms=now_ms + rng.randint(1_000, 30_000),
    )


def _hostile(charge_point: SimChargePoint) -> tuple[tuple[str, Payload], ...]:
    """What would end or throttle a session that runs there."""
    session = charge_point.session
    running = session.transaction_id if session else None
    return (
        ("Reset", {"type": "Hard"}),
        ("Reset", {"type": "Soft"}),
        ("UnlockConnector", {"connectorId": 1}),
        ("ChangeAvailability", {"connectorId": 0, "type": "Inoperative"}),
        ("RemoteStopTransaction", {"transactionId": running or 1}),
        ("ChangeConfiguration", {"key": "AuthorizationKey", "value": "00"}),
        ("ChangeConfiguration", {"key": "MeterValueSampleInterval", "value": "0"}),
        ("ClearCache", {}),
        ("SetChargingProfile", {"connectorId": 1, "csChargingProfiles": _LOW}),
    )


_LOW = {
    "chargingProfileId": 1,
    "stackLevel": 0,
    "chargingProfilePurpose": "TxDefaultProfile",
    "chargingProfileKind": "Absolute",
    "chargingSchedule": {
        "chargingRateUnit": "A",
        "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 1}],
    },
}


async def words(world: SimWorld) -> None:
    """Confirmed or cancelled, from the site or from afar; mostly about commands that need no word any more."""
    rng = world.chance("words")
    cloud, operator = world.cloud.client("console"), world.site.client("operator")
    while True:
        await world.clock.sleep_ms(round(rng.expovariate(1 / world.faults.words_every_ms)))
        number = max(1, world.commands_sent - rng.randrange(WORDS_ABOUT))
        said = CommandWord(
            id=f"c{number}",
            word=rng.choice(tuple(Word)),
            by="a person",
            at_ms=world.site_clock.now_ms(),
        )
        try:
            if rng.random() < 0.5:
                subject = subjects.rpc(SITE, "command-word")
                await rpc.call(operator, subject, said, CommandReceipt, timeout_ms=ANSWERED_MS)
            else:
                subject = subjects.cloud_rpc("command-word")
                send = SendWord(site=SITE, word=said)
                await rpc.call(cloud, subject, send, CommandReceipt, timeout_ms=ANSWERED_MS)
        except BusError as error:
            world.note(f"word about {said.id} not said: {type(error).__name__}")


async def overrides(world: SimWorld) -> None:
    rng = world.chance("overrides")
    operator = world.site.client("operator")
    while True:
        await world.clock.sleep_ms(round(rng.expovariate(1 / world.faults.overrides_every_ms)))
        now_ms = world.site_clock.now_ms()
        if rng.random() < 0.3:
            request: BeginOverride | EndOverride = EndOverride(by="a person")
            subject = subjects.rpc(SITE, "override-end")
        else:
            from_ms = now_ms + rng.randint(0, 5_000)
            request = BeginOverride(
                kind=rng.choice(tuple(OverrideKind)),
                from_ms=from_ms,
                until_ms=from_ms + rng.randint(2_000, 15_000),
                by="a person",
                why="works on the feeder",
            )
            subject = subjects.rpc(SITE, "override")
        try:
            await rpc.call(operator, subject, request, OverrideReceipt, timeout_ms=ANSWERED_MS)
        except BusError as error:
            world.note(f"override not said: {type(error).__name__}")


async def commands_of_csms(world: SimWorld, csms: SimCsms) -> None:
    """One at a time; it names transactions by its own ids, and now and then one that is not there."""
    rng = world.chance("csms commands")
    while True:
        await world.clock.sleep_ms(round(rng.expovariate(1 / csms.faults.calls_every_ms)))
        if not csms.accepted:
            continue
        transaction = rng.choice([*csms.ledger.transactions, FIRST_ID])
        action, payload = rng.choice(
            (
                ("RemoteStartTransaction", {"connectorId": 1, "idTag": LISTED}),
                ("RemoteStopTransaction", {"transactionId": transaction}),
                ("ChangeAvailability", {"connectorId": 1, "type": "Operative"}),
                ("GetLocalListVersion", {}),
                ("GetConfiguration", {}),
                ("ClearCache", {}),
                ("DataTransfer", {"vendorId": "org.example"}),
                ("Reset", {"type": "Hard"}),
            )
        )
        identity = rng.choice(csms.accepted)
        await csms.call(identity, action, json.dumps(payload), within_ms=CSMS_WAITS_MS)
