"""The `holdfast` command."""

from __future__ import annotations

import argparse
import asyncio
import os
import select
import signal
import sys
from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path

from holdfast.bus import BusError
from holdfast_cli.drill import fleet
from holdfast_cli.drill.account import AccountError
from holdfast_cli.drill.run import drill
from holdfast_cli.drill.scenario import Scenario, ScenarioError, load_scenario, shipped
from holdfast_cli.drill.text import render
from holdfast_cli.drill.timeline import Timeline
from holdfast_cli.nats_server import NatsServerError, find
from holdfast_cli.operator.arguments import parse
from holdfast_cli.operator.problem import CANNOT, OperatorError
from holdfast_cli.operator.verbs import add_verbs
from holdfast_cli.provision.certificates import revoke_client_certificate
from holdfast_cli.provision.layout import CSMS, ProvisionError, World, charge_point_id, load_world
from holdfast_cli.provision.rules import default_rules_text
from holdfast_cli.provision.step import provision
from holdfast_cli.provision.streams import provision_streams, server_listens
from holdfast_cli.world import pipe, simulated
from holdfast_cli.world.lock import held
from holdfast_cli.world.ports import check_ports_free
from holdfast_cli.world.running import RunningWorld, WorldError, running
from holdfast_cli.world.simulated import Kind
from holdfast_cli.world.talk import TalkError

EXPECTED = (
    ScenarioError, ProvisionError, WorldError, AccountError, TalkError, NatsServerError, BusError,
    OperatorError, OSError,
)  # fmt: skip
STOPPED = "\nstopped; no process is left behind"


def main(argv: Sequence[str] | None = None) -> None:
    arguments = parse(_parser(), argv)
    try:
        code = asyncio.run(_until_terminated(arguments))
        sys.stdout.flush()
        sys.exit(code)
    except BrokenPipeError as error:
        if not _nobody_reads():
            _fail(error)
        sys.exit(128 + signal.SIGPIPE)
    except KeyboardInterrupt:
        print(STOPPED, file=sys.stderr)
        sys.exit(130)
    except BaseExceptionGroup as group:
        expected, rest = group.split(EXPECTED)
        if expected is None or rest is not None:
            raise
        _fail(expected)
    except EXPECTED as error:
        _fail(error)


async def _until_terminated(arguments: argparse.Namespace) -> int:
    """SIGTERM ends the command as Ctrl-C does: children are stopped in order."""
    task = asyncio.current_task()
    assert task is not None
    loop = asyncio.get_running_loop()
    told = asyncio.Event()

    def terminate() -> None:
        if not told.is_set():  # a second one must not disturb the stopping
            told.set()
            task.cancel()

    loop.add_signal_handler(signal.SIGTERM, terminate)
    try:
        code: int = await arguments.run(arguments)
    except asyncio.CancelledError:
        if not told.is_set():
            raise
        print(STOPPED, file=sys.stderr)
        return 128 + signal.SIGTERM
    return code


def _nobody_reads() -> bool:
    """`holdfast ... | head -1`: the reader has seen enough, and that is no error. What is left unsaid goes nowhere."""
    watched = select.poll()
    watched.register(sys.stdout.fileno(), 0)
    if not watched.poll(0):
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return True


def _fail(error: BaseException) -> None:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    print(f"holdfast: {_sentence(error)}", file=sys.stderr)
    sys.exit(error.code if isinstance(error, OperatorError) else CANNOT)


