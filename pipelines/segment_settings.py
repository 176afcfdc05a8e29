"""What `kseg segment` is asked for."""

from dataclasses import dataclass

_ONLY_OF_KSPACE = ("reconstruction", "recurrences", "fraction", "center_lines", "seed", "dicom_seg")


@dataclass(frozen=True)
class SegmentSettings:
    """What is written besides the masks, and how images are treated.

    Attributes:
        probabilities: write `NAME_prob.nii.gz`, class probabilities `(x, y, slice, class)`.
        reconstruction: write `NAME_recon.nii.gz`, magnitude of the network's last image, normalised.
        recurrences: write `NAME_recurrences.nii.gz`, probabilities of every pass `(x, y, slice, class, pass)`.
        uncertainty: write `NAME_uncertainty.nii.gz`, entropy of the class probabilities, 0 to 1, `(x, y, slice)`.
        flip: average with the mirrored scan, which takes twice as long; None does what the bundle says.
        precision: of the convolutions, see `InferenceOptions`; None is what the bundle says.
        fraction: share of lines of images that is kept, in (0, 1]; k-space files bring their own mask.
        center_lines: central lines that are always kept if not all are.
        seed: seed of the lines; those of an image depend on it and on the relative folder and name.
        bids: name the results as BIDS derivatives, and write a JSON file beside each.
        dicom_seg: write `NAME_seg.dcm`, a DICOM segmentation that refers to the series it was made of.

    Raises:
        ValueError: a share outside (0, 1], a negative number of lines, a DICOM segmentation of a BIDS dataset.
    """

    probabilities: bool = False
    reconstruction: bool = False
    recurrences: bool = False
    uncertainty: bool = False
    flip: bool | None = None
    precision: str | None = None
    fraction: float = 1.0
    center_lines: int = 16
    seed: int = 0
    bids: bool = False
    dicom_seg: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.fraction <= 1:
            raise ValueError(f"fraction: expected a number in (0, 1], received {self.fraction}")
        if self.center_lines < 0:
            raise ValueError(f"center lines: expected 0 or more, received {self.center_lines}")
        if self.bids and self.dicom_seg:
            raise ValueError("dicom seg: expected DICOM series, received a BIDS dataset, which has none")

    def require_for_images(self, bundle: str) -> None:
        """Require that nothing is asked for that only k-space has.

        Args:
            bundle: name of the bundle, which takes images.

        Raises:
            ValueError: what is asked for.
        """
        usual = SegmentSettings()
        for name in _ONLY_OF_KSPACE:
            if getattr(self, name) != getattr(usual, name):
                asked = name.replace("_", " ")
                raise ValueError(f"{asked}: expected a bundle that takes k-space, received {bundle}")
