"""The oracle as a program: read both sides, judge, print one JSON verdict."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from holdfast_simulators.oracle import account, csms_ledger, ledger
from holdfast_simulators.oracle.judge import judge


def run(
    state_folder: Path,
    api: str,
    sites: list[str] | None,
    credential: Path | None,
    csms_file: Path | None = None,
) -> int:
    """0 clean, 1 differences; raises CannotJudge."""
    truth = ledger.read(state_folder)
    kept = None if csms_file is None else csms_ledger.read(csms_file)
    verdict = judge(truth, account.read(api, sites, credential), kept)
    print(json.dumps(asdict(verdict) | {"clean": verdict.is_clean}, ensure_ascii=False))
    return 0 if verdict.is_clean else 1
