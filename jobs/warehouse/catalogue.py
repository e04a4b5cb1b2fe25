"""catalogue: writes `{warehouse}/catalog.duckdb`, through which analysts read the tables by name.

It has a view per table of `jobs.schemas` over its published Parquet files, and a comment on each view and column. It
holds no rows and no credentials. Files are named by absolute URI, because DuckDB resolves a relative path against the
working folder of its reader. A table that has no file yet is a view without rows. The catalogue is replaced in one
step, and only when it would differ: when a table gets its first file, a new column or another meaning, or when the
warehouse has moved.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb

from jobs.errors import InputError, first_line
from jobs.schemas.dictionary import TABLES
from jobs.schemas.runs import MODEL_COMPARISON
from jobs.schemas.table import BUSINESS_DATE, Table, meaning
from jobs.warehouse.duckdb_tables import duckdb_over_store, quoted, readable_glob
from jobs.warehouse.object_store import ObjectStore

log = logging.getLogger(__name__)

CATALOGUE = "catalog.duckdb"
VERSION_TABLE = "about.catalogue"
RESCORED_FOLDER = "_rescored"


def refresh(store: ObjectStore) -> None:
    """Bring the catalogue up to date. If that fails, log why and raise nothing: the tables are already published."""
    try:
        write_catalogue(store)
    except (InputError, duckdb.Error, OSError) as error:
        log.warning(
            "%s is left as it was, although the tables are published: %s; fix that and run `checkout-ages catalogue`",
            store.location(CATALOGUE),
            first_line(error),
        )


def write_catalogue(store: ObjectStore) -> bool:
    """Replace the catalogue if a new one would differ from it. Returns whether it was replaced."""
    definitions = _definitions(store)
    sha256 = hashlib.sha256("\n".join(definitions).encode()).hexdigest()
    with TemporaryDirectory(prefix="checkout-ages-") as folder:
        if _published_sha256(store, Path(folder, "published.duckdb")) == sha256:
            return False
        made = Path(folder, CATALOGUE)
        with duckdb_over_store(store, made, read_only=False) as connection:
            connection.begin()
            for definition in definitions:
                connection.execute(definition)
            connection.execute("CREATE SCHEMA about")
            connection.execute(f"CREATE TABLE {VERSION_TABLE} AS SELECT {quoted(sha256)} AS definitions_sha256")
            connection.commit()
        store.write(CATALOGUE, made.read_bytes())
    return True


def _published_sha256(store: ObjectStore, copy: Path) -> str | None:
    try:
        copy.write_bytes(store.read(CATALOGUE))
        with duckdb.connect(copy, read_only=True) as connection:
            found = connection.execute(f"SELECT definitions_sha256 FROM {VERSION_TABLE}").fetchone()
    # A catalogue that cannot be read counts as different, and is written again.
    except (FileNotFoundError, duckdb.Error):
        return None
    return found[0] if found else None


def _definitions(store: ObjectStore) -> list[str]:
    with duckdb.connect() as connection:
        return [
            statement
            for table in TABLES
            for statement in (_view(store, table, _types(connection, table)), *_comments(table))
        ]


def _view(store: ObjectStore, table: Table, types: dict[str, str]) -> str:
    """Return the view with the declared columns; a column that is newer than a file is null for its rows."""
    no_rows = ", ".join(f"NULL::{kind} AS {name}" for name, kind in types.items())
    # A branch without rows declares all columns, also those that no file has yet.
    sources = [f"(SELECT {no_rows} WHERE false)"]
    if pattern := _files_of(store, table):
        options = f"hive_partitioning = true, hive_types = {{'{BUSINESS_DATE.name}': DATE}}, union_by_name = true"
        sources.append(f"(FROM read_parquet({quoted(readable_glob(store, pattern))}, {options}))")
    return f"CREATE VIEW {table.name} AS SELECT {', '.join(types)} FROM ({' UNION ALL BY NAME '.join(sources)})"


def _files_of(store: ObjectStore, table: Table) -> str | None:
    """Return the pattern of a table's published files, None if there are none yet."""
    folders = {table.name: [table.name]}
    if table is MODEL_COMPARISON:
        versions, _ = store.list_folder(RESCORED_FOLDER)
        folders[f"{RESCORED_FOLDER}/*/{table.name}"] = [f"{version}/{table.name}" for version in versions]
    for pattern, places in folders.items():
        if any(_holds_parquet(store, place) for place in places):
            return f"{pattern}/{BUSINESS_DATE.name}=*/*.parquet"
    return None


def _holds_parquet(store: ObjectStore, folder: str) -> bool:
    return any(entry.key.endswith(".parquet") for entry in store.list(folder))


def _types(connection: duckdb.DuckDBPyConnection, table: Table) -> dict[str, str]:
    """Return DuckDB's names for the types of a table's columns."""
    connection.register("declared", table.schema.insert(0, BUSINESS_DATE).empty_table())
    described = connection.execute("DESCRIBE declared").fetchall()
    return {f'"{name}"': kind for name, kind, *_ in described}


def _comments(table: Table) -> Iterator[str]:
    key = ", ".join((BUSINESS_DATE.name, *table.key))
    yield f"COMMENT ON VIEW {table.name} IS {quoted(f'{table.grain}; key: {key}')}"
    for field in (BUSINESS_DATE, *table.columns):
        yield f'COMMENT ON COLUMN {table.name}."{field.name}" IS {quoted(meaning(field))}'
