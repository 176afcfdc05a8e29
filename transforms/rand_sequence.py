"""A pulse sequence with other times in each scan: what lets one network see several contrasts."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from kseg.transforms.sequences import SEQUENCES, GradientEcho, InversionRecovery, SpinEcho


@dataclass(frozen=True)
class RandSequence:
    """A pulse sequence whose times are drawn from ranges.

    Attributes:
        name: `spin_echo`, `gradient_echo` or `inversion_recovery`.
        te: smallest and largest echo time, seconds.
        tr: smallest and largest repetition time, seconds.
        ti: smallest and largest inversion time, seconds; for inversion recovery alone.
        flip_deg: smallest and largest excitation angle, degrees.

    What is not given keeps the default of the sequence.

    Raises:
        ValueError: another name, a range that does not ascend, an inversion time where there is no inversion, or
            times in the ranges that do not fit into each other.
    """

    name: str
    te: Sequence[float] | None = None
    tr: Sequence[float] | None = None
    ti: Sequence[float] | None = None
    flip_deg: Sequence[float] | None = None

    def __post_init__(self) -> None:
        if self.name not in SEQUENCES:
            raise ValueError(f"sequence: expected one of {', '.join(SEQUENCES)}, received {self.name!r}")
        if self.ti is not None and self.name != "inversion_recovery":
            raise ValueError(
                "sequence: expected an inversion time for inversion_recovery alone, "
                f"received one for {self.name}"
            )
        for key, values in self._ranges().items():
            if len(values) != 2 or not values[0] <= values[1]:
                raise ValueError(f"sequence: expected {key} as (smallest, largest), received {list(values)}")
        # Times that fit in the tightest case fit in every other; the smallest echo time has to be positive.
        shortest, longest = ({key: values[end] for key, values in self._ranges().items()} for end in (0, 1))
        tightest = {**longest, **({"tr": shortest["tr"]} if "tr" in shortest else {})}
        for times in (shortest, tightest):
            SEQUENCES[self.name](**times)

    def draw(self, generator: torch.Generator) -> SpinEcho | GradientEcho | InversionRecovery:
        """Draw the sequence of one scan, each of its times uniformly from its range.

        Args:
            generator: source of randomness.

        Example:
            >>> scan = RandSequence("spin_echo", te=(0.06, 0.12), tr=(3.0, 3.0))
            >>> drawn = scan.draw(torch.Generator().manual_seed(0))
            >>> round(drawn.te, 4), drawn.tr
            (0.1182, 3.0)
        """
        ranges = self._ranges()
        shares = torch.rand(len(ranges), generator=generator, dtype=torch.float64).tolist()
        drawn = {
            key: low + share * (high - low)
            for share, (key, (low, high)) in zip(shares, ranges.items(), strict=True)
        }
        return SEQUENCES[self.name](**drawn)

    def _ranges(self) -> dict[str, Sequence[float]]:
        given = {"te": self.te, "tr": self.tr, "ti": self.ti, "flip_deg": self.flip_deg}
        return {key: values for key, values in given.items() if values is not None}
