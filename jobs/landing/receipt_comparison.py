"""receipt_comparison: compares the lines of a day with each other, to find repeated lines and contradictory receipts.

One query for two engines: Spark runs it in the night, DuckDB in check-delivery. It uses only SQL that means the same to
both. The hint in its comment is for Spark alone, which then sorts the lines once for both windows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from jobs.schemas.landed import TRANSACTION_LINES
from jobs.schemas.table import TRANSACTION_KEY

LONGEST_SPAN_SECONDS = 7200
"""Lines with one receipt number and times (closed_at) further apart than this are of several receipts. Photo matching
looks back no further.
"""
SHOWN_CHARACTERS = 60

_CONTRADICTING = ("cashier_id", "currency", "closed_at")
_COMPARED = [name for name in TRANSACTION_LINES.column_names if name not in (*TRANSACTION_LINES.key, "run_id")]
_RECEIPT, _KEY = (", ".join(key) for key in (TRANSACTION_KEY, TRANSACTION_LINES.key))


def compared_lines(columns: Sequence[str]) -> str:
    """Return the SQL query that compares the lines of a table `judged_lines` with each other.

    It gives each line its `columns`, `is_kept`, `is_repeat`, `rejection_reason` and `rejection_kind`. If the lines of a
    receipt name different cashiers or currencies, or are too far apart in time, all of them are rejected: nobody can
    tell which belong to one buyer. Of other lines with the same key, the first by file and position is kept.
    """
    # A receipt contradicts itself where the smallest and the largest value of a field differ.
    ends = (f"{end}({name}) OVER receipt AS {end}_{name}" for name in _CONTRADICTING for end in ("min", "max"))
    firsts = (f"first_value({name}) OVER same_key AS first_{name}" for name in (*_FIRST_LINE, *_COMPARED))
    return f"""
WITH apart_lines AS (
    -- a rejected line is compared with none
    SELECT *, CASE WHEN rejection_reason IS NOT NULL THEN line_in_file END AS apart FROM {{judged_lines}}
), receipt_lines AS (
    SELECT /*+ REPARTITION(apart, {_RECEIPT}) */ * FROM apart_lines
), compared AS (
    SELECT *, row_number() OVER same_key AS nth, {", ".join((*ends, *firsts))}
    FROM receipt_lines
    WINDOW receipt AS (PARTITION BY apart, {_RECEIPT} ORDER BY line_number, source_file, line_in_file
            ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING),
        same_key AS (PARTITION BY apart, {_KEY} ORDER BY source_file, line_in_file)
), told AS (
    SELECT *, {_IS_CONTRADICTED} AS is_contradicted, {_IS_SAME} AS is_same,
        'line ' || CAST(first_line_in_file AS STRING) || ' of ' || first_source_file AS first_line
    FROM compared
)
SELECT {", ".join(columns)},
    rejection_reason IS NULL AND NOT is_contradicted AND nth = 1 AS is_kept,
    rejection_reason IS NULL AND nth > 1 AND is_same AS is_repeat,
    CASE WHEN rejection_reason IS NOT NULL THEN rejection_reason
        WHEN is_contradicted THEN 'its receipt has ' || {_CONTRADICTIONS}
            || '; make transaction_id unique in the day, for example with the number of the shift'
        WHEN nth > 1 AND is_same THEN 'is the same as ' || first_line
        WHEN nth > 1 THEN 'differs from ' || first_line || ': ' || {_DIFFERENCES} END AS rejection_reason,
    CASE WHEN rejection_reason IS NOT NULL THEN rejection_kind
        WHEN is_contradicted THEN 'its receipt contradicts itself'
        WHEN nth > 1 AND is_same THEN 'is the same as an earlier line'
        WHEN nth > 1 THEN 'differs from an earlier line with the same key' END AS rejection_kind
FROM told
"""


def _shown(value: str) -> str:
    return f"substring(coalesce(CAST({value} AS STRING), 'nothing'), 1, {SHOWN_CHARACTERS})"


def _listed(cases: Iterable[tuple[str, str]]) -> str:
    """Return SQL that lists the words of the conditions that hold."""
    return f"concat_ws(', ', {', '.join(f'CASE WHEN {condition} THEN {words} END' for condition, words in cases)})"


def _are_contradicting(name: str) -> str:
    if name == "closed_at":
        return f"max_closed_at - min_closed_at > INTERVAL '{LONGEST_SPAN_SECONDS}' SECOND"
    return f"min_{name} <> max_{name}"


_FIRST_LINE = ("source_file", "line_in_file")
_IS_CONTRADICTED = f"({' OR '.join(map(_are_contradicting, _CONTRADICTING))})"
_IS_SAME = f"NOT ({' OR '.join(f'{name} IS DISTINCT FROM first_{name}' for name in _COMPARED)})"
_CONTRADICTIONS = _listed(
    (_are_contradicting(name), f"'{name} ' || {_shown(f'min_{name}')} || ' and ' || {_shown(f'max_{name}')}")
    for name in _CONTRADICTING
)
_DIFFERENCES = _listed(
    (
        f"{name} IS DISTINCT FROM first_{name}",
        f"'{name} ' || {_shown(f'first_{name}')} || ' there, ' || {_shown(name)} || ' here'",
    )
    for name in _COMPARED
)
