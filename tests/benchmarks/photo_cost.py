"""photo_cost: what a photo costs, from bytes to estimate, with this code and with that of an earlier commit, in turns.

    python -m tests.benchmarks.photo_cost --photos 1000

Each turn is a process of its own on one core: it loads, warms up, and is then timed over drawn photos of 640 × 480.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.photos import drawn_photos

BEFORE = "512ed01"
"""The last commit without the checks of light, proportions and turn."""
REPOSITORY = Path(__file__).parents[2]
TURN = """
import json, sys, time
from pathlib import Path
from models.serving.age_estimator import AgeEstimator
photos = [path.read_bytes() for path in sorted(Path(sys.argv[1]).glob("*.jpg"))[: int(sys.argv[2])]]
estimator = AgeEstimator.load(sys.argv[3], threads=1)
estimator.estimate(photos[:100])
clock, cpu = time.perf_counter(), time.process_time()
for first in range(0, len(photos), 64):
    estimator.estimate(photos[first : first + 64])
seconds = time.perf_counter() - clock, time.process_time() - cpu
print(json.dumps([1000 * value / len(photos) for value in seconds]))
"""


def main() -> None:
    """Print the median milliseconds per photo of both, by the clock and of CPU time, and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--version", default="age_resnet50-3", help="model version that both have")
    parser.add_argument("--before", default=BEFORE, help="commit of the earlier code")
    parser.add_argument("--drawn", type=Path, default=Path(".demo/bench_photos"), help="where drawn photos are kept")
    arguments = parser.parse_args()
    drawn_photos(arguments.drawn, arguments.photos)
    with tempfile.TemporaryDirectory(prefix="checkout-ages-") as folder:
        earlier = Path(folder, "earlier")
        subprocess.run(["git", "worktree", "add", "--detach", "-f", earlier, arguments.before], check=True)
        try:
            sides = {"now": REPOSITORY, "before": earlier}
            given = [str(arguments.drawn.absolute()), str(arguments.photos), arguments.version]
            turns = [{name: _turn(code, given) for name, code in sides.items()} for _ in range(arguments.rounds)]
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", earlier], check=True)
    for place, seconds in enumerate(("clock", "cpu")):
        median = {name: statistics.median(turn[name][place] for turn in turns) for name in sides}
        ratios = [turn["now"][place] / turn["before"][place] for turn in turns]
        figures = {f"{name}_ms": round(value, 3) for name, value in median.items()}
        print(json.dumps({"of": seconds, **figures, "ratios": [round(ratio, 3) for ratio in sorted(ratios)]}))


def _turn(code: Path, given: list[str]) -> list[float]:
    told = subprocess.run([sys.executable, "-c", TURN, *given], cwd=code, capture_output=True, text=True, check=True)
    milliseconds: list[float] = json.loads(told.stdout.splitlines()[-1])
    return milliseconds


if __name__ == "__main__":
    main()
