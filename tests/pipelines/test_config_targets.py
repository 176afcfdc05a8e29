import inspect
import pydoc

import pytest
from monai.bundle import ComponentLocator

from kseg.pipelines.config_targets import (
    _KSEG_FUNCTIONS,
    _KSEG_PIPELINES,
    _REFUSED,
    _monai_classes,
    refuse_target,
)

NOT_A_CLASS = "no class of a module that bundles may use"


@pytest.mark.parametrize(
    "name",
    [
        "Compose",
        "LoadImageDict",
        "SupervisedTrainer",
        "monai.transforms.Compose",
        "monai.transforms.io.dictionary.LoadImaged",
        "monai.networks.nets.UNet",
        "torch.nn.parallel.DistributedDataParallel",
        "torch.optim.lr_scheduler.StepLR",
        "torch.utils.data.DataLoader",
        "ignite.handlers.ProgressBar",
        "kseg.networks.seranet.SERANet",
        "kseg.pipelines.training.EpochLog",
        "kseg.transforms.rand_scan.RandScanSliced",
        *_KSEG_FUNCTIONS,
    ],
)
def test_pieces_of_workflows_are_allowed_and_exist(name: str) -> None:
    assert refuse_target(name) is None
    module = ComponentLocator().get_component_module_name(name)
    assert module or pydoc.locate(name) is not None


@pytest.mark.parametrize(
    "name",
    [
        "os.system",
        "builtins.eval",
        "eval",
        "subprocess.Popen",
        "pathlib.Path",
        "torch",
        "torch.load",
        "torch.nn",
        "torch.nn.functional.relu",
        "torch.hub.load",
        "torch.jit.ScriptModule",
        "torch.package.PackageImporter",
        "torch.classes.load_library",
        "torch.ops.load_library",
        "torch.utils.cpp_extension.load_inline",
        "torch.utils.model_zoo.load_url",
        "torch.optim.lr_scheduler.warnings.sys",
        "torch.optim.lr_scheduler.TypedDict",
        "torch.utils.data.distributed.TypeVar",
        "monai.transforms.TorchVisiond",
        "RandCuCIM",
        "monai.bundle.run",
        "monai.bundle.ConfigParser",
        "monai.bundle.scripts.download",
        "monai.apps.utils.download_and_extract",
        "monai.apps.MedNISTDataset",
        "monai.fl.client.MonaiAlgo",
        "monai.utils.optional_import",
        "monai.utils.module.Compose",
        "monai.transforms.utils.os.Compose",
        "monai.transforms.nowhere.Compose",
        "monai..transforms.Compose",
        "monai.data.load_decathlon_datalist",
        "run_cmd",
        "optional_import",
        "instantiate",
        "ConfigExpression",
        "BundleAlgo",
        "AutoRunner",
        "nnUNetV2Runner",
        "ignite.engine.Engine",
        "ignite.contrib.handlers.ProgressBar",
        "kseg.pipelines.command.main",
        "kseg.pipelines.workers.Workers",
        "kseg.pipelines.training.os",
        "kseg.pipelines.bundle.ConfigParser",
        "kseg.transforms.atomic.atomic_path",
        "kseg.transforms.nifti.Path",
        "kseg.transforms.nifti.NiftiVolume.array",
        "kseg.networks.seranet.torch.Tensor",
        "kseg.networks._secret.Net",
        "kseg.networks.nowhere.Net",
        "kseg.networks.seranet.Nowhere",
        "kseg.transforms.nested.module.Net",
    ],
)
def test_everything_else_is_refused(name: str) -> None:
    assert refuse_target(name) is not None


@pytest.mark.parametrize(
    "name", ["", ".", "a b", "$x", "@x", "%x", "Comp\u043ese", "_Secret", "a..b", "a.b\n", "1a"]
)
def test_what_is_no_name_is_refused(name: str) -> None:
    assert refuse_target(name) == "no dotted name"


@pytest.mark.parametrize("prefix", ["", "monai.handlers.", "monai.losses.", "ignite.handlers."])
@pytest.mark.parametrize("name", _REFUSED)
def test_some_classes_are_refused_with_the_reason(prefix: str, name: str) -> None:
    assert refuse_target(prefix + name) == _REFUSED[name]


def test_bare_names_mean_classes_in_monai_itself() -> None:
    locator = ComponentLocator()
    located = 0
    for name in sorted(_monai_classes()):
        modules = locator.get_component_module_name(name)
        for module in [modules] if isinstance(modules, str) else modules or []:
            assert inspect.isclass(pydoc.locate(f"{module}.{name}")), name
            located += 1
    assert located > 500


def test_the_modules_that_are_named_exist() -> None:
    for name in _KSEG_PIPELINES:
        assert pydoc.locate(f"kseg.pipelines.{name}") is not None
