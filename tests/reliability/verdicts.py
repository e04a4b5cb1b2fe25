"""verdicts: the required values of the figures of the reliability suite."""

from __future__ import annotations

from collections.abc import Mapping

Figures = dict[str, float]

PARTS = ("kill_points", "s3_faults", "hostile_photos", "secrets", "erasure", "backfill", "many_days")
PEAK = "peak_worker_memory_mib"
MOST_WORKER_MEMORY_MIB = 2048

NONE_OF = (
    "parts_broken",
    "torn_reads",
    "photos_lost",
    "photos_wrongly_inferred",
    "s3_unexpected_outcomes",
    "hostile_crashes",
    "hostile_hangs",
    "hostile_wrong_status",
    "secrets_found",
    "places_missed",
    "runs_ended_otherwise",
    "erased_ids_found_after",
    "photos_past_retention_left",
    "backfill_runs_failed_otherwise",
    "days_published_twice",
    "photos_inferred_again",
    "backfills_ended_otherwise",
    "staging_left",
)
ALL_OF = {
    "kill_points_survived": "kill_points_tried",
    "controls_caught": "controls_planted",
    "two_at_once_whole": "two_at_once_tried",
    "backfilled_days": "backfill_days_wanted",
}
AT_LEAST = {
    "kill_points_local": 40,
    "kill_points_s3": 15,
    "reader_polls": 1000,
    "s3_faults_injected": 1,
    "hostile_files_tried": 5000,
    "erased_ids_tried": 1,
    "places_searched": 1,
    "backfilled_days": 46,
    "backfill_runs_failed_as_planned": 1,
    "backfill_kills": 10,
    "staged_estimates_taken_over": 1,
    "backfill_tasks_killed": 1,
    "scheduler_cuts_survived": 1,
}
"""Requirements of the full suite; a quick run tries fewer."""


def merged(parts: Mapping[str, Figures]) -> Figures:
    """Return the figures of all parts together: counts are summed, and for memory the largest value counts."""
    figures: Figures = {}
    for part in parts.values():
        for name, value in part.items():
            figures[name] = max(figures.get(name, 0), value) if name == PEAK else figures.get(name, 0) + value
    return figures


def verdicts(figures: Figures, quick: bool) -> dict[str, tuple[str, bool]]:
    """Return for each figure its requirement, in words, and whether it is met."""
    judged = {name: ("0", figures[name] == 0) for name in NONE_OF if name in figures}
    if not quick:
        judged |= {
            name: (f"{least} or more", figures[name] >= least) for name, least in AT_LEAST.items() if name in figures
        }
    for name, whole in ALL_OF.items():
        if name in figures:
            holds = figures[name] == figures.get(whole) and judged.get(name, ("", True))[1]
            judged[name] = (f"{whole}{'' if quick or name not in AT_LEAST else f', {AT_LEAST[name]} or more'}", holds)
    if PEAK in figures:
        judged[PEAK] = (f"{MOST_WORKER_MEMORY_MIB} or less", figures[PEAK] <= MOST_WORKER_MEMORY_MIB)
    return judged