def _sentence(error: BaseException) -> str:
    if isinstance(error, OSError) and not isinstance(error, EXPECTED[:-1]):
        where = f"{error.filename}: " if error.filename else ""
        what = error.strerror or str(error) or type(error).__name__
        return f"{where}{what}: check that it is there, is yours, and that the disk has room"
    return str(error)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="holdfast",
        description="Keep a charging site working, and understandable, without its cloud.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    it = commands.add_parser(
        "drill",
        help="run a whole site and its cloud through a scripted disruption, and judge it",
        description="Starts every part as a process of its own, plays the scenario, waits until all is "
        "reconciled, prints a report and writes WORLD/report.json. Exit code 0 only if nothing was lost, "
        "duplicated in effect or left unexplained; 1 otherwise; 2 if it could not be run.",
    )
    it.add_argument(
        "--scenario", default="standard", metavar="NAME|FILE",
        help=f"one of {', '.join(shipped())}, or a YAML file (default: standard)",
    )  # fmt: skip
    it.add_argument("--world", type=Path, default=Path("build/drill"), metavar="DIR",
                    help="where its files go; made anew each time (default: build/drill)")  # fmt: skip
    it.add_argument("--quiet", action="store_true", help="no live timeline, only the report")
    it.set_defaults(run=_drill)

    it = commands.add_parser(
        "up",
        help="keep a world running, with its pages",
        description="Provisions the world if need be, starts it and keeps it running until Ctrl-C.",
    )
    _world_arguments(it)
    it.add_argument("--simulate", action="store_true",
                    help="simulated charge points at each site, with drivers who come and go: versions and "
                    "security profiles as `make demo` has them, in turn")  # fmt: skip
    it.set_defaults(run=_up)

    it = commands.add_parser(
        "provision",
        help="make the keys, passwords and configuration of a world, once",
        description="Idempotent: says what it made or changed, and nothing when there was nothing to do.",
    )
    _world_arguments(it)
    it.set_defaults(run=_provision)

    it = commands.add_parser(
        "revoke",
        help="take back a charge point's certificate, by the world's own CA; another one is made",
        description="The certificate WORLD/secrets/ocpp/SITE/CHARGE_POINT.pem lets nobody in any more, and whoever "
        "came by it is disconnected within seconds; a new one is in its place. Where another CA issues the "
        "certificates, it makes the CRL: put that in the place of client_crl_file.",
    )
    it.add_argument("charge_point", metavar="CHARGE_POINT")
    it.add_argument("--world", type=Path, default=Path("build/up"), metavar="DIR",
                    help="where its files are (default: build/up)")  # fmt: skip
    it.add_argument("--site", default=None, metavar="NAME",
                    help="may be left out where there is one")  # fmt: skip
    it.set_defaults(run=_revoke)
    add_verbs(commands, parser)
    return parser


def _world_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--world", type=Path, default=Path("build/up"), metavar="DIR",
                        help="where its files go (default: build/up)")  # fmt: skip
    parser.add_argument("--site", action="append", metavar="NAME",
                        help="a site's name; may be given several times (default: berlin01)")  # fmt: skip
    parser.add_argument("--charge-points", type=int, default=8, metavar="N",
                        help="charge points per site (default: 8)")  # fmt: skip
    parser.add_argument("--rules", type=Path, metavar="FILE",
                        help="the first rules, YAML: a bundle or a draft (default: Holdfast's own)")  # fmt: skip


def _scenario(name: str) -> Scenario:
    return load_scenario(shipped().get(name, Path(name)))


async def _drill(arguments: argparse.Namespace) -> int:
    scenario = _scenario(arguments.scenario)
    report = await drill(scenario, arguments.world.resolve(), Timeline(quiet=arguments.quiet))
    print(render(report))
    print(f"\nreport: {arguments.world / 'report.json'}")
    return 0 if report.passed else 1


def _rules_text(path: Path | None) -> str:
    if path is None:
        return default_rules_text()
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ProvisionError(f"{path}: can't be read ({error}): give --rules FILE") from error


def _sites(arguments: argparse.Namespace) -> tuple[str, ...]:
    return tuple(arguments.site or ["berlin01"])


def _provisioned(
    arguments: argparse.Namespace, kinds: Mapping[str, Kind]
) -> tuple[World, list[str]]:
    return provision(
        arguments.world.resolve(),
        sites=_sites(arguments),
        charge_points=arguments.charge_points,
        rules_text=_rules_text(arguments.rules),
        rules_name=str(arguments.rules or "the rule bundle"),
        security_profiles={name: kind.security_profile for name, kind in kinds.items()},
    )


