"""Numbers over several seeds: what may be said of them."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

_LEAST_SEEDS = 3


@dataclass(frozen=True)
class Spread:
    """A number over the seeds of a row.

    Attributes:
        values: one for each seed that there is.
    """

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean over the seeds."""
        return statistics.fmean(self.values)

    @property
    def deviation(self) -> float | None:
        """Sample standard deviation over the seeds; None of a single one."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None

    def text(self, digits: int) -> str:
        """Mean and spread, rounded.

        Example:
            >>> Spread((0.8, 0.9)).text(3), Spread((0.8,)).text(3), Spread(()).text(3)
            ('0.850 ± 0.071', '0.800', '-')
        """
        if not self.values:
            return "-"
        spread = "" if self.deviation is None else f" ± {self.deviation:.{digits}f}"
        return f"{self.mean:.{digits}f}{spread}"


def compare(left: Sequence[float], right: Sequence[float]) -> str:
    """Say which of two rows is higher, if their spread lets it be said.

    Args:
        left: values of a row, one for each seed.
        right: those of another row.

    Returns:
        `>` or `<` where the means lie further apart than both standard deviations together, `tie` where they do not,
        `few` where one of them has less than three seeds, whose spread says little.

    Example:
        >>> compare([0.8, 0.82, 0.81], [0.7, 0.72, 0.71]), compare([0.8, 0.9, 0.85], [0.84, 0.85, 0.86])
        ('>', 'tie')
        >>> compare([0.8, 0.82], [0.7, 0.71, 0.72])
        'few'
    """
    one, other = Spread(tuple(left)), Spread(tuple(right))
    if one.deviation is None or other.deviation is None or min(len(left), len(right)) < _LEAST_SEEDS:
        return "few"
    difference = one.mean - other.mean
    if abs(difference) <= one.deviation + other.deviation:
        return "tie"
    return ">" if difference > 0 else "<"
