"""What a `_target_` of a bundle may name: classes that build the pieces of a workflow, and little else.

A prefix is no boundary: `torch.hub.load` and `monai.bundle.run` run code by design, and a chain of attributes
leads from any module to those that it imports, `torch.serialization.os.system`. So a name has to be that of a
class in one of the modules below. MONAI itself has classes that find code by a text, fetch it or send data
away; they are left out with the reason.
"""

import importlib.util
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

_CLASS_MODULES = {
    "torch.nn",
    "torch.nn.parallel",
    "torch.optim",
    "torch.optim.lr_scheduler",
    "torch.utils.data",
    "torch.utils.data.distributed",
    "ignite.handlers",
    "ignite.metrics",
}
_MONAI_ROOMS = {
    "data",
    "engines",
    "handlers",
    "inferers",
    "losses",
    "metrics",
    "networks",
    "optimizers",
    "transforms",
}
_KSEG_ROOMS = {"transforms", "networks"}
# Those of the modules in pipelines/ that hold what workflows are made of; the others read and write folders.
_KSEG_PIPELINES = {
    "boundary_schedule",
    "distributed",
    "failed_file",
    "inferers",
    "prepare_batch",
    "reconstruction_snr",
    "save_segmentation",
    "sliding_inferer",
    "slices",
    "split_batches",
    "training",
    "uncertainty",
    "volume_dice",
    "volume_dice_log",
    "volume_inferer",
    "volumes",
}
_KSEG_FUNCTIONS = {
    "kseg.networks.warm_start.load_weights",
    "kseg.networks.warm_start.warm_start",
    "kseg.pipelines.bundle.build_network",
    "kseg.pipelines.contrast_items.contrast_items",
    "kseg.pipelines.kspace_items.kspace_items",
}
_SENDS = "it sends data to a server"
_CACHES = "it deletes and reads files of a folder that the bundle chooses"
_COMPILES = "it compiles or loads binary code"
_HUB = "it runs code from the internet"
_CAMERA = "it opens a camera or a video"
_LOOKS_UP = "it finds code by a text"
_MAKES_TYPES = "it makes types, whose annotations are code"
_REFUSED = {
    "ClearMLHandler": _SENDS,
    "ClearMLImageHandler": _SENDS,
    "ClearMLLogger": _SENDS,
    "ClearMLStatsHandler": _SENDS,
    "MLFlowHandler": _SENDS,
    "MLflowLogger": _SENDS,
    "NeptuneLogger": _SENDS,
    "PolyaxonLogger": _SENDS,
    "VisdomLogger": _SENDS,
    "WandBLogger": _SENDS,
    "CacheNTransDataset": _CACHES,
    "GDSDataset": _CACHES,
    "LMDBDataset": _CACHES,
    "PersistentDataset": _CACHES,
    "GaussianMixtureModel": _COMPILES,
    "LLTM": _COMPILES,
    "LLTMFunction": _COMPILES,
    "TRTEngine": _COMPILES,
    "TrtCompiler": _COMPILES,
    "TrtHandler": _COMPILES,
    "MedicalNetPerceptualSimilarity": _HUB,
    "PerceptualLoss": _HUB,
    "RadImageNetPerceptualSimilarity": _HUB,
    "TorchvisionModelPerceptualSimilarity": _HUB,
    "CameraDataset": _CAMERA,
    "VideoDataset": _CAMERA,
    "VideoFileDataset": _CAMERA,
    "FlexUNetEncoderRegister": _LOOKS_UP,
    "MILModel": _LOOKS_UP,
    "TorchVisionFCModel": _LOOKS_UP,
    "TypedDict": _MAKES_TYPES,
    "TypeVar": _MAKES_TYPES,
    "LearningRateFinder": "it pickles",
}
# Transforms of other packages, by their name there.
_REFUSED |= {
    f"{random}{package}{kind}": _LOOKS_UP
    for package in ("CuCIM", "TorchIO", "TorchVision")
    for random in ("", "Rand")
    for kind in ("", "d", "D", "Dict")
}

_NAME = re.compile(r"[A-Za-z]\w*(\.[A-Za-z]\w*)*", re.ASCII)
_DEFINED = re.compile(r"^class (\w+)|^((?:\w+ = )+)(\w+)$", re.MULTILINE | re.ASCII)


def refuse_target(name: str) -> str | None:
    """Say why a bundle may not name something; nothing is imported.

    Args:
        name: the value of a `_target_`: a full dotted name, or the bare name of a class of MONAI.

    Returns:
        The reason, or None where the name is allowed.

    Example:
        >>> refuse_target("monai.transforms.Compose"), refuse_target("torch.optim.Adam")
        (None, None)
        >>> refuse_target("torch.serialization.os.system")
        'no class of a module that bundles may use'
    """
    if not _NAME.fullmatch(name):
        return "no dotted name"
    module, _, last = name.rpartition(".")
    if name in _KSEG_FUNCTIONS:
        return None
    if last in _REFUSED:
        return _REFUSED[last]
    first, _, inside = module.partition(".")
    known = (
        module in _CLASS_MODULES
        or (not module and last in _monai_classes())
        or (first == "monai" and last in _monai_classes() and _is_monai_module(inside))
        or (first == "kseg" and _is_kseg_class(inside, last))
    )
    # Modules and functions begin with a small letter.
    return None if known and last[0].isupper() else "no class of a module that bundles may use"


def _is_monai_module(inside: str) -> bool:
    parts = inside.split(".")
    place = _package("monai").joinpath(*parts)
    return parts[0] in _MONAI_ROOMS and (place.with_suffix(".py").is_file() or place.is_dir())


def _is_kseg_class(inside: str, name: str) -> bool:
    room, _, module = inside.partition(".")
    if room not in _KSEG_ROOMS and not (room == "pipelines" and module in _KSEG_PIPELINES):
        return False
    file = _package(f"kseg.{room}") / f"{module}.py"
    return "." not in module and file.is_file() and name in dict(_definitions(file))


@cache
def _monai_classes() -> frozenset[str]:
    """Names that mean a class of the rooms, and nothing else in MONAI.

    MONAI finds a bare name in any of its modules; one that is defined outside of the rooms too is left out.
    """
    inside, outside = set[str](), set[str]()
    root = _package("monai")
    for file in root.rglob("*.py"):
        found = inside if file.relative_to(root).parts[0] in _MONAI_ROOMS else outside
        definitions = dict(_definitions(file))
        for name, origin in definitions.items():
            if origin in definitions and not name.startswith("_"):
                found.add(name)
    return frozenset(inside - outside)


def _definitions(file: Path) -> Iterator[tuple[str, str]]:
    """Names of the classes of a module, and other names that it gives them, each with the class it means."""
    for name, others, origin in _DEFINED.findall(file.read_text(encoding="utf-8", errors="replace")):
        if name:
            yield name, name
        for other in others.split(" = ")[:-1]:
            yield other, origin


def _package(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(name)
    return Path(spec.submodule_search_locations[0])
