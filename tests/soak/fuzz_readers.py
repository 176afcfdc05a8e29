"""Damaged files for every reader: each is refused in one line that names the file, or read as something valid.

    python tests/soak/fuzz_readers.py --count 10000

Every input is made from a valid file by a seeded mutation and read in a process of its own kind: one that dies is a
crash, one that does not answer a hang. The exit code is 0 if there is neither and no other fault.
"""

import argparse
import multiprocessing
import resource
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import h5py
import ismrmrd
import numpy as np
import torch
from damage import Generator, change_bytes, change_hdf5, change_json, change_nifti

from kseg.pipelines.bundle import find_bundle
from kseg.pipelines.inference_options import InferenceOptions, read_inference_options
from kseg.transforms.errors import InputError
from kseg.transforms.ismrmrd_header import header_xml
from kseg.transforms.kspace_file import KSpaceVolume, read_kspace, write_kspace
from kseg.transforms.nifti import NiftiVolume, read_label_map, read_nifti, write_nifti
from kseg.transforms.seeds import item_seed

SHAPE = N_SLICES, N_COILS, N_Y, N_X = (2, 2, 24, 18)
AFFINE = np.diag([1.0, 1.0, 3.0, 1.0])
MEMORY = 6 << 30
"""Bytes of address space of a reading process: what a damaged size asks for beyond is a fault, not a wait."""
SECONDS = 30.0


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Attributes:
        name: of the valid file.
        make: writes it.
        read: reads it.
        change: damages its structure, where damage of bytes is not enough.
        sealed: whatever is read is what was written, since all bytes have checksums.
    """

    name: str
    make: Callable[[Path], None]
    read: Callable[[Path], Any]
    change: Callable[[Path, Generator], None]
    sealed: bool = False


def samples(n_coils: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(n_coils)
    return torch.randn(N_SLICES, n_coils, N_Y, N_X, dtype=torch.complex64, generator=generator)


def make_kspace(n_coils: int) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        lines = torch.arange(N_X) % 3 != 1
        maps = samples(n_coils).movedim(1, 0) if n_coils > 1 else None
        write_kspace(path, KSpaceVolume(samples(n_coils) * lines, lines, AFFINE, 0.1, 7, "head", maps=maps))

    return make


def make_fastmri(path: Path) -> None:
    encoded, shown = header_xml(SHAPE, (1.0, 1.0, 4.0)).split("<reconSpace>")
    header = f"{encoded}<reconSpace>{shown.replace('<x>24.0</x>', '<x>12.0</x>', 1)}"
    with h5py.File(path, "w") as file:
        file["kspace"] = samples(N_COILS).numpy()
        file["mask"] = np.ones(N_X, np.float32)
        file["ismrmrd_header"] = header
        file["reconstruction_rss"] = np.ones((N_SLICES, 12, N_X), np.float32)
        file.attrs.update(acquisition="AXT2", max=1.0, norm=2.0, patient_id="0")


def make_raw(path: Path) -> None:
    kspace = samples(N_COILS).numpy()
    with ismrmrd.Dataset(str(path), "dataset", mode="w") as dataset:
        dataset.write_xml_header(header_xml(SHAPE, (1.0, 1.0, 4.0)).encode())
        for number in range(N_SLICES * N_X + 1):
            slice_, line = divmod(number, N_X)
            values = np.ascontiguousarray(kspace[slice_ % N_SLICES, :, :, line])
            acquisition = ismrmrd.Acquisition.from_array(values, center_sample=N_Y // 2)
            acquisition.idx.kspace_encode_step_1, acquisition.idx.slice = line, slice_ % N_SLICES
            if slice_ == N_SLICES:
                acquisition.set_flag(ismrmrd.ACQ_IS_NOISE_MEASUREMENT)
            dataset.append_acquisition(acquisition)


def make_image(path: Path) -> None:
    write_nifti(path, np.random.default_rng(0).uniform(1, 9, (9, 8, 5)).astype(np.float32), AFFINE)


def make_labels(path: Path) -> None:
    write_nifti(path, np.random.default_rng(0).integers(0, 4, (9, 8, 5)).astype(np.uint8), AFFINE)


def make_options(path: Path) -> None:
    shutil.copy(find_bundle("brain_kspace_segmentation") / "configs" / "inference.json", path)


def read_options(path: Path) -> InferenceOptions:
    bundle = path.parent / "bundle"
    configuration = bundle / "configs" / "inference.json"
    configuration.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(path, configuration)
    try:
        return read_inference_options(str(bundle))
    except InputError as error:
        if Path(error.path) != configuration:
            raise
        raise InputError(path, error.stage, error.expected, error.received) from error


KINDS = (
    Kind("one_coil.h5", make_kspace(1), read_kspace, change_hdf5, sealed=True),
    Kind("coils.h5", make_kspace(N_COILS), read_kspace, change_hdf5, sealed=True),
    Kind("fastmri.h5", make_fastmri, read_kspace, change_hdf5),
    Kind("raw.mrd", make_raw, read_kspace, change_hdf5),
    Kind("image.nii", make_image, read_nifti, change_nifti),
    Kind("image.nii.gz", make_image, read_nifti, change_nifti),
    Kind("labels.nii.gz", make_labels, read_label_map, change_nifti),
    Kind("inference.json", make_options, read_options, change_json),
)


def require_valid(found: Any) -> None:
    """What a reader returns without an error can be worked with."""
    if isinstance(found, KSpaceVolume):
        assert found.kspace.dtype == torch.complex64
        assert found.kspace.isfinite().all()
        assert found.kspace.any()
        n_slices, n_coils, n_y, n_x = found.kspace.shape
        assert min(found.kspace.shape) > 0
        assert found.mask.dtype == torch.bool
        assert tuple(found.mask.shape) in ((n_x,), (n_slices, n_x), (n_slices, n_y, n_x))
        assert found.mask.any()
        assert abs(np.linalg.det(found.affine)) > 0
        assert found.maps is None or found.maps.shape[0] == n_coils
    elif isinstance(found, NiftiVolume):
        assert found.array.ndim == 3
        assert np.isfinite(found.array).all()
        assert abs(np.linalg.det(found.affine)) > 0
    else:
        assert isinstance(found, InferenceOptions)


def require_same(found: KSpaceVolume, intact: KSpaceVolume) -> None:
    assert torch.equal(found.kspace, intact.kspace)
    assert torch.equal(found.mask, intact.mask)
    assert np.array_equal(found.affine, intact.affine)


def try_one(kind: Kind, number: int, seed: int, folder: Path) -> str:
    """Damage one file and read it.

    Returns:
        `refused` or `read`; anything else is a fault.
    """
    intact, path = folder / f"intact_{kind.name}", folder / kind.name
    if not intact.exists():
        kind.make(intact)
        require_valid(kind.read(intact))
    shutil.copy(intact, path)
    generator = np.random.default_rng(item_seed(seed, kind.name, number))
    change = change_bytes if number % 2 == 0 else kind.change
    change(path, generator)
    try:
        found = kind.read(path)
    except InputError as error:
        named = str(error).startswith(f"{path}: ") and "\n" not in str(error)
        return "refused" if named else f"error without the file's name: {error}"
    except Exception:
        return f"other error: {traceback.format_exc(limit=-4)}"
    try:
        require_valid(found)
        if kind.sealed and change is change_bytes:
            require_same(found, kind.read(intact))
    except Exception:
        return f"wrong ok: {traceback.format_exc(limit=-2)}"
    return "read"


def serve(connection: Connection, seed: int, folder: str) -> None:
    """Try what is asked for until there is nothing more."""
    torch.set_num_threads(1)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    warnings.simplefilter("error")
    while (asked := connection.recv()) is not None:
        kind, number = asked
        connection.send(try_one(KINDS[kind], number, seed, Path(folder)))


@dataclass
class Reader:
    """A process that reads, started anew after a crash or a hang."""

    seed: int
    folder: str
    process: Any = None
    connection: Any = None

    def ask(self, kind: int, number: int) -> str:
        if self.process is None:
            context = multiprocessing.get_context("spawn")
            self.connection, other = context.Pipe()
            self.process = context.Process(target=serve, args=(other, self.seed, self.folder), daemon=True)
            self.process.start()
            other.close()
        self.connection.send((kind, number))
        try:
            if self.connection.poll(SECONDS):
                answer: str = self.connection.recv()
                return answer
            outcome = f"hang: no answer in {SECONDS:g} s"
        except EOFError:
            self.process.join()
            outcome = f"crash: exit code {self.process.exitcode}"
        self.close()
        return outcome

    def close(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.join()
            self.connection.close()
            self.process = None


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=10_000, help="inputs in total")
    parser.add_argument("--first", type=int, default=0, help="number of the first input of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", choices=[kind.name for kind in KINDS], help="this kind alone")
    options = parser.parse_args()
    kinds = [n for n, kind in enumerate(KINDS) if options.kind in (None, kind.name)]
    outcomes: dict[str, Counter[str]] = {KINDS[n].name: Counter() for n in kinds}
    began, slowest = time.monotonic(), 0.0
    with tempfile.TemporaryDirectory() as folder:
        reader = Reader(options.seed, folder)
        for position in range(options.count):
            kind, number = kinds[position % len(kinds)], options.first + position // len(kinds)
            started = time.monotonic()
            outcome = reader.ask(kind, number)
            slowest = max(slowest, time.monotonic() - started)
            outcomes[KINDS[kind].name][outcome.split(":")[0]] += 1
            if outcome not in ("refused", "read"):
                print(f"{KINDS[kind].name} {number}: {outcome}", flush=True)
        reader.close()
    total: Counter[str] = sum(outcomes.values(), Counter())
    for name, counts in [*outcomes.items(), ("all", total)]:
        print(f"{name:16}", ", ".join(f"{what} {n}" for what, n in sorted(counts.items())))
    print(f"{time.monotonic() - began:.0f} s, slowest {slowest:.2f} s, seed {options.seed}")
    return 0 if set(total) <= {"refused", "read"} else 1


if __name__ == "__main__":
    sys.exit(main())
