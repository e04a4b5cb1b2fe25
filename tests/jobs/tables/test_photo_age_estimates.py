import gc
import hashlib
import io
import sys
import threading
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from pyspark.sql import Row, SparkSession
from pyspark.sql import functions as F

from jobs.ages import age_inference
from jobs.ages.age_inference import PhotoInference, _load_estimator, task_stage
from jobs.ages.inference_stage import PHOTOS_AHEAD
from jobs.errors import InputError
from jobs.operations.sample_day.sample_faces import synthetic_face_photos
from jobs.schemas.landed import CHECKOUT_PHOTOS, PHOTO_AGE_ESTIMATES
from jobs.settings import Settings
from jobs.tables.photo_age_estimates import (
    _task_count,
    dealt_to_tasks,
    photo_age_estimates,
    reusable_estimates,
    run,
    task_number,
)
from jobs.warehouse.object_store import ObjectStore
from jobs.warehouse.warehouse import Warehouse
from models.serving.age_estimator import AgeEstimator
from models.serving.photo_statuses import PHOTO_CHECKS_VERSION
from tests.given.rows import BUSINESS_DATE, rows_of

FIELD = Path(__file__).parents[2] / "models" / "field"


def face_jpegs(count: int) -> list[bytes]:
    return [photo.content for photo in synthetic_face_photos()([35] * count, list(range(count)), 1)]


def field_photo(name: str) -> bytes:
    return (FIELD / name).read_bytes()


def shelf_jpeg() -> bytes:
    content = io.BytesIO()
    Image.linear_gradient("L").save(content, "JPEG")
    return content.getvalue()


def estimated(spark: SparkSession, settings: Settings, *photos: dict[str, object]) -> list[Row]:
    rows = rows_of(spark, CHECKOUT_PHOTOS, *photos)
    return photo_age_estimates(
        rows, settings.part(PhotoInference), "test-run", spark.sparkContext.accumulator(0)
    ).collect()


def landed(landing: ObjectStore, **contents: bytes) -> list[dict[str, object]]:
    """Write photos and return their rows as checkout_photos has them."""
    for key, content in contents.items():
        landing.write(f"photos/{key}.jpg", content)
    listed = sorted(landing.list("photos"), key=lambda entry: entry.key)
    return [{"photo_key": entry.key, "etag": entry.etag, "size_bytes": entry.size_bytes} for entry in listed]


def as_stage_takes(photos: list[dict[str, object]]) -> pd.DataFrame:
    return pd.DataFrame(photos).assign(key_problem=None, photo_stretch=1.0)


@pytest.mark.parametrize("engine", ["openvino", "tensorflow"])
def test_ten_photos_in_ten_rows_out_each_with_an_estimate_or_a_reason(
    spark: SparkSession, settings: Settings, landing: ObjectStore, engine: str
) -> None:
    faces = face_jpegs(4)
    contents = {f"face{person}.jpg": face for person, face in enumerate(faces)} | {
        "shelf.jpg": shelf_jpeg(),
        "empty.jpg": b"",
        "text.jpg": b"this is no photo",
        "truncated.jpg": faces[0][:2000],
        "big.jpg": b"x" * 300_000,
    }
    for key, content in contents.items():
        landing.write(key, content)
    photos = [{"photo_key": key, "size_bytes": len(content)} for key, content in contents.items()]
    photos += [
        {"photo_key": "gone.jpg", "size_bytes": 5},
        {"photo_key": "junk", "size_bytes": 5, "key_problem": "photo key 'junk' does not match '…'"},
    ]
    small = settings.model_copy(update={"max_photo_bytes": 200_000, "inference_engine": engine})
    estimates = estimated(spark, small, *photos)
    assert {row.photo_key: row.estimate_status for row in estimates} == {
        "face0.jpg": "estimated",
        "face1.jpg": "estimated",
        "face2.jpg": "estimated",
        "face3.jpg": "estimated",
        "shelf.jpg": "no_face",
        "empty.jpg": "empty",
        "text.jpg": "not_an_image",
        "truncated.jpg": "truncated",
        "big.jpg": "too_large",
        "gone.jpg": "missing",
        "junk": "unreadable_key",
    }
    for row in estimates:
        if row.estimate_status == "estimated":
            assert row.estimated_age_low_years <= row.estimated_age_years <= row.estimated_age_high_years
            assert abs(sum(row.age_distribution) - 1) < 1e-3
            assert abs(sum(row.age_distribution[:18]) - row.under_18_probability) < 1e-3
            assert row.estimate_reason is None
            assert (row.inference_engine, row.inferred_run_id) == (engine, "test-run")
            assert (row.face_count, row.face_side_pixels) == (1, 200)
        else:
            assert row.estimate_reason
            assert (row.estimated_age_years, row.age_distribution) == (None, None)
            assert (row.face_count, row.face_side_pixels) == (0 if row.estimate_status == "no_face" else None, None)


