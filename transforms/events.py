"""What happens during one repetition of a pulse sequence, in order; the alphabet of the Bloch simulation."""

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True)
class Pulse:
    """A hard radio-frequency pulse.

    Attributes:
        angle_deg: flip angle where the transmit field is nominal, degrees.
        axis_deg: direction of the rotation axis in the transverse plane, degrees from x.
    """

    angle_deg: float
    axis_deg: float


@dataclass(frozen=True)
class Delay:
    """Free precession and relaxation.

    Attributes:
        seconds: how long.
    """

    seconds: float


@dataclass(frozen=True)
class Encode:
    """Phase encoding and the lobe that puts the readout's centre at the echo; not rewound later.

    Attributes:
        sign: 1, or -1 where a refocusing pulse follows and inverts it.
    """

    sign: int


@dataclass(frozen=True)
class Crush:
    """A gradient through the slice; one before and one after a refocusing pulse keep the echo alone."""


@dataclass(frozen=True)
class Read:
    """The echo: the readout around it is sampled, its gradient stays."""


@dataclass(frozen=True)
class Spoil:
    """Transverse magnetisation is to end here."""


Event: TypeAlias = Pulse | Delay | Encode | Crush | Read | Spoil