def _mixed(arguments: argparse.Namespace) -> dict[str, Kind]:
    """The kinds of charge points that `make demo` has, in turn."""
    of_demo = load_scenario(shipped()["standard"]).charge_points
    kinds = cycle([Kind(it.version, it.security_profile) for it in of_demo])
    numbers = range(1, len(_sites(arguments)) * arguments.charge_points + 1)
    return {charge_point_id(number): next(kinds) for number in numbers}


async def _provision(arguments: argparse.Namespace) -> int:
    with held(arguments.world.resolve()):
        world, changes = _provisioned(arguments, {})
        if await server_listens(world):
            changes += await provision_streams(world)
        else:
            print("the cloud's NATS server is not running: its streams are made when it starts")
    print("\n".join(changes) or f"{arguments.world}: nothing to do")
    return 0


async def _revoke(arguments: argparse.Namespace) -> int:
    world = load_world(arguments.world.resolve())
    sites = world.plan.sites
    site = arguments.site or (sites[0] if len(sites) == 1 else None)
    if site not in sites:
        raise ProvisionError(f"which site? give --site with one of {', '.join(sites)}")
    charge_point = arguments.charge_point
    known = charge_point in world.plan.charge_point_ids(site)
    folder = world.ocpp_tls(site)
    if not known or not revoke_client_certificate(folder, charge_point):
        raise ProvisionError(f"{charge_point!r} has no certificate in {folder}")
    print(f"{site}: the certificate of {charge_point} is taken back; the new one is in {folder}")
    return 0


async def _up(arguments: argparse.Namespace) -> int:
    find()
    root = arguments.world.resolve()
    with held(root):
        if (root / "world.json").exists():
            check_ports_free(load_world(root))
        kinds = _mixed(arguments) if arguments.simulate else {}
        world, changes = _provisioned(arguments, kinds)
        print("\n".join(changes) or f"{arguments.world}: nothing to do")
        return await _keep_running(world, kinds)


async def _keep_running(world: World, simulated_kinds: Mapping[str, Kind]) -> int:
    timeline = Timeline()
    async with (
        running(world, timeline.supervisor, timeline.csms) as up,
        asyncio.TaskGroup() as group,
    ):
        print(_addresses(up), flush=True)
        group.create_task(pipe.obey(world.csms_pipe, up.csms.child))
        for site in world.plan.sites if simulated_kinds else ():
            devices = simulated.calm_devices(world, site, simulated_kinds)
            came = {it["id"]: (it["version"], it["security_profile"]) for it in devices}
            timeline.say("simulators", f"{site}: charge points: {fleet.sentence(came)}")
            talk = simulated.charge_points(
                world, site, devices, timeline.supervisor, timeline.simulator
            )
            await up.run(talk.child)
            group.create_task(simulated.drivers(talk, world.plan.charge_point_ids(site)))
        await asyncio.Event().wait()
    return 0


def _addresses(up: RunningWorld) -> str:
    world = up.world
    lines = [
        "",
        "running; Ctrl-C stops everything. A browser asks for a name (any) and the credential.",
    ]
    for scope in world.scopes:
        credential = world.secrets / f"{scope}.api-credential"
        lines.append(f"  {scope:<12} {world.api(scope)}/   credential in {credential}")
    for site in world.plan.sites:
        passwords = world.secrets / f"{site}.charge-points.json"
        lines += [
            f"  {site:<12} charge points connect to {world.ocpp_url(site)}/<id>, passwords in {passwords}",
            f"  {'':<12} or by TLS to {world.ocpp_tls_url(site)}/<id>, certificates in {world.ocpp_tls(site)}",
        ]
    csms = f"{CSMS:<12}"
    lines += [
        f"  {csms} a simulated one at {world.csms_url}/<id>; its ledger (SQLite) is {world.csms_ledger}",
        f'  {"":<12} it takes commands: echo \'{{"do":"down"}}\' > {world.csms_pipe}  (simulators/README.md)',
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