def test_more_photos_than_are_held_ahead_come_out_in_their_order(
    spark: SparkSession, settings: Settings, landing: ObjectStore
) -> None:
    faces = face_jpegs(3)
    contents = {f"p{number:03d}": faces[number % 3] for number in range(2 * PHOTOS_AHEAD + 7)}
    photos = landed(landing, **contents)
    done = spark.sparkContext.accumulator(0)
    inference = settings.part(PhotoInference)
    rows = photo_age_estimates(rows_of(spark, CHECKOUT_PHOTOS, *photos), inference, "r", done).collect()
    assert len(rows) == done.value == len(contents)
    by_key = {row.photo_key: row for row in rows}
    for number, key in enumerate(sorted(by_key)):
        content = faces[number % 3]
        assert by_key[key].content_sha256 == hashlib.sha256(content).hexdigest()
        assert by_key[key].estimated_age_years == by_key[f"photos/p{number % 3:03d}.jpg"].estimated_age_years


@pytest.mark.parametrize("task_cores", [1, 2])
def test_the_same_content_is_looked_at_once_and_has_a_row_for_each_photo(
    settings: Settings, landing: ObjectStore, monkeypatch: pytest.MonkeyPatch, task_cores: int
) -> None:
    monkeypatch.setattr(age_inference, "_task_cores", lambda: task_cores)
    one, other = face_jpegs(2)
    photos = as_stage_takes(landed(landing, a=one, b=other, c=one, d=b"", e=b"", f=one))
    looked_at: list[bytes] = []
    read_face = AgeEstimator.read_face
    monkeypatch.setattr(
        AgeEstimator,
        "read_face",
        lambda self, photo, stretch: (looked_at.append(photo), read_face(self, photo, stretch))[1],
    )
    rows = [row for chunk in task_stage(settings.part(PhotoInference)).estimates([photos]) for row in chunk]
    assert sorted(looked_at) == sorted([one, other, b""])
    assert [row["estimate_status"] for row in rows] == [
        "estimated",
        "estimated",
        "estimated",
        "empty",
        "empty",
        "estimated",
    ]
    assert rows[0] == rows[2] == rows[5] != rows[1]


def test_a_photo_that_is_not_as_it_was_listed_is_not_estimated(settings: Settings, landing: ObjectStore) -> None:
    one, other = face_jpegs(2)
    listed = as_stage_takes(landed(landing, a=one, b=one, c=one))
    landing.write("photos/a.jpg", other)
    landing.delete(["photos/b.jpg"])
    rows = [row for chunk in task_stage(settings.part(PhotoInference)).estimates([listed]) for row in chunk]
    assert [(row["estimate_status"], row["content_sha256"]) for row in rows] == [
        ("replaced", None),
        ("missing", None),
        ("estimated", hashlib.sha256(one).hexdigest()),
    ]


