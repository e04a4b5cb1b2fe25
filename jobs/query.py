"""query: one SELECT over the warehouse's catalogue, which can read its published tables and nothing else.

The statement runs in a copy of the catalogue, opened read-only, by a DuckDB that may open files in the tables' folders
only, sees no variable of this process, and cannot be set otherwise. What it finds is written by another one.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import pyarrow as pa
from rich.console import Console
from rich.table import Column
from rich.table import Table as RichTable
from rich.text import Text

from jobs import tables
from jobs.catalogue import CATALOGUE, RESCORED_FOLDER
from jobs.errors import InputError, one_line
from jobs.object_store import ObjectStore
from jobs.store_database import connect, quoted, readable_glob, readable_path

COPY_OPTIONS = {"csv": "FORMAT csv, HEADER", "json": "FORMAT json, ARRAY true", "parquet": "FORMAT parquet"}
"""How DuckDB writes each format."""
ROWS_SHOWN = 1000


def query(store: ObjectStore, sql: str) -> pa.Table:
    """Return what a statement finds in the tables.

    Raises InputError when there is no catalogue, or the statement is not one SELECT, is wrong or reaches elsewhere.
    """
    with TemporaryDirectory(prefix="checkout-ages-") as folder:
        copy = Path(folder, CATALOGUE)
        try:
            copy.write_bytes(store.read(CATALOGUE))
        except FileNotFoundError:
            raise InputError(
                f"no catalogue '{store.location(CATALOGUE)}': publish a day, or make it with `checkout-ages catalogue`"
            ) from None
        with connect(store, copy, read_only=True) as connection:
            _confine(connection, store)
            try:
                return connection.execute(_one_select(connection, sql)).to_arrow_table()
            except duckdb.Error as error:
                raise InputError(f"the query failed: {_in_one_line(error)}") from None


def save_answer(answer: pa.Table, file_format: str, path: Path | None) -> None:
    """Write rows to a file or to stdout, as csv (also for `table`), json (an array of objects) or parquet.

    In csv and parquet amounts keep all their digits; in json they are numbers as JavaScript has them. Raises InputError
    where the file cannot be written.
    """
    with TemporaryDirectory(prefix="checkout-ages-") as folder, duckdb.connect() as connection:
        written = Path(folder, "answer")
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("answer", answer)
        connection.execute(
            f"COPY answer TO {quoted(str(written))} ({COPY_OPTIONS.get(file_format, COPY_OPTIONS['csv'])})"
        )
        if path is None:
            sys.stdout.buffer.write(written.read_bytes())
            return
        try:
            shutil.copyfile(written, path)
        except OSError as error:
            raise InputError(f"'{path}' cannot be written: {error.strerror}; name another file with --out") from None


def print_answer(answer: pa.Table, console: Console) -> None:
    """Show the first ROWS_SHOWN rows; what lies in a field stays on its line and steers no terminal."""
    listing = RichTable(*(Column(one_line(name), overflow="fold") for name in answer.column_names))
    for row in answer.slice(0, ROWS_SHOWN).to_pylist():
        listing.add_row(*(Text("" if value is None else one_line(str(value))) for value in row.values()))
    console.print(listing)
    if answer.num_rows > ROWS_SHOWN:
        console.print(f"{ROWS_SHOWN} of {answer.num_rows} rows; --format csv prints all", soft_wrap=True)


def _confine(connection: duckdb.DuckDBPyConnection, store: ObjectStore) -> None:
    """Leave the connection the folders of the published tables; a rescored warehouse's lie below its own folder."""
    names = [*(table.name for table in tables.EVERY_TABLE), RESCORED_FOLDER]
    folders = {name_of(store, f"{name}/") for name in names for name_of in (readable_path, readable_glob)}
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(f"SET allowed_directories = [{', '.join(quoted(folder) for folder in sorted(folders))}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET python_enable_replacements = false")
    connection.execute("SET lock_configuration = true")


def _one_select(connection: duckdb.DuckDBPyConnection, sql: str) -> duckdb.Statement:
    statements = connection.extract_statements(sql)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise InputError("a query is one SELECT (or DESCRIBE, SHOW TABLES, SUMMARIZE): the tables are read-only")
    return statements[0]


def _in_one_line(error: duckdb.Error) -> str:
    """Leave out where DuckDB points into the statement; keep what it says and proposes."""
    return re.sub(r"\s+", " ", re.split(r"\n\s*LINE \d+:", str(error))[0]).strip()
