"""synthetic_faces: make faces of people who do not exist, at a given age. Needs only numpy.

    faces = SyntheticFaces.load(weights_path("synthetic_faces-2"))
    pixels = faces.sample(age_years=42, random=np.random.default_rng(7))

A face is `reference face + ageing(age) + looks`. Ageing follows the average face of each age. Looks are principal
components of the remaining differences (Turk & Pentland 1991, "Eigenfaces for Recognition"). Each look is drawn far
from its mean, to one side or the other. So samples are on a shell around the mean face where no photo is, and
`train_synthetic_faces` measures that none comes as near to a training photo as unrelated photos do.

Terms: the model is fitted to UTKFace. Those photos belong to their owners and may be used for non-commercial research;
the same is true of the weights. No sample shows a real person.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

SIDE_PIXELS = 112
LOOK_RANGE = (0.95, 1.10)
"""Distance of a look from its mean, to either side, in units of its stored size. Nearer to 0, samples would come closer
to real photos."""

LAST_YEARS = 10
"""Years at the end of the model's range; older faces age on as the mean face does in them."""

Arrays = dict[str, NDArray[np.generic]]


@dataclass(frozen=True)
class SyntheticFaces:
    """A statistical model of faces of 112 × 112 RGB pixels, flattened to p numbers."""

    reference: NDArray[np.float32]
    """(p,) mean face at the age where ageing is 0."""
    ageing: NDArray[np.float32]
    """(k, p) directions in which the mean face ages."""
    ageing_scores: NDArray[np.float32]
    """(years, k) position of each age's mean face along each direction."""
    looks: NDArray[np.float32]
    """(m, p) all other differences between faces, each scaled to the size in which it is drawn."""
    youngest_years: int
    """The age of the first row of `ageing_scores`."""

    @classmethod
    def load(cls, path: Path) -> SyntheticFaces:
        """Read an .npz of `train_synthetic_faces`. Pickled content is refused, because it can run code."""
        with np.load(path, allow_pickle=False) as arrays:
            return cls.unpack({name: arrays[name] for name in arrays.files})

    @classmethod
    def unpack(cls, arrays: Arrays) -> SyntheticFaces:
        """Turn stored arrays into a model. Components are stored as bytes, each with its scale."""
        return cls(
            reference=arrays["reference"].astype(np.float32),
            ageing=_unpacked(arrays["ageing"], arrays["ageing_scale"]),
            ageing_scores=arrays["ageing_scores"].astype(np.float32),
            looks=_unpacked(arrays["looks"], arrays["looks_scale"]),
            youngest_years=int(arrays["youngest_years"]),
        )

    @property
    def oldest_years(self) -> int:
        """The age of the last row of `ageing_scores`."""
        return self.youngest_years + len(self.ageing_scores) - 1

    def mean_face(self, age_years: float) -> NDArray[np.float32]:
        """Return the (p,) mean face of an age.

        Under the model's first age it is that of the first. Beyond the last one, it ages on as in the last ten years.
        """
        scores = self._scores(age_years)
        if age_years > self.oldest_years:
            last, before = self._scores(self.oldest_years), self._scores(self.oldest_years - LAST_YEARS)
            scores = last + (last - before) * np.float32((age_years - self.oldest_years) / LAST_YEARS)
        mean_face: NDArray[np.float32] = self.reference + scores @ self.ageing
        return mean_face

    def faces(self, ages_years: Sequence[float], looks: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Return n faces of (n,) ages with (n, m) looks, in units of their stored size: (n, 112, 112, 3) RGB pixels.

        Several at once are several times as fast as one by one, because all looks are read from memory for each call.
        """
        faces = np.stack([self.mean_face(age_years) for age_years in ages_years]) + looks @ self.looks
        # Looks may add up beyond black or white, where bytes would wrap around.
        return faces.round().clip(0, 255).astype(np.uint8).reshape(-1, SIDE_PIXELS, SIDE_PIXELS, 3)

    def sample(self, age_years: float, random: Generator) -> NDArray[np.uint8]:
        """Draw the face of a person who does not exist: (112, 112, 3) RGB pixels."""
        sides = random.choice((-1.0, 1.0), len(self.looks))
        looks = (sides * random.uniform(*LOOK_RANGE, len(self.looks))).astype(np.float32)
        pixels: NDArray[np.uint8] = self.faces([age_years], looks[None])[0]
        return pixels

    def _scores(self, age_years: float) -> NDArray[np.float32]:
        ages = np.arange(self.youngest_years, self.oldest_years + 1)
        return np.array([np.interp(age_years, ages, column) for column in self.ageing_scores.T], dtype=np.float32)


def _unpacked(components: NDArray[np.generic], scale: NDArray[np.generic]) -> NDArray[np.float32]:
    return components.astype(np.float32) * scale.astype(np.float32)[:, None]
