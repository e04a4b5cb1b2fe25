"""export_openvino: quantise a version's network or the face finder to int8 for OpenVINO.

    checkout-ages export --weights age_resnet50-4 --labels labels.csv --images faces --out export

Weights and activations become 8 bits wide. Their ranges are measured on photos of split `train`. Source:
Nagel et al. 2021, "A White Paper on Neural Network Quantization" (post-training quantisation, bias correction).
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np
import pandas as pd
from PIL import Image

from models.errors import ModelInputError
from models.faces.face_scenes import draw_scene, paste_face
from models.serving.age_network import load_age_network
from models.serving.face_finding import SEARCHES, SMALL_SEARCH, FaceFinder, to_shape
from models.serving.face_photo import read_face
from models.serving.model_manifest import ModelManifest
from models.serving.model_versions import (
    MODEL_VERSIONS,
    OPENVINO_NETWORK,
    ModelFiles,
    file_sha256,
    original_finder_path,
)
from models.serving.openvino_engine import compile_exactly
from models.serving.photo_preprocessing import Pixels, UnusablePhotoError, decode_photo
from models.training.trained_version import trained_files

if TYPE_CHECKING:
    import openvino

FACE_FINDER = "centerface"
CALIBRATION_PHOTOS = 300
SEED = 1
FACES_IN_A_SCENE = (1, 4)
SIDES_PIXELS = (60, 400)


def export_network(version: str | None, faces: pd.DataFrame, images: Path, out: Path, photo_count: int) -> list[str]:
    """Write the int8 network of a version, of a training's folder, or of the face finder to `out`.

    `faces` come from `read_face_labels`. Ranges are measured on `photo_count` photos of split `train`. Returns the
    lines that pin the files by sha256.
    Raises ModelInputError when `version` is neither a version nor a training's folder, or no photo of split `train` can
    be used, and WeightsError when a committed file was altered.
    """
    training = faces.loc[faces["split"] == "train", "file_name"]
    names = training.sample(min(photo_count, len(training)), random_state=SEED).to_list()
    if version == FACE_FINDER:
        return _write(_quantised(_original_finder(), list(_searched(images, names))), out)
    files, manifest = trained_files(version or MODEL_VERSIONS[-1])
    photos = _squares(images, names, manifest.image_size)
    return _write(_quantised(_converted(files, manifest), [photo[None] for photo in photos]), out)


def _converted(files: ModelFiles, manifest: ModelManifest) -> openvino.Model:
    """Convert the network from TensorFlow, with uint8 pixels as input.

    The conversion uses a file: a network converted in memory shares TensorFlow's arrays, and quantising it ruins both.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import openvino
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    network, _ = load_age_network(files, manifest)
    shape = [None, manifest.image_size, manifest.image_size, 3]
    signature = [tf.TensorSpec(shape, tf.uint8, name="rgb_pixels")]
    answer = tf.function(lambda pixels: network(tf.cast(pixels, tf.float32), training=False), input_signature=signature)
    graph = convert_variables_to_constants_v2(answer.get_concrete_function()).graph
    core = openvino.Core()
    core.set_property({"ENABLE_MMAP": False})  # the file is deleted below, so its weights must not be mapped
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "network.pb")
        path.write_bytes(graph.as_graph_def().SerializeToString())
        return core.read_model(path)


def _original_finder() -> openvino.Model:
    """Return the face finder with uint8 pixels, channels last, as input."""
    import openvino
    from openvino.preprocess import PrePostProcessor

    network = openvino.Core().read_model(original_finder_path())
    network.reshape([1, 3, -1, -1])
    taking = PrePostProcessor(network)
    taking.input().tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC"))
    taking.input().model().set_layout(openvino.Layout("NCHW"))
    return taking.build()


def _quantised(network: openvino.Model, photos: list[Pixels]) -> openvino.Model:
    import nncf

    if not photos:
        raise ModelInputError("no photo of split train can be used to measure ranges: name the folder of the photos")
    dataset = nncf.Dataset(photos)
    with _layers_computed_exactly():
        return nncf.quantize(network, dataset, subset_size=len(photos), preset=nncf.QuantizationPreset.MIXED)


@contextmanager
def _layers_computed_exactly() -> Iterator[None]:
    """Let NNCF correct biases by what quantised layers answer on every processor, not on this one.

    NNCF has no setting for it: it compiles the layers with OpenVINO's defaults.
    """
    import openvino
    from nncf.openvino import engine

    def compiled(self: Any, model: Any, use_fp32_precision: bool = True) -> None:
        options = {"INFERENCE_PRECISION_HINT": "f32"} if use_fp32_precision else {}
        network = compile_exactly(openvino.Core(), model, options)
        self.engine = engine.OVCompiledModelEngine(network, engine.model_has_state(model))

    with patch.object(engine.OVNativeEngine, "__init__", compiled):
        yield


def _write(network: Any, out: Path) -> list[str]:
    import openvino

    out.mkdir(parents=True, exist_ok=True)
    path = out / OPENVINO_NETWORK
    openvino.save_model(network, path, compress_to_fp16=False)
    return [f'"{out.name}/{file.name}": "{file_sha256(file)}",' for file in (path.with_suffix(".bin"), path)]


def _squares(images: Path, names: list[str], image_size: int) -> Iterator[Pixels]:
    finder = FaceFinder.load()
    for name in names:
        with suppress(OSError, UnusablePhotoError):
            yield read_face((images / name).read_bytes(), finder, image_size).pixels


def _searched(images: Path, names: list[str]) -> Iterator[Pixels]:
    """Yield (1, height, width, 3) photos in every shape of the search: one face alone, or several in a scene."""
    for number, name in enumerate(names):
        search = SEARCHES[number % len(SEARCHES)]
        try:
            photo = decode_photo((images / name).read_bytes(), 1)
        except (OSError, UnusablePhotoError):
            continue
        if search is not SMALL_SEARCH:
            photo = _scene(photo, np.random.default_rng([SEED, number]))
        yield to_shape(photo, search[number // len(SEARCHES) % 2])[0]


def _scene(face: Pixels, random: np.random.Generator) -> Pixels:
    height, width = face.shape[:2]
    square = np.asarray(Image.fromarray(face).resize((max(height, width),) * 2))
    scene = draw_scene(random)
    for _ in range(random.integers(*FACES_IN_A_SCENE)):
        scene, _ = paste_face(scene, square, int(random.integers(*SIDES_PIXELS)), random)
    return scene
