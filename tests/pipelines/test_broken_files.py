"""A folder full of broken files: each named in one line, the good ones done as if they were alone."""

import gzip
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import h5py
import nibabel
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from kseg.transforms.kspace_file import KSpaceVolume, write_kspace

SHAPE = (18, 20, 3)
AFFINE = np.diag([1.0, 1, 3, 1])
KSPACE, NIFTI, ONE = "read k-space: expected ", "read NIfTI: expected ", "segment: expected one file named "


def kspace(path: Path, n_coils: int = 1) -> None:
    generator = torch.Generator().manual_seed(0)
    mask = torch.rand(18, generator=generator) < 0.6
    samples = torch.randn(3, n_coils, 20, 18, dtype=torch.complex64, generator=generator) * mask
    write_kspace(path, KSpaceVolume(samples, mask, AFFINE, sigma=None, seed=None, subject="s"))


def image(path: Path) -> None:
    values = np.random.default_rng(0).uniform(1, 9, SHAPE).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(values, AFFINE), path)


def stored(array: NDArray[np.generic]) -> Callable[[Path], None]:
    """Makes an image of these values."""
    return lambda path: nibabel.save(nibabel.Nifti1Image(array, AFFINE), path)


def replaced(**datasets: NDArray[np.generic] | None) -> Callable[[Path], None]:
    """Makes k-space with other datasets, None for none; they have no checksums, as those of other programs."""

    def make(path: Path) -> None:
        kspace(path)
        with h5py.File(path, "a") as file:
            for name, array in datasets.items():
                del file[name]
                if array is not None:
                    file[name] = array

    return make


def sampled(value: complex) -> Callable[[Path], None]:
    """Makes k-space of ones with one other value."""
    samples = np.ones((3, 20, 18), np.complex64)
    samples[1, 3, 9] = value
    return replaced(kspace=samples)


def voxel(value: float) -> Callable[[Path], None]:
    """Makes an image of ones with one other value."""
    values = np.ones(SHAPE, np.float32)
    values[3, 4, 1] = value
    return stored(values)


