"""engine: measure the most that the cores can do: face finding and network without files, decoding, Spark and rows.

As in the Spark stage there is one process per core, or as many as the options say. Each process has one thread for each
network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from models.serving.face_finding import FaceFinder
from models.serving.face_photo import FacePhoto, decode_to_search
from tests.benchmarks.estimator import BATCH_SIZE, MODEL_VERSION, VERSION_BEFORE, found_face, load_estimator
from tests.benchmarks.job import Job, Ready, batches, photo_files, shares

Prepare = Callable[[Sequence[Path]], Callable[[], int]]


@contextmanager
def finder_and_network(job: Job) -> Iterator[Ready]:
    """Find the face, cut it and estimate it, from pixels in memory."""
    with _processes(job, _prepare_finder_and_network) as run:
        yield Ready(run)


@contextmanager
def decoding_finder_and_network(job: Job) -> Iterator[Ready]:
    """Also decode the photo, from bytes in memory: no stage can be faster on these cores."""
    with _processes(job, _prepare_decoding_finder_and_network) as run:
        yield Ready(run)


@contextmanager
def network_alone(job: Job) -> Iterator[Ready]:
    """Estimate squares in memory. Photos without a face have no square."""
    with _processes(job, _prepare_network) as run:
        yield Ready(run)


@contextmanager
def network_before_alone(job: Job) -> Iterator[Ready]:
    """Estimate the same squares with the previous version."""
    with _processes(job, partial(_prepare_network, version=VERSION_BEFORE)) as run:
        yield Ready(run)


@contextmanager
def _processes(job: Job, prepare: Prepare) -> Iterator[Callable[[], int]]:
    spawn = get_context("spawn")
    pipes = []
    for files in shares(photo_files(job.photos), job.options.get("processes", len(job.cores))):
        ours, theirs = spawn.Pipe()
        spawn.Process(target=_serve, args=(theirs, prepare, files), daemon=True).start()
        theirs.close()
        pipes.append(ours)
    for pipe in pipes:
        pipe.recv()
    yield lambda: _ask_all(pipes)


def _serve(pipe: Connection, prepare: Prepare, files: Sequence[Path]) -> None:
    run = prepare(files)
    run()
    pipe.send("ready")
    while True:
        pipe.recv()
        pipe.send(run())


def _ask_all(pipes: list[Any]) -> int:
    for pipe in pipes:
        pipe.send("go")
    return sum(pipe.recv() for pipe in pipes)


def _prepare_finder_and_network(files: Sequence[Path]) -> Callable[[], int]:
    estimator, finder = load_estimator(threads=1), FaceFinder.load(threads=1)
    decoded = [decode_to_search(path.read_bytes()) for path in files]

    def run() -> int:
        rows = 0
        for batch in batches(len(decoded), BATCH_SIZE):
            faces = [found_face(photo, finder, estimator.manifest.image_size) for photo in decoded[batch]]
            rows += len(estimator.estimate_faces(faces))
        return rows

    return run


def _prepare_decoding_finder_and_network(files: Sequence[Path]) -> Callable[[], int]:
    estimator = load_estimator(threads=1)
    contents = [path.read_bytes() for path in files]

    def run() -> int:
        return sum(len(estimator.estimate(contents[batch])) for batch in batches(len(contents), BATCH_SIZE))

    return run


def _prepare_network(files: Sequence[Path], version: str = MODEL_VERSION) -> Callable[[], int]:
    estimator, finder = load_estimator(threads=1, version=version), FaceFinder.load(threads=1)
    found = [found_face(decode_to_search(path.read_bytes()), finder, estimator.manifest.image_size) for path in files]
    faces = [face.pixels for face in found if isinstance(face, FacePhoto)]
    side = estimator.manifest.image_size
    squares = np.stack(faces) if faces else np.empty((0, side, side, 3), dtype=np.uint8)

    def run() -> int:
        return sum(len(estimator.estimate_pixels(squares[batch])) for batch in batches(len(squares), BATCH_SIZE))

    return run
