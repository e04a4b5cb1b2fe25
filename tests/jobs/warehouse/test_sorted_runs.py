from __future__ import annotations

from collections.abc import Sequence
from unittest.mock import patch

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.schemas.landed import REJECTED_TRANSACTION_LINES as TABLE
from jobs.warehouse import sorted_runs
from jobs.warehouse.object_store import ObjectStore
from jobs.warehouse.sorted_runs import merged
from jobs.warehouse.table_files import write_table_file

KEYS = st.tuples(st.text(alphabet="aZé\U0001f600\uffee", max_size=2), st.integers(0, 9))
PARTS = st.lists(st.sets(KEYS, max_size=8), min_size=1, max_size=5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> ObjectStore:
    return ObjectStore(tmp_path_factory.mktemp("parts").as_uri())


def written(store: ObjectStore, parts: Sequence[Sequence[tuple[str, int]]]) -> list[str]:
    """Write each list of keys as a table file; return the keys of the objects."""
    for number, keys in enumerate(parts):
        rows = [{"source_file": file, "line_in_file": line, "run_id": "run-1"} for file, line in keys]
        write_table_file(store, f"part-{number}", TABLE, pa.Table.from_pylist(rows, TABLE.schema).to_batches())
    return [f"part-{number}" for number in range(len(parts))]


def keys_of(store: ObjectStore, part_keys: Sequence[str]) -> list[tuple[str, int]]:
    rows = pa.Table.from_batches(merged(store, TABLE, part_keys), TABLE.schema)
    return list(zip(rows["source_file"].to_pylist(), rows["line_in_file"].to_pylist(), strict=True))


@given(parts=PARTS, rows_at_a_time=st.integers(1, 12))
def test_merged_parts_are_all_their_rows_in_the_order_of_the_key(
    folder: ObjectStore, parts: list[set[tuple[str, int]]], rows_at_a_time: int
) -> None:
    with patch.multiple(sorted_runs, ROWS_AT_A_TIME=rows_at_a_time, FEWEST_ROWS_OF_A_PART=1):
        in_order = [sorted(keys) for keys in parts]
        assert keys_of(folder, written(folder, in_order)) == sorted(key for keys in parts for key in keys)


def test_parts_are_merged_from_any_store(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sorted_runs, "ROWS_AT_A_TIME", 100)
    monkeypatch.setattr(sorted_runs, "FEWEST_ROWS_OF_A_PART", 10)
    numbers = list(range(1_000))
    part_keys = written(store, [[("a", number) for number in numbers if number % 3 == part] for part in range(3)])
    assert keys_of(store, part_keys) == [("a", number) for number in numbers]


def test_parts_that_do_not_overlap_are_passed_on_as_they_are(folder: ObjectStore) -> None:
    part_keys = written(folder, [[("b", 1), ("b", 2)], [("a", 1), ("a", 2)]])
    batches = list(merged(folder, TABLE, part_keys))
    assert [batch["source_file"].to_pylist() for batch in batches] == [["a", "a"], ["b", "b"]]


def test_rows_keep_all_their_columns(folder: ObjectStore) -> None:
    rows = pa.Table.from_pylist(
        [
            {"source_file": "a", "line_in_file": number, "rejection_reason": f"r{number}", "run_id": "run-1"}
            for number in range(10)
        ],
        TABLE.schema,
    )
    for start in (0, 1):
        write_table_file(folder, f"half-{start}", TABLE, rows.take(list(range(start, 10, 2))).to_batches())
    assert pa.Table.from_batches(merged(folder, TABLE, ["half-0", "half-1"]), TABLE.schema).equals(rows)
