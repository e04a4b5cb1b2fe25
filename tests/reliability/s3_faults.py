"""s3_faults: run the steps of a night against an S3 server that is slow, cuts answers off, or changes objects.

A proxy adds faults to the real server's answers. The code under test is that of the night, with shorter timeouts.
Three things are counted: photos with a lost row, photos estimated from other bytes than those listed, and outcomes that
differ from the documented ones.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from unittest.mock import patch

import pandas as pd
import pyarrow as pa
import pytest

from jobs.ages.age_inference import PhotoInference, task_stage
from jobs.errors import InputError, ReplacedError, StoreError
from jobs.landing.landed_files import read_landed_lines
from jobs.local_spark import local_spark_environment
from jobs.operations.sample_day.sample_faces import synthetic_face_photos
from jobs.schemas.landed import CHECKOUT_PHOTOS
from jobs.settings import PREFIX, Settings, read_settings
from jobs.warehouse import object_store
from jobs.warehouse.object_store import ObjectStore, StoredObject
from jobs.warehouse.warehouse import Warehouse
from tests.reliability.fault_proxy import Fault, FaultProxy, Plan, Request, running_proxy
from tests.servers.s3_server import BUCKET, S3_ENVIRONMENT, S3_PORT, running_s3_server

BUSINESS_DATE = date(2026, 11, 20)
FACES = 16
IMPATIENT = {"SILENCE_SECONDS": 1.5, "RETRIES": 3}
MORE_THAN_A_PAGE = 1_050
ALWAYS = 1_000_000

PASSING: tuple[Fault, ...] = (
    *("slow_down", "internal_error", "reset", "lost_answer", "stall"),
    *("reset_in_body", "stall_in_body", "truncated"),
)
LASTING: tuple[Fault, ...] = (
    *("slow_down", "internal_error", "reset", "stall", "reset_in_body", "truncated", "shortened", "forbidden"),
)
CHANGES = {"deleted": "missing", "replaced_by_as_many_bytes": "replaced", "replaced_by_fewer_bytes": "replaced"}


@dataclass
class Findings:
    """Deviations from the expected outcomes."""

    photo_count: int = 0
    lost: int = 0
    wrongly_inferred: int = 0
    unexpected: list[str] = field(default_factory=list)

    def expect(self, holds: bool, sentence: str) -> None:
        if not holds:
            self.unexpected.append(sentence)


def measure(folder: Path, quick: bool = False) -> dict[str, int | float]:
    """Try each fault at each place where a night uses the store."""
    folder.mkdir(parents=True, exist_ok=True)
    with running_s3_server(folder), running_proxy(S3_PORT) as proxy, endpoint_at(proxy), patience(**IMPATIENT):
        findings = all_findings(proxy, photo_count=120 if quick else 480)
        injected, kinds = proxy.sent.total(), len(proxy.sent)
        control = findings_of_a_careless_client(proxy)
    for sentence in findings.unexpected:
        print(f"s3_faults: {sentence}", file=sys.stderr)
    return {
        "s3_faults_injected": injected,
        "s3_fault_kinds": kinds + len(CHANGES),
        "s3_photos": findings.photo_count,
        "photos_lost": findings.lost,
        "photos_wrongly_inferred": findings.wrongly_inferred,
        "s3_unexpected_outcomes": len(findings.unexpected),
        "controls_planted": 1,
        "controls_caught": int(control.wrongly_inferred > 0 and len(control.unexpected) > 0),
    }


def all_findings(proxy: FaultProxy, photo_count: int) -> Findings:
    """Try all faults. The environment's endpoint is the proxy."""
    findings = Findings()
    for meet in (
        *(lambda proxy, findings: meet_faults_of_photos(proxy, photo_count, findings), meet_expired_credentials),
        *(meet_a_dead_store, meet_faults_of_listings, meet_faults_of_tables, meet_faults_of_receipts),
        meet_expired_credentials_in_spark,
    ):
        meet(proxy, findings)
    return findings


def findings_of_a_careless_client(proxy: FaultProxy) -> Findings:
    """Let the client ignore which version of an object was listed: a control that must be detected."""
    findings = Findings()
    with patch.object(object_store, "_only_if", lambda etag: {}):
        meet_faults_of_photos(proxy, 60, findings, "careless-client")
    return findings


