from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.warehouse.parquet_batches import parquet_batches

ROWS_OF_A_GROUP = 20_000
BYTES_OF_A_GROUP = 8 * ROWS_OF_A_GROUP


@pytest.fixture(scope="module")
def numbers_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty row groups of random numbers, which cannot be compressed."""
    path = tmp_path_factory.mktemp("parquet") / "numbers.parquet"
    numbers = np.random.default_rng(1).random(60 * ROWS_OF_A_GROUP)
    pq.write_table(pa.table({"number": numbers, "row": np.arange(len(numbers))}), path, row_group_size=ROWS_OF_A_GROUP)
    return path


@pytest.mark.parametrize("batch_rows", [7_000, ROWS_OF_A_GROUP, 50_000])
def test_all_rows_are_read_in_order_in_batches_of_at_most_the_given_rows(numbers_file: Path, batch_rows: int) -> None:
    batches = list(parquet_batches(pq.ParquetFile(numbers_file), ["row"], batch_rows))
    assert pa.Table.from_batches(batches) == pq.read_table(numbers_file, columns=["row"])
    assert max(map(len, batches)) <= batch_rows


def test_a_file_of_many_row_groups_is_read_in_the_memory_of_a_few(numbers_file: Path) -> None:
    before = pa.total_allocated_bytes()
    batches = parquet_batches(pq.ParquetFile(numbers_file), ["number"], ROWS_OF_A_GROUP)
    most = max(pa.total_allocated_bytes() - before for _ in batches)
    assert most < 6 * BYTES_OF_A_GROUP


def test_a_file_without_rows_has_no_batches(tmp_path: Path) -> None:
    pq.write_table(pa.table({"row": pa.array([], pa.int64())}), tmp_path / "none.parquet")
    assert not list(parquet_batches(pq.ParquetFile(tmp_path / "none.parquet"), ["row"]))
