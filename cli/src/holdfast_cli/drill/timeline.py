"""The live picture of a drill: one line per thing that happened, in order, with seconds since the start."""

from __future__ import annotations

import sys
import time
from typing import Any, TextIO

from holdfast_cli.drill.csms import answer_of

COLOURS = {
    "connected": "32",
    "degraded": "33",
    "autonomous": "35",
    "recovery": "36",
    "drill": "1",
    "supervisor": "31",
    "csms": "34",
    "problem": "31",
}


class Timeline:
    def __init__(self, out: TextIO = sys.stdout, *, quiet: bool = False) -> None:
        self._out = out
        self._quiet = quiet
        self._colour = out.isatty()
        self._began = time.monotonic()  # noqa: TID251  a drill runs on real time

    def say(self, who: str, sentence: str) -> None:
        if self._quiet:
            return
        seconds = time.monotonic() - self._began  # noqa: TID251
        name = f"{who:<12}"
        if self._colour and who in COLOURS:
            name = f"\x1b[{COLOURS[who]}m{name}\x1b[0m"
        print(f"{seconds:7.1f} s  {name} {sentence}", file=self._out, flush=True)

    def supervisor(self, process: str, sentence: str) -> None:
        self.say("supervisor", f"{process} {sentence}")

    def mode(self, row: dict[str, Any]) -> None:
        reasons = ", ".join(row["reasons"])
        self.say(row["mode"], f"the site is {row['mode']}: {reasons}")

    def simulator(self, line: dict[str, Any]) -> None:
        """What a charge point reports; what is only bookkeeping is left out."""
        sentence = SENTENCES.get(str(line.get("event")))
        if sentence:
            self.say(str(line.get("charge_point", "")), sentence.format_map(_Lenient(line)))

    def csms(self, line: dict[str, Any]) -> None:
        """What the CSMS reports: who comes and goes, and what it is asked to do; its daily work is left out."""
        sentence = CSMS_SENTENCES.get(str(line.get("event")))
        if sentence:
            answer = answer_of(line) if line["event"] == "answered" else ""
            self.say("csms", sentence.format_map(_Lenient(line, answer=answer)))


class _Lenient(dict[str, Any]):
    def __missing__(self, key: str) -> str:
        return "?"


SENTENCES = {
    "disconnected": "has lost its site: {reason}",
    "online": "is at its site",
    "refused": "refuses the driver at connector {connector}: {reason}",
    "session-started": "session begins at connector {connector}",
    "session-stopped": "session ends at connector {connector}: {reason}",
    "discarded": "gave up a {action}: {why}",
    "command": "was told {action}, executed: {executed}",
    "error": "simulator: {error}",
}

CSMS_SENTENCES = {
    "listening": "takes connections",
    "down": "takes no connections",
    "connected": "{charge_point} is connected",
    "disconnected": "{charge_point} is gone",
    "doubled": "{charge_point} has {connections} connections at once",
    "transaction-started": "{charge_point} begins transaction {transaction_id}: {status}",
    "transaction-stopped": "{charge_point} ends transaction {transaction_id}",
    "answered": "{charge_point} answers {action} with {answer} after {after_ms} ms",
    "status": "{connections} connections, {transactions} transactions",
    "error": "simulator: {error}",
}
