from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from jobs import tables
from jobs.object_store import ObjectStore
from jobs.table_files import ROW_GROUP_ROWS, write_table_file
from tests.rows import arrow_rows

ROW_COUNT = 4 * ROW_GROUP_ROWS


def write_run(folder: Path, run_id: str, batch_rows: int = 10_000) -> Path:
    """Write a table of numbered rows, in batches as Spark hands them over."""
    numbered = {"source_file": pa.repeat("a.csv", ROW_COUNT), "line_in_file": pa.array(range(ROW_COUNT))}
    empty = arrow_rows(tables.REJECTED_TRANSACTION_LINES)
    columns = [numbered.get(field.name, pa.nulls(ROW_COUNT, field.type)) for field in empty.schema]
    rows = pa.Table.from_arrays(columns, schema=empty.schema).append_column("run_id", pa.repeat(run_id, ROW_COUNT))
    batches = rows.to_batches(max_chunksize=batch_rows)
    write_table_file(ObjectStore(folder.as_uri()), run_id, tables.REJECTED_TRANSACTION_LINES, batches)
    return folder / run_id


def row_group_sizes(path: Path) -> list[int]:
    metadata = pq.read_metadata(path)
    return [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]


def test_row_groups_of_two_runs_end_at_different_rows_and_hold_every_row_in_order(tmp_path: Path) -> None:
    first, second = (write_run(tmp_path, run_id) for run_id in ("run-1", "run-2"))
    assert row_group_sizes(first)[0] != row_group_sizes(second)[0] >= ROW_GROUP_ROWS
    for path in (first, second):
        assert pq.read_table(path)["line_in_file"].to_pylist() == list(range(ROW_COUNT))


def test_row_groups_of_a_run_hang_on_its_name_alone(tmp_path: Path) -> None:
    in_small_batches = row_group_sizes(write_run(tmp_path, "run-1"))
    assert row_group_sizes(write_run(tmp_path, "run-1", batch_rows=200_000)) == in_small_batches


def test_a_table_without_rows_is_a_file_without_row_groups(tmp_path: Path) -> None:
    rows = tables.TRANSACTION_LINES.schema.empty_table()
    write_table_file(ObjectStore(tmp_path.as_uri()), "empty", tables.TRANSACTION_LINES, rows.to_batches())
    assert pq.read_table(tmp_path / "empty").num_rows == 0


def test_duckdb_never_mixes_rows_of_two_runs_while_one_replaces_the_other(tmp_path: Path) -> None:
    """Where both runs' row groups end at the same rows, it does so in half of these reads."""
    runs = [write_run(tmp_path, run_id) for run_id in ("run-1", "run-2")]
    published = tmp_path / "part-0.parquet"
    seen = set()
    with replaced_over_and_over(runs, published), duckdb.connect(config={"threads": 4}) as connection:
        query = f"SELECT run_id, count(*) FROM read_parquet('{published}') GROUP BY run_id"
        while len(seen) < 2:
            for _ in range(50):
                try:
                    seen.add(tuple(connection.sql(query).fetchall()))
                except (duckdb.Error, UnicodeDecodeError):  # it says that it cannot read, at times in strange bytes
                    continue
    assert seen == {(("run-1", ROW_COUNT),), (("run-2", ROW_COUNT),)}


@contextmanager
def replaced_over_and_over(runs: list[Path], target: Path) -> Iterator[None]:
    ended = threading.Event()
    os.link(runs[0], target)

    def replace() -> None:
        number = 0
        while not ended.wait(0.001):
            number += 1
            os.link(runs[number % 2], target.with_suffix(".link"))
            target.with_suffix(".link").rename(target)

    thread = threading.Thread(target=replace)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
