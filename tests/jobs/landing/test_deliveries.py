from pathlib import Path

import boto3
import pytest
from pyspark.sql import SparkSession

from jobs.errors import StoreError
from jobs.landing.deliveries import (
    landed_photos,
    photos_folder,
    receipt_files,
    receipts_digest,
    transactions_folder,
    unchanged_receipts,
)
from jobs.landing.landed_files import read_landed_lines
from jobs.warehouse.object_store import ObjectStore
from tests.given.rows import BUSINESS_DATE
from tests.servers.s3_server import BUCKET, S3_ENVIRONMENT

FOLDER = transactions_folder(BUSINESS_DATE)
PHOTOS = photos_folder(BUSINESS_DATE)
FIELD_FILES = Path(__file__).parents[1] / "field" / "transactions"


def test_the_digest_of_receipts_depends_on_the_files_and_not_on_marks(landing: ObjectStore) -> None:
    landing.write(f"{FOLDER}/a.csv", b"a")
    digest = receipts_digest(landing, BUSINESS_DATE)
    landing.write(f"{FOLDER}/_SUCCESS", b"")
    assert receipts_digest(landing, BUSINESS_DATE) == digest
    landing.write(f"{FOLDER}/a.csv", b"other")
    assert receipts_digest(landing, BUSINESS_DATE) != digest


LEFT_OVERS = [
    "_SUCCESS",
    "_temporary/0/_temporary/attempt_1/part-0.csv",
    ".hive-staging_hive_2026/part-0.csv",
    "hour=10/_temporary/part-0.csv",
    "hour=10/.part-0.csv.crc",
    "hour=10/_delta_log/00.json",
    "hour=10/_spark_metadata/0",
    "._a.csv",
    ".DS_Store",
]


def test_what_jobs_left_behind_is_no_receipt_file_in_whatever_folder(landing: ObjectStore) -> None:
    files = ["a.csv", "hour=10/b.csv", "hour=11/part=1/c.csv", "x_y/d.v1.csv"]
    for name in (*files, *LEFT_OVERS):
        landing.write(f"{FOLDER}/{name}", b"a")
    assert [entry.key for entry in receipt_files(landing, BUSINESS_DATE)] == [f"{FOLDER}/{name}" for name in files]


def test_a_folder_as_it_arrived_has_the_committed_file_only(landing: ObjectStore) -> None:
    for file in (path for path in (FIELD_FILES / "temporary").rglob("*") if path.is_file()):
        landing.write(f"{FOLDER}/{file.relative_to(FIELD_FILES / 'temporary').as_posix()}", file.read_bytes())
    (file,) = receipt_files(landing, BUSINESS_DATE)
    lines = [line for batch in read_landed_lines(landing, file.key) for line in batch.to_pylist()]
    assert [line["net_amount"] for line in lines] == ["10.00"] * 6


def test_objects_by_which_s3_tools_show_folders_give_no_row(s3_bucket: str, spark: SparkSession) -> None:
    client = boto3.client("s3", endpoint_url=S3_ENVIRONMENT["AWS_ENDPOINT_URL"])
    photo = "store_id=0042/till_id=03/20261120T183015.123Z.jpg"
    keys = [
        *(
            f"{FOLDER}/{name}"
            for name in ("", "hour=10/", "hour=11_$folder$", "v1.2/", "sales.csv/", "sales.csv/a.csv")
        ),
        *(f"{FOLDER}/{name}" for name in ("empty.csv", "_temporary/", "_temporary/0/")),
        *(f"{PHOTOS}/{name}" for name in ("", "store_id=0042/", "store_id=0043_$folder$", "store_id=0042/till_id=03/")),
        *(f"{PHOTOS}/{name}" for name in (photo, f"_temporary/0/{photo}", "store_id=0042/.DS_Store")),
    ]
    for key in keys:
        client.put_object(
            Bucket=BUCKET, Key=f"folders/{key}", Body=b"" if key.endswith(("/", "$", "empty.csv")) else b"x"
        )
    landing = ObjectStore(f"{s3_bucket}/folders")
    assert [entry.key for entry in receipt_files(landing, BUSINESS_DATE)] == [
        f"{FOLDER}/empty.csv",
        f"{FOLDER}/sales.csv/a.csv",
    ]
    found = landed_photos(spark, landing.uri, BUSINESS_DATE).collect()
    assert [row.photo_key for row in found] == [f"{PHOTOS}/{photo}"]


@pytest.mark.parametrize("change", ["added", "replaced", "deleted"])
def test_receipts_that_change_while_they_are_read_fail_the_task(landing: ObjectStore, change: str) -> None:
    landing.write(f"{FOLDER}/a.csv", b"a")
    with (  # noqa: PT012  the block is what reads meanwhile
        pytest.raises(StoreError, match="were added, replaced or deleted while they were read; run the step again"),
        unchanged_receipts(landing, BUSINESS_DATE),
    ):
        if change == "deleted":
            landing.delete([f"{FOLDER}/a.csv"])
        else:
            landing.write(f"{FOLDER}/{'b' if change == 'added' else 'a'}.csv", b"more")
