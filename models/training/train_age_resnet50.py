"""train_age_resnet50: train a version of the age model on labelled faces: weights, head, manifest, learning curves.

It runs on any Keras backend (KERAS_BACKEND=tensorflow, torch or jax), and weights fit all of them. Each epoch is
checkpointed: a killed run resumes after its last complete epoch.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

from models.errors import ModelInputError
from models.faces.face_labels import ages_years
from models.serving.age_resnet50 import build_network, load_weights, network_weights, read_weights, write_weights
from models.serving.model_manifest import TrainingFacts
from models.serving.model_versions import SECOND_OPINION_HEAD, file_sha256
from models.training.age_losses import LOSSES, mae, taught
from models.training.calibrate_age_resnet50 import calibrate_version
from models.training.face_batches import FaceBatches, find_squares
from models.training.fast_torch_layers import use_torch_kernels
from models.training.layerwise_adamw import LayerwiseAdamW
from models.training.learning_curves import plot_learning_curves
from models.training.teacher_targets import TeacherTargets, read_teacher
from models.training.train_second_opinion import train_second_opinion
from models.training.training_recipe import TrainingRecipe, age_weights, effective_age_prior

EPOCHS_FILE = "epochs.csv"
CHECKPOINT_FOLDER = "checkpoint"
LEFT_OUT_FILE = "left_out.csv"
SMALLEST_SPLIT = 2


def train_version(
    faces: pd.DataFrame,
    images: Path,
    init: Path | None,
    out: Path,
    recipe: TrainingRecipe,
    data: str,
    resume: bool = False,
    teacher: Path | None = None,
) -> None:
    """Train, calibrate and write a version to `out`; with `resume`, continue a killed run there.

    `faces` has file_name, real_age, split and age_conflict. Near duplicates with contradictory ages and photos without
    a usable face are left out, and listed with the reason in `left_out.csv`. `teacher` is a file of `teacher_targets`.
    Raises ModelInputError when a split is empty, when the loss takes no teacher, when `out` has a run and `resume` is
    False, or when `resume` comes with other options than the run began with.
    """
    if init is None:
        if not recipe.epochs:
            raise ModelInputError("without epochs ResNet50 stays as it is: name its weights with --init")
        recipe = replace(recipe, rate_factors={})  # random layers must learn
    if teacher and recipe.loss != "label_distribution":
        raise ModelInputError(
            f"a teacher needs the loss label_distribution, not '{recipe.loss}': leave one of them out"
        )
    targets = read_teacher(teacher) if teacher else None
    if targets is None:
        recipe = replace(recipe, teacher_share=0.0, embedding_weight=0.0)
    faces = find_squares(faces, images, recipe.image_size)
    agreed_faces = faces[(faces["age_conflict"] == 0) & faces["problem"].isna()]
    facts = training_facts(agreed_faces, init, data, recipe, teacher)
    _check(agreed_faces, out, facts, resume)
    out.mkdir(parents=True, exist_ok=True)
    _report_left_out(faces, out / LEFT_OUT_FILE)
    (out / "training.json").write_text(_as_json(facts))
    network = train(agreed_faces, images, init, out, recipe, targets)
    write_weights(network_weights(network), out / "weights.npz")
    if recipe.epochs:
        plot_learning_curves(out / EPOCHS_FILE, out / "learning_curves.png", recipe.name)
    if side_pixels := recipe.second_opinion_side_pixels:
        train_second_opinion(agreed_faces, images, recipe.image_size, side_pixels, out / SECOND_OPINION_HEAD)
    calibrate_version(out, agreed_faces, images, [recipe.image_size])


def train(
    faces: pd.DataFrame,
    images: Path,
    init: Path | None,
    out: Path,
    recipe: TrainingRecipe,
    teacher: TeacherTargets | None = None,
) -> keras.Model:
    """Train on split `train` and watch split `valid`; return the network with weights averaged over the last steps.

    With 0 epochs the network keeps the weights of `init`.
    """
    train_faces, valid_faces = (faces[faces["split"] == split] for split in ("train", "valid"))
    network = _network_to_train(init, recipe)
    if not recipe.epochs:
        return network
    steps = recipe.epochs * int(np.ceil(len(train_faces) / recipe.batch_size))
    metrics = [mae] if recipe.head == "years" else [keras.losses.mean_absolute_error]
    loss = taught(recipe.teacher_share, recipe.embedding_weight) if teacher else LOSSES.get(recipe.loss, recipe.loss)
    trained = _with_embedding(network, teacher.embedding_size) if teacher else network
    trained.compile(_optimizer(recipe, steps), loss=loss, metrics=metrics, jit_compile=False)
    weights_by_age = age_weights(ages_years(train_faces), recipe)
    for side_pixels, last_epoch in recipe.stages():
        batches = FaceBatches(
            *(train_faces, images, side_pixels, recipe.batch_size),
            *(weights_by_age, recipe.augmentation, recipe.seed, teacher),
        )
        trained.fit(
            batches,
            validation_data=FaceBatches(valid_faces, images, recipe.image_size, recipe.batch_size, teacher=teacher),
            epochs=last_epoch,
            verbose=1 if sys.stdout.isatty() else 2,
            callbacks=_callbacks(batches.start_epoch, out, recipe),
        )
    return network


def training_facts(
    faces: pd.DataFrame, init: Path | None, data: str, recipe: TrainingRecipe, teacher: Path | None = None
) -> TrainingFacts:
    """Return the facts about a training on `faces` for the manifest."""
    ages = ages_years(faces[faces["split"] == "train"])
    return TrainingFacts(
        started_from=_name_of(init) if init else "random weights",
        data=data,
        photo_count=len(ages),
        age_prior=effective_age_prior(ages, recipe).round(6).tolist(),
        recipe=asdict(recipe),
        taught_by=f"{teacher.name}, sha256 {file_sha256(teacher)}" if teacher else None,
    )


def _name_of(init: Path) -> str:
    """Return the name of the version or training that these weights belong to, or of another file."""
    return init.resolve().parent.name if init.name == "weights.npz" else init.name


def _report_left_out(faces: pd.DataFrame, report: Path) -> None:
    """Write the photos that are left out of training, with the reason, and print their number."""
    reasons = faces["problem"].where(
        faces["problem"].notna() | (faces["age_conflict"] == 0), "near duplicates disagree on its age"
    )
    left_out = faces[["file_name"]].assign(reason=reasons)[reasons.notna()]
    left_out.to_csv(report, index=False)
    print(f"{len(faces)} labelled photos, {len(left_out)} left out: reasons in {report}", flush=True)


def _check(faces: pd.DataFrame, out: Path, facts: TrainingFacts, resume: bool) -> None:
    for split in ("train", "valid"):
        count = int((faces["split"] == split).sum())
        if count < SMALLEST_SPLIT:
            raise ModelInputError(f"split '{split}' has {count} photos, training needs {SMALLEST_SPLIT} or more")
    if not (out / "training.json").exists():
        return
    if not resume:
        raise ModelInputError(f"folder '{out}' holds a training run: go on with it by --resume, or name another folder")
    begun, asked = (_choices(json.loads(text)) for text in ((out / "training.json").read_text(), _as_json(facts)))
    changed = [name for name, value in asked.items() if begun.get(name, value) != value]
    if changed:
        raise ModelInputError(
            f"the run in '{out}' was begun with another {' and '.join(changed)}: resume it with its own options"
        )


def _choices(facts: dict[str, Any]) -> dict[str, Any]:
    """Return, by option, the choices that a resumed run must share with its beginning."""
    return {**facts["recipe"], "init": facts["started_from"], "teacher": facts.get("taught_by")}


def _as_json(facts: TrainingFacts) -> str:
    return json.dumps(asdict(facts), indent=1)


def _network_to_train(init: Path | None, recipe: TrainingRecipe) -> keras.Model:
    keras.utils.set_random_seed(recipe.seed)
    # Layers keep the policy they are built with. Networks that are built later, to calibrate, compute in float32.
    keras.config.set_dtype_policy("mixed_bfloat16")
    network = build_network(recipe.head, recipe.dropout)
    keras.config.set_dtype_policy("float32")
    use_torch_kernels(network)
    if init:
        missing = _load_init(network, init)
        print(f"started from {init.name}; {len(missing)} arrays start random", flush=True)
    frozen = tuple(layer for layer, factor in recipe.rate_factors.items() if factor == 0)
    for layer in network.layers:
        layer.trainable = not (frozen and layer.name.startswith(frozen))
    return network


def _with_embedding(network: keras.Model, size: int) -> keras.Model:
    """Return the network with a second head for the teacher's embedding; its outputs follow the logits."""
    embedding = keras.layers.Dense(size, name="teacher_embedding", dtype="float32")(network.layers[-1].input)
    return keras.Model(network.input, keras.ops.concatenate([network.output, embedding], axis=-1))


