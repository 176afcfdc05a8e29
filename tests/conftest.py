"""What every test may ask for, and the one thing that none may do: move a global random state."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

from kseg.pipelines.bundle import build_network
from kseg.pipelines.bundle_folder import find_bundle
from kseg.pipelines.bundle_seal import seal_bundle

ROOT = Path(__file__).resolve().parents[1]

# What makes each bundle small enough for a test: changes of its inference configuration.
SMALL: dict[str, dict[str, Any]] = {
    "brain_kspace_segmentation": {
        "network_def": {"n_blocks": 1, "n_recurrences": 1, "n_filters": 4, "unet_channels": [4, 8]},
        "flip": False,
    },
    "ms_lesion_segmentation": {
        # As many levels as shipped: the last step down halves the slices too.
        "network_def": {"channels": [4, 4, 4, 4]},
        "window": [8, 32, 32],
        "flip": False,
    },
}


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of real data that KSEG_DATA names."""
    folder = os.environ.get("KSEG_DATA")
    if not folder:
        pytest.skip("KSEG_DATA is not set: it names the folder that holds heads/ and kspace/")
    return Path(folder)


@pytest.fixture(scope="session")
def heads(data_folder: Path) -> list[Path]:
    """The label maps of whole heads, by name."""
    paths = sorted((data_folder / "heads").glob("*.nii.gz"))
    assert paths, f"{data_folder / 'heads'}: expected label maps (*.nii.gz), received none"
    return paths


@pytest.fixture(scope="session")
def raw_kspace(data_folder: Path) -> Path:
    """A measured slice of a brain, complex64 (coil, y, x), under-sampled in y and x."""
    return data_folder / "kspace" / "brain_8ch_cartesian.npy"


@pytest.fixture(scope="session")
def project_files() -> list[Path]:
    """Every file that belongs to the project, generated ones left out."""
    generated = {"__pycache__", "_build", "build", "dist", "eval", "generated"}
    rooms = ("benchmarks", "bundles", "docs", "networks", "pipelines", "src", "tests", "transforms", ".ci")
    found = [path for path in ROOT.iterdir() if path.is_file() and path.name != ".coverage"]
    for room in rooms:
        found += [path for path in (ROOT / room).rglob("*") if path.is_file()]
    return sorted(
        path
        for path in found
        if not any(part in generated or part.endswith(".egg-info") for part in path.relative_to(ROOT).parts)
    )


@pytest.fixture(scope="session")
def save_series() -> Callable[..., list[Path]]:
    """Writes an MR series whose header is full of what must not get out; `change` edits slice by slice."""

    def save(
        folder: Path,
        voxels: NDArray[Any],
        affine: NDArray[np.float64],
        *,
        uid: str = "1.2.3.4",
        names: Callable[[int], str] = "{:04d}.dcm".format,
        change: Callable[[int, Dataset], None] = lambda index, dataset: None,
    ) -> list[Path]:
        folder.mkdir(parents=True, exist_ok=True)
        paths = []
        for index in range(voxels.shape[2]):
            dataset = _mr_image(voxels[..., index], np.diag([-1, -1, 1, 1]) @ affine, index, uid)
            change(index, dataset)
            paths.append(folder / names(index))
            dataset.save_as(paths[-1], enforce_file_format=True)
        return paths

    return save


