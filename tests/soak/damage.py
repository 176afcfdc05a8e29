"""Ways to damage files, their bytes and their structure, drawn from a generator so that they can be repeated."""

import gzip
import json
import warnings
from pathlib import Path
from typing import Any

import h5py
import nibabel
import numpy as np

Generator = np.random.Generator

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
        joined = gzip.compress(joined, mtime=0)
    path.write_bytes(joined)


def change_json(path: Path, generator: Generator) -> None:
    """Delete, replace, swap or nest values, or damage the text."""
    content = json.loads(path.read_text(encoding="utf-8"))
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
    path.write_text(text, encoding="utf-8")


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
