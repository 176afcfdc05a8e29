"""Whole volumes through a network of slices, inside a MONAI workflow."""

from typing import Any

from monai.inferers import Inferer
from torch import Tensor

from kseg.networks.kspace_segmenter import KSpaceSegmenter
from kseg.pipelines.inference_options import InferenceOptions
from kseg.pipelines.segmentation import segment_volume
from kseg.transforms.channels import split_network_input


class VolumeInferer(Inferer):
    """Segment a volume as `kseg segment` does: a few slices at a time, with the same voxels and refusals.

    Args:
        flip: as in `InferenceOptions`.
        temperature: as in `InferenceOptions`.
        precision: as in `InferenceOptions`.

    Raises:
        ValueError: as `InferenceOptions`.
    """

    def __init__(self, flip: bool = False, temperature: float = 1.0, precision: str = "float32") -> None:
        super().__init__()
        self.options = InferenceOptions(flip, temperature, precision)

    def __call__(self, inputs: Tensor, network: Any, *args: Any, **kwargs: Any) -> Tensor:
        """Segment one volume.

        Args:
            inputs: real parts of the coils, imaginary parts, sampling mask, `(1, 2 coil + 1, slice, y, x)`.
            network: a KSpaceSegmenter in evaluation mode.
            args: nothing.
            kwargs: nothing.

        Returns:
            Class probabilities, `(1, class, slice, y, x)`.

        Raises:
            ValueError: several volumes, further arguments, another network, or as `segment_volume`.
        """
        if not isinstance(network, KSpaceSegmenter):
            raise ValueError(f"volume inferer: expected a KSpaceSegmenter, received {type(network).__name__}")
        if len(inputs) != 1 or args or kwargs:
            received = f"{len(inputs)} and {len(args) + len(kwargs)} further arguments"
            raise ValueError(f"volume inferer: expected one volume alone, received {received}")
        kspace, mask = split_network_input(inputs[0].movedim(1, 0))
        result = segment_volume(network, kspace, mask[:, 0].bool(), self.options)
        return result.probabilities[-1].movedim(1, 0)[None]