def _load_init(network: keras.Model, init: Path) -> list[str]:
    try:
        return load_weights(network, read_weights(init))
    except (OSError, ValueError) as error:
        raise ModelInputError(f"weights '{init}' cannot start the training: {error}") from error


def _optimizer(recipe: TrainingRecipe, steps: int) -> keras.optimizers.Optimizer:
    if recipe.head == "age":
        return LayerwiseAdamW(recipe.peak_learning_rate, recipe.rate_factors, weight_decay=0.0)  # plain Adam
    warmup_steps = steps // 20
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=recipe.peak_learning_rate / 100,
        warmup_target=recipe.peak_learning_rate,
        warmup_steps=warmup_steps,
        decay_steps=steps - warmup_steps,
        alpha=0.01,
    )
    return LayerwiseAdamW(
        schedule,
        recipe.rate_factors,
        weight_decay=recipe.weight_decay,
        global_clipnorm=5.0,
        use_ema=True,
        ema_momentum=recipe.weight_average_momentum,
    )


def _callbacks(start_epoch: Callable[[int], None], out: Path, recipe: TrainingRecipe) -> list[keras.callbacks.Callback]:
    averaged: list[Any] = [keras.callbacks.SwapEMAWeights()] if recipe.weight_average_momentum else []
    return [
        keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: start_epoch(epoch)),
        *averaged,
        keras.callbacks.BackupAndRestore(out / CHECKPOINT_FOLDER, double_checkpoint=True, delete_checkpoint=False),
        keras.callbacks.CSVLogger(out / EPOCHS_FILE, append=True),
    ]