def test_a_photo_whose_key_the_client_refuses_is_a_row(settings: Settings, landing: ObjectStore) -> None:
    landing.write("photos/a.jpg", face_jpegs(1)[0])
    keys = ["photos/a.jpg", "photos/line\nbreak.jpg", "photos/../a.jpg", "photos//a.jpg"]
    size_bytes = len(face_jpegs(1)[0])
    photos = as_stage_takes([{"photo_key": key, "etag": None, "size_bytes": size_bytes} for key in keys])
    rows = [row for chunk in task_stage(settings.part(PhotoInference)).estimates([photos]) for row in chunk]
    assert [row["estimate_status"] for row in rows][:3] == ["estimated", "unreadable_key", "unreadable_key"]
    assert len(rows) == len(keys)


def test_photos_are_held_ahead_up_to_a_number_and_up_to_so_many_bytes(settings: Settings) -> None:
    def chunk_sizes(*sizes: int) -> list[int]:
        photos = pd.DataFrame({"size_bytes": sizes})
        return [len(chunk) for chunk in task_stage(settings.part(PhotoInference))._chunks(photos)]

    assert chunk_sizes(*[1_000] * (2 * PHOTOS_AHEAD + 1)) == [PHOTOS_AHEAD, PHOTOS_AHEAD, 1]
    assert chunk_sizes(*[20_000_000] * 7) == [3, 3, 1]
    assert chunk_sizes(*[10**12] * 7) == [7]


def test_an_engine_that_is_not_installed_is_named_with_the_way_out(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "keras", None)
    other = settings.model_copy(update={"inference_engine": "tensorflow"})
    with pytest.raises(InputError, match=r"engine 'tensorflow' needs the package 'keras', .* or set CHECKOUT_AGES"):
        task_stage(other.part(PhotoInference))


@pytest.mark.parametrize("task_cores", [1, 2])
def test_a_worker_keeps_its_threads_from_task_to_task(
    settings: Settings, landing: ObjectStore, monkeypatch: pytest.MonkeyPatch, task_cores: int
) -> None:
    monkeypatch.setattr(age_inference, "_task_cores", lambda: task_cores)
    photos = as_stage_takes(landed(landing, a=face_jpegs(1)[0]))
    threads = []
    for _ in range(3):
        list(task_stage(settings.part(PhotoInference)).estimates([photos]))
        threads.append({thread.ident for thread in threading.enumerate()})
    assert threads[0] == threads[1] == threads[2]


def test_what_a_worker_has_loaded_is_not_looked_through_for_garbage_after_each_task(settings: Settings) -> None:
    gc.unfreeze()
    _load_estimator.cache_clear()
    task_stage(settings.part(PhotoInference))
    assert gc.get_freeze_count() > len(gc.get_objects())


def test_a_run_again_infers_only_what_is_new_or_was_replaced(
    spark: SparkSession, settings: Settings, landing: ObjectStore, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "jobs")
    one, other, late = face_jpegs(3)
    day = {"a": one, "b": other, "empty": b""}
    first = night(spark, settings, "first", landed(landing, **day))
    again = night(spark, settings, "again", landed(landing))
    assert "0 photos examined, 3 estimates reused from earlier runs of the day" in caplog.text
    assert again == first
    assert {row.inferred_run_id for row in again} == {"first"}
    changed = night(spark, settings, "changed", landed(landing, b=late, c=late))
    assert {row.photo_key: row.inferred_run_id for row in changed} == {
        "photos/a.jpg": "first",
        "photos/b.jpg": "changed",
        "photos/c.jpg": "changed",
        "photos/empty.jpg": "first",
    }
    fresh = night(spark, settings.model_copy(update={"reuse_estimates": False}), "fresh", landed(landing))
    assert {row.inferred_run_id for row in fresh} == {"fresh"}
    ages = [row.estimated_age_years for row in changed]
    assert [row.estimated_age_years for row in fresh] == [age and pytest.approx(age) for age in ages]


