"""Segment images of several contrasts as the configuration of a bundle says."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from monai.bundle import ConfigParser
from torch import nn

from kseg.pipelines.bundle_folder import find_bundle
from kseg.pipelines.config_content import build_content
from kseg.pipelines.config_file import read_config
from kseg.pipelines.contrast_files import contrast_paths
from kseg.pipelines.failed_file import input_error
from kseg.pipelines.inference_options import InferenceOptions
from kseg.pipelines.input_grid import InputGrid
from kseg.pipelines.items import Item
from kseg.pipelines.segmentation import SegmentedVolume
from kseg.transforms.errors import InputError

_STAGE, _SEGMENT = "read bundle", "segment"


class ContrastSegmenter:
    """What `configs/inference.json` does with one case, up to the probabilities on the grid of its images.

    Of the configuration, `preprocessing` makes a volume of `image`, the paths of a case, `inferer` its
    probabilities, and `restoring` brings these, `pred`, back to the grid of the images.

    Args:
        bundle: name or folder of the bundle, which is trusted.
        network: its network, on the device where it computes.
        contrasts: of its images, in the order of the channels.
        options: replace those of the configuration.

    Raises:
        InputError: the configuration lacks one of them, or it cannot be built.
    """

    def __init__(
        self, bundle: str, network: nn.Module, contrasts: Sequence[str], options: InferenceOptions
    ) -> None:
        root = find_bundle(bundle)
        path = root / "configs" / "inference.json"
        parser = ConfigParser(read_config(path, _STAGE))
        parser.update(
            {
                "bundle_root": str(root),
                "flip": options.flip,
                "temperature": options.temperature,
                "precision": options.precision,
            }
        )
        self.network = network
        self.contrasts = contrasts
        self.preprocessing, self.inferer, self.restoring = (
            build_content(parser, name, path, f"{name} that can be built")
            for name in ("preprocessing", "inferer", "restoring")
        )

    def __call__(self, item: Item) -> tuple[InputGrid, SegmentedVolume, dict[str, Any]]:
        """Segment a case.

        Args:
            item: a case of `find_contrasts`.

        Returns:
            The grid of the images, the probabilities, and what a record shall say of the input.

        Raises:
            InputError: a contrast that is missing, cannot be used or lies on another grid; images that cannot be
                prepared.
        """
        paths = contrast_paths(item, self.contrasts)
        try:
            volume = self.preprocessing({"image": [str(path) for path in paths]})
        except RuntimeError as error:  # MONAI's name for whatever a transform raises
            expected, received = "images that the bundle prepares", str(error.__cause__ or error)
            raise input_error(error) or InputError(item.path, _SEGMENT, expected, received) from error
        with torch.inference_mode():
            batch = volume["image"][None].to(next(self.network.parameters()).device)
            volume["pred"] = self.inferer(batch, self.network)[0].cpu()
            restored = self.restoring(volume)["pred"].as_tensor()
        grid = InputGrid(
            affine=np.asarray(volume["image"].meta["original_affine"]),
            to_grid=lambda values: values.permute(3, 2, 0, 1).contiguous().numpy(),
            notes=volume["image"].meta.get("notes", "").splitlines(),
            files=tuple(paths),
        )
        sizes = dict(zip(("x", "y", "z"), restored.shape[1:], strict=True))
        # From (class, x, y, z) of the files to what all networks of slices give, as one pass.
        return grid, SegmentedVolume(None, restored.permute(3, 0, 2, 1)[None]), {"sizes": sizes}
