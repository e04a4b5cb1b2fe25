"""train_age_resnet50: fine-tune the age network on labelled faces, then calibrate it.

    python -m models.train_age_resnet50 --labels labels.csv --images DIR --init imagenet.npz --data TEXT --out DIR

Runs on any Keras backend (KERAS_BACKEND=tensorflow, torch or jax); the weights are the same. Epochs are
checkpointed, so a killed run goes on where it was when it is started again with the same arguments.
DIR gets weights.npz and manifest.json, the two files of a model version, beside the curve of the epochs.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.age_distribution import YEARS_OF_AGE
from models.age_resnet50 import build_age_resnet50, load_weights, network_weights, read_weights, write_weights
from models.calibrate_age_resnet50 import calibrate_version
from models.face_labels import ages_years, read_face_labels
from models.fast_torch_layers import use_torch_kernels
from models.model_manifest import TrainingFacts
from models.photo_augmentation import augment_photo
from models.photo_preprocessing import Pixels, decode_photo, to_network_input

Tensor = Any


@dataclass(frozen=True)
class TrainingRecipe:
    """The choices of a training run; those behind committed weights are in the manifest and the model card."""

    image_size: int = 112
    epochs: int = 10
    batch_size: int = 32
    dropout: float = 0.2
    peak_learning_rate: float = 3e-4
    weight_decay: float = 0.02
    weight_average_momentum: float = 0.995
    seed: int = 2026

    def stages(self) -> list[tuple[int, int]]:
        """Return (side of the photos, epoch where the stage ends): smaller photos first, cheaper and regularising.

        Source: Tan & Le 2021, "EfficientNetV2: Smaller Models and Faster Training", progressive learning.
        """
        return [(max(32, self.image_size * 5 // 7), self.epochs // 2), (self.image_size, self.epochs)]


LABEL_SPREAD_YEARS = 2.0
EXPECTATION_LOSS_WEIGHT = 0.2


class FaceBatches(keras.utils.PyDataset):  # type: ignore[misc]
    """Batches of (n, side, side, 3) float32 pixels and (n, 1) ages, augmented and shuffled where there is a `seed`."""

    def __init__(
        self, faces: pd.DataFrame, images: Path, side_pixels: int, batch_size: int, seed: int | None = None
    ) -> None:
        super().__init__(workers=1)
        self._photos = [(images / name).read_bytes() for name in faces["file_name"]]
        self._ages = ages_years(faces)
        self._side = side_pixels
        self._batch_size = batch_size
        self._seed = seed
        self._order = np.arange(len(faces))
        self.start_epoch(0)

    def __len__(self) -> int:
        return int(np.ceil(len(self._photos) / self._batch_size))

    def __getitem__(self, batch: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        rows = self._order[batch * self._batch_size : (batch + 1) * self._batch_size]
        return np.stack([self._face(row) for row in rows]).astype("float32"), self._ages[rows, None]

    def start_epoch(self, epoch: int) -> None:
        """Take the order and the variations of `epoch`, so that a resumed run sees what it missed."""
        if self._seed is not None:
            self._random = np.random.default_rng((self._seed, epoch))
            self._order = self._random.permutation(len(self._photos))

    def _face(self, row: int) -> Pixels:
        pixels = decode_photo(self._photos[row], self._side)
        if self._seed is not None:
            return augment_photo(pixels, self._side, self._random)
        return to_network_input(pixels, self._side)


def label_distribution_loss(ages: Tensor, logits: Tensor) -> Tensor:
    """Cross-entropy to a narrow Gaussian around the true age, plus the error of the expected age.

    Source: Gao et al. 2018, "Age Estimation Using Expectation of Label Distribution Learning" (DLDL-v2).
    """
    years = keras.ops.arange(YEARS_OF_AGE, dtype="float32")
    ages = keras.ops.cast(ages, "float32")
    target = keras.ops.softmax(-0.5 * ((years - ages) / LABEL_SPREAD_YEARS) ** 2)
    cross_entropy = keras.ops.categorical_crossentropy(target, keras.ops.cast(logits, "float32"), from_logits=True)
    return cross_entropy + EXPECTATION_LOSS_WEIGHT * mae(ages, logits)


def mae(ages: Tensor, logits: Tensor) -> Tensor:
    """Absolute error of the expected age, per photo, in years."""
    years = keras.ops.arange(YEARS_OF_AGE, dtype="float32")
    probabilities = keras.ops.softmax(keras.ops.cast(logits, "float32"))
    expected_years = keras.ops.sum(probabilities * years, axis=-1)
    return keras.ops.abs(expected_years - keras.ops.cast(ages, "float32")[:, 0])


def train(faces: pd.DataFrame, images: Path, init: Path | None, out: Path, recipe: TrainingRecipe) -> keras.Model:
    """Train on split `train`, watch split `valid`, return the network with its weights averaged over late steps.

    Each epoch is saved below `out`. A run or stage that finds one saved goes on behind it.
    """
    train_faces, valid_faces = (faces[faces["split"] == split] for split in ("train", "valid"))
    network = _network_to_train(init, recipe)
    steps = recipe.epochs * int(np.ceil(len(train_faces) / recipe.batch_size))
    network.compile(_optimizer(recipe, steps), loss=label_distribution_loss, metrics=[mae], jit_compile=False)
    for side_pixels, last_epoch in recipe.stages():
        batches = FaceBatches(train_faces, images, side_pixels, recipe.batch_size, recipe.seed)
        network.fit(
            batches,
            validation_data=FaceBatches(valid_faces, images, recipe.image_size, recipe.batch_size),
            epochs=last_epoch,
            verbose=1 if sys.stdout.isatty() else 2,
            callbacks=_callbacks(batches.start_epoch, out),
        )
    return network


def training_facts(faces: pd.DataFrame, init: Path | None, data: str, recipe: TrainingRecipe) -> TrainingFacts:
    """Return what the manifest says about a training on `faces`."""
    ages = ages_years(faces[faces["split"] == "train"])
    return TrainingFacts(
        started_from=init.name if init else "random weights",
        data=data,
        photo_count=len(ages),
        age_prior=(np.bincount(ages, minlength=YEARS_OF_AGE) / len(ages)).round(6).tolist(),
        recipe=asdict(recipe),
    )


def _network_to_train(init: Path | None, recipe: TrainingRecipe) -> keras.Model:
    keras.utils.set_random_seed(recipe.seed)
    keras.config.set_dtype_policy("mixed_bfloat16")
    network = build_age_resnet50(recipe.dropout)
    keras.config.set_dtype_policy("float32")
    use_torch_kernels(network)
    if init:
        missing = load_weights(network, read_weights(init))
        print(f"started from {init.name}; {len(missing)} arrays start random", flush=True)
    return network


def _optimizer(recipe: TrainingRecipe, steps: int) -> keras.optimizers.Optimizer:
    warmup_steps = steps // 20
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=recipe.peak_learning_rate / 100,
        warmup_target=recipe.peak_learning_rate,
        warmup_steps=warmup_steps,
        decay_steps=steps - warmup_steps,
        alpha=0.01,
    )
    return keras.optimizers.AdamW(
        schedule,
        weight_decay=recipe.weight_decay,
        global_clipnorm=5.0,
        use_ema=True,
        ema_momentum=recipe.weight_average_momentum,
    )


def _callbacks(start_epoch: Callable[[int], None], out: Path) -> list[keras.callbacks.Callback]:
    return [
        keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: start_epoch(epoch)),
        keras.callbacks.SwapEMAWeights(),
        keras.callbacks.CSVLogger(out / "epochs.csv", append=True),
        keras.callbacks.BackupAndRestore(out / "backup", delete_checkpoint=False),
    ]


def main() -> None:
    """Train and calibrate as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=Path, required=True, help="CSV with file_name,real_age[,split,age_conflict]")
    parser.add_argument("--images", type=Path, required=True, help="folder of the photos")
    parser.add_argument("--init", type=Path, help="weights to start from, layer/weight:0 arrays in an .npz")
    parser.add_argument("--data", required=True, help="name and terms of the photos, for the manifest")
    parser.add_argument("--out", type=Path, required=True, help="folder for weights, manifest and checkpoints")
    parser.add_argument("--image-size", type=int, default=TrainingRecipe.image_size, help="side in pixels")
    parser.add_argument("--epochs", type=int, default=TrainingRecipe.epochs)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    recipe = TrainingRecipe(image_size=arguments.image_size, epochs=arguments.epochs)
    faces = read_face_labels(arguments.labels)
    agreed_faces = faces[faces["age_conflict"] == 0]
    network = train(agreed_faces, arguments.images, arguments.init, arguments.out, recipe)
    write_weights(network_weights(network), arguments.out / "weights.npz")
    facts = training_facts(agreed_faces, arguments.init, arguments.data, recipe)
    (arguments.out / "training.json").write_text(json.dumps(asdict(facts)))
    calibrate_version(arguments.out, agreed_faces, arguments.images, [recipe.image_size])


if __name__ == "__main__":
    main()
