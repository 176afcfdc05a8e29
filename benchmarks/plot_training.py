"""Draw the log of one training, or of several that follow each other: loss and validation Dice by epoch.

Usage: python benchmarks/plot_training.py OUTPUT.png joint/log.csv seranet/log.csv ...
"""

import csv
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def main(output: Path, logs: list[Path]) -> None:
    """Draw the logs one after the other along one axis of epochs."""
    figure, (loss_axes, dice_axes) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    begin = 0
    for log in logs:
        with log.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        epochs = [begin + index + 1 for index in range(len(rows))]
        for axes, column in ((loss_axes, "loss"), (dice_axes, "volume_dice")):
            axes.plot(epochs, [float(row[column]) for row in rows], marker=".", label=log.parent.name)
        begin += len(rows)
    loss_axes.set(xlabel="epoch", ylabel="cross-entropy, training", yscale="log")
    dice_axes.set(xlabel="epoch", ylabel="Dice, validation heads (every 4th slice)")
    dice_axes.legend(frameon=False)
    for axes in (loss_axes, dice_axes):
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(output, dpi=120)


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]])
