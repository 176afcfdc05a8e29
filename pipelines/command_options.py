"""Arguments and options that several commands of `kseg` share."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    # It brings PyTorch, for which no command waits before it has something to do.
    from kseg.pipelines.simulate import SimulationSettings

DEFAULT_BUNDLE = "brain_kspace_segmentation"

Bundle = Annotated[str, typer.Option(help="Name of a shipped bundle, or a bundle's folder.")]
CenterLines = Annotated[int, typer.Option(min=0, help="Central lines that are always measured.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of everything random.")]

Source = Literal["freesurfer", "brainweb_20", "brainweb_normal", "brainweb_20_fuzzy", "brainweb_normal_fuzzy"]
Oracle = Literal["majority", "centre_slice"]
SequenceName = Literal["spin_echo", "gradient_echo", "inversion_recovery"]
NoiseReference = Literal["csf", "gm", "wm", "image_max", "rms", "absolute"]
Pattern = Literal["gaussian", "uniform", "equispaced", "poisson"]
MaskPer = Literal["volume", "slice"]


@dataclass(frozen=True)
class ScanOptions:
    """How heads are scanned, save the level of the noise and the share that is measured: one option for each field.

    The choices, defaults and units are those of `SimulationSettings`, in the words of a command line.
    """

    source: Annotated[Source, typer.Option(help="What the files are.")] = "freesurfer"
    oracle: Annotated[Oracle, typer.Option(help="Label of a thick voxel.")] = "majority"
    sequence: Annotated[SequenceName, typer.Option(help="Pulse sequence.")] = "spin_echo"
    te: Annotated[float | None, typer.Option(help="Echo time, seconds.")] = None
    tr: Annotated[float | None, typer.Option(help="Repetition time, seconds.")] = None
    ti: Annotated[float | None, typer.Option(help="Inversion time, seconds.")] = None
    flip: Annotated[float | None, typer.Option(help="Excitation angle, degrees.")] = None
    time_jitter: Annotated[float, typer.Option(help="Largest relative change of TE and TR per head.")] = 0.0
    tissues: Annotated[str, typer.Option(help="Tissue table: 1.5T, 3T or a YAML file.")] = "1.5T"
    coils: Annotated[int, typer.Option(help="Receive coils.")] = 1
    noise_reference: Annotated[
        NoiseReference,
        typer.Option(help="What noise is relative to: signal of a tissue, of the image, or nothing."),
    ] = "csf"
    pattern: Annotated[Pattern, typer.Option(help="Which lines, or points, are measured.")] = "gaussian"
    center_lines: CenterLines = 16
    mask_per: Annotated[MaskPer, typer.Option(help="One mask, or one for each slice.")] = "volume"
    seed: Seed = 0

    def settings(self) -> "SimulationSettings":
        """Make the settings of the scan; noise level and share keep their defaults.

        Raises:
            ValueError: an inversion time without an inversion, or times that do not fit.
        """
        from kseg.pipelines.sequence_choice import make_sequence
        from kseg.pipelines.simulate import SimulationSettings
        from kseg.transforms.dictionary_simulation import ScanProtocol

        return SimulationSettings(
            source=self.source,
            oracle=self.oracle,
            protocol=ScanProtocol(
                sequence=make_sequence(self.sequence, te=self.te, tr=self.tr, ti=self.ti, flip=self.flip),
                tissues=self.tissues,
                n_coils=self.coils,
                jitter=self.time_jitter,
            ),
            noise_reference=self.noise_reference,
            pattern=self.pattern,
            center_lines=self.center_lines,
            mask_per=self.mask_per,
            seed=self.seed,
        )


def with_scan_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command each field of `ScanOptions` as an option, in the place of its keyword `scan`.

    Args:
        command: takes `scan`, a `ScanOptions`, and options of its own under other names.

    Example:
        >>> @with_scan_options
        ... def show(noise: float = 0.1, *, scan: ScanOptions) -> None:
        ...     print(noise, scan.coils, scan.pattern)
        >>> show(noise=0.2, coils=8)
        0.2 8 gaussian
    """
    options = inspect.signature(ScanOptions).parameters
    signature = inspect.signature(command)
    own = [each for each in signature.parameters.values() if each.name != "scan"]
    shared = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in options.values()]

    @wraps(command)
    def run(**given: Any) -> None:
        scan = ScanOptions(**{name: given.pop(name) for name in options if name in given})
        command(**given, scan=scan)

    # Typer reads the options of a command from its signature.
    run.__dict__["__signature__"] = signature.replace(parameters=[*own, *shared])
    return run