@contextmanager
def endpoint_at(proxy: FaultProxy) -> Iterator[None]:
    """Set the proxy as the store's endpoint in the environment."""
    with patch.dict(os.environ, S3_ENVIRONMENT | {"AWS_ENDPOINT_URL": proxy.url}):
        yield


@contextmanager
def patience(**limits: float) -> Iterator[None]:
    """Shorten the timeouts and retries of the store's client."""
    with patch.multiple(object_store, **limits):
        object_store._open.cache_clear()
        yield
    object_store._open.cache_clear()


def settings_of(name: str) -> Settings:
    return read_settings({}, landing_uri=f"s3://{BUCKET}/{name}", warehouse_uri=f"s3://{BUCKET}/{name}/warehouse")


def distinct_photos(count: int) -> list[bytes]:
    """Return photos of a few faces, each with its own comment, so that no two have the same bytes."""
    faces = [photo.content for photo in synthetic_face_photos()([35] * FACES, list(range(FACES)), 1)]
    comments = (number.to_bytes(4, "big") for number in range(count))
    cycled = itertools.islice(itertools.cycle(faces), count)
    return [face[:2] + b"\xff\xfe\x00\x06" + comment + face[2:] for face, comment in zip(cycled, comments, strict=True)]


def landed_photos(landing: ObjectStore, contents: Sequence[bytes]) -> list[StoredObject]:
    """Write photos and list them, in the order of their contents."""
    keys = [f"photos/{number:05d}.jpg" for number in range(len(contents))]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(landing.write, keys, contents))
    return sorted(landing.list("photos"), key=lambda photo: photo.key)


def as_rows(photos: Sequence[StoredObject]) -> pd.DataFrame:
    rows = [(photo.key, photo.etag, photo.size_bytes, None, 1.0) for photo in photos]
    return pd.DataFrame(rows, columns=["photo_key", "etag", "size_bytes", "key_problem", "photo_stretch"])


def estimated(settings: Settings, photos: Sequence[StoredObject]) -> list[dict[str, object]]:
    return [row for rows in task_stage(settings.part(PhotoInference)).estimates([as_rows(photos)]) for row in rows]


def meet_faults_of_photos(
    proxy: FaultProxy, photo_count: int, findings: Findings, name: str = "faults-of-photos"
) -> None:
    """Give the fetch of each photo one of all faults. Each photo must have a row, with the right status."""
    settings = settings_of(name)
    landing = ObjectStore(settings.landing_uri)
    contents = distinct_photos(photo_count)
    listed = landed_photos(landing, contents)
    cases: list[tuple[Fault | str | None, int, str]] = [
        *((fault, times, "estimated") for fault in PASSING for times in (1, 2)),
        *((fault, ALWAYS, "unreadable_object") for fault in LASTING),
        *((change, 0, status) for change, status in CHANGES.items()),
        *[(None, 0, "estimated")] * 5,
    ]
    case_of = dict(zip((photo.key for photo in listed), itertools.cycle(cases), strict=False))
    for photo, content in zip(listed, contents, strict=True):
        change(landing, photo.key, content, case_of[photo.key][0])

    def plan(request: Request) -> Fault | None:
        fault, times, _ = case_of.get(request.path.partition(f"{name}/")[2], (None, 0, ""))
        is_spoilt = request.method == "GET" and fault not in CHANGES and request.number <= times
        return fault if is_spoilt else None  # type: ignore[return-value]

    undisturbed = {row["content_sha256"]: row for row in reference_rows(landing, settings, contents)}
    proxy.follow(plan)
    rows = estimated(settings, listed)
    proxy.follow(lambda request: None)
    findings.photo_count += len(listed)
    findings.lost += abs(len(listed) - len(rows))
    for photo, content, row in zip(listed, contents, rows, strict=False):
        fault, times, expected = case_of[photo.key]
        sha256 = hashlib.sha256(content).hexdigest()
        status = row["estimate_status"]
        findings.wrongly_inferred += row["content_sha256"] not in (None, sha256)
        findings.expect(status == expected, f"a photo with {fault} {times} times is {status}, not {expected}")
        if status == "estimated":
            age, usual = row["estimated_age_years"], undisturbed[sha256]["estimated_age_years"]
            findings.expect(
                age == pytest.approx(usual, abs=0.01), f"a photo with {fault} is of {age}, undisturbed of {usual}"
            )


