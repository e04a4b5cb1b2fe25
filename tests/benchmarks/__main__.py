"""benchmarks: this project's stage beside public recipes and other frameworks, on the same photos and cores.

Each contender runs in a child process of its own, alone: it loads, warms up on other photos, and waits for its turn;
only the turn is timed. Those of this project (a to c) go through the timed photos once before, too: the JVM takes that
long to come up to its speed. Round 1 of all contenders comes first, then round 2, and so on. Peak memory is that of
loading and of a second turn in round 1, which is not timed: to read it takes time of the cores. The Keras recipes are
timed on fewer of the photos and look for no face: they scale the whole photo. They ask both networks, as the model
version does, but in rows named one network. Nights are measured without photos: all tables after inference, on
generated estimates and millions of receipt lines. All figures go to a JSON file.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console

from tests.benchmarks.contenders import CHAIN, CONTENDERS, ENGINES, GROWTH, MATCHING, MILLION, NIGHTS, chosen
from tests.benchmarks.estimator import BATCH_SIZE, MODEL_VERSION
from tests.benchmarks.figures import ratios
from tests.benchmarks.machine import machine
from tests.benchmarks.measure_chain import DRIVER_MEMORY, measured_chain
from tests.benchmarks.measure_contenders import measured_contenders
from tests.benchmarks.measure_engines import measured_engines
from tests.benchmarks.measure_growth import measured_growth
from tests.benchmarks.measure_matching import measured_matching
from tests.benchmarks.measure_million import measured_million
from tests.benchmarks.measure_nights import measured_nights
from tests.benchmarks.plan import QUICK, PhotoSets, Plan, photo_sets, with_counts, without_photos
from tests.benchmarks.report import tables

CORES = 2
REPORT_COLUMNS = 160


def main() -> None:
    """Measure with the options of the command line."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("told to end"))  # so that children and the S3 server end too
    plan = _plan(arguments)
    if not {*CONTENDERS, GROWTH} & set(arguments.only):
        plan = without_photos(plan)
    console = Console(width=None if sys.stdout.isatty() else REPORT_COLUMNS)
    with photo_sets(plan, arguments.drawn, arguments.images, GROWTH in arguments.only) as photos:
        measured = {"setup": _setup(plan, photos, arguments.images), "machine": machine(_cores())}
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        for part in _parts(plan, arguments, photos, console):
            measured |= part
            arguments.out.write_text(json.dumps(measured, indent=1) + "\n")
    console.print(*tables(measured), f"written to {arguments.out}")


def _plan(arguments: argparse.Namespace) -> Plan:
    try:
        return with_counts(QUICK if arguments.quick else Plan(), arguments.photos, arguments.rounds, arguments.only)
    except ValueError as error:
        sys.exit(f"error: {error}")


def _cores() -> tuple[int, ...]:
    return tuple(sorted(os.sched_getaffinity(0))[:CORES])


def _parts(plan: Plan, arguments: argparse.Namespace, photos: PhotoSets, console: Console) -> Iterator[dict[str, Any]]:
    """Measure one part after the other, so that a run of an hour that is stopped keeps the parts that are done."""
    cores, names = _cores(), arguments.only
    contenders = measured_contenders([name for name in names if name in CONTENDERS], photos, plan, cores, console)
    medians = {
        name: figures["photos_per_second"]["median"]
        for name, figures in contenders.items()
        if "photos_per_second" in figures
    }
    yield {"ratios": ratios(medians), "contenders": contenders}
    yield {"growth": measured_growth(photos, plan, cores, console) if GROWTH in names else []}
    engines, errors = measured_engines(plan.engines, plan.rounds, cores, console) if ENGINES in names else ([], {})
    yield {"engines": engines, "engine_errors": errors}
    yield {"matching": measured_matching(plan, cores, console) if MATCHING in names else {}}
    yield {"nights": measured_nights(plan.night_lines, cores, console) if NIGHTS in names else {}}
    yield {"million": measured_million(plan.million, cores, console) if MILLION in names else {}}
    if CHAIN in names:
        folder, driver_memory = arguments.chain_folder, arguments.driver_memory
        yield {"chain": measured_chain(plan.chain, cores, console, folder, driver_memory)}


def _setup(plan: Plan, photos: PhotoSets, images: Path | None) -> dict[str, Any]:
    return {
        "photos": photos.photo_count,
        "keras_photos": photos.keras_photo_count,
        "own_photos": images is not None,
        "rounds": plan.rounds,
        "batch_size": BATCH_SIZE,
        "model_version": MODEL_VERSION,
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="tests.benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    listed = "; ".join(f"{name}: {title}" for name, title in CONTENDERS.items())
    parser.add_argument(
        "--photos",
        type=_counts,
        default=(),
        help="photos for the contenders, 4000 unless told; with Keras 1000; for chain several, by commas",
    )
    parser.add_argument("--rounds", type=int, help="rounds of contenders and engines, 3 unless told")
    parser.add_argument("--images", type=Path, help="folder of one's own photos; without it they are drawn")
    parser.add_argument("--drawn", type=Path, default=Path(".demo/bench_photos"), help="where drawn photos are kept")
    parser.add_argument(
        "--only",
        type=_chosen,
        default=chosen(None),
        help=f"what to measure, by commas: {listed}; growth; engines; matching; nights; "
        "million and chain, only when named (--photos says how many)",
    )
    parser.add_argument("--quick", action="store_true", help="few of everything: shows that it works, measures nothing")
    parser.add_argument(
        "--chain-folder",
        type=Path,
        default=Path(".demo/chain"),
        help="where chain keeps its rows, and what it goes on with",
    )
    parser.add_argument(
        "--driver-memory", default=DRIVER_MEMORY, help="heap of Spark's driver, without tasks, for chain"
    )
    parser.add_argument("--out", type=Path, default=Path(".demo/bench.json"))
    return parser.parse_args()


def _counts(photos: str) -> tuple[int, ...]:
    return tuple(int(count) for count in photos.split(","))


def _chosen(only: str) -> list[str]:
    try:
        return chosen(only)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


if __name__ == "__main__":
    main()
