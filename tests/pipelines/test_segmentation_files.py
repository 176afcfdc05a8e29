import json
from collections.abc import Callable
from pathlib import Path

import highdicom
import nibabel
import numpy as np
import torch

from kseg.pipelines.provenance import Provenance
from kseg.pipelines.scan_input import Scan, open_scan
from kseg.pipelines.segment_settings import SegmentSettings
from kseg.pipelines.segmentation import SegmentedVolume
from kseg.pipelines.segmentation_files import write_segmentation

AFFINE = np.diag([-1.0, -1.0, 3.0, 1.0])


PROVENANCE = Provenance("brain", "0.1.0", "ab" * 32, ("background", "CSF", "GM", "WM"))


def some_scan(file: Path) -> Scan:
    """A scan of three slices of 6 x 5 pixels."""
    return Scan(
        kspace=torch.ones(3, 1, 6, 5, dtype=torch.complex64),
        mask=torch.ones(5, dtype=torch.bool),
        affine=AFFINE,
        to_grid=lambda values: values.permute(3, 2, 0, 1).numpy(),
        notes=[],
        files=(file,),
    )


def some_results() -> SegmentedVolume:
    """Two passes on the scan."""
    generator = torch.Generator().manual_seed(0)
    probabilities = torch.rand(2, 3, 4, 6, 5, generator=generator).softmax(2)
    return SegmentedVolume(torch.rand(2, 3, 6, 5, generator=generator), probabilities)


def test_the_mask_is_the_class_of_the_largest_probability_and_comes_last(tmp_path: Path) -> None:
    scan, segmented = some_scan(Path("a.h5")), some_results()
    images, probabilities = segmented.images, segmented.probabilities
    settings = SegmentSettings(probabilities=True, reconstruction=True, recurrences=True, uncertainty=True)
    files = write_segmentation(tmp_path / "site" / "a", scan, segmented, settings, PROVENANCE)
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
    alone = write_segmentation(tmp_path / "b", scan, segmented, SegmentSettings(), PROVENANCE)
    assert alone == [tmp_path / "b_seg.nii.gz"]


def test_derivatives_of_a_bids_dataset_have_its_names_and_say_what_they_are_of(tmp_path: Path) -> None:
    source = tmp_path / "sub-1" / "anat" / "sub-1_T2w.nii.gz"
    settings = SegmentSettings(
        probabilities=True, reconstruction=True, recurrences=True, uncertainty=True, bids=True
    )
    prefix = tmp_path / "out" / "sub-1" / "anat" / "sub-1_desc-T2w"
    files = write_segmentation(prefix, some_scan(source), some_results(), settings, PROVENANCE)
    assert [file.name for file in files] == [
        "sub-1_desc-T2w_probseg.json",
        "sub-1_desc-T2w_probseg.nii.gz",
        "sub-1_desc-T2w_uncertainty.nii.gz",
        "sub-1_desc-T2wrecurrences_probseg.json",
        "sub-1_desc-T2wrecurrences_probseg.nii.gz",
        "sub-1_desc-T2wreconstruction_T2w.json",
        "sub-1_desc-T2wreconstruction_T2w.nii.gz",
        "sub-1_desc-T2w_dseg.json",
        "sub-1_desc-T2w_dseg.nii.gz",
    ]
    assert all(file.is_file() for file in files)
    said = json.loads(files[0].read_text())
    assert said["Sources"] == ["bids:raw:sub-1/anat/sub-1_T2w.nii.gz"]
    assert said["LabelMap"] == ["background", "CSF", "GM", "WM"]
    plain = write_segmentation(
        tmp_path / "a", some_scan(source), some_results(), SegmentSettings(), PROVENANCE
    )
    assert files[-1].read_bytes() == plain[-1].read_bytes()


def test_a_dicom_segmentation_lies_beside_the_mask_and_agrees_with_it(
    save_series: Callable[..., list[Path]], tmp_path: Path
) -> None:
    path = save_series(tmp_path / "t2", np.random.default_rng(0).integers(1, 9, (20, 24, 3)), AFFINE)[0]
    settings = SegmentSettings(dicom_seg=True)
    scan = open_scan(path, "t2", settings)
    probabilities = torch.rand(1, 3, 4, 24, 20, generator=torch.Generator().manual_seed(0)).softmax(2)
    segmented = SegmentedVolume(torch.ones(1, 3, 24, 20), probabilities)
    files = write_segmentation(tmp_path / "out" / "t2", scan, segmented, settings, PROVENANCE)
    assert [file.name for file in files] == ["t2_seg.dcm", "t2_seg.nii.gz"]
    volume = highdicom.seg.segread(files[0]).get_volume(combine_segments=True)
    mask = nibabel.load(files[1])
    lps = mask.affine[:3, :3] @ np.indices(mask.shape).reshape(3, -1) + mask.affine[:3, 3:]
    indices = volume.map_reference_to_indices((lps * [[-1], [-1], [1]]).T).round().astype(int)
    np.testing.assert_array_equal(volume.array[tuple(indices.T)], np.asarray(mask.dataobj).ravel())
