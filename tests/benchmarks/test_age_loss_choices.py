import numpy as np
import pytest
from rich.console import Console

from models.training.age_losses import label_distribution
from tests.benchmarks import age_loss_choices
from tests.benchmarks.age_loss_choices import Faces, errors_years, loss_table


def faces(count: int, seed: int) -> Faces:
    """People with descriptions that tell their age."""
    ages = np.random.default_rng(seed).integers(0, 90, count)
    described = np.stack([ages / 45 - 1, np.ones(count)], axis=1).astype("float32")
    return Faces(described, ages, np.arange(count).astype(str))


def test_a_head_learns_the_age_from_what_is_said_of_a_face(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(age_loss_choices, "HEADS", 1)
    (errors,) = errors_years(label_distribution, faces(3000, seed=1), faces(200, seed=2))
    assert np.abs(errors).mean() < 8  # it is 22 if the mean age is estimated for everyone


def test_the_table_says_how_much_worse_a_loss_is_and_how_sure_that_is() -> None:
    valid = faces(200, seed=2)
    console = Console(width=120, record=True)
    console.print(
        loss_table({"label_distribution": np.full((3, 200), 1.0), "other": np.full((3, 200), -1.5)}, valid),
    )
    rows = [line.split() for line in console.export_text().splitlines() if "│" in line]
    assert [cell for cell in rows[-1] if cell != "│"] == ["other", "1.50", "-1.5", "+0.50", "+0.50", "to", "+0.50"]
