"""child: run one contender in its own process. It loads, warms up, reports that it is ready, and waits for its turn.

Each line on stdin is the arguments of a timed part as JSON. Each line on stdout is an answer as JSON. The contender's
own output is redirected to stderr.
"""

from __future__ import annotations

import json
import os
import sys
import time
from importlib import import_module
from typing import Any, TextIO

from tests.benchmarks.contenders import FUNCTIONS
from tests.benchmarks.job import Job


def main() -> None:
    """Run the job of the command line, turn by turn, until stdin ends."""
    job = Job.from_json(sys.argv[1])
    os.sched_setaffinity(0, job.cores)
    answers = _own_stdout()
    module, function = FUNCTIONS[job.contender].split(":")
    with getattr(import_module(f"tests.benchmarks.{module}"), function)(job) as ready:
        _say(answers, ready.facts)
        for line in sys.stdin:
            arguments = json.loads(line)
            started = time.perf_counter()
            rows = ready.run(**arguments)
            _say(answers, {"seconds": time.perf_counter() - started, "rows": rows})


def _own_stdout() -> TextIO:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return answers


def _say(answers: TextIO, answer: dict[str, Any]) -> None:
    print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
