from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from rich.console import Console
from typer.testing import CliRunner

from jobs.cli import app
from jobs.errors import InputError
from jobs.schemas.landed import PHOTO_COVERAGE
from jobs.warehouse.catalogue import CATALOGUE, write_catalogue
from jobs.warehouse.object_store import ObjectStore
from jobs.warehouse.query import print_answer, query
from tests.given.catalogued_tables import covered, publish
from tests.given.rows import BUSINESS_DATE
from tests.servers.s3_server import S3_ENVIRONMENT

runner = CliRunner()
ONE_ROW = "SELECT store_id, transaction_count, 12.50::DECIMAL(28, 2) AS amount, NULL AS nothing FROM photo_coverage"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ObjectStore:
    store = ObjectStore((tmp_path_factory.mktemp("query") / "warehouse").as_uri())
    publish(store, PHOTO_COVERAGE, BUSINESS_DATE, covered("[red]0042\x1b[2J", 4))
    store.write("_staging/run-1/unpublished.txt", b"not out yet")
    write_catalogue(store)
    return store


def test_a_name_of_a_column_is_not_broken_however_narrow_the_terminal_is(
    store: ObjectStore, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"expected_under_{number}_transaction_count" for number in range(5)]
    answer = query(store, "SELECT " + ", ".join(f"{number} AS {name}" for number, name in enumerate(names)))
    console = Console(width=80)
    print_answer(answer, console)
    print_answer(answer.select(names[:2]), console)
    shown = capsys.readouterr().out
    assert all(shown.count(name) == (2 if name in names[:2] else 1) for name in names)
    assert max(map(len, shown.splitlines())) <= 80


def test_a_catalogue_that_was_copied_with_its_warehouse_says_what_to_run(tmp_path: Path) -> None:
    original = ObjectStore((tmp_path / "it's the first").as_uri())
    publish(original, PHOTO_COVERAGE, BUSINESS_DATE, covered("0042", 4))
    write_catalogue(original)
    shutil.copytree(tmp_path / "it's the first", tmp_path / "copy")
    copy = ObjectStore((tmp_path / "copy").as_uri())
    assert query(original, "SELECT 1 AS one").num_rows == 1
    with pytest.raises(InputError, match=r"names files in another place, '.*it's the first/.*run `checkout-ages cata"):
        query(copy, "FROM photo_coverage")
    assert write_catalogue(copy)
    assert query(copy, "FROM photo_coverage").num_rows == 1


def test_csv_with_a_byte_order_mark_is_what_a_spreadsheet_reads(store: ObjectStore, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    command = ["query", "SELECT 'Щи' AS \"категория\"", "--bom", "--warehouse-uri", store.uri]
    assert runner.invoke(app, command).stdout_bytes == b"\xef\xbb\xbf" + "категория\nЩи\n".encode()
    assert runner.invoke(app, [*command, "--out", str(out)]).exit_code == 0
    assert out.read_text("utf-8-sig") == "категория\nЩи\n"
    refused = runner.invoke(app, [*command, "--format", "json"])
    assert (refused.exit_code, "--bom works with csv only, not with json" in refused.output) == (2, True)


def test_the_rows_come_as_arrow(store: ObjectStore) -> None:
    assert query(store, "SELECT transaction_count FROM photo_coverage; -- all days").to_pylist() == [
        {"transaction_count": 4}
    ]


@pytest.mark.parametrize("sql", ["SHOW TABLES", "DESCRIBE photo_coverage", "SUMMARIZE photo_coverage", "VALUES (1)"])
def test_what_describes_tables_is_a_query_too(store: ObjectStore, sql: str) -> None:
    assert query(store, sql).num_rows > 0


@pytest.mark.parametrize(
    "sql",
    [
        "COPY photo_coverage TO '{folder}/copy.csv'",
        "CREATE TABLE copied AS FROM photo_coverage",
        "ATTACH '{folder}/other.duckdb'",
        "SET enable_external_access = true",
        "SELECT 1; SELECT 2",
        "",
    ],
)
def test_a_statement_that_is_not_one_select_is_refused(store: ObjectStore, tmp_path: Path, sql: str) -> None:
    with pytest.raises(InputError, match="a query is one SELECT"):
        query(store, sql.format(folder=tmp_path))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "sql",
    [
        "FROM read_text('/etc/hostname')",
        "FROM '/etc/passwd.csv'",
        "FROM read_text('{warehouse}/_staging/run-1/unpublished.txt')",
        "FROM read_blob('{warehouse}/photo_coverage/../_staging/run-1/unpublished.txt')",
        "FROM glob('{warehouse}/_staging/**')",
        "FROM read_blob('{warehouse}/catalog.duckdb')",
        "FROM read_text('http://127.0.0.1:9/')",
        "FROM duckdb_secrets()",
        "FROM store",
        "SELECT getenv('HOME')",
    ],
)
def test_a_query_reaches_nothing_but_the_published_tables(store: ObjectStore, sql: str) -> None:
    with pytest.raises(InputError, match=r"the query failed: (Permission|Catalog) Error"):
        query(store, sql.format(warehouse=store.uri.removeprefix("file://")))


