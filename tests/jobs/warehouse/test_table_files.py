from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.schemas.landed import PHOTO_AGE_ESTIMATES, REJECTED_TRANSACTION_LINES, TRANSACTION_LINES
from jobs.warehouse.object_store import ObjectStore
from jobs.warehouse.table_files import NAMES_OF_RUNS, ROW_GROUP_ROWS, TableFile, write_table_file
from tests.given.rows import arrow_rows, line

ROW_COUNT = 4 * ROW_GROUP_ROWS
DIGEST_OF_EARLIER_VERSIONS = "9fd17945ca7084da1637effc77ef8af2b8ce99a51ae9d445cba73b74557268fb"
ROWS = st.lists(
    st.tuples(st.text(max_size=5), st.one_of(st.none(), st.floats(allow_nan=False))),
    min_size=1,
    unique_by=lambda r: r[0],
)


def write_run(folder: Path, run_id: str, batch_rows: int = 10_000) -> Path:
    """Write a table of numbered rows, in batches as Spark hands them over."""
    numbered = {"source_file": pa.repeat("a.csv", ROW_COUNT), "line_in_file": pa.array(range(ROW_COUNT))}
    empty = arrow_rows(REJECTED_TRANSACTION_LINES)
    columns = [numbered.get(field.name, pa.nulls(ROW_COUNT, field.type)) for field in empty.schema]
    rows = pa.Table.from_arrays(columns, schema=empty.schema).append_column("run_id", pa.repeat(run_id, ROW_COUNT))
    batches = rows.to_batches(max_chunksize=batch_rows)
    write_table_file(ObjectStore(folder.as_uri()), run_id, REJECTED_TRANSACTION_LINES, batches)
    return folder / run_id


def digest_of_file(path: Path) -> str:
    """Digest a whole file as nights did that read it a second time; pipeline_runs holds such digests."""
    names = [name for name in pq.read_schema(path).names if name not in NAMES_OF_RUNS]
    rows = pq.read_table(path, columns=names)
    schema = pa.schema([field.remove_metadata() for field in rows.schema])
    with duckdb.connect() as connection:
        connection.register("file_rows", rows.cast(schema))
        sums = connection.sql("SELECT count(*), bit_xor(hash(file_rows)), sum(hash(file_rows)) FROM file_rows")
        return hashlib.sha256(f"{schema}{sums.fetchone()}".encode()).hexdigest()


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
    rows = TRANSACTION_LINES.schema.empty_table()
    write_table_file(ObjectStore(tmp_path.as_uri()), "empty", TRANSACTION_LINES, rows.to_batches())
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


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ObjectStore:
    return ObjectStore(tmp_path_factory.mktemp("files").as_uri())


def digest(store: ObjectStore, rows: list[tuple[str, float | None]], run_id: str, batch_rows: int = 100) -> str:
    """Write photos with their ages as a table file, and return what it digests to."""
    table = PHOTO_AGE_ESTIMATES
    records = [
        {"photo_key": key, "estimated_age_years": years, "run_id": run_id}
        for key, years in sorted(rows, key=lambda r: r[0])
    ]
    batches = pa.Table.from_pylist(records, table.schema).to_batches(max_chunksize=batch_rows)
    return write_table_file(store, f"{run_id}.parquet", table, batches).content_digest


@settings(deadline=None, max_examples=30)
@given(rows=ROWS, batch_rows=st.integers(1, 5))
def test_equal_rows_digest_alike_whatever_the_run_and_the_batches(
    store: ObjectStore, rows: list[tuple[str, float | None]], batch_rows: int
) -> None:
    assert digest(store, rows, "run-1") == digest(store, rows, "another-run", batch_rows)


@settings(deadline=None, max_examples=30)
@given(rows=ROWS, years=st.floats(allow_nan=False), data=st.data())
def test_one_other_value_digests_differently(
    store: ObjectStore, rows: list[tuple[str, float | None]], years: float, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(rows) - 1))
    other = [*rows[:at], (rows[at][0], years), *rows[at + 1 :]]
    assert (digest(store, rows, "run-1") == digest(store, other, "run-1")) == (rows[at][1] == years)


def test_a_missing_row_digests_differently(store: ObjectStore) -> None:
    assert digest(store, [("a", 1.0), ("b", 2.0)], "run-1") != digest(store, [("a", 1.0)], "run-1")
    assert digest(store, [("a", 1.0)], "run-1") != digest(store, [], "run-1")


def test_a_file_tells_its_rows_size_keys_and_digest(tmp_path: Path) -> None:
    rows = arrow_rows(TRANSACTION_LINES, *(line(line_number=number) for number in (1, 2, 3)))
    named = rows.append_column("run_id", pa.repeat("run-1", 3)).to_batches(max_chunksize=2)
    told = write_table_file(ObjectStore(tmp_path.as_uri()), "lines", TRANSACTION_LINES, named)
    assert told == TableFile(
        row_count=3,
        content_digest=digest_of_file(tmp_path / "lines"),
        size_bytes=(tmp_path / "lines").stat().st_size,
        first_key=["0042", "03", "t1", 1],
        last_key=["0042", "03", "t1", 3],
    )


def test_a_file_without_rows_has_a_digest_and_no_keys(tmp_path: Path) -> None:
    told = write_table_file(ObjectStore(tmp_path.as_uri()), "empty", TRANSACTION_LINES, ())
    assert (told.row_count, told.first_key, told.last_key) == (0, None, None)
    assert told.content_digest == digest_of_file(tmp_path / "empty")


def test_lists_are_digested_as_a_reader_of_the_file_sees_them(tmp_path: Path) -> None:
    records = [{"photo_key": "a", "age_distribution": [0.25, 0.75], "run_id": "run-1"}, {"photo_key": "b"}]
    batches = pa.Table.from_pylist(records, PHOTO_AGE_ESTIMATES.schema).to_batches()
    told = write_table_file(ObjectStore(tmp_path.as_uri()), "photos", PHOTO_AGE_ESTIMATES, batches)
    assert told.content_digest == digest_of_file(tmp_path / "photos")


def test_the_digest_of_published_days_stays_what_it_was(store: ObjectStore) -> None:
    """A day that is run again is compared with digests of earlier versions of this code."""
    assert digest(store, [("a", 1.0), ("b", None)], "run-1") == DIGEST_OF_EARLIER_VERSIONS


def test_a_file_digests_alike_however_its_run_laid_it_out(tmp_path: Path) -> None:
    assert len({digest_of_file(write_run(tmp_path, run_id)) for run_id in ("run-1", "run-2")}) == 1
