"""choose_sample_people: choose drawn people on whose photos the age network errs as on real photos, by true age.

    python -m models.evaluation.choose_sample_people --labels labels.csv --images DIR --out DIR

1. The network answers on the real photos of splits `valid` and `test`: a distribution over years of age for each.
2. For each age from 13 to 85, some of these answers are taken as wanted ones: those of photos of about that age, moved
   by the year or two that they are apart. The number by age is about that of the photos.
3. The network answers on photos of many drawn faces. For each wanted answer the faces with the nearest answers are
   photographed once more, and one of them is chosen: its two answers are near to the wanted one, and over all people of
   about its age, the shares of age groups that follow from the answers are those that follow from the wanted ones. The
   person gets the age of the wanted answer.
4. The people are photographed a third time, and measured on these photos, which chose nothing. None may be nearer to a
   training photo than unrelated photos usually are.

Writes sample_people-1.npz, and next to it sample_people-1.json with the figures. It takes half an hour on two cores,
and keeps the network's answers in --out, from which it continues.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.random import Generator
from numpy.typing import NDArray

from models.evaluation.age_metrics import AGE_BANDS, JudgedAges, metrics
from models.evaluation.bootstrap import GroupBootstrap
from models.faces.face_labels import read_face_labels
from models.faces.sample_people import (
    DRAWN_AT_ONCE,
    LOOK_UNITS,
    SAMPLE_PEOPLE_VERSION,
    SYNTHETIC_FACES_VERSION,
    take_photo,
)
from models.faces.synthetic_faces import LOOK_RANGE, SyntheticFaces
from models.faces.train_synthetic_faces import Faces, TrainingPhotos, compare_nearness, face_oval, read_faces
from models.serving.age_distribution import YEARS_OF_AGE, Floats, summarise
from models.serving.age_estimator import AgeEstimator
from models.serving.model_versions import MODEL_VERSIONS, weights_path

SEED = 2027
YOUNGEST_YEARS, OLDEST_YEARS = 13, 85
SPLITS = ("valid", "test")
DRAWS = 22_000
YOUNG_DRAWN_YEARS, OLD_DRAWN_YEARS, YOUNG_SHARE = (13, 40), (40, 118), 0.45
"""Ages that faces are drawn with. The network takes drawn faces for younger than they are, hence 118."""
NEIGHBOURHOOD_YEARS = ((30, 1), (60, 2), (YEARS_OF_AGE, 3))
"""Under so many years, photos so many years apart count as of the age: few real photos are of old people."""
PEOPLE_PER_PHOTO = 0.9
FEWEST_OF_AN_AGE = 14
CANDIDATES = 5
"""Faces that are photographed twice for each wanted answer."""
MATCHED_AMONG = 150
"""So many nearest faces are looked at when shares are to be made up for."""
OTHER_SIDE_YEARS = 1.0
"""Cost of a face whose 90 % interval holds the age and that of the wanted answer does not, or the other way round."""
OTHER_SHARES_YEARS = 2.0
"""Cost of shares of age groups that are off by 1 in sum."""
ALIKE_YEARS = 3
"""People of so many years are taken together when shares are to be made up for."""
MIX_SLOPES = (-0.02, 0.0, 0.02)
"""Mixes of ages by which shares are compared: the logarithm of a year's share changes by so much with each year."""
CHUNK = 512


@dataclass(frozen=True)
class Draws:
    """Drawn faces: (n,) ages that they are drawn with, and (n, m) looks in LOOK_UNITS."""

    ages_years: Floats
    looks: NDArray[np.int8]

    def rows(self, rows: NDArray[np.intp]) -> Draws:
        """Return some of the faces."""
        return Draws(self.ages_years[rows], self.looks[rows])

    def pixels(self, faces: SyntheticFaces) -> Iterator[NDArray[np.uint8]]:
        """Draw the faces, one after the other: (112, 112, 3) RGB pixels each."""
        for at in range(0, len(self.looks), DRAWN_AT_ONCE):
            chunk = slice(at, at + DRAWN_AT_ONCE)
            yield from faces.faces(
                self.ages_years[chunk].tolist(), self.looks[chunk].astype(np.float32) / np.float32(LOOK_UNITS)
            )


@dataclass(frozen=True)
class Wanted:
    """Answers to be found: (n,) true ages, and (n, 101) distributions."""

    ages_years: NDArray[np.int64]
    distributions: Floats


