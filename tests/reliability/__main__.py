"""reliability: what a night does when its processes, its store and its input misbehave; one table of figures.

Each part runs in a process and a folder of its own. A part that breaks is a failure like a bad figure. Exit code 0 when
every figure is what it must be, else 1. All figures go to a JSON file.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.reliability.part import measured
from tests.reliability.verdicts import PARTS, merged, verdicts


def main() -> int:
    """Measure with the options of the command line, show the figures, and return the exit code."""
    arguments = _arguments()
    console = Console(width=None if sys.stdout.isatty() else 120)
    parts = {part: measured(part, arguments.quick, console.print) for part in arguments.only}
    figures = merged(parts)
    judged = verdicts(figures, arguments.quick)
    listing = Table("figure", "value", "must be", "", title="Reliability")
    for name, value in figures.items():
        wanted, holds = judged.get(name, ("", True))
        listing.add_row(name, f"{value:g}", wanted, "" if holds else "BROKEN", style=None if holds else "red")
    console.print(listing)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(figures, indent=1) + "\n")
    console.print(f"written to {arguments.out}")
    return 0 if all(holds for _, holds in judged.values()) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="tests.reliability", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", type=_chosen, default=PARTS, help=f"parts, by commas: {', '.join(PARTS)}")
    parser.add_argument("--quick", action="store_true", help="a few of everything: shows that it works, proves little")
    parser.add_argument("--out", type=Path, default=Path(".demo/reliability.json"))
    return parser.parse_args()


def _chosen(only: str) -> tuple[str, ...]:
    chosen = tuple(only.split(","))
    if unknown := set(chosen) - set(PARTS):
        raise argparse.ArgumentTypeError(f"no part {sorted(unknown)}; there are {', '.join(PARTS)}")
    return chosen


if __name__ == "__main__":
    sys.exit(main())