def reference_rows(landing: ObjectStore, settings: Settings, contents: Sequence[bytes]) -> list[dict[str, object]]:
    """Return the rows of the same photos without faults."""
    apart = settings.model_copy(update={"landing_uri": f"{settings.landing_uri}-undisturbed"})
    return estimated(apart, landed_photos(ObjectStore(apart.landing_uri), contents))


def change(landing: ObjectStore, key: str, content: bytes, how: str | None) -> None:
    """Change an object after it was listed."""
    if how == "deleted":
        landing.delete([key])
    elif how == "replaced_by_as_many_bytes":
        landing.write(key, content[:6] + b"late" + content[10:])
    elif how == "replaced_by_fewer_bytes":
        landing.write(key, content[:1000])


def meet_expired_credentials(proxy: FaultProxy, findings: Findings) -> None:
    """Let credentials expire in the middle. The task must fail with that reason, and no photo may be unreadable."""
    settings = settings_of("expired")
    listed = landed_photos(ObjectStore(settings.landing_uri), distinct_photos(200))
    proxy.follow(lambda request: "expired" if request.number_of_all > 100 else None)
    rows: list[dict[str, object]] = []
    stage = task_stage(settings.part(PhotoInference))
    error = error_of(lambda: rows.extend(row for page in stage.estimates([as_rows(listed)]) for row in page))
    proxy.follow(lambda request: None)
    findings.expect("refused the credentials" in str(error), f"expired credentials end in: {error!r}")
    findings.expect(not isinstance(error, StoreError), "expired credentials are said to pass by themselves")
    findings.expect(
        {row["estimate_status"] for row in rows} <= {"estimated"}, "photos without credentials have other rows"
    )


def meet_a_dead_store(proxy: FaultProxy, findings: Findings) -> None:
    """Let the store fail for good in the middle. The task must fail with the sentence about the store."""
    settings = settings_of("dead")
    listed = landed_photos(ObjectStore(settings.landing_uri), distinct_photos(80))
    for fault in ("slow_down", "reset", "stall"):
        proxy.follow(lambda request, fault=fault: fault if request.number_of_all > 40 else None)  # type: ignore[misc]
        error = error_of(lambda: estimated(settings, listed))
        findings.expect(isinstance(error, StoreError), f"a store with {fault} for good ends in: {error!r}")
        findings.expect("cannot be reached at" in str(error), f"a store with {fault} for good is told as: {error}")
    proxy.follow(lambda request: None)


def meet_faults_of_listings(proxy: FaultProxy, findings: Findings) -> None:
    """Add faults to the second page of a listing. Each object must be listed once, or the error names the folder."""
    store = ObjectStore(f"s3://{BUCKET}/many")
    keys = {f"photos/{number:05d}.jpg" for number in range(MORE_THAN_A_PAGE)}
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: store.write(key, b"x"), keys))

    def on_second_page(fault: Fault, times: int) -> Plan:
        def plan(request: Request) -> Fault | None:
            is_second = "continuation-token" in request.query or "start-after" in request.query
            return fault if is_second and request.number <= times else None

        return plan

    for fault in PASSING:
        proxy.follow(on_second_page(fault, 1))
        listed = [photo.key for photo in store.list("photos")]
        told = f"a listing with {fault} once has {len(listed)} keys of {len(keys)}"
        findings.expect(len(listed) == len(keys) and set(listed) == keys, told)
    for fault in (*LASTING, "expired"):
        proxy.follow(on_second_page(fault, ALWAYS))  # type: ignore[arg-type]
        error = error_of(lambda: list(store.list("photos")))
        findings.expect(isinstance(error, InputError) and "'photos'" in str(error), f"a listing, {fault}: {error!r}")
    proxy.follow(lambda request: None)


