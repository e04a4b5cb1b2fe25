from datetime import timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from jobs.schemas.alcohol import ALCOHOL_SALE_AUDIT, CASHIER_ALCOHOL_AUDIT
from jobs.schemas.buyers import AGE_GROUP_AFFINITY, AGE_GROUP_PURCHASES, AGE_MIXES
from jobs.schemas.landed import PHOTO_AGE_ESTIMATES, PHOTO_COVERAGE, REJECTED_TRANSACTION_LINES
from jobs.schemas.runs import PIPELINE_RUNS
from jobs.schemas.table import Table
from jobs.warehouse.catalogue import write_catalogue
from jobs.warehouse.object_store import ObjectStore
from jobs.warehouse.warehouse import Warehouse
from tests.given.rows import BUSINESS_DATE, at, certain_of
from tests.worked_questions import READERS, Row, answer_of, assert_other_engines_agree, close_to, worked_questions

DAY_BEFORE = BUSINESS_DATE - timedelta(days=1)
QUESTIONS = worked_questions()
SPEND, OFFER, SHIFT, UNASKED, NOT_JUDGED, WHOSE, MISSED, COMPARABLE, UNUSED = QUESTIONS


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
        **{"under_challenge_age_probability": probability, "alcohol_net_amount": Decimal("2.50"), "currency": "USD"},
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


