"""Draw the log of a training that went in stages: loss and validation Dice by epoch.

Usage: python benchmarks/plot_training.py TRAINING_LOG.csv CURVES.png
"""

import csv
import sys
from itertools import groupby
from math import isfinite
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def main(log: Path, output: Path) -> None:
    """Draw one line per stage."""
    with log.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    figure, (loss_axes, dice_axes) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    numbered = enumerate(rows, start=1)
    for stage, group in groupby(numbered, key=lambda item: item[1]["stage"]):
        epochs, stage_rows = zip(*group, strict=True)
        for axes, column in ((loss_axes, "loss"), (dice_axes, "volume_dice")):
            values = [float(row[column]) for row in stage_rows]
            # Not every epoch is validated.
            known = [(epoch, value) for epoch, value in zip(epochs, values, strict=True) if isfinite(value)]
            axes.plot(*zip(*known, strict=True), marker=".", label=stage)
    loss_axes.set(xlabel="epoch", ylabel="training loss", yscale="log")
    dice_axes.set(xlabel="epoch", ylabel="Dice, validation heads")
    dice_axes.legend(frameon=False, loc="lower right")
    for axes in (loss_axes, dice_axes):
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(output, dpi=110)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
