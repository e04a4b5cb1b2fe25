"""measure_rates: measures the speed of this machine for night_plan, in three nights of a generated day.

The first night estimates the photos. The second reuses these estimates and runs in a warm JVM. The third has many more
receipt lines. The cost of a line is the difference between the last two. All files are in a temporary folder.
"""

from __future__ import annotations

import io
import platform
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import SparkSession

from jobs.landing.deliveries import SUCCESS, photos_folder, transactions_folder
from jobs.operations.night_plan import DEFAULT_RATES, MILLION, Rates
from jobs.operations.sample_day.sample_faces import synthetic_face_photos
from jobs.schemas.dictionary import PUBLISHED_TABLES
from jobs.settings import Settings, read_settings
from jobs.steps.order import SPARK_STEPS, run_night
from jobs.warehouse.object_store import ObjectStore
from jobs.warehouse.warehouse import Warehouse

BUSINESS_DATE = date(2026, 11, 20)
OPENING = datetime(2026, 11, 20, 5, tzinfo=UTC)
PHOTO_COUNT = 512
PHOTO_SIZE = (640, 480)
STORES, TILLS = 8, 10
LINES_PER_RECEIPT = 10
SECONDS_PER_RECEIPT = 60
FEW_RECEIPTS, MANY_RECEIPTS = 5_000, 50_000
CATEGORY_COUNT = 60
SEED = 1

StepDone = Callable[[str, float], None]


def measured_rates(
    session: SparkSession,
    session_seconds: float,
    step_done: StepDone,
    few: int = FEW_RECEIPTS,
    many: int = MANY_RECEIPTS,
    photo_count: int = PHOTO_COUNT,
) -> Rates:
    """Run the three nights in a Spark session, and return the measured rates.

    `session_seconds` is the time it took to start the session; under Airflow each step that builds a table starts one.
    `step_done` is called after each step with its name and seconds. The rate of listing is not measured: it depends on
    the store, not on the machine.
    """
    with TemporaryDirectory(prefix="checkout-ages-") as folder:
        landing_uri, warehouse_uri = (Path(folder, name).as_uri() for name in ("landing", "warehouse"))
        settings = read_settings({}, landing_uri=landing_uri, warehouse_uri=warehouse_uri)
        landing = ObjectStore(landing_uri)
        _land(landing, 0, few)
        for number, content in enumerate(_photos(photo_count)):
            landing.write(_photo_key(number), content)
        _night(session, settings, "cold", step_done)
        # Only the first night infers photos, so the rate of photos is read now.
        run = Warehouse(ObjectStore(warehouse_uri), "reader").runs.published(BUSINESS_DATE) or {}
        few_seconds = _night(session, settings, "few", step_done)
        few_bytes = _published_bytes(warehouse_uri)
        _land(landing, few, many)
        many_seconds = _night(session, settings, "many", step_done)
        many_bytes = _published_bytes(warehouse_uri)
    more_lines = (many - few) * LINES_PER_RECEIPT
    # Noise can make the larger night the faster one on a quick machine; a negative rate would be nonsense.
    seconds_per_line = max(0.0, many_seconds - few_seconds) / more_lines
    bytes_per_line = (many_bytes - few_bytes) / more_lines
    return Rates(
        machine=f"{platform.node()}, {session.sparkContext.defaultParallelism} cores, {platform.machine()}",
        measured_on=f"{datetime.now(UTC):%Y-%m-%d}",
        photos_per_core_second=run["inferred_photos_per_second"] / session.sparkContext.defaultParallelism,
        listed_photos_per_second=DEFAULT_RATES.listed_photos_per_second,
        start_seconds=session_seconds * len(SPARK_STEPS)
        + max(0.0, few_seconds - seconds_per_line * few * LINES_PER_RECEIPT),
        seconds_per_million_lines=seconds_per_line * MILLION,
        bytes_per_photo=max(1.0, few_bytes - bytes_per_line * few * LINES_PER_RECEIPT) / photo_count,
        bytes_per_line=bytes_per_line,
        largest_photo_count=DEFAULT_RATES.largest_photo_count,
        largest_line_count=DEFAULT_RATES.largest_line_count,
    )


