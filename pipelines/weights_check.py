"""Check files of weights: tensors by name, nothing packed, and nothing that runs when it is read.

A file of `torch.save` is an archive with a pickle, a program that can call anything it names. Its names are
read here without running it; then PyTorch reads it with `weights_only`.
"""

import pickletools
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

from kseg.pipelines.plain_text import plain
from kseg.transforms.errors import InputError

LARGEST_PICKLE = 2**24

_MEMBER = re.compile(
    r"[^/]+/(data\.pkl|byteorder|version|\.format_version|\.storage_alignment|\.data/serialization_id|data/\d+)"
)
_TENSORS = re.compile(
    r"collections OrderedDict|torch\._utils _rebuild_(tensor_v2|parameter)|torch \w+Storage|torch Size",
    re.ASCII,
)
_FIRST_BYTES = b"PK\x03\x04"
_IMPORTS_BY_STACK = {"STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4"}


def check_weights(path: Path, stage: str) -> list[InputError]:
    """Check a file of weights.

    Args:
        path: a file of `torch.save`.
        stage: the step that wants it, for messages.

    Returns:
        What is refused; empty where nothing is.
    """
    try:
        findings = [InputError(path, stage, expected, received) for expected, received in _in_archive(path)]
    except Exception as error:  # zipfile and pickletools promise no closed set of errors for damaged files
        received = plain(f"{type(error).__name__}: {error}")
        return [InputError(path, stage, "an intact file of torch.save", received)]
    return findings or _unreadable(path, stage)


def _in_archive(path: Path) -> Iterator[tuple[str, str]]:
    with path.open("rb") as file:
        # An archive may stand behind anything, which PyTorch then reads in its place: an older, bare pickle.
        if file.read(4) != _FIRST_BYTES:
            yield "an archive of tensors", "a file of another kind"
            return
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        names = [member.filename for member in members]
        unknown = [name for name in names if not _MEMBER.fullmatch(name)]
        if unknown or len(set(names)) < len(names):
            what = plain(unknown[0]) if unknown else "a member twice"
            yield "an archive of tensors", f"{what}; TorchScript and other archives hold code"
            return
        packed = [member.filename for member in members if member.compress_type != zipfile.ZIP_STORED]
        if packed or sum(member.file_size for member in members) > path.stat().st_size:
            yield (
                "an archive that is not compressed",
                plain(packed[0]) if packed else "more than the file holds",
            )
            return
        for member in members:
            if member.filename.endswith("/data.pkl"):
                if member.file_size > LARGEST_PICKLE:
                    yield f"a pickle of at most {LARGEST_PICKLE} bytes", str(member.file_size)
                else:
                    yield from _in_pickle(archive.read(member))


def _in_pickle(program: bytes) -> Iterator[tuple[str, str]]:
    for opcode, argument, _ in pickletools.genops(program):
        if opcode.name in _IMPORTS_BY_STACK:
            yield "tensors by name", f"a pickle that imports by {opcode.name}"
            return
        if opcode.name == "GLOBAL" and not _TENSORS.fullmatch(str(argument)):
            yield "tensors by name", f"a pickle that calls {plain(str(argument).replace(' ', '.'))}"


def _unreadable(path: Path, stage: str) -> list[InputError]:
    # PyTorch takes seconds to import, which a bundle that is refused before should not cost.
    from kseg.networks.warm_start import read_weights

    try:
        read_weights(path)
    except InputError as error:
        return [InputError(path, stage, error.expected, plain(error.received))]
    return []
