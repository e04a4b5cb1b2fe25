"""query: runs one SELECT on the warehouse's catalogue. The statement can read the published tables and nothing else.

It runs in a read-only copy of the catalogue. Its DuckDB may open files in the tables' folders only, cannot read
environment variables, and accepts no change of settings. A second DuckDB writes the result.
"""

from __future__ import annotations

import codecs
import re
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import pyarrow as pa
from rich.cells import cell_len
from rich.console import Console
from rich.table import Column
from rich.table import Table as RichTable
from rich.text import Text

from jobs.errors import InputError, one_line
from jobs.schemas.dictionary import TABLES
from jobs.warehouse.catalogue import CATALOGUE, RESCORED_FOLDER
from jobs.warehouse.duckdb_tables import duckdb_over_store, quoted, readable_glob, readable_path
from jobs.warehouse.object_store import ObjectStore

COPY_OPTIONS = {"csv": "FORMAT csv, HEADER", "json": "FORMAT json, ARRAY true", "parquet": "FORMAT parquet"}
"""Options by which DuckDB writes each format."""
ROWS_SHOWN = 1000
BORDER_WIDTH = 3
"""Width that a column needs on the terminal in addition to its letters."""


def query(store: ObjectStore, sql: str) -> pa.Table:
    """Run one SELECT on the published tables, and return its rows.

    Raises InputError if there is no catalogue, or if the statement is not one SELECT, is wrong, or reads anything
    else.
    """
    with TemporaryDirectory(prefix="checkout-ages-") as folder:
        copy = Path(folder, CATALOGUE)
        try:
            copy.write_bytes(store.read(CATALOGUE))
        except FileNotFoundError:
            raise InputError(
                f"no catalogue '{store.location(CATALOGUE)}': publish a day, or make it with `checkout-ages catalogue`"
            ) from None
        with duckdb_over_store(store, copy, read_only=True) as connection:
            _refuse_a_copy(connection, store)
            _confine(connection, store)
            try:
                return connection.execute(_one_select(connection, sql)).to_arrow_table()
            except duckdb.Error as error:
                raise InputError(f"the query failed: {_in_one_line(error)}") from None


def save_answer(answer: pa.Table, file_format: str, path: Path | None, *, with_bom: bool = False) -> None:
    """Write a query's rows to a file or to stdout, as csv (also for `table`), json (an array of objects) or parquet.

    In csv and parquet, amounts keep all their digits; in json they are JavaScript numbers. A byte order mark makes
    spreadsheets read csv as UTF-8. Raises InputError when the file cannot be written.
    """
    # DuckDB writes to files only, so stdout and the byte order mark are served from a temporary one.
    with TemporaryDirectory(prefix="checkout-ages-") as folder, duckdb.connect() as connection:
        written = Path(folder, "answer")
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("answer", answer)
        connection.execute(
            f"COPY answer TO {quoted(str(written))} ({COPY_OPTIONS.get(file_format, COPY_OPTIONS['csv'])})"
        )
        if with_bom:
            written.write_bytes(codecs.BOM_UTF8 + written.read_bytes())
        if path is None:
            sys.stdout.buffer.write(written.read_bytes())
            return
        try:
            shutil.copyfile(written, path)
        except OSError as error:
            raise InputError(f"'{path}' cannot be written: {error.strerror}; name another file with --out") from None


def print_answer(answer: pa.Table, console: Console) -> None:
    """Print the first ROWS_SHOWN rows of a query as a table; a field stays on one line and cannot control the terminal.

    If the columns do not fit next to each other, each row is printed as a list of names and values.
    """
    shown = answer.slice(0, ROWS_SHOWN)
    names = [one_line(name) for name in answer.column_names]
    rows = [[_shown(value) for value in row.values()] for row in shown.to_pylist()]
    listing = RichTable(*(Column(name, overflow="fold", min_width=len(name)) for name in names))
    if sum(cell_len(name) + BORDER_WIDTH for name in names) + 1 > console.width:
        _print_rows(names, rows, console)
    else:
        for row in rows:
            listing.add_row(*row)
        console.print(listing)
    if answer.num_rows > ROWS_SHOWN:
        console.print(f"{ROWS_SHOWN} of {answer.num_rows} rows; --format csv prints all", soft_wrap=True)


def _print_rows(names: list[str], rows: list[list[Text]], console: Console) -> None:
    if not rows:
        console.print(f"no rows of {', '.join(names)}", markup=False, highlight=False, soft_wrap=True)
    for number, row in enumerate(rows, start=1):
        listing = RichTable(Column(f"row {number}", no_wrap=True), Column("", overflow="fold"))
        for name, value in zip(names, row, strict=True):
            listing.add_row(Text(name), value)
        console.print(listing)


def _shown(value: object) -> Text:
    return Text("" if value is None else one_line(str(value)))


def _refuse_a_copy(connection: duckdb.DuckDBPyConnection, store: ObjectStore) -> None:
    """Raise InputError when the catalogue names files of another place, because the warehouse was copied or moved."""
    views = connection.execute("SELECT sql FROM duckdb_views() WHERE sql LIKE '%read_parquet(%'").fetchall()
    here = quoted(readable_glob(store, ""))[:-1]
    for (sql,) in views:
        if here not in sql:
            named = re.search(r"read_parquet\('((?:[^']|'')*)'", sql)
            place = named[1].replace("''", "'") if named else sql
            raise InputError(
                f"the catalogue of '{store.uri}' names files in another place, '{place}': it was "
                "written before the warehouse was copied or moved; run `checkout-ages catalogue`"
            )


def _confine(connection: duckdb.DuckDBPyConnection, store: ObjectStore) -> None:
    """Restrict the connection to the folders of the published tables; rescored ones are in a folder of their own."""
    names = [*(table.name for table in TABLES), RESCORED_FOLDER]
    folders = {name_of(store, f"{name}/") for name in names for name_of in (readable_path, readable_glob)}
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(f"SET allowed_directories = [{', '.join(quoted(folder) for folder in sorted(folders))}]")
    # The order matters: the folders must be allowed before access ends, and the lock must come last.
    connection.execute("SET enable_external_access = false")
    connection.execute("SET python_enable_replacements = false")
    connection.execute("SET lock_configuration = true")


def _one_select(connection: duckdb.DuckDBPyConnection, sql: str) -> duckdb.Statement:
    statements = connection.extract_statements(sql)
    # The type is DuckDB's own: a statement that starts with a comment or WITH is judged correctly.
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise InputError("a query is one SELECT (or DESCRIBE, SHOW TABLES, SUMMARIZE): the tables are read-only")
    return statements[0]


def _in_one_line(error: duckdb.Error) -> str:
    """Keep what DuckDB says and proposes; leave out where it points into the statement."""
    return re.sub(r"\s+", " ", re.split(r"\n\s*LINE \d+:", str(error))[0]).strip()
