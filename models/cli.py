"""cli: the subcommands of `checkout-ages` for the age model. Slow imports are inside them, so that `--help` is fast."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from models.errors import ModelInputError
from models.serving.model_versions import OPENVINO_NETWORK, SHIFT_CALIBRATION, WeightsError

app = typer.Typer()
console = Console()
errors = Console(stderr=True)

Labels = Annotated[
    Path | None,
    typer.Option(help="CSV with file_name,real_age; default: IMAGES/labels.csv, or ages in UTKFace file names"),
]
Images = Annotated[Path, typer.Option(help="folder with the photos")]
Engine = Literal["openvino", "tensorflow"]
Loss = Literal["cross_entropy", "label_distribution", "mean_variance", "ordinal"]
Variation = StrEnum(
    "Variation", ["flip", "crop", "rotation", "brightness", "blur", "jpeg", "low_resolution", "occlusion"]
)
OutFolder = Annotated[Path, typer.Option(help="folder to write to")]


@contextmanager
def explained() -> Iterator[None]:
    """Print an error of the block that a person can fix as one sentence, and exit with code 2."""
    try:
        yield
    except (ModelInputError, WeightsError) as error:
        errors.print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(2) from None


@app.command()
def train(
    images: Images,
    out: OutFolder,
    labels: Labels = None,
    recipe: Annotated[
        Literal["default", "seed"], typer.Option(help="default, or seed: the plain recipe that was the starting point")
    ] = "default",
    init: Annotated[Path | None, typer.Option(help="weights to start from: layer/weight:0 arrays in an .npz")] = None,
    image_size: Annotated[int | None, typer.Option(min=32, max=512, help="side of the photos in pixels")] = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            min=0, help="epochs of ResNet50; with 0 it stays as in --init, and only the second opinion is trained"
        ),
    ] = None,
    loss: Annotated[Loss | None, typer.Option(help="loss that the default recipe minimises")] = None,
    without: Annotated[
        list[Variation] | None, typer.Option(help="kind of photo variation to leave out; may be repeated")
    ] = None,
    data: Annotated[str, typer.Option(help="name and terms of the photos, for the manifest")] = "not stated",
    teacher: Annotated[
        Path | None, typer.Option(help="another network's answers on the photos, an .npz; see TRAINING.md")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="continue the run in OUT")] = False,
) -> None:
    """Train the age network on labelled faces, calibrate it, and write a version: weights, manifest, learning curves.

    Runs on PyTorch if it is installed (twice as fast on a CPU), or on the backend that KERAS_BACKEND names.

    Example: checkout-ages train --images faces --init models/weights/age_resnet50-4/weights.npz --out run
    """
    with explained():
        _choose_keras_backend()
        from models.faces.face_labels import read_face_labels
        from models.training.train_age_resnet50 import train_version
        from models.training.training_recipe import recipe_of

        chosen = recipe_of(recipe, image_size=image_size, epochs=epochs, loss=loss, without=without or [])
        faces = read_face_labels(labels, images)
        train_version(faces, images, init, out, chosen, data, resume, teacher)
    console.print(f"wrote weights.npz, manifest.json and the other files of the version to {out}")


@app.command()
def explore(
    out: OutFolder,
    labels: Labels = None,
    images: Annotated[
        Path | None, typer.Option(help="folder with the photos; without it only ages are explored")
    ] = None,
) -> None:
    """Write an HTML page about a set of labelled photos: its ages, near duplicates, contradictory labels and photos.

    Example: checkout-ages explore --labels labels.csv --images faces --out exploration
    """
    with explained():
        from models.evaluation.exploration_page import explore as explore_labelled
        from models.evaluation.explore_faces import summary_table
        from models.faces.face_labels import read_face_labels

        with console.status("looking at the photos"):
            facts = explore_labelled(read_face_labels(labels, images), images, out)
        console.print(summary_table(*facts))
    console.print(f"wrote {out / 'index.html'}")


@app.command()
def evaluate(
    images: Images,
    out: OutFolder,
    labels: Labels = None,
    split: Annotated[str, typer.Option(help="part of the labelled photos: train, valid, test, or all")] = "test",
    weights: Annotated[
        str | None, typer.Option(help="model version, or folder of a training; default: the newest version")
    ] = None,
    baseline: Annotated[
        list[Path] | None,
        typer.Option(help="OUT of an earlier evaluation, to compare with photo by photo; may be repeated"),
    ] = None,
    engine: Annotated[Engine, typer.Option(help="openvino (int8) or tensorflow (the reference)")] = "openvino",
) -> None:
    """Measure a model version's errors on labelled photos, by groups of people, and how calibrated it is.

    Example: checkout-ages evaluate --labels labels.csv --images faces --split test --out evaluation
    """
    with explained():
        from models.evaluation.evaluate_age_resnet50 import evaluate_version, terminal_tables
        from models.faces.face_labels import read_face_labels

        with console.status("estimating ages"):
            faces = read_face_labels(labels, images)
            figures = evaluate_version(weights, faces, images, out, split, baseline or [], engine)
        console.print(*terminal_tables(figures))
    console.print(f"wrote {out / 'metrics.json'}, predictions.csv and index.html")


@app.command()
def export(
    images: Images,
    out: OutFolder,
    labels: Labels = None,
    weights: Annotated[
        str | None,
        typer.Option(
            help="model version, folder of a training, or centerface (finds faces); default: the newest version"
        ),
    ] = None,
    photos: Annotated[int, typer.Option(min=1, help="number of photos of split train to measure ranges on")] = 300,
) -> None:
    """Quantise a network to int8 for OpenVINO, and print the lines of code that pin the files by their sha256.

    Example: checkout-ages export --labels labels.csv --images faces --weights age_resnet50-4 --out age_resnet50-4
    """
    with explained():
        from models.faces.face_labels import read_face_labels
        from models.training.export_openvino import export_network

        pins = export_network(weights, read_face_labels(labels, images), images, out, photos)
    console.print(f"wrote {out / OPENVINO_NETWORK} and .bin; to pin them, put into models/serving/model_versions.py:")
    console.print("\n".join(pins), markup=False, highlight=False, soft_wrap=True)


@app.command()
def calibrate(
    images: Images,
    out: OutFolder,
    labels: Labels = None,
    weights: Annotated[
        str | None, typer.Option(help="model version, or folder of a training; default: the newest version")
    ] = None,
) -> None:
    """Fit shift_calibration.json, which corrects a version's estimates for the ages of buyers; print its pinning line.

    Example: checkout-ages calibrate --labels labels.csv --images faces --weights age_resnet50-4 --out age_resnet50-4
    """
    with explained():
        from models.faces.face_labels import read_face_labels
        from models.training.fit_shift_calibration import fit_shift_calibration

        with console.status("estimating ages"):
            pins = fit_shift_calibration(weights, read_face_labels(labels, images), images, out)
    console.print(f"wrote {out / SHIFT_CALIBRATION}; to pin it, put into models/serving/model_versions.py:")
    console.print("\n".join(pins), markup=False, highlight=False, soft_wrap=True)


def _choose_keras_backend() -> None:
    # Keras reads the variable once, when it is imported.
    if "KERAS_BACKEND" not in os.environ and find_spec("torch"):
        os.environ["KERAS_BACKEND"] = "torch"