def test_what_another_model_or_engine_said_and_what_may_pass_is_not_taken_over(
    spark: SparkSession, settings: Settings
) -> None:
    photos = rows_of(spark, CHECKOUT_PHOTOS, *({"photo_key": key, "etag": "1"} for key in "abcdefghijklmn"))
    estimate = {
        "etag": "1",
        "estimate_status": "estimated",
        "model_version": settings.model_version,
        "inference_engine": "openvino",
        "photo_checks_version": PHOTO_CHECKS_VERSION,
        "photo_stretch": 1.0,
    }
    published = [
        estimate | {"photo_key": "a"},
        estimate | {"photo_key": "b", "model_version": "age_resnet50-0"},
        estimate | {"photo_key": "c", "etag": "0"},
        estimate | {"photo_key": "d", "estimate_status": "missing"},
        estimate | {"photo_key": "f", "estimate_status": "unreadable_object"},
        estimate | {"photo_key": "g", "estimate_status": "replaced"},
        estimate | {"photo_key": "h", "estimate_status": "unreadable_key"},
        estimate | {"photo_key": "i", "photo_checks_version": PHOTO_CHECKS_VERSION - 1},
        estimate | {"photo_key": "j", "photo_checks_version": None},
        estimate | {"photo_key": "k", "photo_stretch": 2.0},
        estimate | {"photo_key": "l", "estimate_status": "too_many_pixels", "estimate_reason": "9 × 9 pixels"},
        estimate | {"photo_key": "m", "estimate_status": "face_too_dark"},
        estimate | {"photo_key": "n", "estimate_status": "unsupported_format"},
        estimate | {"photo_key": "e", "inference_engine": "tensorflow"},
        estimate | {"photo_key": "gone"},
    ]
    rows = rows_of(spark, PHOTO_AGE_ESTIMATES, *published)
    known = reusable_estimates(photos, rows, settings.part(PhotoInference))
    assert sorted(row.photo_key for row in known.collect()) == ["a", "m", "n"]


def test_an_estimate_is_made_again_once_its_till_has_another_stretch(spark: SparkSession, settings: Settings) -> None:
    till = {"store_id": "0042", "etag": "1"}
    photos = rows_of(
        spark,
        CHECKOUT_PHOTOS,
        till | {"photo_key": "a", "till_id": "03"},
        till | {"photo_key": "b", "till_id": "04"},
        {"photo_key": "c", "etag": "1"},
    )
    published = rows_of(
        spark,
        PHOTO_AGE_ESTIMATES,
        *(
            {
                "photo_key": key,
                "etag": "1",
                "estimate_status": "estimated",
                "model_version": settings.model_version,
                "inference_engine": "openvino",
                "photo_checks_version": PHOTO_CHECKS_VERSION,
                "photo_stretch": 1.0,
            }
            for key in "abc"
        ),
    )
    stretched = settings.model_copy(update={"photo_stretch": {"0042/03": 2.0}})
    known = reusable_estimates(photos, published, stretched.part(PhotoInference))
    assert sorted(row.photo_key for row in known.collect()) == ["b", "c"]


def test_a_day_that_earlier_code_published_is_looked_at_again_and_accuses_nobody_in_the_dark(
    spark: SparkSession, settings: Settings, landing: ObjectStore, tmp_path: Path
) -> None:
    photos = landed(landing, dark=field_photo("dark_0.05.jpg"), face=field_photo("face_drawn.jpg"))
    night(spark, settings, "earlier", photos)
    (file,) = Path(settings.warehouse_uri.removeprefix("file://")).glob("photo_age_estimates/*/*.parquet")
    earlier = pq.read_table(file, partitioning=None).to_pandas()
    earlier["estimate_status"], earlier["under_18_probability"] = "estimated", 0.91
    old_columns = earlier.drop(columns=["photo_checks_version", "photo_stretch"])
    pq.write_table(pa.Table.from_pandas(old_columns, preserve_index=False), file)
    restated = {row.photo_key: row for row in night(spark, settings, "now", photos)}
    dark, face = restated["photos/dark.jpg"], restated["photos/face.jpg"]
    assert (dark.estimate_status, dark.under_18_probability, dark.inferred_run_id) == ("face_too_dark", None, "now")
    assert (face.estimate_status, face.inferred_run_id) == ("estimated", "now")
    assert {row.photo_checks_version for row in restated.values()} == {PHOTO_CHECKS_VERSION}
    assert {row.inferred_run_id for row in night(spark, settings, "again", photos)} == {"now"}