def meet_faults_of_tables(proxy: FaultProxy, findings: Findings) -> None:
    """Add faults to each request of staging, publishing and reading a table: all rows come, or the error names it."""
    rows = photo_rows(20_000)
    for fault in ("slow_down", "internal_error"):
        warehouse = Warehouse(ObjectStore(f"s3://{BUCKET}/tables-{fault}"), "run")
        proxy.follow(lambda request, fault=fault: fault if request.number <= 2 else None)  # type: ignore[misc]
        published = publish(warehouse, rows)
        findings.expect(published is not None and published.equals(rows), f"a table with {fault} comes out otherwise")
    for fault in ("reset", "lost_answer", "stall", "truncated", "reset_in_body"):
        warehouse = Warehouse(ObjectStore(f"s3://{BUCKET}/tables-{fault}"), "run")
        proxy.follow(lambda request, fault=fault: fault if request.number == 1 else None)  # type: ignore[misc]
        published = publish(warehouse, rows)
        findings.expect(published is not None and published.equals(rows), f"a table with {fault} comes out otherwise")
        error = error_of(lambda warehouse=warehouse: lock_and_let_go(warehouse))  # type: ignore[misc]
        proxy.follow(lambda request: None)
        again = error_of(lambda warehouse=warehouse: lock_and_let_go(warehouse))  # type: ignore[misc]
        findings.expect(error is None or isinstance(error, StoreError), f"a lock with {fault} ends in: {error!r}")
        findings.expect(again is None, f"a lock after {fault} is not taken over by its own run: {again!r}")
    meet_two_faults_of_one_request(proxy, findings)
    warehouse = Warehouse(ObjectStore(f"s3://{BUCKET}/tables-lasting"), "run")
    publish(warehouse, rows)
    for method, fault in itertools.product(("GET", "PUT", "HEAD"), ("slow_down", "reset", "stall")):
        proxy.follow(
            lambda request, method=method, fault=fault: fault if request.method == method else None  # type: ignore[misc]
        )
        error = error_of(lambda: publish(warehouse, rows))
        named = isinstance(error, StoreError) and "checkout_photos" in str(error)
        findings.expect(named, f"a table whose every {method} meets {fault} ends in: {error!r}")
    proxy.follow(lambda request: None)
    meet_a_table_replaced_while_it_is_read(findings)


def meet_two_faults_of_one_request(proxy: FaultProxy, findings: Findings) -> None:
    """Cut off the answer to a request that the library has already repeated: all rows come."""
    rows = photo_rows(20_000)
    for first in ("slow_down", "reset"):
        warehouse = Warehouse(ObjectStore(f"s3://{BUCKET}/tables-twice-{first}"), "run")
        proxy.follow(lambda request, first=first: {1: first, 2: "reset_in_body"}.get(request.number))  # type: ignore[misc]
        published = publish(warehouse, rows)
        findings.expect(published is not None and published.equals(rows), f"a table with {first}, then half an answer")
    proxy.follow(lambda request: None)