def night(run_id: str, published_at: str, transactions: int, model_version: str, warnings: list[str]) -> dict[str, Any]:
    return {
        **{"run_id": run_id, "published_at": at(published_at), "transaction_count": transactions},
        **{"photographed_transaction_count": transactions // 2, "estimated_transaction_count": transactions // 4},
        **{"mean_estimated_age_years": 40.0, "model_version": model_version, "warnings": warnings},
    }


PUBLISHED: dict[Table, list[dict[str, Any]]] = {
    AGE_GROUP_PURCHASES: [spending("18-24", 7.5, 5.0, 9.0), spending("25-34", 12.25, 9.0, 15.0)],
    AGE_GROUP_AFFINITY: [
        affinity("BEER", 2.0, 1.2, 2.8),
        affinity("MILK", 1.1, 0.8, 1.4),
        affinity("CRISPS", 3.0, 1.5, 4.5),
        affinity("WINE", None, None, None),
        affinity("TEA", 9.0, 8.0, 10.0) | {"age_group": "65+"},
    ],
    ALCOHOL_SALE_AUDIT: [
        sale("t1", "0042", 0.75),
        sale("t2", "0042", 0.01, audit_status="clearly_adult"),
        sale("t3", "0042", 0.9, id_check="shown", audit_status="id_shown"),
        sale("t4", "0042", 0.9, audit_status="sale_voided"),
        sale("t5", "0042", None, estimate_status="no_photo", audit_status="no_estimate"),
        sale("t6", "0042", None, estimate_status="no_face", audit_status="no_estimate"),
        sale("t7", "0042", None, estimate_status="no_photo", audit_status="no_estimate"),
        sale("t8", "0042", None, estimate_status="no_photo", audit_status="sale_refused"),
        sale("t1", "0043", 0.5),
    ],
    CASHIER_ALCOHOL_AUDIT: [
        {"store_id": "0042", "cashier_id": cashier_id, "review_priority": priority, "review_reason": "figures"}
        for cashier_id, priority in (("c1", None), ("c2", 2), ("c3", 1))
    ],
    PHOTO_COVERAGE: [
        coverage("03", 9, 4, 2, 1),
        coverage("04", 9, 4, 4, 4),
        coverage("03", 21, 2, 0, 0),
        coverage("unknown", -1, 0, 0, 0),
    ],
    AGE_MIXES: [mix("all", 40), mix("alcohol", 50)],
    PHOTO_AGE_ESTIMATES: [
        {"photo_key": key, "estimate_status": status}
        for key, status in (("a", "estimated"), ("b", "no_face"), ("c", "too_small"), ("d", "no_face"))
    ],
    REJECTED_TRANSACTION_LINES: [{"source_file": "f", "line_in_file": 1, "rejection_reason": "no till_id"}],
    PIPELINE_RUNS: [
        night("run-1", "20:00:00", 8, "age_resnet50-3", ["the day has photos"]),
        night("run-2", "21:00:00", 16, "age_resnet50-4", []),
    ],
}
DAY_BEFORE_PUBLISHED = {
    AGE_MIXES: [mix("all", 24)],
    PIPELINE_RUNS: [night("run-0", "03:00:00", 4, "age_resnet50-3", [])],
    REJECTED_TRANSACTION_LINES: [{"source_file": "f", "line_in_file": 1, "rejection_reason": "of another day"}],
}


def spent(age_group: str, amount: float, low: float, high: float) -> Row:
    row = spending(age_group, amount, low, high)
    del row["currency"]
    return row


ANSWERS: dict[str, list[Row]] = {
    SPEND: [spent("25-34", 12.25, 9.0, 15.0), spent("18-24", 7.5, 5.0, 9.0)],
    OFFER: [
        {"product_category": category, "affinity_index": index, "affinity_index_low": low, "affinity_index_high": high}
        for category, index, low, high in (("CRISPS", 3.0, 1.5, 4.5), ("BEER", 2.0, 1.2, 2.8))
    ],
    SHIFT: [
        {"business_date": DAY_BEFORE, "transaction_count": 7, "mean_age_years": 24.0, "share_under_25": 1.0},
        {"business_date": BUSINESS_DATE, "transaction_count": 7, "mean_age_years": 40.0, "share_under_25": 0.0},
    ],
    UNASKED: [
        {"store_id": "0042", "unasked_sales": 2, "expected_under_challenge_age": 0.76},
        {"store_id": "0043", "unasked_sales": 1, "expected_under_challenge_age": 0.5},
    ],
    NOT_JUDGED: [
        {"estimate_status": "no_photo", "sales": 2, "net_amount": 5.0, "currency": "USD"},
        {"estimate_status": "no_face", "sales": 1, "net_amount": 2.5, "currency": "USD"},
    ],
    WHOSE: [
        {"review_priority": priority, "store_id": "0042", "cashier_id": cashier_id, "review_reason": "figures"}
        for priority, cashier_id in ((1, "c3"), (2, "c2"))
    ],
    MISSED: [
        {"hour": 9, "transactions": 8, "share_with_photo": 0.75, "share_with_usable_face": 0.625},
        {"hour": 21, "transactions": 2, "share_with_photo": 0.0, "share_with_usable_face": 0.0},
    ],
    COMPARABLE: [
        {"business_date": day, "transaction_count": count, "share_with_photo": 0.5, "share_estimated": 0.25}
        | {"mean_estimated_age_years": 40.0, "model_version": model_version, "warnings": []}
        for day, count, model_version in ((BUSINESS_DATE, 16, "age_resnet50-4"), (DAY_BEFORE, 4, "age_resnet50-3"))
    ],
    UNUSED: [
        {"what": "photo", "why": "no_face", "how_many": 2},
        {"what": "photo", "why": "too_small", "how_many": 1},
        {"what": "receipt line", "why": "no till_id", "how_many": 1},
    ],
}


@pytest.fixture(scope="module")
def warehouse_uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where two days of all tables that the questions ask lie, with their catalogue."""
    store = ObjectStore((tmp_path_factory.mktemp("questions") / "warehouse").as_uri())
    for business_date, published in ((BUSINESS_DATE, PUBLISHED), (DAY_BEFORE, DAY_BEFORE_PUBLISHED)):
        for table, rows in published.items():
            Warehouse(store, "run-1").published.write(table, business_date, pa.Table.from_pylist(rows, table.schema))
    write_catalogue(store)
    return store.uri


@pytest.mark.parametrize("question", ANSWERS)
def test_a_question_has_its_answer(warehouse_uri: str, question: str) -> None:
    assert answer_of(QUESTIONS[question], warehouse_uri) == [close_to(row) for row in ANSWERS[question]]


def test_spark_and_pandas_give_the_same_answer_as_the_query(spark: SparkSession, warehouse_uri: str) -> None:
    assert_other_engines_agree(QUESTIONS[UNASKED], spark, warehouse_uri)


def test_each_reader_has_three_questions() -> None:
    assert [title.partition(":")[0] for title in QUESTIONS] == [reader for reader in READERS for _ in range(3)]