def test_frames_of_a_till_are_stretched_as_its_setting_says(
    spark: SparkSession, settings: Settings, landing: ObjectStore
) -> None:
    face = Image.open(io.BytesIO(field_photo("face_drawn.jpg")))
    content = io.BytesIO()
    face.resize((200, 100), Image.Resampling.BICUBIC).save(content, "JPEG", quality=95)
    photos = [
        {**photo, "store_id": "0042", "till_id": till}
        for till, photo in zip(("03", "04"), landed(landing, a=content.getvalue(), b=content.getvalue()), strict=True)
    ]
    stretched = settings.model_copy(update={"photo_stretch": {"0042/03": 2.0}})
    right, squashed = sorted(estimated(spark, stretched, *photos), key=lambda row: row.photo_key)
    assert (right.estimate_status, right.photo_stretch, right.face_side_pixels) == ("estimated", 2.0, 200)
    assert (squashed.estimate_status, squashed.photo_stretch) == ("face_distorted", 1.0)


def night(spark: SparkSession, settings: Settings, run_id: str, photos: list[dict[str, object]]) -> list[Row]:
    """Stage and publish the estimates of a day as a run does; return the rows without their run."""
    warehouse = Warehouse(ObjectStore(settings.warehouse_uri), run_id, spark, model_version=settings.model_version)
    warehouse.stage(CHECKOUT_PHOTOS, BUSINESS_DATE, rows_of(spark, CHECKOUT_PHOTOS, *photos))
    run(warehouse, BUSINESS_DATE, settings)
    warehouse.promote(PHOTO_AGE_ESTIMATES, BUSINESS_DATE)
    published = warehouse.read_published(PHOTO_AGE_ESTIMATES, BUSINESS_DATE)
    assert published is not None
    return published.drop("run_id").collect()


def test_the_last_of_ten_million_photos_has_a_task_too(spark: SparkSession) -> None:
    before = spark.createDataFrame([(0,), (5_000_000,), (9_999_999,)], "photos_before int")
    tasks = before.select(task_number(F.col("photos_before"), 40_000, 10_000_000)).collect()
    assert [task for (task,) in tasks] == [0, 20_000, 39_999]


def test_tasks_get_equal_numbers_of_photos_and_photos_of_one_size_meet_in_one(spark: SparkSession) -> None:
    sizes = [1000 + number for number in range(1001)] + [77] * 23
    photos = rows_of(
        spark,
        CHECKOUT_PHOTOS,
        *({"photo_key": str(number), "size_bytes": size} for number, size in enumerate(sizes)),
    )
    tasks = dealt_to_tasks(photos, len(sizes)).select("size_bytes", F.spark_partition_id().alias("task")).toPandas()
    counts = tasks["task"].value_counts()
    assert sorted(counts.index) == list(range(_task_count(len(sizes), spark.sparkContext.defaultParallelism)))
    assert counts.max() - counts.min() <= 2 * 23
    assert tasks.loc[tasks["size_bytes"] == 77, "task"].nunique() == 1


def test_a_small_day_starts_the_network_once_and_a_large_one_fills_whole_rounds() -> None:
    assert [_task_count(photos, slots=4) for photos in (0, 100, 200, 600, 2_000, 20_000)] == [1, 1, 3, 4, 8, 80]
