"""store_database: DuckDB over the objects of a store, with the credentials of the environment and nothing fetched.

httpfs is loaded from its wheel. Its secret lives in the connection's memory and never in a database file.
"""

from __future__ import annotations

import os
from glob import escape
from importlib.metadata import files
from pathlib import Path
from urllib.parse import unquote, urlsplit

import duckdb

from jobs.errors import InputError
from jobs.warehouse.object_store import ObjectStore

HTTP_SETTINGS = "SET http_timeout = 20; SET http_retries = 3"
"""Seconds, so that a store that is silent does not hold up a publish."""

TAKEN_FROM_ENVIRONMENT = ("s3_access_key_id", "s3_secret_access_key", "s3_session_token")
"""What httpfs takes of the environment as it is loaded, and shows to whoever asks for its settings."""


def connect(store: ObjectStore, file: Path, *, read_only: bool) -> duckdb.DuckDBPyConnection:
    """Open a database file, or make it, in which the store's objects can be read.

    Raises InputError when DuckDB has no way to the store.
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
    """Return where an object or a folder lies, as DuckDB names it: a path on a file system, else the URI."""
    parts = urlsplit(store.uri)
    root = unquote(parts.path) if parts.scheme == "file" else store.uri
    return f"{root.rstrip('/')}/{key}"


def readable_glob(store: ObjectStore, pattern: str) -> str:
    """Return a pattern of keys as DuckDB globs it; what is special to it in the store's own path is escaped."""
    return f"{escape(readable_path(store, ''))}{pattern}"


def quoted(text: str) -> str:
    """Return text as a string of SQL."""
    return "'" + text.replace("'", "''") + "'"


def _httpfs() -> Path:
    for file in files("duckdb-extension-httpfs") or ():
        if file.suffix == ".duckdb_extension":
            return Path(str(file.locate()))
    raise InputError("the package duckdb-extension-httpfs holds no extension; install it anew from requirements.lock")


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
        options |= {"ENDPOINT": f"{parts.netloc}{parts.path}".rstrip("/"), "URL_STYLE": "path"}
        options["USE_SSL"] = "false" if parts.scheme == "http" else "true"
    given = ", ".join(f"{name} {quoted(value)}" for name, value in options.items() if value)
    return f"CREATE SECRET (TYPE s3, {given})"
