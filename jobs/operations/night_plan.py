"""night_plan: computes the cores, memory and storage that a night needs, and which of them runs out first.

It uses measured rates: of this machine (`checkout-ages plan --measure`) or of the machine that DEFAULT_RATES names. The
formula is in jobs/operations/README.md under Sizing. It refuses days larger than the largest measured day.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from jobs.errors import InputError
from jobs.steps.order import SPARK_STEPS

LINES_PER_PHOTO = 10.0
PHOTO_KILOBYTES = 200.0
LONGEST_HOURS = 24.0
SHARE_FOR_RETRIES = 0.2
CORES_PER_EXECUTOR = 4
GIB_PER_SLOT = 2.0
"""Memory of a Python worker with a task of one core. Less is not enough: hostile photos bring it to 1.8."""
HEAP_GIB_PER_SLOT = 0.5
"""Heap of an executor for each of its task slots, in whole GiB: two slots had one GiB for a hundred million lines."""
GIB_OF_DRIVER = 1.0
"""Heap of the driver's JVM. It holds no photo and no line: a hundred million lines were run with it, in 0.6 GiB."""
TEMPORARY_BYTES_PER_LINE = 200.0
"""What `transaction_lines`, the step with the most temporary files, has on the executors' disks at one time."""
LISTING_TASKS = 32
RECKONED_CORES = (16, 64, 256)
MILLION = 1_000_000
GIB = 1024**3
LARGEST_MEASURED_DAY = (10_000_000, 100_000_000)
"""Photos and receipt lines of the largest day that was run, by `python -m tests.benchmarks --only chain`. Inference was
run up to a million photos; it grows with photos alone."""


class Rates(BaseModel):
    """The measured speed of a machine, and bytes of published Parquet files."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    machine: str
    measured_on: str = Field(description="date of the measurement: 2026-11-22")
    photos_per_core_second: float = Field(gt=0, description="photos from object store to rows, per second and core")
    listed_photos_per_second: float = Field(gt=0)
    start_seconds: float = Field(ge=0, description="duration of a night without photos and lines: Spark's starts")
    seconds_per_million_lines: float = Field(
        ge=0, description="all steps but inference; one task writes each table, so more cores shorten it little"
    )
    bytes_per_photo: float = Field(gt=0, description="size of a photo's rows in the warehouse")
    bytes_per_line: float = Field(gt=0, description="size of a receipt line's rows in the warehouse")
    largest_photo_count: int = Field(gt=0, description="photos of the largest day that was run")
    largest_line_count: int = Field(gt=0, description="receipt lines of the largest day that was run")


DEFAULT_RATES = Rates(
    machine="AMD EPYC, two virtual CPUs that share a core, 24 GiB",
    measured_on="2026-12-01",
    photos_per_core_second=46.0,  # on 2026-11-23
    listed_photos_per_second=29_000.0,  # two listings at a time, of a server on the same machine
    start_seconds=15.0 * len(SPARK_STEPS),  # an application that finds hardly a row takes 15 s
    seconds_per_million_lines=66.0,  # of a day of a hundred million lines
    bytes_per_photo=1400.0,
    bytes_per_line=13.0,
    largest_photo_count=LARGEST_MEASURED_DAY[0],
    largest_line_count=LARGEST_MEASURED_DAY[1],
)


@dataclass(frozen=True)
class Day:
    """The size of a day's delivery, and the hours in which its night must end."""

    photo_count: int
    store_count: int
    hours: float
    lines_per_photo: float = LINES_PER_PHOTO
    photo_kilobytes: float = PHOTO_KILOBYTES

    def __post_init__(self) -> None:
        """Raise InputError naming an impossible number."""
        _refuse_impossible(self)

    @property
    def line_count(self) -> float:
        """Number of the day's receipt lines."""
        return self.photo_count * self.lines_per_photo


@dataclass(frozen=True)
class NightPlan:
    """The resources that a night needs. Memory is in GiB; times are in seconds, with the planned number of cores."""

    cores: int
    executors: int
    executor_heap_gib: int
    executor_gib: float
    driver_gib: float
    listing_seconds: float
    inference_seconds: float
    tables_seconds: float
    landing_gib_per_day: float
    warehouse_gib_per_day: float
    temporary_gib: float
    gives_way_first: str

    @property
    def seconds(self) -> float:
        """Duration of the night if no task is retried."""
        return self.listing_seconds + self.inference_seconds + self.tables_seconds


def reckoned_seconds(day: Day, rates: Rates, cores: int) -> float:
    """Compute the duration of a night with a number of cores, by the formula under Sizing. It was not measured.

    Only inference gets faster with more cores.
    """
    return _listing_seconds(day, rates) + _tables_seconds(day, rates) + _inference_seconds(day, rates, cores)


def night_plan(day: Day, rates: Rates) -> NightPlan:
    """Compute the resources for the night of a day.

    Raises InputError when the day is larger than any measured one, or when no number of cores ends it in time.
    """
    _refuse_unmeasured(day, rates)
    listing, tables = _listing_seconds(day, rates), _tables_seconds(day, rates)
    # Only inference gets faster with more cores, so the cores follow from the time that is left for it.
    left = (day.hours * 3600 - listing - tables) * (1 - SHARE_FOR_RETRIES)
    if left <= 0:
        raise InputError(
            f"no number of cores ends a night of {day.photo_count:,} photos and {day.line_count:,.0f} receipt lines in "
            f"{day.hours:g} hours: all steps but inference take {(listing + tables) / 3600:.2f}; allow more hours, or "
            "split the stores over several landings and warehouses"
        )
    cores = math.ceil(_inference_seconds(day, rates, 1) / left)
    executors = math.ceil(cores / CORES_PER_EXECUTOR)
    cores_each = math.ceil(cores / executors)
    return NightPlan(
        cores=cores,
        executors=executors,
        executor_heap_gib=math.ceil(HEAP_GIB_PER_SLOT * cores_each),
        executor_gib=math.ceil(HEAP_GIB_PER_SLOT * cores_each) + GIB_PER_SLOT * cores_each,
        driver_gib=GIB_OF_DRIVER,
        listing_seconds=listing,
        inference_seconds=_inference_seconds(day, rates, cores),
        tables_seconds=tables,
        landing_gib_per_day=day.photo_count * day.photo_kilobytes * 1000 / GIB,
        warehouse_gib_per_day=(day.photo_count * rates.bytes_per_photo + day.line_count * rates.bytes_per_line) / GIB,
        temporary_gib=day.line_count * TEMPORARY_BYTES_PER_LINE / GIB,
        gives_way_first=_gives_way_first(day),
    )


