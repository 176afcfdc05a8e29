from pathlib import Path

import nibabel
import numpy as np
import torch

from kseg.pipelines.scan_input import Scan
from kseg.pipelines.segment_settings import SegmentSettings
from kseg.pipelines.segmentation import SegmentedVolume
from kseg.pipelines.segmentation_files import write_segmentation

AFFINE = np.diag([-1.0, -1.0, 3.0, 1.0])


def test_the_mask_is_the_class_of_the_largest_probability_and_comes_last(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    probabilities = torch.rand(2, 3, 4, 6, 5, generator=generator).softmax(2)
    images = torch.rand(2, 3, 6, 5, generator=generator)
    scan = Scan(
        kspace=torch.ones(3, 1, 6, 5, dtype=torch.complex64),
        mask=torch.ones(5, dtype=torch.bool),
        affine=AFFINE,
        to_grid=lambda values: values.permute(3, 2, 0, 1).numpy(),
        notes=[],
    )
    settings = SegmentSettings(probabilities=True, reconstruction=True, recurrences=True, uncertainty=True)
    files = write_segmentation(
        tmp_path / "site" / "a", scan, SegmentedVolume(images, probabilities), settings
    )
    endings = ("prob", "uncertainty", "recurrences", "recon", "seg")
    assert files == [tmp_path / "site" / f"a_{ending}.nii.gz" for ending in endings]
    arrays = {
        ending: np.asanyarray(nibabel.load(path).dataobj) for ending, path in zip(endings, files, strict=True)
    }
    last = probabilities[-1].permute(3, 2, 0, 1).numpy()
    assert np.array_equal(arrays["seg"], last.argmax(-1))
    assert np.array_equal(arrays["prob"], last)
    entropy = -(last * np.log(last)).sum(-1) / np.log(4)
    assert np.abs(arrays["uncertainty"] - entropy).max() < 1e-5
    assert np.array_equal(arrays["recon"], images[-1].permute(2, 1, 0).numpy())
    passes = probabilities.permute(4, 3, 1, 2, 0).numpy()
    assert np.abs(arrays["recurrences"] - passes).max() <= 0.5 / 255 + 1e-6
    alone = write_segmentation(
        tmp_path / "b", scan, SegmentedVolume(images, probabilities), SegmentSettings()
    )
    assert alone == [tmp_path / "b_seg.nii.gz"]
