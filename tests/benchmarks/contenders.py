"""contenders: the contenders of the benchmarks, and where their code is."""

from __future__ import annotations

CONTENDERS = {
    "a": "face finding and network, on decoded photos",
    "a-prime": "network alone, on squares cut before",
    "a-prime-before": "network alone, of the version before",
    "a-jpeg": "decoding, face finding and network, on files in memory",
    "b": "Spark stage, photos on disk to rows",
    "b-before": "Spark stage, photos on disk to rows, with the version before",
    "c": "Spark stage, photos on S3 to rows",
    "d": "predict_batch_udf, Keras, same answer",
    "d-one-network": "predict_batch_udf, Keras, ResNet50 alone",
    "e": "Keras predict loop, same answer",
    "e-one-network": "Keras predict loop, ResNet50 alone",
    "f-keras": "Ray Data, Keras, same answer",
    "f-fast": "Ray Data, this project's estimator",
    "g-keras": "Daft, Keras, same answer",
    "g-fast": "Daft, this project's estimator",
}

KERAS = frozenset({"d", "d-one-network", "e", "e-one-network", "f-keras", "g-keras"})
"""Their speed is at most a third of the others', so they are timed on fewer photos."""

GROWTH, ENGINES, MATCHING, NIGHTS = "growth", "engines", "matching", "nights"
MILLION, CHAIN = "million", "chain"
"""Measured only when asked for by name: one takes minutes, the other hours."""

FUNCTIONS = {
    "a": "engine:finder_and_network",
    "a-prime": "engine:network_alone",
    "a-prime-before": "engine:network_before_alone",
    "a-jpeg": "engine:decoding_finder_and_network",
    "b": "spark_stage:spark_stage",
    "b-before": "spark_stage:spark_stage_before",
    "c": "spark_stage:spark_stage",
    "d": "public_recipes:predict_batch_udf_same_answer",
    "d-one-network": "public_recipes:predict_batch_udf_one_network",
    "e": "public_recipes:predict_loop_same_answer",
    "e-one-network": "public_recipes:predict_loop_one_network",
    "f-keras": "ray_data:keras_actors",
    "f-fast": "ray_data:estimator_actors",
    "g-keras": "daft_frame:keras_class",
    "g-fast": "daft_frame:estimator_class",
    "growth": "spark_stage:growing_stage",
    "export": "engines:exported_networks",
    "engine": "engines:engine",
    "matching": "matching:matching",
}
"""Name ► module and function of the contender, a context manager: Job ► Ready."""


def chosen(only: str | None) -> list[str]:
    """Return the names of a comma-separated choice, in order; `d` means `d` and `d-one-network`.

    No choice means all except MILLION and CHAIN.

    Raises ValueError for an unknown name.
    """
    unasked = [*CONTENDERS, GROWTH, ENGINES, MATCHING, NIGHTS]
    if only is None:
        return unasked
    names = [*unasked, MILLION, CHAIN]
    wanted = [part.strip() for part in only.split(",")]
    unknown = [part for part in wanted if not any(_means(part, name) for name in names)]
    if unknown:
        raise ValueError(f"no contender '{unknown[0]}'; there are {', '.join(names)}")
    return [name for name in names if any(_means(part, name) for part in wanted)]


def _means(part: str, name: str) -> bool:
    return name == part or name.startswith(f"{part}-")
