import json

from pyspark.sql import SparkSession

from jobs.rejected_transaction_lines import rejected_transaction_lines
from tests.jobs.test_transaction_lines import DAY, landed


def test_a_record_that_could_not_be_taken_apart_keeps_its_text(spark: SparkSession) -> None:
    lines = landed(spark, {"parse_problem": "has 2 fields, the header has 15", "unparsed_line": "bad,row"})
    row = rejected_transaction_lines(lines, DAY).collect()[0]
    assert (row.rejection_reason, row.landed_line) == ("has 2 fields, the header has 15", "bad,row")


def test_a_record_that_breaks_a_rule_is_kept_as_json(spark: SparkSession) -> None:
    row = rejected_transaction_lines(landed(spark, {"quantity": "many"}), DAY).collect()[0]
    assert json.loads(row.landed_line)["quantity"] == "many"


def test_a_valid_line_is_not_rejected(spark: SparkSession) -> None:
    assert rejected_transaction_lines(landed(spark, {}), DAY).count() == 0
