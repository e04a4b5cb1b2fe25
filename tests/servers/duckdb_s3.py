"""duckdb_s3: use DuckDB on S3 as an analyst would, with the extension from its wheel: nothing is downloaded."""

from __future__ import annotations

from importlib.metadata import files

import duckdb

from tests.servers.s3_server import S3_ENVIRONMENT


def connect_over_s3() -> duckdb.DuckDBPyConnection:
    """Return a connection that reads s3:// from the test server."""
    extension = next(file for file in files("duckdb-extension-httpfs") or () if file.suffix == ".duckdb_extension")
    connection = duckdb.connect()
    connection.sql(f"LOAD '{extension.locate()}'")
    connection.sql(f"""
        CREATE SECRET (
            TYPE s3, KEY_ID '{S3_ENVIRONMENT["AWS_ACCESS_KEY_ID"]}', SECRET '{S3_ENVIRONMENT["AWS_SECRET_ACCESS_KEY"]}',
            ENDPOINT '{S3_ENVIRONMENT["AWS_ENDPOINT_URL"].removeprefix("http://")}', URL_STYLE 'path', USE_SSL false,
            REGION '{S3_ENVIRONMENT["AWS_REGION"]}'
        )
    """)
    return connection
