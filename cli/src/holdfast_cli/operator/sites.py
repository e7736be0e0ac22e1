"""What stands: `sites`, `status`, `charge-points`."""

from __future__ import annotations

import argparse
from typing import Any

from holdfast_cli.operator.arguments import add_site, add_verb
from holdfast_cli.operator.client import Client, Document
from holdfast_cli.operator.output import (
    clean,
    duration,
    fields,
    moment,
    print_json,
    reading,
    table,
)
from holdfast_cli.operator.problem import DONE


def add_verbs(subparsers: Any) -> None:
    add_verb(
        subparsers, "sites", _sites,
        help="every site in short",
        examples=("holdfast sites", "holdfast sites --json | jq '.sites[].site'"),
    )  # fmt: skip
    it = add_verb(
        subparsers, "status", _status,
        help="one site: four answers, and what they rest on",
        examples=("holdfast status", "holdfast status berlin01 --at berlin01"),
    )  # fmt: skip
    add_site(it)
    it = add_verb(
        subparsers, "charge-points", charge_points,
        help="who may connect to a site: connection, security profile, connectors",
        says="Every charge point that may connect to a site, whether it ever has or not. Who changes that: "
        "holdfast charge-points add, and the other verbs of holdfast registry --help.",
        examples=("holdfast charge-points berlin01", "holdfast charge-points list --site berlin01"),
    )  # fmt: skip
    add_site(it)


async def _sites(client: Client, arguments: argparse.Namespace) -> int:
    rows = await client.all("sites")
    if arguments.json:
        print_json({"sites": rows, "next": None})
        return DONE
    told = (
        (
            row["site"],
            reading(row["mode"], (row["mode"]["value"] or {}).get("mode")),
            row["can_drivers_charge"],
            row["is_it_safe"],
            row["must_i_act"],
            row["still_open"],
            reading(row["rules"], _against_wanted(row["rules"]["value"] or {})),
            _backlog(row["sync"]),
        )
        for row in rows
    )
    headers = ("site", "mode", "drivers charge", "safe", "must act", "open", "rules", "backlog")
    print(table(headers, told, "no site is known here yet"))
    return DONE


def _against_wanted(rules: Document) -> str:
    version, wanted = rules.get("version"), rules.get("desired_version")
    return f"{version}" if wanted in (None, 0, version) else f"{version}, wanted {wanted}"


def _backlog(sync: Document) -> str:
    return reading(sync, (sync["value"] or {}).get("backlog"))


async def _status(client: Client, arguments: argparse.Namespace) -> int:
    site = await client.site(arguments.site)
    status = await client.get("sites", site)
    if arguments.json:
        print_json(status)
        return DONE
    where = "at the site itself" if status["scope"] == "site" else "seen from the cloud"
    print(f"{clean(status['site'])}, {where}, {moment(status['at_ms'])}\n")
    for answer in status["answers"]:
        print(f"{clean(answer['question'])}  {clean(answer['verdict'])}")
        print(f"    {clean(answer['reason'])}")
        for point in answer["points"]:
            print(f"    - {clean(point)}")
    print()
    print(fields(_standing(status)))
    return DONE


def _standing(status: Document) -> list[tuple[str, str]]:
    def told(name: str, say: Any) -> tuple[str, str]:
        of = status[name]
        said = say(of["value"]) if of["known"] else ""
        return name.replace("_", " "), reading(of, said)

    return [
        told("mode", lambda v: _mode(v, status["at_ms"])),
        (
            "override",
            "; ".join(_override(one, status["at_ms"]) for one in status["overrides"]) or "none",
        ),
        told("rules", _rules),
        told(
            "sync",
            lambda v: f"watermark {v['watermark']} of {v['head_seq']}, {v['backlog']} behind",
        ),
        told("storage", lambda v: v["level"]),
        told("charge_points", _connected),
        told("sessions", lambda v: ", ".join(f"{n} {s}" for s, n in v.items() if n) or "none"),
        told("csms", lambda v: v["state"]),
        told("open_points", lambda v: "; ".join(_point(point) for point in v) or "none"),
        told("waiting_commands", lambda v: ", ".join(v) or "none"),
        told("chain_verified", lambda v: "yes" if v else "NO"),
    ]


def _mode(mode: Document, now_ms: int) -> str:
    why = ", ".join(mode["reasons"])
    return f"{mode['mode']} for {duration(now_ms - mode['since_ms'])}" + (
        f" ({why})" if why else ""
    )


def _override(one: Document, now_ms: int) -> str:
    when = "stands" if one["from_ms"] <= now_ms else f"announced from {moment(one['from_ms'])}"
    return f"{one['kind']} {when} until {moment(one['until_ms'])}, by {one['by']}: {one['why']}"


def _rules(rules: Document) -> str:
    parts = [f"version {rules['version']}"]
    parts += [f"{name.replace('_', ' ').removesuffix(' ms')}: {moment(value) if name.endswith('_ms') else value}"
              for name, value in rules.items()
              if name not in ("version", "hash", "gives_way") and value not in (None, "", False)]  # fmt: skip
    return ", ".join(parts)


def _connected(rows: list[Document]) -> str:
    return f"{sum(bool(row['connected']) for row in rows)} of {len(rows)} connected"


def _point(point: Document) -> str:
    return " ".join(str(part) for part in (point.get("step"), point.get("what")) if part)


async def charge_points(client: Client, arguments: argparse.Namespace) -> int:
    site = await client.site(arguments.site)
    rows: list[Document] = []
    answer: Document = {}
    async for answer in client.pages("sites", site, "charge-points"):
        rows += answer["charge_points"]
    if arguments.json:
        print_json({**answer, "charge_points": rows})
        return DONE
    told = (
        (
            row["charge_point"],
            _connection(row),
            moment(row["since_ms"]),
            _profile(row),
            _connectors(row["connectors"]),
            f"{row['vendor'] or ''} {row['model'] or ''}".strip(),
            row["firmware"],
        )
        for row in rows
    )
    headers = ("charge point", "connection", "since", "profile", "connectors", "device", "firmware")
    if not answer["known"]:
        print(f"not fresh: {clean(answer['problem'])}; what was last known:")
    print(table(headers, told, "no charge point is registered"))
    return DONE


def _connection(row: Document) -> str:
    if row["connected"]:
        return "connected"
    return "never connected" if row["since_ms"] is None else f"away {row['reason']}".strip()


def _profile(row: Document) -> str:
    """A monitor of before knows none."""
    stands, following = row.get("security_profile"), row.get("next_security_profile")
    if stands is None:
        return ""
    return f"{stands}" if following is None else f"{stands}, then {following}"


def _connectors(connectors: Document) -> str:
    told = []
    for number, connector in sorted(connectors.items(), key=lambda item: int(item[0])):
        status = connector["status"] or "no status yet"
        if connector["error_code"] not in (None, "NoError"):
            status += f" ({connector['error_code']})"
        if number != "0" or status not in ("Available", "no status yet"):
            told.append(f"{number}: {status}")
    return ", ".join(told)
