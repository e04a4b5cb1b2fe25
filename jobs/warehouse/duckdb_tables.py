"""duckdb_tables: opens tables in DuckDB: staged ones, rows that are copied into it, or all objects of a store.

Staged tables are streamed into a file in a temporary folder, which takes a few hundred megabytes for ten million
receipt lines and is deleted afterwards; one query over one table streams past DuckDB without such a copy. DuckDB stays
within MEMORY_LIMIT and uses the disk. Objects of a store are read with the credentials of the environment. Nothing is
downloaded: httpfs is loaded from its wheel. Its secret is only in the connection's memory, never in a database file.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from glob import escape
from importlib.metadata import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import unquote, urlsplit

import duckdb
import pyarrow as pa

from jobs.errors import InputError
from jobs.schemas.table import Table
from jobs.warehouse.object_store import ObjectStore
from jobs.warehouse.staging import Staging

MEMORY_LIMIT = "1GB"
"""DuckDB moves data to the disk above this. The checks run next to Spark, which needs the rest of the memory."""

ONE_ORDER = "SET threads = 1"
"""With several threads, the order of a float sum and so its last digit would change from run to run."""

HTTP_SETTINGS = "SET http_timeout = 20; SET http_retries = 3"
"""The timeout is in seconds; a store that does not answer would otherwise hold up a publish for long."""

TAKEN_FROM_ENVIRONMENT = ("s3_access_key_id", "s3_secret_access_key", "s3_session_token")
"""Settings that httpfs copies from the environment when it is loaded. Anyone who can query settings would see them."""


@contextmanager
def duckdb_on_disk() -> Iterator[duckdb.DuckDBPyConnection]:
    """Open an empty DuckDB database in a temporary folder, which is deleted after the block."""
    with (
        TemporaryDirectory(prefix="checkout-ages-") as folder,
        duckdb.connect(Path(folder, "tables.duckdb"), config={"memory_limit": MEMORY_LIMIT}) as connection,
    ):
        yield connection


@contextmanager
def staged_tables_in_duckdb(
    staging: Staging, business_date: date, columns: Mapping[Table, Sequence[str]], others: Mapping[str, pa.Table]
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a DuckDB database with some columns of a run's staged tables, and with other tables, each by name.

    A column that a staged file does not have is left out.
    """
    with duckdb_on_disk() as connection:
        for name, rows in others.items():
            connection.register(name, rows)
        for table, names in columns.items():
            with staging.batches(table, business_date, names) as staged_rows:
                copy_rows(connection, table.name, staged_rows)
        yield connection


def copy_rows(connection: duckdb.DuckDBPyConnection, name: str, rows: pa.Table | pa.RecordBatchReader) -> None:
    """Copy rows into a new table of a database."""
    connection.register("new_rows", rows)
    connection.execute(f"CREATE TABLE {name} AS FROM new_rows")
    connection.unregister("new_rows")


@contextmanager
def source_tables_in_duckdb(
    staging: Staging, business_date: date, columns: Mapping[Table, Sequence[str]]
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open some columns of a run's staged tables, to build another table of the run from them without Spark."""
    with staged_tables_in_duckdb(staging, business_date, columns, {}) as connection:
        connection.execute(ONE_ORDER)
        yield connection


def staged_figures(
    staging: Staging, table: Table, business_date: date, columns: Sequence[str], query: str, **parameters: object
) -> dict[str, Any]:
    """Return the figures of a query over some columns of a run's staged table, whose rows stream past it once.

    The query has the table by its name, once, and returns one row. `$name` in it is the parameter of that name.
    """
    with duckdb_on_disk() as connection, staging.batches(table, business_date, columns) as staged_rows:
        connection.execute(ONE_ORDER)
        connection.register(table.name, staged_rows)
        cursor = connection.execute(query, parameters)
        names = [name for name, *_ in cursor.description or ()]
        return dict(zip(names, cursor.fetchone() or (), strict=True))


def duckdb_over_store(store: ObjectStore, file: Path, *, read_only: bool) -> duckdb.DuckDBPyConnection:
    """Open or create a DuckDB database file from which the objects of a store can be read.

    Raises InputError when DuckDB cannot read that kind of store.
    """
    kind = urlsplit(store.uri).scheme
    secret = _s3_secret() if kind == "s3" else ""
    if kind not in ("file", "s3"):
        raise InputError(
            f"DuckDB cannot read '{store.uri}': it reads file: and s3: only; copy the tables to one of them"
        )
    connection = duckdb.connect(file, read_only=read_only)
    if secret:
        connection.load_extension(str(_httpfs()))
        for setting in TAKEN_FROM_ENVIRONMENT:
            connection.execute(f"SET {setting} = ''")
        connection.execute(HTTP_SETTINGS)
        if certificates := os.environ.get("SSL_CERT_FILE"):
            connection.execute(f"SET ca_cert_file = {quoted(certificates)}")
        connection.execute(secret)
    return connection


def readable_path(store: ObjectStore, key: str) -> str:
    """Return where DuckDB can read an object or a folder: a path on a file system, or else the URI."""
    parts = urlsplit(store.uri)
    root = unquote(parts.path) if parts.scheme == "file" else store.uri
    return f"{root.rstrip('/')}/{key}"


def readable_glob(store: ObjectStore, pattern: str) -> str:
    """Return a pattern of keys as a DuckDB glob; special characters in the store's own path are escaped."""
    return f"{escape(readable_path(store, ''))}{pattern}"


def quoted(text: str) -> str:
    """Return a text as an SQL string literal, in quotes."""
    return "'" + text.replace("'", "''") + "'"


def _httpfs() -> Path:
    for file in files("duckdb-extension-httpfs") or ():
        if file.suffix == ".duckdb_extension":
            return Path(str(file.locate()))
    raise InputError("the package duckdb-extension-httpfs holds no extension; install it again from requirements.lock")


def _s3_secret() -> str:
    environment = os.environ
    if not (environment.get("AWS_ACCESS_KEY_ID") and environment.get("AWS_SECRET_ACCESS_KEY")):
        raise InputError("DuckDB has no credentials for S3: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    options = {
        "KEY_ID": environment["AWS_ACCESS_KEY_ID"],
        "SECRET": environment["AWS_SECRET_ACCESS_KEY"],
        "SESSION_TOKEN": environment.get("AWS_SESSION_TOKEN"),
        "REGION": environment.get("AWS_REGION"),
    }
    if endpoint := environment.get("AWS_ENDPOINT_URL"):
        parts = urlsplit(endpoint)
        # Servers other than AWS rarely resolve bucket names as host names, so the bucket is put into the path.
        options |= {"ENDPOINT": f"{parts.netloc}{parts.path}".rstrip("/"), "URL_STYLE": "path"}
        options["USE_SSL"] = "false" if parts.scheme == "http" else "true"
    given = ", ".join(f"{name} {quoted(value)}" for name, value in options.items() if value)
    return f"CREATE SECRET (TYPE s3, {given})"
