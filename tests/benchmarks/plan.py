"""plan: the sizes of all measurements, and their photos."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.benchmarks.contenders import CHAIN, MILLION
from tests.benchmarks.engines import ENGINES
from tests.benchmarks.photos import drawn_photos, own_photos, photo_set


@dataclass(frozen=True)
class EngineGrid:
    """The cells of the engine table."""

    engines: tuple[str, ...] = ENGINES
    threads: tuple[int, ...] = (1, 2)
    sides_pixels: tuple[int, ...] = (112, 224)
    batch_sizes: tuple[int, ...] = (1, 4, 16, 32)
    seconds: float = 1.0
    """Approximate time of one cell in one round."""


@dataclass(frozen=True)
class Plan:
    """Photos, rounds and cells. `warm_up_photos` are not among the timed ones."""

    photos: int = 4000
    keras_photos: int = 1000
    """The contenders on Keras get at most this many of the photos, the first ones."""
    rounds: int = 3
    warm_up_photos: int = 128
    growth_photos: tuple[int, ...] = (1000, 2000, 4000, 8000)
    growth_slots: tuple[int, ...] = (1, 2)
    engines: EngineGrid = EngineGrid()
    matching_counts: tuple[int, int] = (1_000_000, 2_000_000)
    """Transactions, and as many photos, of a day and of a day twice as large."""
    matching_till_count: int = 100_000
    """Transactions of one bad till."""
    night_lines: tuple[int, ...] = (5_000_000, 10_000_000)
    """Receipt lines of nights after inference, with one photo per ten lines."""
    million: int = 1_000_000
    """Tiny photos of a whole night on S3."""
    chain: tuple[int, ...] = (1_000_000, 3_000_000, 10_000_000)
    """Photos of a national chain's nights, with ten receipt lines for each."""


QUICK = Plan(
    photos=16,
    rounds=1,
    warm_up_photos=4,
    growth_photos=(8, 16),
    growth_slots=(1,),
    engines=EngineGrid(threads=(1,), sides_pixels=(112,), batch_sizes=(1, 4), seconds=0.1),
    matching_counts=(2_000, 4_000),
    matching_till_count=1_000,
    night_lines=(20_000, 40_000),
    million=2_000,
    chain=(2_000,),
)


@dataclass(frozen=True)
class PhotoSets:
    """Folders of photos: for contenders, for those on Keras, for growth (by count), and for warming up."""

    photo_count: int
    photos: Path
    keras_photo_count: int
    keras_photos: Path
    growth: dict[int, Path]
    warm_up: Path


@contextmanager
def photo_sets(plan: Plan, drawn: Path, images: Path | None, grows: bool) -> Iterator[PhotoSets]:
    """Make the folders of a plan's photos, from drawn ones kept in `drawn` or from `images`, as many as there are.

    Raises ValueError when there are too few photos to warm up and to time.
    """
    needed = max(plan.photos, *plan.growth_photos) if grows else plan.photos
    wanted = plan.warm_up_photos + needed
    found = own_photos(images, wanted) if images else drawn_photos(drawn, wanted)
    warm_up, timed = found[: plan.warm_up_photos], found[plan.warm_up_photos :]
    if not timed:
        raise ValueError(f"folder '{images}' holds {len(found)} photos, more than {plan.warm_up_photos} are needed")
    drawn.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="bench_sets_", dir=drawn.parent) as name:
        folder = Path(name)
        counts = [count for count in plan.growth_photos if grows and count <= len(timed)]
        photos = timed[: plan.photos]
        keras_photos = photos[: plan.keras_photos]
        yield PhotoSets(
            photo_count=len(photos),
            photos=photo_set(photos, folder / "photos"),
            keras_photo_count=len(keras_photos),
            keras_photos=photo_set(keras_photos, folder / "keras-photos"),
            growth={count: photo_set(timed[:count], folder / f"growth-{count}") for count in counts},
            warm_up=photo_set(warm_up, folder / "warm_up"),
        )


def without_photos(plan: Plan) -> Plan:
    """Return the plan for measurements without photos, so that only two photos are drawn."""
    return replace(plan, photos=1, warm_up_photos=1)


def with_counts(plan: Plan, photos: Sequence[int], rounds: int | None, only: Sequence[str] = ()) -> Plan:
    """Return the plan with the numbers that are given. If only MILLION or CHAIN is chosen, `photos` are of that.

    Raises ValueError when several numbers of photos are given for a measurement of one size.
    """
    if list(only) == [CHAIN]:
        return replace(plan, chain=tuple(photos) or plan.chain)
    if len(photos) > 1:
        raise ValueError(f"several numbers of photos are for '{CHAIN}' alone; give one")
    if list(only) == [MILLION]:
        return replace(plan, million=photos[0] if photos else plan.million)
    return replace(plan, photos=photos[0] if photos else plan.photos, rounds=rounds or plan.rounds)
