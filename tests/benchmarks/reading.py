"""reading: receipt lines a second, by the reader as it is and by that of an earlier commit, in turns in one process.

    .venv/bin/python -m tests.benchmarks.reading --lines 10000000

Each turn reads one file of generated lines from a folder, as a task of the night does, and counts the rows.
"""

from __future__ import annotations

import argparse
import gzip
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from jobs.landing import landed_files
from jobs.landing.landed_files import RECEIPT_FIELDS
from jobs.warehouse.object_store import ObjectStore

BEFORE = "512ed01"
"""The last commit with a reader that gave whole files to pyarrow."""
LINE = "r{0},0042,03,c17,2026-11-20T10:00:00Z,2026-11-20T10:01:00Z,1,sale,10023,{1},1,10.00,RUB,false,"
QUOTED_LINE = '"' + LINE.replace(",", '","') + '"'
FORMS: dict[str, Callable[[int], str]] = {
    "no quotes": lambda number: LINE.format(number, "BREAD"),
    "one field in quotes": lambda number: LINE.format(number, '"BREAD, WHITE"'),
    "all fields in quotes": lambda number: QUOTED_LINE.format(number, "BREAD"),
}


def main() -> None:
    """Print, by form of the file, the fewest seconds of both readers, and the speed of this one over the earlier.

    If other programs use the cores, CPU seconds are more reliable than the clock.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--before", default=BEFORE, help="commit of the earlier reader")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="checkout-ages-") as folder:
        readers = {"now": landed_files, "before": reader_of(arguments.before, Path(folder))}
        for form, path in files(Path(folder), arguments.lines):
            print(json.dumps({"form": form, **compared(readers, path, arguments.lines, arguments.rounds)}), flush=True)


def reader_of(commit: str, folder: Path) -> ModuleType:
    """Return the module `landed_files` of an earlier commit, in which it needed no other reader."""
    source = subprocess.check_output(["git", "show", f"{commit}:jobs/landing/landed_files.py"], text=True)
    module = ModuleType("landed_files_before")
    sys.modules[module.__name__] = module
    exec(compile(source, str(folder / "landed_files.py"), "exec"), module.__dict__)
    return module


def files(folder: Path, line_count: int) -> Iterator[tuple[str, Path]]:
    """Write one file after another, and delete each when the next is asked for."""
    path = folder / "receipts.csv"
    for form, line in FORMS.items():
        with path.open("w") as file:
            file.write(",".join(RECEIPT_FIELDS) + "\n")
            file.writelines(line(number) + "\n" for number in range(line_count))
        yield form, path
        if form == "no quotes":
            zipped = path.with_suffix(".csv.gz")
            zipped.write_bytes(gzip.compress(path.read_bytes(), 6))
            yield "no quotes, gzipped", zipped
            zipped.unlink()


def compared(readers: dict[str, ModuleType], path: Path, line_count: int, rounds: int) -> dict[str, Any]:
    """Let the readers read a file in turns; the first round is not counted."""
    turns = [{name: turn(reader, path, line_count) for name, reader in readers.items()} for _ in range(rounds + 1)]
    least = {name: [min(seconds) for seconds in zip(*(t[name] for t in turns[1:]), strict=True)] for name in readers}
    figures = {f"{name}_seconds": round(clock, 3) for name, (clock, _) in least.items()}
    ratios = [round(before / now, 2) for before, now in zip(least["before"], least["now"], strict=True)]
    return {**figures, "speed_ratio": ratios[0], "speed_ratio_of_cpu": ratios[1]}


def turn(reader: ModuleType, path: Path, line_count: int) -> tuple[float, float]:
    """Read a file once; return seconds of the clock and of the CPU."""
    clock, cpu = time.perf_counter(), time.process_time()
    rows = sum(batch.num_rows for batch in reader.read_landed_lines(ObjectStore(path.parent.as_uri()), path.name))
    if rows != line_count:
        raise SystemExit(f"{reader.__name__}: {rows} rows of {line_count} lines")
    return time.perf_counter() - clock, time.process_time() - cpu


if __name__ == "__main__":
    main()
