"""child: one contender in a process of its own. It loads, warms up, says that it is ready, and waits for its turn.

On stdin each line is the arguments of a timed part as JSON; on stdout each line is an answer as JSON. All that
contenders print themselves goes to stderr.
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
    """Serve the job that the command line names until stdin ends."""
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
