import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from kseg.pipelines.input_grid import InputGrid
from kseg.pipelines.scan_input import open_scan
from kseg.pipelines.segment_settings import SegmentSettings
from kseg.transforms.nifti import write_nifti


def test_results_get_to_the_grid_of_the_file_whatever_its_orientation(tmp_path: Path) -> None:
    # Axes of the file point to the left, to the head and to the front.
    affine = np.array([[-1.0, 0, 0, 20], [0, 0, 1, -30], [0, 3, 0, 5], [0, 0, 0, 1]])
    array = np.random.default_rng(0).random((8, 4, 6), np.float32)
    write_nifti(tmp_path / "a.nii.gz", array, affine)
    grid: InputGrid = open_scan(tmp_path / "a.nii.gz", "a", SegmentSettings())
    canonical = torch.from_numpy(array[::-1].transpose(1, 2, 0).copy())
    assert np.array_equal(grid.to_grid(canonical[:, None])[..., 0], array)
    assert np.array_equal(grid.affine, affine)
    assert (grid.files, grid.is_dicom) == ((tmp_path / "a.nii.gz",), False)


def test_a_grid_is_not_changed_and_its_parts_go_by_name() -> None:
    grid = InputGrid(affine=np.eye(4), to_grid=torch.Tensor.numpy, notes=[], files=())
    with pytest.raises(dataclasses.FrozenInstanceError):
        grid.affine = np.zeros((4, 4))  # type: ignore[misc]
    with pytest.raises(TypeError, match="positional"):
        InputGrid(np.eye(4), torch.Tensor.numpy, [], ())  # type: ignore[misc]
