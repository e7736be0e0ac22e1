"""Clearing a drill's world for the next drill: only what a drill made, and of its folder only what a world has."""

from __future__ import annotations

import shutil
from pathlib import Path

from holdfast_cli.provision.layout import ProvisionError, load_plan

FOLDERS = ("charge-points", "conf", "csms", "data", "logs", "secrets")


def clear_drill(root: Path) -> None:
    """Raise ProvisionError for a world that is no drill's. Its last report stays, as `report.previous.json`."""
    if (root / "world.json").exists():
        if load_plan(root).made_by != "drill":
            raise ProvisionError(
                f"{root} is a world that no drill made, and a drill would replace it: "
                "choose another --world, or delete that folder if nobody needs its keys and data"
            )
    else:
        found = [name for name in FOLDERS if (root / name).exists()]
        if found:
            raise ProvisionError(
                f"{root} has {found[0]}/ but no world.json: choose another --world, or delete that folder"
            )
    report = root / "report.json"
    if report.exists():
        report.replace(root / "report.previous.json")
    for name in FOLDERS:
        if (root / name).exists():
            shutil.rmtree(root / name)
    # Last, so that a clearing that was cut short is still known as a drill's world.
    (root / "world.json").unlink(missing_ok=True)
