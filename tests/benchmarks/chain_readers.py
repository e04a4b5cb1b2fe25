"""chain_readers: what DuckDB, Spark and pandas read of a large table's file, and how long they take.

    python -m tests.benchmarks.chain_readers ENGINE CATEGORIES|STORE FILE STORE_ID OUT

Each engine adds up the money by category: of all receipt lines (`categories`), or of the lines of one store (`store`),
where it can leave out row groups because the file says from which store to which each one goes. The engine first
answers the same question on a few lines, so that starts are not timed. The file is then dropped from the memory of the
operating system, so that it comes from the disk. Bytes read are those that the process and its children ask the system
for. The answer goes to OUT as JSON.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

FEW_LINES = 10
DUCKDB, SPARK, PANDAS = "duckdb", "spark", "pandas"
CATEGORIES, STORE = "categories", "store"
QUESTIONS = (CATEGORIES, STORE)

Answer = Callable[[Path, str | None], dict[str, float]]
"""Money by category, of a file of transaction_lines, and of one store unless it is None."""


@contextmanager
def duckdb_answers() -> Iterator[Answer]:
    import duckdb

    def answer(file: Path, store_id: str | None) -> dict[str, float]:
        of_store = "" if store_id is None else f"WHERE store_id = '{store_id}'"
        query = f"SELECT product_category, sum(net_amount)::DOUBLE FROM read_parquet('{file}') {of_store} GROUP BY ALL"
        return dict(duckdb.sql(query).fetchall())

    yield answer


@contextmanager
def spark_answers() -> Iterator[Answer]:
    from pyspark.sql import SparkSession
    from pyspark.sql import functions as F

    session = SparkSession.builder.appName("reader").config("spark.ui.enabled", "false").getOrCreate()

    def answer(file: Path, store_id: str | None) -> dict[str, float]:
        lines = session.read.parquet(str(file))
        of_store = lines if store_id is None else lines.where(F.col("store_id") == store_id)
        sums = of_store.groupBy("product_category").agg(F.sum("net_amount").cast("double"))
        return {row[0]: row[1] for row in sums.collect()}

    yield answer
    session.stop()


@contextmanager
def pandas_answers() -> Iterator[Answer]:
    import pandas as pd

    def answer(file: Path, store_id: str | None) -> dict[str, float]:
        filters = None if store_id is None else [("store_id", "==", store_id)]
        columns = ["product_category", "net_amount"]
        # Arrow's types: as Python objects, which are the default, a hundred million amounts take over ten gigabytes.
        lines = pd.read_parquet(file, columns=columns, filters=filters, dtype_backend="pyarrow", partitioning=None)
        money = lines["net_amount"].astype(pd.ArrowDtype(pa.float64()))
        return {str(name): float(total) for name, total in money.groupby(lines["product_category"]).sum().items()}

    yield answer


ENGINES = {DUCKDB: duckdb_answers, SPARK: spark_answers, PANDAS: pandas_answers}


def read(engine: str, question: str, file: Path, store_id: str) -> dict[str, float]:
    """Answer a question with an engine. Returns seconds, bytes read, and the total of the answer."""
    asked = store_id if question == STORE else None
    with ENGINES[engine]() as answer, TemporaryDirectory() as folder:
        answer(_few_lines(file, Path(folder, "few.parquet")), asked)
        _drop_from_memory(file)
        bytes_before, began = _bytes_read(), time.perf_counter()
        sums = answer(file, asked)
        seconds = time.perf_counter() - began
        read_bytes = _bytes_read() - bytes_before
    return {"seconds": seconds, "read_bytes": read_bytes, "total": _total(sums)}


def _total(sums: Mapping[str, float]) -> float:
    return round(sum(sums.values()), 2)


def _few_lines(file: Path, copy: Path) -> Path:
    lines = next(pq.ParquetFile(file).iter_batches(FEW_LINES))
    pq.write_table(pa.Table.from_batches([lines]), copy)
    return copy


def _drop_from_memory(file: Path) -> None:
    with file.open("rb") as opened:
        os.fsync(opened.fileno())  # pages that are not yet on the disk cannot be dropped
        os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _bytes_read() -> int:
    own = psutil.Process()
    processes = (own, *own.children(recursive=True))
    return sum(int(process.io_counters().read_chars) for process in processes)


if __name__ == "__main__":
    chosen_engine, chosen_question, table_file, chosen_store, out = sys.argv[1:]
    answered = read(chosen_engine, chosen_question, Path(table_file), chosen_store)
    Path(out).write_text(json.dumps(answered))