def _night(session: SparkSession, settings: Settings, run_id: str, step_done: StepDone) -> float:
    """Run a night; return the seconds of all steps except inference."""
    seconds: dict[str, float] = {}

    def done(step: str, step_seconds: float) -> None:
        seconds[step] = step_seconds
        step_done(f"{step} ({run_id})", step_seconds)

    run_night(Warehouse(ObjectStore(settings.warehouse_uri), run_id, session), BUSINESS_DATE, settings, done)
    return sum(seconds.values()) - seconds["photo_age_estimates"]


def _published_bytes(warehouse_uri: str) -> int:
    """Return the bytes of all tables' files."""
    store = ObjectStore(warehouse_uri)
    return sum(entry.size_bytes for table in PUBLISHED_TABLES for entry in store.list(table.name))


def _land(landing: ObjectStore, first: int, end: int) -> None:
    """Deliver the receipts from one number up to another, exclusive, as one file, and mark the day complete."""
    sink = pa.BufferOutputStream()
    pq.write_table(_receipt_lines(np.arange(first, end)), sink)
    landing.write(f"{transactions_folder(BUSINESS_DATE)}/{first:09}.parquet", sink.getvalue().to_pybytes())
    for folder in (photos_folder, transactions_folder):
        landing.write(f"{folder(BUSINESS_DATE)}/{SUCCESS}", b"")


def _receipt_lines(receipts: np.ndarray) -> pa.Table:
    random = np.random.default_rng([SEED, int(receipts[0])])
    receipt = np.repeat(receipts, LINES_PER_RECEIPT)
    line_number = np.tile(np.arange(1, LINES_PER_RECEIPT + 1), len(receipts))
    category = np.minimum(random.geometric(0.06, len(receipt)), CATEGORY_COUNT)
    places = [_place(number) for number in receipts.tolist()]
    store_id, till_id, closed_at = (
        np.repeat(np.array(values), LINES_PER_RECEIPT) for values in zip(*places, strict=True)
    )
    return pa.table(
        {
            "transaction_id": [f"t{number}" for number in receipt.tolist()],
            "store_id": store_id,
            "till_id": till_id,
            "cashier_id": till_id,
            "closed_at": closed_at,
            "line_number": line_number,
            "line_type": ["sale"] * len(receipt),
            "sku": [f"s{number}" for number in random.integers(0, 20_000, len(receipt)).tolist()],
            "product_category": [f"category-{number}" for number in category.tolist()],
            "quantity": ["1"] * len(receipt),
            "net_amount": [f"{cents / 100:.2f}" for cents in random.integers(1, 4000, len(receipt)).tolist()],
            "currency": ["RUB"] * len(receipt),
            "is_alcohol": (category % 20 == 0).tolist(),
            "id_check": ["not_asked"] * len(receipt),
        }
    )


def _place(receipt: int) -> tuple[str, str, str]:
    """Return store, till and time of a receipt."""
    store, till, number = receipt % STORES, receipt // STORES % TILLS, receipt // (STORES * TILLS)
    closed_at = OPENING + timedelta(seconds=SECONDS_PER_RECEIPT * number)
    return f"{store:04}", f"{till:02}", closed_at.isoformat()


def _photo_key(receipt: int) -> str:
    store_id, till_id, closed_at = _place(receipt)
    taken_at = datetime.fromisoformat(closed_at) - timedelta(seconds=10)
    return f"{photos_folder(BUSINESS_DATE)}/store_id={store_id}/till_id={till_id}/{taken_at:%Y%m%dT%H%M%S}.000Z.jpg"


def _photos(count: int) -> Iterator[bytes]:
    """Draw photos of the size of a checkout camera's, each with an artificial face at another place."""
    from PIL import Image

    random = np.random.default_rng(SEED)
    ages = random.integers(16, 80, count).tolist()
    shop = Image.fromarray(random.integers(90, 140, (PHOTO_SIZE[1], PHOTO_SIZE[0], 3), dtype=np.uint8))
    for face in synthetic_face_photos()(ages, list(range(count)), SEED):
        portrait = Image.open(io.BytesIO(face.content))
        left, top = (int(random.integers(0, PHOTO_SIZE[side] - portrait.size[side])) for side in (0, 1))
        photo, jpeg = shop.copy(), io.BytesIO()
        photo.paste(portrait, (left, top))
        photo.save(jpeg, "JPEG", quality=90)
        yield jpeg.getvalue()
