"""A pulse sequence chosen by name."""

from kseg.transforms.sequences import SEQUENCES, GradientEcho, InversionRecovery, SpinEcho


def make_sequence(
    name: str,
    *,
    te: float | None = None,
    tr: float | None = None,
    ti: float | None = None,
    flip: float | None = None,
) -> SpinEcho | GradientEcho | InversionRecovery:
    """Make a sequence; what is not given keeps the default of the sequence.

    Args:
        name: `spin_echo`, `gradient_echo` or `inversion_recovery`.
        te: echo time, seconds.
        tr: repetition time, seconds.
        ti: inversion time, seconds; for inversion recovery alone.
        flip: excitation angle, degrees.

    Raises:
        ValueError: another name, an inversion time where there is no inversion, or times that do not fit.

    Example:
        >>> make_sequence("gradient_echo", te=0.004)
        GradientEcho(te=0.004, tr=0.25, flip_deg=70.0)
    """
    if name not in SEQUENCES:
        raise ValueError(f"sequence: expected one of {', '.join(SEQUENCES)}, received {name!r}")
    given = {"te": te, "tr": tr, "flip_deg": flip}
    chosen = {key: value for key, value in given.items() if value is not None}
    if name == "inversion_recovery":
        return InversionRecovery(**chosen) if ti is None else InversionRecovery(ti=ti, **chosen)
    if ti is not None:
        raise ValueError(
            f"sequence: expected an inversion time for inversion_recovery alone, received one for {name}"
        )
    return SpinEcho(**chosen) if name == "spin_echo" else GradientEcho(**chosen)
