import io

from PIL import Image
from pyspark.sql import SparkSession

from jobs import tables
from jobs.object_store import ObjectStore
from jobs.photo_age_estimates import _task_count, photo_age_estimates
from jobs.sample_faces import synthetic_face_photos
from jobs.settings import Settings
from tests.rows import rows_of


def face_jpegs(count: int) -> list[bytes]:
    return [photo.content for photo in synthetic_face_photos()([35] * count, list(range(count)), 1)]


def shelf_jpeg() -> bytes:
    content = io.BytesIO()
    Image.linear_gradient("L").save(content, "JPEG")
    return content.getvalue()


def test_ten_photos_in_ten_rows_out_each_with_an_estimate_or_a_reason(
    spark: SparkSession, settings: Settings, landing: ObjectStore
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
    small = settings.model_copy(update={"max_photo_bytes": 200_000})
    estimates = photo_age_estimates(rows_of(spark, tables.CHECKOUT_PHOTOS, *photos), small).collect()
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
            assert (row.estimate_reason, row.model_version) == (None, settings.model_version)
            assert (row.face_count, row.face_side_pixels) == (1, 200)
        else:
            assert row.estimate_reason
            assert (row.estimated_age_years, row.age_distribution) == (None, None)
            assert (row.face_count, row.face_side_pixels) == (0 if row.estimate_status == "no_face" else None, None)


def test_a_small_day_starts_the_network_once_and_a_large_one_fills_whole_rounds() -> None:
    assert [_task_count(photos, slots=4) for photos in (0, 100, 300, 600, 2_000, 20_000)] == [1, 1, 2, 4, 4, 40]
