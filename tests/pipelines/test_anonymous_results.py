"""Who was scanned is written in many places of a file; none of it may reach logs, records or results."""

import json
import logging
import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import ismrmrd
import nibabel as nib
import numpy as np
import pytest
import torch
from nibabel.nifti1 import Nifti1Extension

from kseg.pipelines.segment import segment
from kseg.pipelines.segment_settings import SegmentSettings
from kseg.pipelines.simulate import SimulationSettings, simulate
from kseg.transforms.ismrmrd_header import header_xml
from kseg.transforms.kspace_file import KSpaceVolume, write_kspace

NAME = "DOE^JANE"
BORN = "19601231"
SHAPE = (3, 1, 20, 18)
SUBJECT = (
    f"<subjectInformation><patientName>{NAME}</patientName><patientID>{NAME}{BORN}</patientID>"
    f"<patientBirthdate>{BORN}</patientBirthdate></subjectInformation>"
    f"<studyInformation><studyDescription>{NAME}</studyDescription></studyInformation>"
)
HEADER = header_xml(SHAPE, (1.0, 1.0, 3.0)).replace(
    "<experimentalConditions>", SUBJECT + "<experimentalConditions>"
)


def random_kspace() -> torch.Tensor:
    return torch.randn(SHAPE, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))


def own(path: Path) -> None:
    mask = torch.ones(SHAPE[-1], dtype=torch.bool)
    write_kspace(path, KSpaceVolume(random_kspace(), mask, np.eye(4), sigma=None, seed=None, subject=NAME))
    with h5py.File(path, "a") as file:
        file.attrs.update(patient_id=NAME, birth=BORN)


def fastmri(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["kspace"] = random_kspace()[:, 0].numpy()
        file["ismrmrd_header"] = HEADER
        file[NAME] = BORN
        file.attrs.update(patient_id=NAME, acquisition=NAME)


def raw(path: Path) -> None:
    with ismrmrd.Dataset(str(path), "dataset", mode="w") as dataset:
        dataset.write_xml_header(HEADER.encode())
        for slice_, coils in enumerate(random_kspace().numpy()):
            for line in range(SHAPE[-1]):
                samples = np.ascontiguousarray(coils[:, :, line])
                acquisition = ismrmrd.Acquisition.from_array(samples, center_sample=SHAPE[2] // 2)
                acquisition.idx.kspace_encode_step_1, acquisition.idx.slice = line, slice_
                dataset.append_acquisition(acquisition)


def nifti(path: Path, array: np.ndarray) -> None:
    image = nib.Nifti1Image(array, np.diag([1.0, 1.0, 3.0, 1.0]))
    header = image.header
    for field in ("descrip", "db_name", "aux_file", "intent_name"):
        header[field] = f"{NAME} {BORN}"[: header[field].dtype.itemsize]
    header.extensions.append(Nifti1Extension("comment", f"{NAME} {BORN}".encode()))
    image.to_filename(path)


def image(path: Path) -> None:
    nifti(path, np.arange(20 * 18 * 3, dtype=np.float32).reshape(18, 20, 3))


def truncated(write: Callable[[Path], None]) -> Callable[[Path], None]:
    def cut(path: Path) -> None:
        write(path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])

    return cut


def harmed(write: Callable[[Path], None], harm: Callable[[h5py.File], None]) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        write(path)
        with h5py.File(path, "a") as file:
            harm(file)

    return change


def other_header(header: str) -> Callable[[h5py.File], None]:
    def replace(file: h5py.File) -> None:
        del file["ismrmrd_header"]
        file["ismrmrd_header"] = header

    return replace


GOOD: dict[str, Callable[[Path], None]] = {
    "own.h5": own,
    "fastmri.h5": fastmri,
    "raw.h5": raw,
    "image.nii.gz": image,
}
BAD: dict[str, Callable[[Path], None]] = {
    **{f"cut_{name}": truncated(write) for name, write in GOOD.items()},
    "no_kspace.h5": harmed(fastmri, lambda file: file.move("kspace", "other")),
    "real.h5": harmed(fastmri, lambda file: file.update({"kspace": 0}) if file.pop("kspace") else None),
    "mask.h5": harmed(fastmri, lambda file: file.update({"mask": f"{NAME} {BORN}"})),
    "masks.h5": harmed(fastmri, lambda file: file.update({"mask": [NAME, BORN]})),
    "no_xml.h5": harmed(fastmri, other_header(f"<a>{NAME} {BORN}")),
    "no_encoding.h5": harmed(fastmri, other_header(f"<a>{NAME} {BORN}</a>")),
    "sigma.h5": harmed(own, lambda file: file.attrs.update(sigma=f"{NAME} {BORN}")),
    "seed.h5": harmed(own, lambda file: file.attrs.update(seed=f"{NAME} {BORN}")),
    "subject.h5": harmed(own, lambda file: file.attrs.update(subject=[NAME, BORN])),
    "letter.nii": lambda path: path.write_text(f"{NAME} {BORN}\n" * 100) and None,
    "letter_2.h5": lambda path: path.write_text(f"{NAME} {BORN}\n" * 100) and None,
    "four_axes.nii.gz": lambda path: nifti(path, np.zeros((4, 4, 4, 4), np.float32)),
    "complex.nii.gz": lambda path: nifti(path, np.zeros((4, 4, 4), np.complex64)),
}


def contents(folder: Path) -> dict[str, bytes]:
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {
        name: zlib.decompressobj(31).decompress(raw) if name.endswith(".gz") else raw
        for name, raw in files.items()
    }


def identified(text: bytes) -> bool:
    return any(part.encode() in text for part in (NAME, BORN))


def test_the_inputs_of_these_tests_say_who_it_is(tmp_path: Path) -> None:
    for name, write in (GOOD | BAD).items():
        write(tmp_path / name)
    assert [name for name, content in contents(tmp_path).items() if not identified(content)] == []


def test_segmenting_tells_nobody_who_was_scanned(
    tiny_bundle: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    (tmp_path / "in").mkdir()
    for name, write in (GOOD | BAD).items():
        write(tmp_path / "in" / name)
    settings = SegmentSettings(probabilities=True, reconstruction=True, recurrences=True, uncertainty=True)
    result = segment(tmp_path / "in", tmp_path / "out", str(tiny_bundle), settings)
    assert sorted(result.done) == sorted(name.partition(".")[0] for name in GOOD)
    assert sorted(result.failed) == sorted(name.partition(".")[0] for name in BAD)
    assert [name for name, content in contents(tmp_path / "out").items() if identified(content)] == []
    said = "\n".join([caplog.text, *capfd.readouterr(), *result.failed.values()])
    assert [line for line in said.splitlines() if identified(line.encode())] == []


def test_simulating_tells_nobody_whose_head_it_is(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    labels = np.zeros((40, 40, 24), np.int16)
    labels[8:32, 8:32, 4:20] = 3
    labels[12:28, 12:28, 8:16] = 2
    nifti(tmp_path / "head.nii.gz", labels)
    simulate(tmp_path / "head.nii.gz", tmp_path / "out", SimulationSettings())
    written = contents(tmp_path / "out")
    assert json.loads(written["results.jsonl"])["status"] == "ok"
    assert len(written) == 4
    assert [name for name, content in written.items() if identified(content)] == []
    assert not identified(caplog.text.encode())
