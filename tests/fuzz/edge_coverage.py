"""The frames of `edge_frames.py`, led by coverage: what reaches a branch that none did before is torn further.

    python tests/fuzz/edge_coverage.py [--seconds 60 | --frames N] [--seed N]      make fuzz

By atheris, which has wheels for Linux on x86_64 only; elsewhere this says so and ends with 2. The corpus begins with
what `edge_frames.py` makes and is kept for the next run in build/fuzz, beside what failed.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

try:
    import atheris
except ImportError:
    print("atheris is not installed: it has wheels for Linux on x86_64 only", file=sys.stderr)
    sys.exit(2)

with atheris.instrument_imports(include=["holdfast.ocpp", "ocpp_edge"]):
    from fuzz.edge_frames import TORN, Maker, judged
    from holdfast.ocpp.actions import Sender, rows
    from holdfast.ocpp.versions import OcppVersion
    from ocpp_edge.adapters.schemas import Schemas

VERSIONS = tuple(OcppVersion)
SEEDS_EACH = 400
FRAME_BYTES_MAX = 4_096
RSS_MB_MAX = 512
BINARY = 0x80
FOLDER = Path("build/fuzz")


def corpus(folder: Path, seed: int) -> None:
    """What it begins with: the first byte says which version, and whether as text or as bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, version in enumerate(VERSIONS):
        maker = Maker(version, seed)
        for index, text in enumerate(map(maker.frame, range(SEEDS_EACH))):
            data = bytes([number]) + text.encode("utf-8", "replace")[:FRAME_BYTES_MAX]
            (folder / f"made-{number}-{index}").write_bytes(data)


def words(path: Path) -> None:
    """Actions and pieces of JSON, to put in whole."""
    names = {row.action for each in VERSIONS for row in rows(each, Sender.CHARGE_POINT)}
    found = itertools.chain((json.dumps(name) for name in sorted(names)), TORN)
    lines = ('"' + "".join(f"\\x{byte:02x}" for byte in one.encode()) + '"' for one in found)
    path.write_text("\n".join(lines) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=0, help="60, unless --frames says when")
    parser.add_argument("--frames", type=int, default=-1, metavar="N")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--folder", type=Path, default=FOLDER, help="corpus, and what failed")
    arguments = parser.parse_args()
    folder: Path = arguments.folder
    seed = random.randrange(1, 1 << 31) if arguments.seed is None else arguments.seed
    corpus(folder / "corpus", seed)
    words(folder / "words")
    schemas = Schemas()

    def one(data: bytes) -> None:
        if not data:
            return
        head, rest = data[0], data[1:]
        text = rest if head & BINARY else rest.decode("utf-8", "replace")
        judged(schemas, VERSIONS[head % BINARY % len(VERSIONS)], text)

    seconds = arguments.seconds or (0 if arguments.frames > 0 else 60)
    options = {
        "seed": seed, "runs": arguments.frames, "max_total_time": seconds,
        "max_len": FRAME_BYTES_MAX + 1, "dict": folder / "words", "rss_limit_mb": RSS_MB_MAX,
        "timeout": 10, "artifact_prefix": f"{folder}/", "verbosity": 0, "print_final_stats": 1,
    }  # fmt: skip
    flags = [f"-{name}={value}" for name, value in options.items()]
    atheris.Setup([sys.argv[0], *flags, str(folder / "corpus")], one)
    atheris.Fuzz()  # ends the process: 0, or otherwise with what failed


if __name__ == "__main__":
    main()
