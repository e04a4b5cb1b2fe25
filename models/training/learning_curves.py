"""learning_curves: plot the loss and error of a training by epoch."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import pandas as pd


def plot_learning_curves(epochs_csv: Path, png: Path, title: str) -> None:
    """Draw loss and mean error by epoch, on split `train` (with variations) and `valid`, from a training's CSV."""
    matplotlib.use("Agg")  # draws into files; other backends may look for a display
    from matplotlib import pyplot as plt

    epochs = pd.read_csv(epochs_csv)
    figure, panels = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    error = "mae" if "mae" in epochs else "mean_absolute_error"
    for panel, metric, words in zip(panels, ("loss", error), ("loss", "mean absolute error, years"), strict=True):
        panel.plot(epochs["epoch"] + 1, epochs[metric], marker="o", label="train")
        panel.plot(epochs["epoch"] + 1, epochs[f"val_{metric}"], marker="o", label="valid")
        panel.set(xlabel="epoch", ylabel=words)
        panel.grid(alpha=0.3)
        panel.legend()
    figure.suptitle(f"recipe {title}")
    figure.savefig(png, dpi=110)
    plt.close(figure)
