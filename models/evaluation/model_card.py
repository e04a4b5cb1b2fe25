"""model_card: render models/README.md from the evaluation and the manifest of the newest version. `make card` runs it.

The text is in templates/model_card.md. Every figure comes from `weights/VERSION/metrics.json`, which
`checkout-ages evaluate` wrote.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from models.evaluation.age_metrics import CHALLENGE_DEFINITION, ERROR_HEADINGS, Figures, error_cells, ranged
from models.evaluation.html_page import page_template
from models.serving.age_distribution import YOUNG_ADULT_BIAS_YEARS
from models.serving.model_manifest import ModelManifest, read_manifest
from models.serving.model_versions import MODEL_VERSIONS, WEIGHTS_FOLDER

MODELS = Path(__file__).parents[1]
CARD = MODELS / "README.md"
ENGINES = {"openvino": "OpenVINO, int8", "tensorflow": "TensorFlow, float32"}
GROUP_KINDS = {"by_age_band": "age_band", "by_gender": "gender", "by_race": "race"}
FEWEST_PHOTOS = 100
"""Groups with fewer photos are in the tables, but are not named as the worst: chance decides too much there."""
WORST_GROUPS = 3
WANTED_COVERAGE = 0.85


def rendered(version: str = MODEL_VERSIONS[-1]) -> str:
    """Render the model card of a committed version. Raises WeightsError when its files are missing or altered."""
    metrics: Figures = json.loads((WEIGHTS_FOLDER / version / "metrics.json").read_text())
    return page_template("model_card.md").render(
        error_headings=ERROR_HEADINGS,
        error_cells=error_cells,
        ranged=ranged,
        version=version,
        metrics=metrics,
        manifest=read_manifest(version),
        engine=ENGINES[metrics.get("inference_engine", "tensorflow")],
        recipe=recipe_in_words(read_manifest(version)),
        failures=list(known_failures(metrics)),
        challenge_definition=CHALLENGE_DEFINITION,
        young_adult_bias_years=YOUNG_ADULT_BIAS_YEARS,
        has_experiments=(MODELS / "EXPERIMENTS.md").exists(),
    )


def known_failures(metrics: Figures) -> Iterator[str]:
    """Yield a sentence for each weakness that the figures show: bias, error and coverage of the worst groups."""
    groups = _groups(metrics)
    for group in sorted(groups, key=lambda each: -abs(each["bias"]))[:WORST_GROUPS]:
        direction = "older" if group["bias"] > 0 else "younger"
        yield f"{group['name']} are taken for {direction} than labelled: bias {ranged(group, 'bias', '+.1f')} years."
    for group in sorted(groups, key=lambda each: -each["mae"])[:WORST_GROUPS]:
        yield f"{group['name']} have a mean absolute error of {ranged(group, 'mae', '.1f')} years."
    for group in groups:
        if group["interval_coverage"] < WANTED_COVERAGE:
            yield f"{group['name']}: only {ranged(group, 'interval_coverage', '.1%')} of 90 % intervals hold the age."


def recipe_in_words(manifest: ModelManifest) -> str:
    """Return the choices of a version's training as a text of names and values."""
    return ", ".join(f"{name.replace('_', ' ')} {_plain(value)}" for name, value in manifest.training.recipe.items())


def _plain(value: object) -> str:
    if isinstance(value, dict):
        return "(" + ", ".join(f"{name} {_plain(each)}" for name, each in value.items()) + ")"
    return " ".join(map(str, value)) if isinstance(value, Sequence) and not isinstance(value, str) else str(value)


def _groups(metrics: Figures) -> list[Figures]:
    """Return the groups with at least FEWEST_PHOTOS photos, each with a `name` that can begin a sentence."""
    return [
        {"name": f"People of {row[label]}" if label == "age_band" else f"People labelled {row[label]}", **row}
        for kind, label in GROUP_KINDS.items()
        for row in metrics.get(kind, [])
        if row["photo_count"] >= FEWEST_PHOTOS
    ]


if __name__ == "__main__":
    CARD.write_text(rendered())
