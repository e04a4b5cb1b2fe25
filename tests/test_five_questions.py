from datetime import timedelta
from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from jobs import tables
from jobs.object_store import ObjectStore
from jobs.settings import Settings
from jobs.tables import Table
from jobs.warehouse import Warehouse
from tests.five_questions import Row, assert_forms_agree, five_questions
from tests.rows import BUSINESS_DATE, certain_of

DAY_BEFORE = BUSINESS_DATE - timedelta(days=1)
SPEND, OFFER, UNASKED, MISSED, SHIFT = five_questions()


def spending(age_group: str, amount: float, low: float, high: float) -> dict[str, Any]:
    return {
        **{"store_id": "0042", "product_category": "BEER", "currency": "USD", "age_group": age_group},
        **{"estimated_net_amount": amount, "estimated_net_amount_low": low, "estimated_net_amount_high": high},
    }


def affinity(category: str, index: float | None, low: float | None, high: float | None) -> dict[str, Any]:
    return {
        **{"age_group": "18-24", "product_category": category},
        **{"affinity_index": index, "affinity_index_low": low, "affinity_index_high": high},
    }


def sale(transaction_id: str, store_id: str, probability: float | None, **given: Any) -> dict[str, Any]:
    return {
        **{"store_id": store_id, "till_id": "03", "transaction_id": transaction_id, "id_check": "not_asked"},
        **{"estimate_status": "estimated", "audit_status": "challenge_age_unchecked"},
        "under_challenge_age_probability": probability,
        **given,
    }


def coverage(till_id: str, hour: int, transactions: int, with_photo: int, with_face: int) -> dict[str, Any]:
    return {
        **{"store_id": "0042", "till_id": till_id, "hour": hour, "transaction_count": transactions},
        **{"with_photo_count": with_photo, "with_usable_face_count": with_face},
    }


def mix(circle: str, age_years: int) -> dict[str, Any]:
    shares = {"transaction_count": 7, "estimated_age_shares": certain_of(age_years)}
    return {"circle": circle, "product_category": ""} | shares


PUBLISHED: dict[Table, list[dict[str, Any]]] = {
    tables.AGE_GROUP_PURCHASES: [spending("18-24", 7.5, 5.0, 9.0), spending("25-34", 12.25, 9.0, 15.0)],
    tables.AGE_GROUP_AFFINITY: [
        affinity("BEER", 2.0, 1.2, 2.8),
        affinity("MILK", 1.1, 0.8, 1.4),
        affinity("CRISPS", 3.0, 1.5, 4.5),
        affinity("WINE", None, None, None),
        affinity("TEA", 9.0, 8.0, 10.0) | {"age_group": "65+"},
    ],
    tables.ALCOHOL_SALE_AUDIT: [
        sale("t1", "0042", 0.75),
        sale("t2", "0042", 0.01, audit_status="clearly_adult"),
        sale("t3", "0042", 0.9, id_check="shown", audit_status="id_shown"),
        sale("t4", "0042", 0.9, audit_status="sale_voided"),
        sale("t5", "0042", None, estimate_status="no_photo", audit_status="no_estimate"),
        sale("t1", "0043", 0.5),
    ],
    tables.PHOTO_COVERAGE: [
        coverage("03", 9, 4, 2, 1),
        coverage("04", 9, 4, 4, 4),
        coverage("03", 21, 2, 0, 0),
        coverage("unknown", -1, 0, 0, 0),
    ],
    tables.AGE_MIXES: [mix("all", 40), mix("alcohol", 50)],
}
DAY_BEFORE_PUBLISHED = {table: [] for table in PUBLISHED} | {tables.AGE_MIXES: [mix("all", 24)]}

ANSWERS: dict[str, list[Row]] = {
    SPEND: [
        {"store_id": "0042", "product_category": "BEER", "age_group": group}
        | {"estimated_net_amount": amount, "estimated_net_amount_low": low, "estimated_net_amount_high": high}
        for group, amount, low, high in (("25-34", 12.25, 9.0, 15.0), ("18-24", 7.5, 5.0, 9.0))
    ],
    OFFER: [
        {"product_category": category, "affinity_index": index, "affinity_index_low": low, "affinity_index_high": high}
        for category, index, low, high in (("CRISPS", 3.0, 1.5, 4.5), ("BEER", 2.0, 1.2, 2.8))
    ],
    UNASKED: [
        {"store_id": "0042", "unasked_sales": 2, "expected_under_challenge_age": 0.76},
        {"store_id": "0043", "unasked_sales": 1, "expected_under_challenge_age": 0.5},
    ],
    MISSED: [
        {"hour": 9, "transactions": 8, "share_with_photo": 0.75, "share_with_usable_face": 0.625},
        {"hour": 21, "transactions": 2, "share_with_photo": 0.0, "share_with_usable_face": 0.0},
    ],
    SHIFT: [
        {"business_date": "2026-11-19", "transaction_count": 7, "mean_age_years": 24.0, "share_under_25": 1.0},
        {"business_date": "2026-11-20", "transaction_count": 7, "mean_age_years": 40.0, "share_under_25": 0.0},
    ],
}


@pytest.fixture
def published_days(settings: Settings) -> str:
    """Where two days of all tables that the questions ask lie."""
    warehouse = Warehouse(ObjectStore(settings.warehouse_uri), "run-1")
    for business_date, published in ((BUSINESS_DATE, PUBLISHED), (DAY_BEFORE, DAY_BEFORE_PUBLISHED)):
        for table, rows in published.items():
            schema = pa.schema([field for field in table.schema if field.name != "run_id"])
            warehouse.stage_arrow(table, business_date, pa.Table.from_pylist(rows, schema))
            warehouse.promote(table, business_date)
    return settings.warehouse_uri


@pytest.mark.parametrize("question", ANSWERS)
def test_a_question_has_one_answer_in_all_three_forms(spark: SparkSession, published_days: str, question: str) -> None:
    answer = assert_forms_agree(five_questions()[question], spark, published_days)
    assert answer == [pytest.approx(row) for row in ANSWERS[question]]


def test_there_are_five_questions_of_three_forms_each() -> None:
    assert [set(forms) for forms in five_questions().values()] == [{"DuckDB", "Spark", "pandas"}] * 5
