"""holdfast-sim charge-points | csms | wan | hostile | oracle: the outside world of a site, as programs of their own."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from holdfast_simulators import charge_points, control, csms, document, wan
from holdfast_simulators.hostile import program as hostile
from holdfast_simulators.hostile.forms import VERSIONS
from holdfast_simulators.hostile.player import Target
from holdfast_simulators.oracle import account
from holdfast_simulators.oracle import program as oracle

CONTROL_HELP = "Takes one JSON object per line on stdin, prints one per line on stdout."


def main() -> None:
    sys.exit(run(sys.argv[1:]))


def run(words: list[str]) -> int:
    """0 done, 1 differences (oracle), 2 cannot start or cannot judge."""
    arguments = _parser().parse_args(words)
    try:
        match arguments.program:
            case "charge-points":
                return asyncio.run(_charge_points(arguments.config, arguments.state))
            case "csms":
                return asyncio.run(_csms(arguments))
            case "wan":
                return asyncio.run(wan.run(arguments.listen, arguments.to, control.Console()))
            case "hostile":
                return asyncio.run(_hostile(arguments))
            case _:
                return oracle.run(
                    arguments.state,
                    arguments.api,
                    arguments.site,
                    arguments.credential,
                    arguments.csms,
                )
    except (document.ConfigError, control.CannotStart, account.CannotJudge) as error:
        print(f"holdfast-sim {arguments.program}: {error}", file=sys.stderr)
        return 2


async def _charge_points(config_file: Path, state_folder: Path) -> int:
    return await charge_points.run(charge_points.load(config_file), state_folder, control.Console())


async def _csms(arguments: argparse.Namespace) -> int:
    file = arguments.config
    return await csms.run(
        arguments.listen,
        arguments.state,
        csms.Config() if file is None else csms.load(file),
        control.Console(),
        quiet=arguments.quiet,
        wire_log=not arguments.no_wire_log,
    )


async def _hostile(arguments: argparse.Namespace) -> int:
    try:
        password = arguments.password_file.read_text("utf-8").strip()
    except OSError as error:
        raise control.CannotStart(f"{arguments.password_file}: {error.strerror}") from error
    target = Target(
        url=arguments.url, identity=arguments.id, password=password, version=arguments.version
    )
    return await hostile.run(
        target, arguments.check, arguments.rounds, arguments.flood_s, tell_all=arguments.all
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="holdfast-sim", description=__doc__)
    programs = parser.add_subparsers(dest="program", required=True)
    _add_charge_points(programs)
    _add_csms(programs)
    _add_wan(programs)
    _add_hostile(programs)
    _add_oracle(programs)
    return parser


def _add_charge_points(programs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    points = programs.add_parser(
        "charge-points",
        help="OCPP 1.6J charge points with an offline queue and a ledger of the truth",
        description=f"Many charge points in one process. {CONTROL_HELP}",
    )
    points.add_argument("--config", type=Path, required=True, help="JSON file: url, charge_points")
    points.add_argument("--state", type=Path, required=True, help="folder of their databases")


def _add_csms(programs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    central = programs.add_parser(
        "csms",
        help="an OCPP 1.6J central system with switchable quirks and a ledger of its own",
        description=f"A simulated central system. {CONTROL_HELP}",
    )
    central.add_argument("--listen", type=wan.address, required=True, metavar="HOST:PORT")
    central.add_argument("--state", type=Path, required=True, help="SQLite file of its ledger")
    central.add_argument("--config", type=Path, help="JSON file; without it everybody may connect")
    central.add_argument("--quiet", action="store_true", help="report only answers to commands")
    central.add_argument("--no-wire-log", action="store_true", help="keep no copy of every frame")


def _add_wan(programs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    link = programs.add_parser(
        "wan",
        help="a TCP link that can be cut, black-holed, delayed and slowed",
        description=f"A TCP relay that stands for the uplink. {CONTROL_HELP}",
    )
    link.add_argument("--listen", type=wan.address, required=True, metavar="HOST:PORT")
    link.add_argument("--to", type=wan.address, required=True, metavar="HOST:PORT")


def _add_hostile(programs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    point = programs.add_parser(
        "hostile",
        help="a charge point that sends what no charge point should (checks S11 to S19)",
        description="Prints one JSON object per line. Exit 0 all ended as due, 1 otherwise, 2 no connection.",
    )
    point.add_argument("--url", required=True, help="ws://HOST:PORT/PATH, without the identity")
    point.add_argument("--id", required=True, help="as which charge point it comes")
    point.add_argument("--password-file", type=Path, required=True)
    point.add_argument("--version", choices=VERSIONS, default="1.6", help="of OCPP")
    point.add_argument("--check", action="append", help="S11, S12, ...; without it, all of them")
    point.add_argument("--rounds", type=int, default=1)
    point.add_argument("--flood-s", type=float, default=5.0, help="how long it floods; 0: not")
    point.add_argument("--all", action="store_true", help="print what ended as due, too")


def _add_oracle(programs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    judge = programs.add_parser(
        "oracle",
        help="compare the charge points' ledgers with the product's account",
        description="Prints one JSON verdict. Exit 0 clean, 1 differences, 2 could not judge.",
    )
    judge.add_argument("--state", type=Path, required=True, help="the charge points' --state")
    judge.add_argument("--api", required=True, metavar="URL", help="where the product's API is")
    judge.add_argument(
        "--site",
        action="append",
        default=None,
        help="a site to judge; may be repeated; without it, all that the API names",
    )
    judge.add_argument("--credential", type=Path, help="file with the bearer credential")
    judge.add_argument("--csms", type=Path, help="ledger of `holdfast-sim csms` to judge as well")


if __name__ == "__main__":
    main()