def meet_a_table_replaced_while_it_is_read(findings: Findings) -> None:
    store = ObjectStore(f"s3://{BUCKET}/replaced")
    size = 4 * object_store.DOWNLOAD_BUFFER_BYTES
    store.write("table", bytes(size))

    def read_half_and_half() -> None:
        with store.reader("table") as stream:
            stream.read(10)
            store.write("table", b"1" * size)
            stream.seek(size // 2)
            stream.read(10)

    error = error_of(read_half_and_half)
    findings.expect(isinstance(error, ReplacedError), f"an object replaced while it is read ends in: {error!r}")


def meet_faults_of_receipts(proxy: FaultProxy, findings: Findings) -> None:
    """Add faults to the reading of a receipt file: all its lines come, or the task fails; half a file is never used."""
    store = ObjectStore(f"s3://{BUCKET}/receipts")
    line_count = 60_000
    content = b"transaction_id,store_id\n" + b"".join(
        b"t%07d,%07d\n" % (number, number) for number in range(line_count)
    )
    keys = ("transactions/a.csv", "transactions/a.jsonl")
    store.write(keys[0], content)
    store.write(keys[1], b"".join(b'{"transaction_id": "t%d"}\n' % number for number in range(line_count)))
    for key, fault in itertools.product(keys, PASSING):
        proxy.follow(lambda request, fault=fault: fault if request.number == 1 else None)  # type: ignore[misc]
        batches = list(read_landed_lines(store, key))
        sound = sum(batch.num_rows - batch["parse_problem"].drop_null().__len__() for batch in batches)
        findings.expect(sound == line_count, f"of '{key}' with {fault} once {sound} lines of {line_count} came")
    for key, fault in itertools.product(keys, ("slow_down", "truncated", "shortened", "expired")):
        proxy.follow(lambda request, fault=fault: fault if request.method == "GET" else None)  # type: ignore[misc]
        error = error_of(lambda key=key: list(read_landed_lines(store, key)))  # type: ignore[misc]
        named = isinstance(error, InputError) and key in str(error)
        findings.expect(named, f"'{key}' with {fault} for good ends in: {error!r}")
    proxy.follow(lambda request: None)
    error = error_of(lambda: list(read_landed_lines(store, "transactions/gone.csv")))
    findings.expect(isinstance(error, StoreError), f"a receipt file that is gone ends in: {error!r}")


def meet_expired_credentials_in_spark(proxy: FaultProxy, findings: Findings) -> None:
    """Let credentials expire while Spark's workers infer. The step must say so in one sentence and exit with code 2."""
    settings = settings_of("spark")
    listed = landed_photos(ObjectStore(settings.landing_uri), distinct_photos(100))
    warehouse = Warehouse(ObjectStore(settings.warehouse_uri), "spark-run")
    warehouse.stage_arrow(CHECKOUT_PHOTOS, BUSINESS_DATE, rows_of_photos(listed))

    began = proxy.sent["expired"]
    proxy.follow(
        lambda request: (
            "expired"
            if "spark/photos/" in request.path
            or (proxy.sent["expired"] > began and "prefix=spark%2F_locks" in request.query)
            else None
        )
    )
    step = ["photo_age_estimates", "--business-date", BUSINESS_DATE.isoformat(), "--run-id", "spark-run"]
    uris = {"LANDING_URI": settings.landing_uri, "WAREHOUSE_URI": settings.warehouse_uri}
    environment = (
        os.environ | local_spark_environment(os.environ) | {f"{PREFIX}{name}": uri for name, uri in uris.items()}
    )
    done = subprocess.run(
        [sys.executable, "-m", "jobs.run", *step],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    proxy.follow(lambda request: None)
    last_line = (done.stderr.strip().splitlines() or [""])[-1]
    told = last_line.startswith("error: object store") and "refused the credentials" in last_line
    findings.expect(told and done.returncode == 2, f"expired credentials in Spark: {done.returncode}, {last_line}")


def photo_rows(count: int) -> pa.Table:
    return rows_of_photos(
        [StoredObject(f"photos/{number:06d}.jpg", number, hex(number), datetime.now(UTC)) for number in range(count)]
    )


def rows_of_photos(photos: Sequence[StoredObject]) -> pa.Table:
    """Return rows of checkout_photos, without the run_id that `stage_arrow` adds."""
    schema = pa.schema([column for column in CHECKOUT_PHOTOS.schema if column.name != "run_id"])
    rows = [
        {"photo_key": photo.key, "etag": photo.etag, "size_bytes": photo.size_bytes, "landed_at": photo.modified_at}
        for photo in photos
    ]
    return pa.Table.from_pylist(rows, schema)


def publish(warehouse: Warehouse, rows: pa.Table) -> pa.Table | None:
    """Stage, publish and read a table's day."""
    warehouse.stage_arrow(CHECKOUT_PHOTOS, BUSINESS_DATE, rows)
    warehouse.promote(CHECKOUT_PHOTOS, BUSINESS_DATE)
    return warehouse.published.read_arrow(CHECKOUT_PHOTOS, BUSINESS_DATE, rows.column_names)


def lock_and_let_go(warehouse: Warehouse) -> None:
    with warehouse.runs.lock(BUSINESS_DATE, 240):
        pass


def error_of(action: Callable[[], object]) -> Exception | None:
    try:
        action()
    except Exception as error:
        return error
    return None