def draw(count: int, look_count: int, random: Generator) -> Draws:
    """Draw ages and looks of faces."""
    is_young = random.random(count) < YOUNG_SHARE
    ages_years = np.where(is_young, random.uniform(*YOUNG_DRAWN_YEARS, count), random.uniform(*OLD_DRAWN_YEARS, count))
    sides = random.choice(np.array([-1, 1], np.int8), (count, look_count))
    low, high = (round(end * LOOK_UNITS) for end in LOOK_RANGE)
    return Draws(ages_years.round(1), sides * random.integers(low, high + 1, (count, look_count), np.int8))


def wanted_answers(ages_years: NDArray[np.int64], distributions: Floats, random: Generator) -> Wanted:
    """Take answers of real photos, (n,) ages and (n, 101) distributions, as wanted for each age of the pool."""
    ages: list[int] = []
    answers: list[Floats] = []
    for age in range(YOUNGEST_YEARS, OLDEST_YEARS + 1):
        reach = next(reach for under, reach in NEIGHBOURHOOD_YEARS if age < under)
        near = np.flatnonzero(np.abs(ages_years - age) <= reach)
        count = max(FEWEST_OF_AN_AGE, round(PEOPLE_PER_PHOTO * len(near) / (2 * reach + 1)))
        # Each photo as often as the others, up to one.
        taken = np.concatenate([random.permutation(near) for _ in range(count // len(near) + 1)])[:count]
        ages += [age] * count
        answers += [moved(distributions[row], age - int(ages_years[row])) for row in taken]
    return Wanted(np.array(ages), np.array(answers))


def moved(distribution: Floats, years: int) -> Floats:
    """Move a (101,) distribution up by some years; what would pass an end stays there."""
    at = np.clip(np.arange(len(distribution)) + years, 0, len(distribution) - 1)
    there: Floats = np.bincount(at, distribution, len(distribution)).astype(np.float64)
    return there


def assigned(cost_of: Callable[[int], Floats], count: int, each: int, random: Generator) -> NDArray[np.intp]:
    """Give each of `count` wanted answers the `each` cheapest faces that are still free: (count, each) rows of faces.

    `cost_of` returns the costs of all faces for one wanted answer. Answers choose in a random order.
    """
    rows = np.empty((count, each), np.intp)
    is_taken = np.zeros(len(cost_of(0)), dtype=bool)
    for at in range(each):
        for answer in random.permutation(count):
            rows[answer, at] = np.where(is_taken, np.inf, cost_of(int(answer))).argmin()
            is_taken[rows[answer, at]] = True
    return rows


class Camera:
    """Photographs drawn faces and asks the network about the photos; keeps the answers in a folder."""

    def __init__(self, faces: SyntheticFaces, estimator: AgeEstimator, folder: Path) -> None:
        self._faces, self._estimator, self._folder = faces, estimator, folder

    def answers(self, draws: Draws, shot: int) -> Floats:
        """Return the (n, 101) answers on photos of the faces; NaN where a photo fails a check of faces."""
        file = self._folder / f"answers_of_shot_{shot}.npy"
        if file.exists():
            kept: Floats = np.load(file, allow_pickle=False)
            return kept
        photos = (
            take_photo(pixels, np.random.default_rng([SEED, shot, row]))
            for row, pixels in enumerate(draws.pixels(self._faces))
        )
        answers = network_answers(self._estimator, photos)
        np.save(file, answers, allow_pickle=False)
        return answers


def network_answers(estimator: AgeEstimator, photos: Iterator[bytes]) -> Floats:
    """Return the (n, 101) answers of the network on photos; NaN where a photo has no estimate."""
    answers: list[Sequence[float]] = []
    nothing = [np.nan] * YEARS_OF_AGE
    with ThreadPoolExecutor(2) as pool:
        while chunk := list(islice(photos, CHUNK)):
            estimates = estimator.estimate_faces(list(pool.map(estimator.try_read_face, chunk)))
            answers += [estimate.age_distribution or nothing for estimate in estimates]
            print(f"{len(answers)} photos answered", flush=True)
    return np.array(answers)


def chosen(camera: Camera, estimator: AgeEstimator, draws: Draws, wanted: Wanted, random: Generator) -> Draws:
    """Choose a face for each wanted answer, in its order."""
    first = camera.answers(draws, 1)
    usable = np.flatnonzero(~np.isnan(first[:, 0]))
    cost = _Costs(first[usable], wanted, estimator)
    candidates = usable[assigned(cost, len(wanted.ages_years), CANDIDATES, random)].ravel()
    # A face that is answered otherwise from a slightly other angle is not what was wanted.
    second = camera.answers(draws.rows(candidates), 2)
    candidates, second = candidates[~np.isnan(second[:, 0])], second[~np.isnan(second[:, 0])]
    both = [first[candidates], second]
    shares_of = _GroupShares(estimator)
    rows = matched(
        [_Costs(answers, wanted, estimator) for answers in both],
        np.mean([shares_of(answers) for answers in both], axis=0),
        shares_of(wanted.distributions),
        wanted.ages_years,
        random,
    )
    return draws.rows(candidates[rows])


def matched(
    costs: Sequence[Callable[[int], Floats]],
    shares: Floats,
    wanted_shares: Floats,
    ages_years: NDArray[np.int64],
    random: Generator,
) -> NDArray[np.intp]:
    """Give each wanted answer one free face: (n,) rows of faces.

    Each answer chooses the face with the least mean cost, and with the shares that make up for what the faces that
    were chosen before for about the same age are off by.
    """
    rows = np.empty(len(ages_years), np.intp)
    is_taken = np.zeros(len(shares), dtype=bool)
    off: dict[int, Floats] = {}
    for answer in random.permutation(len(ages_years)):
        alike = int(ages_years[answer]) // ALIKE_YEARS
        so_far = off.get(alike, np.zeros(shares.shape[1]))
        cost = np.where(is_taken, np.inf, np.mean([each(int(answer)) for each in costs], axis=0))
        near = np.argsort(cost)[:MATCHED_AMONG]
        off_after = shares[near] - wanted_shares[answer] + so_far
        chosen_at = int((cost[near] + OTHER_SHARES_YEARS * np.abs(off_after).sum(axis=1)).argmin())
        rows[answer] = near[chosen_at]
        is_taken[rows[answer]] = True
        off[alike] = np.clip(off_after[chosen_at], -1, 1)
    return rows


class _GroupShares:
    """The shares of age groups that answers lead to if buyers have other ages than the training photos.

    The shares that the tables estimate for many buyers are sums of these, so errors in them must cancel by true age.
    """

    def __init__(self, estimator: AgeEstimator) -> None:
        years = np.arange(YEARS_OF_AGE)
        is_drawn = (years >= YOUNGEST_YEARS) & (years <= OLDEST_YEARS)
        prior = np.asarray(estimator.manifest.training.age_prior, dtype=np.float64)
        # Without the floor, an age that no training photo has would count without limit.
        self._weights = [is_drawn * np.exp(slope * years) / (prior + 1e-4) for slope in MIX_SLOPES]
        self._is_in_band = np.stack([(years >= first) & (years <= last) for first, last in AGE_BANDS.values()], axis=1)

    def __call__(self, answers: Floats) -> Floats:
        """Return (n, mixes × groups) shares for (n, 101) answers."""
        by_mix = [answers * weights for weights in self._weights]
        return np.concatenate([each / each.sum(axis=1, keepdims=True) @ self._is_in_band for each in by_mix], axis=1)


class _Costs:
    """How far (n, 101) answers are from each wanted one, and `OTHER_SIDE_YEARS` more if an interval tells otherwise.

    How far is the earth mover's distance: by how many years probability has to be moved (Vaserstein 1969).
    """

    def __init__(self, answers: Floats, wanted: Wanted, estimator: AgeEstimator) -> None:
        fitted = (estimator.manifest.interval_mass, estimator.manifest.young_adult_correction)
        self._wanted = wanted
        # Half the precision is enough to compare, and twice as fast.
        self._up_to, self._wanted_up_to = (
            np.cumsum(each, axis=1).astype(np.float32) for each in (answers, wanted.distributions)
        )
        summary, of_wanted = summarise(answers, *fitted), summarise(wanted.distributions, *fitted)
        self._ends = summary.age_interval_low_years, summary.age_interval_high_years
        self._holds = (of_wanted.age_interval_low_years <= wanted.ages_years) & (
            wanted.ages_years <= of_wanted.age_interval_high_years
        )

    def __call__(self, answer: int) -> Floats:
        low, high = self._ends
        age = self._wanted.ages_years[answer]
        is_other_side = ((low <= age) & (age <= high)) != self._holds[answer]
        distances = np.abs(self._up_to - self._wanted_up_to[answer]).sum(axis=1)
        cost: Floats = distances + OTHER_SIDE_YEARS * is_other_side
        return cost


def figures(ages_years: NDArray[np.int64], distributions: Floats, estimator: AgeEstimator) -> dict[str, Any]:
    """Measure answers as `evaluate` does: errors, intervals and calibration, and the same by age group."""
    manifest = estimator.manifest
    judged = JudgedAges.of(distributions, ages_years, manifest.interval_mass, manifest.young_adult_correction)
    return metrics(judged, GroupBootstrap(np.arange(len(ages_years)).astype(str)))


def real_answers(
    labels: pd.DataFrame, images: Path, split: str, estimator: AgeEstimator
) -> tuple[NDArray[np.int64], Floats]:
    """Return ages and answers of the photos of a split that have an estimate and no conflict of labels."""
    listed = labels[(labels["split"] == split) & (labels["age_conflict"] == 0)]
    answers = network_answers(estimator, ((images / name).read_bytes() for name in listed["file_name"]))
    usable = ~np.isnan(answers[:, 0])
    return listed["real_age"].to_numpy(np.int64)[usable], answers[usable]


def not_near_a_photo(people: Faces, training: Faces, valid: Faces) -> NDArray[np.bool_]:
    """Say of (n, p) faces which are farther from each training photo than half of the unrelated photos are."""
    far = np.ones(len(people), dtype=bool)
    for part in (np.ones(people.shape[1], dtype=bool), face_oval()):
        photos = TrainingPhotos(training[:, part])
        usual = np.median(photos.nearest(valid[:, part])[0])
        far &= photos.nearest(people[:, part])[0] >= usual
    return far


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    faces = SyntheticFaces.load(weights_path(SYNTHETIC_FACES_VERSION))
    estimator = AgeEstimator.load(MODEL_VERSIONS[-1], threads=1)
    labels = read_face_labels(arguments.labels)
    randoms = np.random.default_rng(SEED).spawn(3)
    of_splits = {split: real_answers(labels, arguments.images, split, estimator) for split in SPLITS}
    ages_years, answers = (np.concatenate(parts) for parts in zip(*of_splits.values(), strict=True))
    wanted = wanted_answers(ages_years, answers, randoms[0])
    camera = Camera(faces, estimator, arguments.out)
    people = chosen(camera, estimator, draw(DRAWS, len(faces.looks), randoms[1]), wanted, randoms[2])
    agreed = labels[labels["age_conflict"] == 0]
    training, valid = (read_faces(agreed[agreed["split"] == split], arguments.images) for split in ("train", "valid"))
    flat = np.stack([pixels.ravel() for pixels in people.pixels(faces)])
    kept = np.flatnonzero(not_near_a_photo(flat, training, valid))
    people, ages = people.rows(kept), wanted.ages_years[kept]
    np.savez_compressed(
        arguments.out / f"{SAMPLE_PEOPLE_VERSION}.npz",
        allow_pickle=False,
        ages_years=ages.astype(np.uint8),
        drawn_ages_years=people.ages_years.astype(np.float32),
        looks=people.looks,
    )
    last = camera.answers(people, 3)
    passed = ~np.isnan(last[:, 0])
    test_ages, test_answers = of_splits["test"]
    of_the_ages = (test_ages >= YOUNGEST_YEARS) & (test_ages <= OLDEST_YEARS)
    oval = face_oval()
    report = {
        "name": SAMPLE_PEOPLE_VERSION,
        "drawn_by": SYNTHETIC_FACES_VERSION,
        "model_version": estimator.version,
        "seed": SEED,
        "people_count": len(ages),
        "drawn_count": DRAWS,
        "too_near_to_a_photo_count": len(wanted.ages_years) - len(kept),
        "passed_photo_checks_share": round(float(passed.mean()), 4),
        "people": figures(ages[passed], last[passed], estimator),
        "test": figures(test_ages[of_the_ages], test_answers[of_the_ages], estimator),
        "privacy": {
            "whole_photo": compare_nearness(flat[kept], valid, training),
            "face_oval": compare_nearness(flat[kept][:, oval], valid[:, oval], training[:, oval]),
        },
    }
    (arguments.out / f"{SAMPLE_PEOPLE_VERSION}.json").write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
