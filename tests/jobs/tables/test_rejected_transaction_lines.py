import json

from pyspark.sql import SparkSession

from jobs.tables.rejected_transaction_lines import rejected_transaction_lines
from tests.given.judged_lines import judged


def test_a_record_that_could_not_be_taken_apart_keeps_its_text(spark: SparkSession) -> None:
    lines = judged(spark, {"parse_problem": "has 2 fields, but the header has 15", "unparsed_line": "bad,row"})
    row = rejected_transaction_lines(lines).collect()[0]
    assert (row.rejection_reason, row.landed_line) == ("has 2 fields, but the header has 15", "bad,row")


def test_a_record_that_breaks_a_rule_is_kept_as_json(spark: SparkSession) -> None:
    row = rejected_transaction_lines(judged(spark, {"quantity": "many", "id_check": None})).collect()[0]
    record = json.loads(row.landed_line)
    assert record["quantity"] == "many"
    assert "id_check" not in record


def test_a_valid_line_is_not_rejected(spark: SparkSession) -> None:
    assert rejected_transaction_lines(judged(spark, {})).count() == 0