def _mr_image(pixels: NDArray[Any], lps: NDArray[np.float64], index: int, uid: str) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = MRImageStorage
    dataset.SOPClassUID, dataset.SOPInstanceUID = MRImageStorage, f"{uid}.{index + 1}"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.FrameOfReferenceUID = "1.2.3", uid, "1.2.9"
    dataset.Modality, dataset.SeriesNumber, dataset.InstanceNumber = "MR", 3, index + 1
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND"]
    dataset.PatientName, dataset.PatientID = "SECRET^JANE", "SECRET-77"
    dataset.PatientBirthDate, dataset.PatientSex = "19610203", "F"
    dataset.ReferringPhysicianName, dataset.InstitutionName = "SECRET^DOC", "SECRET hospital"
    dataset.StudyDate, dataset.StudyTime, dataset.AccessionNumber = "20240131", "120000", "SECRET-ACC"
    dataset.StudyID, dataset.SeriesDate, dataset.SeriesTime = "SECRET-ST", "20240131", "121500"
    dataset.ContentDate, dataset.ContentTime = "20240131", "123000"
    dataset.StudyDescription = dataset.SeriesDescription = dataset.ProtocolName = "SECRET protocol"
    dataset.Manufacturer, dataset.ScanningSequence, dataset.SequenceVariant = "maker", "SE", "NONE"
    dataset.add_new(0x00290010, "LO", "SECRET CSA")
    dataset.EchoTime, dataset.RepetitionTime = 80.0, 3000.0
    columns, rows = pixels.shape
    size = np.linalg.norm(lps[:3, :3], axis=0)
    cosines = (lps[:3, :2] / size[:2]).T.ravel()
    dataset.ImageOrientationPatient = [f"{cosine:.10f}"[:16] for cosine in cosines]
    dataset.ImagePositionPatient = [f"{each:.9f}"[:16] for each in (lps @ (0, 0, index, 1))[:3]]
    dataset.PixelSpacing, dataset.SliceThickness = [float(size[1]), float(size[0])], float(size[2])
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = rows, columns, 1
    dataset.PhotometricInterpretation, dataset.PixelRepresentation = "MONOCHROME2", 1
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
    dataset.PixelData = np.ascontiguousarray(pixels.T.astype(np.int16)).tobytes()
    return dataset


@pytest.fixture(scope="session")
def small_bundle(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Gives a copy of the named bundle with a network of a few hundred weights, for tests that only read it."""
    made: dict[str, Path] = {}

    def make(name: str) -> Path:
        if name not in made:
            made[name] = _small_copy(name, tmp_path_factory.mktemp("bundle"))
        return made[name]

    return make


@pytest.fixture(scope="session")
def tiny_bundle(small_bundle: Callable[[str], Path]) -> Path:
    """The small copy of the brain bundle."""
    return small_bundle("brain_kspace_segmentation")


def _small_copy(name: str, folder: Path) -> Path:
    bundle = folder / name
    shutil.copytree(find_bundle(name), bundle, ignore=shutil.ignore_patterns("*.pt", "eval"))
    config = bundle / "configs" / "inference.json"
    content = json.loads(config.read_text())
    for key, value in SMALL[name].items():
        content[key] = content[key] | value if isinstance(value, dict) else value
    config.write_text(json.dumps(content))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        # Weights as they are drawn make one class of everything.
        weights = {
            name: (value + 0.2 * torch.randn(value.shape)).to(value.dtype)
            for name, value in build_network(str(bundle)).state_dict().items()
        }
    (bundle / "models").mkdir(exist_ok=True)
    torch.save(weights, bundle / "models" / "model.pt")
    seal_bundle(bundle)
    return bundle


def global_states() -> dict[str, object]:
    """A copy of each global random state, comparable with ==."""
    # Not that of Python's `random`: importing MONAI moves it. The linter bans that module instead.
    _, keys, *rest = np.random.get_state()
    return {
        "torch": torch.get_rng_state().numpy().tobytes(),
        "numpy": (np.asarray(keys).tobytes(), *rest),
    }


@pytest.fixture(autouse=True)
def global_states_untouched() -> Iterator[None]:
    """Fail the test that moves a global random state: the library draws from generators it is given."""
    before = global_states()
    yield
    after = global_states()
    moved = [name for name in before if before[name] != after[name]]
    if moved:
        pytest.fail(
            f"the test moved the global random state of {', '.join(moved)}: pass a torch.Generator, or ask "
            "for the fixture `seeded` where PyTorch itself draws (initial weights, MONAI's set_determinism)"
        )


@pytest.fixture
def seeded() -> Iterator[None]:
    """Seed the global generators for this test alone; for what draws from them whatever it is given."""
    numpy_state = np.random.get_state()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        np.random.seed(0)
        yield
    np.random.set_state(numpy_state)
