"""How many lesions of multiple sclerosis there are, where they lie and how large they are."""

from collections.abc import Sequence
from dataclasses import dataclass, field

PLACES = ("periventricular", "juxtacortical", "infratentorial", "deep")
"""Where lesions lie: at the wall of a lateral ventricle, at the cortex, in cerebellum and brain stem, and in the
white matter between ventricle and cortex."""


@dataclass(frozen=True)
class LesionKind:
    """Lesions of one place.

    Attributes:
        number: mean number per patient, 0 or more.
        diameter_mm: median diameter of a sphere of the same volume, millimetres.
        spread: standard deviation of the diameter's natural logarithm.
        stretch: range of the length across the wall, or away from the ventricle, relative to the width.

    Raises:
        ValueError: a value outside its range.
    """

    number: float
    diameter_mm: float
    spread: float
    stretch: Sequence[float] = (1.0, 1.0)

    def __post_init__(self) -> None:
        low, high = self.stretch
        if not (self.number >= 0 and self.diameter_mm > 0 and self.spread >= 0 and 0 < low <= high):
            raise ValueError(
                "lesions: expected number >= 0, diameter_mm > 0, spread >= 0 and an ascending stretch above 0, "
                f"received {self}"
            )


@dataclass(frozen=True)
class LesionModel:
    """Lesions of a patient.

    The defaults: 13.0 lesions between ventricle and cortex on average, and 2.3 ml at the ventricles, are those of 330
    patients early in the disease (Pongratz et al.); numbers at the cortex and below the tentorium are choices below
    that. Sizes are those of the white-matter hyper-intensities of 17 people, of at least 3 mm: a median of 4.9 mm
    and a spread of 0.64 where they touch a ventricle, 3.9 mm and 0.29 elsewhere. Contours in patients are spread
    alike: one in five is below 3.5 mm across and four in five below 10 mm, which is a spread of 0.62 (Wang et al.).
    Lesions are at least 3 mm long; those at a ventricle are ovoid and perpendicular to it (Filippi et al.).

    Attributes:
        periventricular: lesions that touch a lateral ventricle.
        juxtacortical: lesions that touch the cortex.
        infratentorial: lesions of cerebellum and brain stem.
        deep: all others.
        load_spread: standard deviation of the natural logarithm of a patient's load, with which all means are
            multiplied and whose own mean is 1.
        limits_mm: smallest and largest diameter, millimetres.
        confluence: how often a lesion lies beside an earlier one and may join it, 0 to 1.

    Raises:
        ValueError: a value outside its range.

    Reference:
        Pongratz et al. 2023, Lesion location across diagnostic regions in multiple sclerosis, NeuroImage: Clinical
        37:103311. Wang et al. 1997, Survey of the distribution of lesion size in multiple sclerosis, J Neurol
        Neurosurg Psychiatry 63:452. Filippi et al. 2016, MRI criteria for the diagnosis of multiple sclerosis:
        MAGNIMS consensus guidelines, Lancet Neurol 15:292.
    """

    periventricular: LesionKind = field(default_factory=lambda: LesionKind(7.0, 4.9, 0.64, (1.0, 2.2)))
    juxtacortical: LesionKind = field(default_factory=lambda: LesionKind(4.0, 3.9, 0.29, (0.5, 1.0)))
    infratentorial: LesionKind = field(default_factory=lambda: LesionKind(1.5, 3.9, 0.29, (0.7, 1.4)))
    deep: LesionKind = field(default_factory=lambda: LesionKind(13.0, 3.9, 0.29, (1.0, 1.8)))
    load_spread: float = 0.6
    limits_mm: Sequence[float] = (3.0, 25.0)
    confluence: float = 0.25

    def __post_init__(self) -> None:
        low, high = self.limits_mm
        if not (self.load_spread >= 0 and 0 < low <= high and 0 <= self.confluence <= 1):
            raise ValueError(
                "lesions: expected load_spread >= 0, ascending limits_mm above 0 and confluence in 0..1, received "
                f"{self.load_spread}, {list(self.limits_mm)} and {self.confluence}"
            )

    def kind(self, place: str) -> LesionKind:
        """Lesions of one of `PLACES`."""
        kinds = (self.periventricular, self.juxtacortical, self.infratentorial, self.deep)
        return kinds[PLACES.index(place)]