def test_a_wrong_query_exits_with_2_and_what_duckdb_proposes(store: ObjectStore) -> None:
    refused = runner.invoke(app, ["query", "SELECT stor_id FROM photo_coverage", "--warehouse-uri", store.uri])
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert refused.stderr.startswith('error: the query failed: Binder Error: Referenced column "stor_id" not found')
    assert '"store_id"' in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_without_a_catalogue_it_says_how_to_make_one(tmp_path: Path) -> None:
    refused = runner.invoke(app, ["query", "SELECT 1", "--warehouse-uri", str(tmp_path)])
    assert refused.exit_code == 2
    assert f"no catalogue '{tmp_path.as_uri()}/{CATALOGUE}'" in refused.stderr
    made = runner.invoke(app, ["catalogue", "--warehouse-uri", str(tmp_path)])
    assert (made.exit_code, made.stdout.strip()) == (0, f"{tmp_path.as_uri()}/{CATALOGUE} is written")
    assert runner.invoke(app, ["query", "SELECT 1", "--warehouse-uri", str(tmp_path)]).exit_code == 0


def test_a_table_on_the_terminal_shows_what_lies_in_a_field_and_obeys_none_of_it(store: ObjectStore) -> None:
    shown = runner.invoke(app, ["query", ONE_ROW, "--warehouse-uri", store.uri], env={"COLUMNS": "120"}).stdout
    assert "[red]0042\\x1b[2J" in shown
    assert "12.50" in shown


def test_a_query_may_come_from_stdin(store: ObjectStore) -> None:
    asked = runner.invoke(app, ["query", "-", "--format", "csv", "--warehouse-uri", store.uri], input="SELECT 7 AS n")
    assert asked.stdout == "n\n7\n"


def test_csv_and_json_are_printed_with_nulls_and_whole_amounts(store: ObjectStore) -> None:
    as_csv, as_json = (
        runner.invoke(app, ["query", ONE_ROW, "--format", kind, "--warehouse-uri", store.uri]).stdout
        for kind in ("csv", "json")
    )
    assert list(csv.reader(io.StringIO(as_csv)))[1] == ["[red]0042\x1b[2J", "4", "12.50", ""]
    assert json.loads(as_json) == [
        {"store_id": "[red]0042\x1b[2J", "transaction_count": 4, "amount": 12.5, "nothing": None}
    ]


def test_parquet_goes_to_a_file_with_its_types(store: ObjectStore, tmp_path: Path) -> None:
    out = tmp_path / "answer.parquet"
    runner.invoke(app, ["query", ONE_ROW, "--format", "parquet", "--out", str(out), "--warehouse-uri", store.uri])
    assert str(pq.read_schema(out).field("amount").type) == "decimal128(28, 2)"
    refused = runner.invoke(app, ["query", ONE_ROW, "--out", str(tmp_path), "--warehouse-uri", store.uri])
    assert (refused.exit_code, f"'{tmp_path}' cannot be written: Is a directory" in refused.stderr) == (2, True)


@pytest.mark.slow
def test_a_query_on_s3_reads_with_the_credentials_of_the_environment(s3_bucket: str) -> None:
    store = ObjectStore(f"{s3_bucket}/queried")
    publish(store, PHOTO_COVERAGE, BUSINESS_DATE, covered("0042", 4))
    store.write("_staging/unpublished.txt", b"not out yet")
    write_catalogue(store)
    assert query(store, "SELECT store_id FROM photo_coverage").to_pylist() == [{"store_id": "0042"}]
    for sql in ("FROM read_blob('s3://another/x')", "FROM read_text('{uri}/_staging/unpublished.txt')"):
        with pytest.raises(InputError, match="Permission Error"):
            query(store, sql.format(uri=store.uri))
    for sql in ("FROM duckdb_secrets()", "FROM duckdb_settings()"):
        assert S3_ENVIRONMENT["AWS_SECRET_ACCESS_KEY"] not in str(query(store, sql).to_pylist())