def cut(make: Callable[[Path], None]) -> Callable[[Path], None]:
    """Makes the first half of a file."""

    def half(path: Path) -> None:
        make(path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return half


def flipped(make: Callable[[Path], None], position: int) -> Callable[[Path], None]:
    """Makes a file with one wrong bit."""

    def flip(path: Path) -> None:
        make(path)
        content = bytearray(path.read_bytes())
        content[position] ^= 1
        path.write_bytes(content)

    return flip


def linked(path: Path) -> None:
    path.symlink_to("nowhere")


def text(path: Path) -> None:
    path.write_text("a letter", encoding="utf-8")


def packed_text(path: Path) -> None:
    path.write_bytes(gzip.compress(b"a letter"))


def two_places(path: Path) -> None:
    made = nibabel.Nifti1Image(np.ones(SHAPE, np.float32), None)
    turned = AFFINE.copy()
    turned[:2, :2] = [[0, -1], [1, 0]]
    made.set_sform(AFFINE, code=1)
    made.set_qform(turned, code=1)
    nibabel.save(made, path)


# How a file is broken, and what is said behind its path; None for the second of a pair.
BROKEN: dict[str, tuple[Callable[[Path], None], str | None]] = {
    "missing.h5": (linked, KSPACE + "a file, received No such file or directory$"),
    "empty.h5": (Path.touch, KSPACE + "a file with content, received an empty file$"),
    "cut.h5": (cut(kspace), KSPACE + "an intact HDF5 file, received OSError: .*truncated file"),
    "flipped.h5": (flipped(kspace, 3000), KSPACE + "an intact HDF5 file, received "),
    "text.h5": (text, KSPACE + "an HDF5 file, received a file of another kind$"),
    "none.h5": (replaced(kspace=None), KSPACE + "a dataset `kspace`, received 3 others$"),
    "rank.h5": (
        replaced(kspace=np.ones((20, 18), np.complex64)),
        KSPACE + r"complex `kspace` \(slice, y, x\) or .*\(20, 18\)$",
    ),
    "real.h5": (
        replaced(kspace=np.ones((3, 20, 18), np.float32)),
        KSPACE + r"complex `kspace` .*, received float32 of shape \(3, 20, 18\)$",
    ),
    "nan.h5": (sampled(complex(0, np.nan)), KSPACE + "finite k-space, received 1 NaN or infinite of 1080$"),
    "infinite.h5": (sampled(np.inf), KSPACE + "finite k-space, received 1 NaN or infinite of 1080$"),
    "zeros.h5": (
        replaced(kspace=np.zeros((3, 20, 18), np.complex64)),
        KSPACE + "k-space with a signal, received zeros only$",
    ),
    "huge.h5": (sampled(1e30), r"segment: network: expected .* between 1e-15 and 1e\+15, received 1e\+30$"),
    "mask.h5": (
        replaced(mask=np.ones(17, bool)),
        KSPACE + r"a boolean mask \(x,\) = \(18,\), .* of shape \(17,\)$",
    ),
    "affine.h5": (replaced(affine=np.zeros((4, 4))), KSPACE + "an invertible 4 x 4 affine, received "),
    "coils.h5": (
        lambda path: kspace(path, 2),
        r"segment: coil sensitivities: expected at least 8 x 8 samples .*, received fewer$",
    ),
    "missing_image.nii.gz": (linked, NIFTI + "a file, received No such file or directory$"),
    "empty_image.nii.gz": (Path.touch, NIFTI + "a file with content, received an empty file$"),
    "cut_image.nii.gz": (cut(image), NIFTI + "an intact NIfTI file, received EOFError: "),
    "cut_plain.nii": (cut(image), NIFTI + r"\d+ bytes for shape \(18, 20, 3\), received \d+ bytes$"),
    "flipped_image.nii.gz": (
        flipped(image, -6),
        NIFTI + "an intact NIfTI file, received BadGzipFile: CRC check failed",
    ),
    "text_image.nii": (text, NIFTI + "a single-file NIfTI header, received a file of another kind$"),
    "packed_text.nii.gz": (
        packed_text,
        NIFTI + "a single-file NIfTI header, received a file of another kind$",
    ),
    "rank_image.nii.gz": (
        stored(np.ones((4, 4, 4, 2), np.float32)),
        NIFTI + r"three axes \(x, y, z\), received .*\(4, 4, 4, 2\)$",
    ),
    "nan_image.nii.gz": (voxel(np.nan), NIFTI + "finite values, received 1 NaN or infinite of 1080$"),
    "infinite_image.nii.gz": (voxel(np.inf), NIFTI + "finite values, received 1 NaN or infinite of 1080$"),
    "zeros_image.nii.gz": (
        stored(np.zeros(SHAPE, np.float32)),
        "read image: expected an image with signal, received zeros",
    ),
    "complex_image.nii.gz": (
        stored(np.ones(SHAPE, np.complex64)),
        NIFTI + "one real number .*, received complex64$",
    ),
    "two_places.nii.gz": (two_places, NIFTI + "sform and qform that agree, received sform "),
    "both.h5": (kspace, ONE + r"both in its folder, received both\.h5, both\.nii\.gz$"),
    "both.nii.gz": (image, None),
    "twice.nii": (image, ONE + r"twice in its folder, received twice\.nii, twice\.nii\.gz$"),
    "twice.nii.gz": (image, None),
}
NAMED = [(name, message) for name, (_, message) in BROKEN.items() if message is not None]
GOOD = ("a", "site/z")


@dataclass(frozen=True)
class Runs:
    """A run over good and broken files, and one over the good ones alone.

    Attributes:
        folder: where both took place.
        mixed: the first run.
        good: the second run.
    """

    folder: Path
    mixed: subprocess.CompletedProcess[str]
    good: subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def runs(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    folder = tmp_path_factory.mktemp("runs")
    for source in ("mixed", "good"):
        (folder / source / "site").mkdir(parents=True)
        kspace(folder / source / "a.h5")
        image(folder / source / "site" / "z.nii.gz")
    for name, (make, _) in BROKEN.items():
        make(folder / "mixed" / name)

    def segment(source: str) -> subprocess.CompletedProcess[str]:
        program = Path(sys.executable).with_name("kseg")
        options = ("--bundle", tiny_bundle, "--probabilities", "--recurrences", "--reconstruction")
        return subprocess.run(
            [program, "segment", source, f"{source}_out", *options],
            cwd=folder,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
        )

    return Runs(folder, segment("mixed"), segment("good"))


@pytest.mark.parametrize(("name", "message"), NAMED, ids=[name for name, _ in NAMED])
def test_each_broken_file_is_named_in_one_line(name: str, message: str, runs: Runs) -> None:
    lines = [line for line in runs.mixed.stderr.splitlines() if line.startswith(f"ERROR mixed/{name}: ")]
    assert len(lines) == 1, runs.mixed.stderr
    assert re.match(message, lines[0].removeprefix(f"ERROR mixed/{name}: "))


def test_nothing_else_is_said(runs: Runs) -> None:
    assert (runs.mixed.returncode, runs.good.returncode) == (1, 0)
    assert runs.mixed.stdout == f"segmented: 2, failed: {len(NAMED)}\n"
    assert runs.good.stdout == "segmented: 2, failed: 0\n"
    assert runs.good.stderr == "INFO segment 1/2: a\nINFO segment 2/2: site/z\n"
    kinds = [line.split()[0] for line in runs.mixed.stderr.splitlines()]
    assert (kinds.count("ERROR"), kinds.count("INFO"), len(kinds)) == (
        len(NAMED),
        len(NAMED) + 2,
        2 * len(NAMED) + 2,
    )


def test_good_files_are_done_as_if_they_were_alone_and_nothing_else_is_left(runs: Runs) -> None:
    names = {f"{case}_{end}.nii.gz" for case in GOOD for end in ("seg", "prob", "recurrences", "recon")}
    for source in ("mixed_out", "good_out"):
        folder = runs.folder / source
        written = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
        assert written == names | {"results.jsonl", "manifest.jsonl", "summary.json"}
    for name in names:
        assert (runs.folder / "mixed_out" / name).read_bytes() == (
            runs.folder / "good_out" / name
        ).read_bytes()


def test_each_file_has_its_record(runs: Runs) -> None:
    lines = (runs.folder / "mixed_out" / "results.jsonl").read_text().splitlines()
    records = {record["case"]: record for record in map(json.loads, lines)}
    assert len(records) == len(lines)
    assert {case for case, record in records.items() if record["status"] == "ok"} == set(GOOD)
    failed = {case: record["error"] for case, record in records.items() if record["status"] == "failed"}
    assert set(failed) == {name.split(".")[0] for name in BROKEN}
    assert all(f"ERROR {error}\n" in runs.mixed.stderr for error in failed.values())