def read_rates(path: Path) -> Rates:
    """Read the file of rates that `plan --measure` wrote. Raises InputError that says what is wrong with the file."""
    way_out = "write it with `checkout-ages plan --measure --rates FILE`"
    try:
        return Rates.model_validate_json(path.read_text())
    except OSError as error:
        raise InputError(f"rates file '{path}' cannot be read ({error.strerror}): {way_out}") from None
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise InputError(f"rates file '{path}' is not usable: {name}: {first['msg']}; {way_out}") from None


def _listing_seconds(day: Day, rates: Rates) -> float:
    return day.photo_count / rates.listed_photos_per_second


def _tables_seconds(day: Day, rates: Rates) -> float:
    return rates.start_seconds + day.line_count / MILLION * rates.seconds_per_million_lines


def _inference_seconds(day: Day, rates: Rates, cores: int) -> float:
    return day.photo_count / rates.photos_per_core_second / cores


def _refuse_impossible(day: Day) -> None:
    least = {
        "--photos-per-day": (day.photo_count, 1),
        "--stores": (day.store_count, 1),
        "--lines-per-photo": (day.lines_per_photo, 0),
        "--photo-kilobytes": (day.photo_kilobytes, 0),
    }
    for option, (value, lowest) in least.items():
        if not lowest <= value < math.inf:
            raise InputError(f"{option} is {value:g}; give {lowest} or more")
    if not 0 < day.hours <= LONGEST_HOURS:
        raise InputError(
            f"--hours is {day.hours:g}: give more than 0 and at most {LONGEST_HOURS:g}, when the next night begins"
        )
    if day.store_count > day.photo_count:
        raise InputError(f"--stores is {day.store_count}, more than photos ({day.photo_count}): correct one of them")


def _refuse_unmeasured(day: Day, rates: Rates) -> None:
    times = max(day.photo_count / rates.largest_photo_count, day.line_count / rates.largest_line_count)
    if times > 1:
        raise InputError(
            f"a day of {day.photo_count:,} photos and {day.line_count:,.0f} receipt lines is larger than any measured "
            f"({rates.largest_photo_count:,} photos, {rates.largest_line_count:,} lines): split the stores over "
            f"{math.ceil(times)} landings and warehouses or more, and plan one of them"
        )


def _gives_way_first(day: Day) -> str:
    """Say what a day of this order of magnitude strains first."""
    photos = day.photo_count
    if photos < 10_000:
        return "nothing: most of the night is the start of its Spark applications"
    if photos < 100_000:
        return "the cores: inference is most of the night"
    if photos < MILLION / 2:
        return "small objects: one request to the object store per photo, 8 at a time in each task"
    return (
        "transaction_lines, which is half of all steps but inference: it reads, compares and sorts all lines, and one "
        f"task writes the file; and the listing, which {min(day.store_count, LISTING_TASKS)} tasks share by store"
    )


def in_words(plan: NightPlan, day: Day, rates: Rates) -> list[tuple[str, str]]:
    """Describe a plan as rows of a table for people: pairs of a name and a text."""
    cores_each = math.ceil(plan.cores / plan.executors)
    return [
        ("night", f"{plan.seconds / 3600:.2f} of {day.hours:g} hours, a fifth more if tasks are retried"),
        ("  listing the photos", f"{plan.listing_seconds:,.0f} s"),
        ("  inference", f"{plan.inference_seconds:,.0f} s on {plan.cores} cores"),
        ("  all other steps", f"{plan.tables_seconds:,.0f} s, with any number of cores"),
        ("cores", f"{plan.cores} for a step, as {plan.executors} executors of {cores_each}"),
        ("  fair share", f"one executor of {cores_each} more, for the step that runs side by side with it"),
        (
            "memory",
            f"{plan.executor_gib:g} GiB per executor with its Python workers, {plan.driver_gib:g} GiB of heap for the "
            "driver",
        ),
        ("landing", f"{plan.landing_gib_per_day:,.1f} GiB of photos per day"),
        ("warehouse", f"{plan.warehouse_gib_per_day:,.3f} GiB per day"),
        ("temporary files", f"{plan.temporary_gib:,.1f} GiB at one time, on the executors' disks (spark.local.dir)"),
        ("runs out first", plan.gives_way_first),
        ("rates", f"{rates.machine}, {rates.measured_on}"),
        ("reckoned, not measured", "listing + starts + lines + photos / (photos per core and second × cores)"),
        *(
            (f"  night on {cores} cores", f"{reckoned_seconds(day, rates, cores) / 3600:.2f} hours")
            for cores in RECKONED_CORES
        ),
        (
            "spark-defaults.conf",
            f"spark.cores.max {plan.cores}, spark.executor.cores {cores_each}, "
            f"spark.executor.memory {plan.executor_heap_gib}g, spark.driver.memory {plan.driver_gib:g}g",
        ),
    ]
