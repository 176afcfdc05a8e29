"""Damaged files for every reader: each is refused in one line that names the file, or read as something valid.

    python tests/soak/fuzz_readers.py --count 10000

Every input is made from a valid file by a seeded mutation and read in a process of its own kind: one that dies is a
crash, one that does not answer a hang. The exit code is 0 if there is neither and no other fault.
"""

import argparse
import json
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
import nibabel
import numpy as np
import torch

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

Generator = np.random.Generator


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


STRANGE: tuple[Any, ...] = (
    None, True, -1, 0, 2**63, 1e308, float("nan"), float("inf"), "", "text", "\N{GREEK SMALL LETTER MU}" * 99, [], {},
    [[]], [1, 2, 3], {"_target_": "x"}, "$1", "@nothing", "%nothing",
)  # fmt: skip


def strange_array(generator: Generator, shape: tuple[int, ...]) -> Any:
    """An array of another shape, kind, or content."""
    kinds = ("c8", "c16", "f4", "f8", "i2", "u1", "?", "S3")
    kind = kinds[generator.integers(len(kinds))]
    shape = tuple(int(n) for n in shape)
    choice = generator.integers(6)
    if choice == 0:
        shape = tuple(generator.permutation(shape).tolist())
    elif choice == 1:
        shape = (*shape, int(generator.integers(3)))
    elif choice == 2:
        shape = shape[1:]
    elif choice == 3 and shape:
        shape = (int(generator.integers(0, 40)), *shape[1:])
    array = generator.uniform(-2, 2, shape)
    array.flat[: int(generator.integers(3))] = generator.choice([np.nan, np.inf, 1e300, 0, 1])
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return array.astype(kind)


def change_hdf5(path: Path, generator: Generator) -> None:
    """Delete, replace or rename a dataset or an attribute, or change values of a table of readouts."""
    with h5py.File(path, "r+") as file:
        names: list[str] = []
        file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
        name = names[generator.integers(len(names))]
        choice = generator.integers(6)
        if name.endswith("data") and choice > 1:
            change_readouts(file[name], generator)
        elif name.endswith(("xml", "header")) and choice > 1:
            change_text(file, name, generator)
        elif choice == 0:
            del file[name]
        elif choice == 1:
            other = names[generator.integers(len(names))]
            if other != name:
                file.move(name, "swap")
                file.move(other, name)
                file.move("swap", other)
        elif choice in (2, 3):
            shape = file[name].shape
            del file[name]
            file[name] = strange_array(generator, shape)
        else:
            attribute = ("sigma", "seed", "subject", "kseg_version")[generator.integers(4)]
            value = (-1.0, np.nan, "text", 2**62, b"\xff\xfe", np.ones(3), "")[generator.integers(7)]
            file.attrs[attribute] = value


def change_readouts(table: h5py.Dataset, generator: Generator) -> None:
    if "head" not in (table.dtype.names or ()):
        return
    readouts = table[()]
    head = readouts["head"]
    for _ in range(int(generator.integers(1, 4))):
        which = int(generator.integers(len(readouts)))
        if generator.random() < 0.2:
            readouts["data"][which] = readouts["data"][which][: int(generator.integers(40))]
            continue
        fields = [field for field in head.dtype.names if field not in ("idx", "version")] + ["idx"] * 12
        field = fields[generator.integers(len(fields))]
        values = head[field]
        if field == "idx":
            counter = values.dtype.names[generator.integers(9)]
            values = values[counter]
        value = generator.choice([0, 1, 3, 255, 65535, 2 ** int(generator.integers(16))])
        if values.dtype.kind == "f":
            value = generator.choice([np.nan, np.inf, -1.0, 0.5, 1e30])
        values[slice(None) if generator.random() < 0.3 else which] = value
    table[...] = readouts


def change_text(file: h5py.File, name: str, generator: Generator) -> None:
    stored = file[name][()]
    text = (stored[0] if isinstance(stored, np.ndarray) else stored).decode()
    tokens = text.replace("<", "\n<").replace(">", ">\n").split("\n")
    for _ in range(int(generator.integers(1, 4))):
        place = int(generator.integers(len(tokens)))
        strange = ("", "-1", "0", "65535", "99999999999", "nan", "1e400", "&x;", "<y/>", "0.0001", "\u00e9")
        tokens[place] = strange[generator.integers(len(strange))]
    del file[name]
    joined = "".join(tokens).replace("\x00", "")
    file[name] = [joined] if isinstance(stored, np.ndarray) else joined


def change_nifti(path: Path, generator: Generator) -> None:
    """Set fields of the header to values that are out of place."""
    image = nibabel.load(path)
    content = np.asarray(image.dataobj)
    header = image.header.copy()
    raw = bytearray(header.binaryblock)
    names = [name for name in header if name not in ("magic", "sizeof_hdr")]
    for _ in range(int(generator.integers(1, 4))):
        name = names[generator.integers(len(names))]
        kind, offset = header.structarr.dtype.fields[name][:2]
        cell = kind.base
        value = generator.choice([-1, 0, 1, 2, 7, 127, 32767 if cell.itemsize > 1 else 100])
        if cell.kind == "f":
            value = generator.choice([np.nan, np.inf, 0, -1, 1e-30, 1e30])
        if cell.kind in "iuf":
            position = offset + cell.itemsize * int(generator.integers(kind.itemsize // cell.itemsize))
            raw[position : position + cell.itemsize] = np.array(value).astype(cell).tobytes()
    joined = bytes(raw) + bytes(4) + content.tobytes(order="F")
    if path.suffix == ".gz":
        import gzip

        joined = gzip.compress(joined, mtime=0)
    path.write_bytes(joined)


def change_json(path: Path, generator: Generator) -> None:
    """Delete, replace, swap or nest values, or damage the text."""
    content = json.loads(path.read_text())
    for _ in range(int(generator.integers(1, 4))):
        keys = list(content)
        if not keys:
            break
        key = ("flip", "temperature", "precision", *keys)[generator.integers(len(keys) + 3)]
        choice = generator.integers(4)
        if choice == 0:
            content.pop(key, None)
        elif choice == 1:
            content[key] = content.get(keys[generator.integers(len(keys))])
        else:
            content[key] = STRANGE[generator.integers(len(STRANGE))]
    text = json.dumps(content)
    choice = generator.integers(8)
    if choice == 0:
        text = "[" * 100_000 + text
    elif choice == 1:
        text = json.dumps(STRANGE[generator.integers(len(STRANGE))])
    elif choice == 2:
        text = text.replace(":", "", 1)
    path.write_text(text)


def change_bytes(path: Path, generator: Generator) -> None:
    """Flip bits, overwrite, leave out, repeat, cut off or append bytes."""
    content = bytearray(path.read_bytes())
    choice = generator.integers(8)
    place = int(generator.integers(len(content)))
    length = int(generator.integers(1, 64))
    if choice <= 2:
        for _ in range(int(generator.integers(1, 12))):
            content[generator.integers(len(content))] ^= 1 << int(generator.integers(8))
    elif choice == 3:
        # Structure lies mostly at the beginning.
        for _ in range(int(generator.integers(1, 6))):
            content[generator.integers(min(len(content), 2048))] = int(generator.integers(256))
    elif choice == 4:
        content[place : place + length] = generator.bytes(length)
    elif choice == 5:
        del content[place : place + length]
    elif choice == 6:
        content[place:place] = content[place : place + length]
    else:
        del content[place:]
        content += generator.bytes(length) if generator.random() < 0.5 else b""
    path.write_bytes(bytes(content))


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
