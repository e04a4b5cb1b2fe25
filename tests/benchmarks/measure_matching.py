"""measure_matching: compare one pass over each till with a join of buckets: a day, twice that day, and one bad till."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict
from typing import Any

from rich.console import Console

from tests.benchmarks.contenders import MATCHING
from tests.benchmarks.figures import spread
from tests.benchmarks.job import Job
from tests.benchmarks.matching import METHODS
from tests.benchmarks.plan import Plan
from tests.benchmarks.turns import ContenderError, ready_child

ONE_PASS, BUCKET_JOIN = METHODS


def measured_matching(plan: Plan, cores: tuple[int, ...], console: Console) -> dict[str, Any]:
    """Return median seconds by method and day, their growth when the day doubles, and one pass divided by the join.

    All turns are in one Spark application, after an untimed turn of each method on the smallest day.
    """
    options = {"counts": plan.matching_counts, "till_count": plan.matching_till_count}
    job = Job(MATCHING, "", "", 0, "", cores, options)
    days = [*map(str, plan.matching_counts), "one till"]
    seconds: dict[tuple[str, str], list[float]] = defaultdict(list)
    rows: dict[str, set[int]] = defaultdict(set)
    with ready_child(job) as child:
        for method in METHODS:
            child.go(method=method, day=days[0])
        for number in range(plan.rounds):
            for method, day in ((method, day) for day in days for method in METHODS):
                answer = child.go(method=method, day=day)
                seconds[method, day].append(answer["seconds"])
                rows[day].add(answer["rows"])
                console.print(f"round {number + 1}: matching {day}, {method}: {answer['seconds']:.1f} s", markup=False)
    if disagreeing := [day for day, counts in rows.items() if len(counts) > 1]:
        raise ContenderError(f"the methods match different numbers of photos: {disagreeing}")
    return _figures({key: spread(values) for key, values in seconds.items()}, days)


def _figures(spreads: dict[tuple[str, str], Any], days: list[str]) -> dict[str, Any]:
    def ratio(over: tuple[str, str], under: tuple[str, str]) -> float:
        return float(spreads[over].median / spreads[under].median)

    return {
        "seconds": {day: {method: asdict(spreads[method, day]) for method in METHODS} for day in days},
        "one_pass_to_bucket_join": {day: ratio((ONE_PASS, day), (BUCKET_JOIN, day)) for day in days},
        "doubling": {method: ratio((method, days[1]), (method, days[0])) for method in METHODS},
    }
