import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs import tables
from jobs.object_store import ObjectStore
from jobs.table_files import content_digest, write_table_file

ROWS = st.lists(
    st.tuples(st.text(max_size=5), st.one_of(st.none(), st.floats(allow_nan=False))),
    min_size=1,
    unique_by=lambda r: r[0],
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ObjectStore:
    return ObjectStore(tmp_path_factory.mktemp("files").as_uri())


def digest(store: ObjectStore, rows: list[tuple[str, float | None]], run_id: str, batch_rows: int = 100) -> str:
    """Write photos with their ages as a table file, and return what it digests to."""
    table = tables.PHOTO_AGE_ESTIMATES
    records = [
        {"photo_key": key, "estimated_age_years": years, "run_id": run_id}
        for key, years in sorted(rows, key=lambda r: r[0])
    ]
    batches = pa.Table.from_pylist(records, table.schema).to_batches(max_chunksize=batch_rows)
    write_table_file(store, f"{run_id}.parquet", table, batches)
    with store.reader(f"{run_id}.parquet") as stream:
        return content_digest(stream)


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
    assert (digest(store, rows, "run-1") == digest(store, other, "run-1")) == (repr(rows[at][1]) == repr(years))


def test_a_missing_row_digests_differently(store: ObjectStore) -> None:
    assert digest(store, [("a", 1.0), ("b", 2.0)], "run-1") != digest(store, [("a", 1.0)], "run-1")
    assert digest(store, [("a", 1.0)], "run-1") != digest(store, [], "run-1")
