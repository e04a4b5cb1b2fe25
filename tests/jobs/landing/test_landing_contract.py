"""The examples of jobs/landing/README.md are read and kept by the night's own steps."""

import re
from decimal import Decimal
from pathlib import Path

import pytest

from jobs.landing import landed_files
from jobs.landing.deliveries import transactions_folder
from jobs.schemas.landed import REJECTED_TRANSACTION_LINES, TRANSACTION_LINES
from jobs.settings import Settings
from jobs.tables import transaction_lines
from jobs.warehouse.object_store import ObjectStore
from jobs.warehouse.warehouse import Warehouse
from tests.given.rows import BUSINESS_DATE

PAGE = (Path(landed_files.__file__).parent / "README.md").read_text()


def example(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return found


def test_each_example_of_the_landing_page_is_kept_whole(
    settings: Settings, warehouse: Warehouse, landing: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = transactions_folder(BUSINESS_DATE)
    monkeypatch.chdir(tmp_path)
    exec(example("python"), {})
    landing.write(f"{folder}/receipts.csv", example("csv").encode())
    landing.write(f"{folder}/receipts.jsonl", example("json").encode())
    landing.write(f"{folder}/receipts.parquet", Path("receipts.parquet").read_bytes())
    transaction_lines.run(warehouse, BUSINESS_DATE, settings)
    kept = warehouse.read(TRANSACTION_LINES, BUSINESS_DATE).orderBy("transaction_id", "line_number").collect()
    assert warehouse.read(REJECTED_TRANSACTION_LINES, BUSINESS_DATE).collect() == []
    assert [(row.transaction_id, row.line_type, row.net_amount) for row in kept] == [
        ("4711", "sale", Decimal("49.90")),
        ("4711", "sale", Decimal("159.80")),
        ("4712", "return", Decimal("-49.90")),
        ("4713", "sale", Decimal("49.90")),
        ("4714", "void", Decimal("-89.90")),
        ("4715", "sale", Decimal("79.90")),
    ]


def test_the_landing_page_names_each_field_and_ending() -> None:
    assert all(f"`{name}`" in PAGE for name in landed_files.RECEIPT_FIELDS)
    assert all(f"`{ending}`" in PAGE for ending in (*landed_files.LINE_ENDINGS, landed_files.PARQUET_ENDING))
    assert PAGE.index("checkout-ages check-delivery") < PAGE.index("## ")
