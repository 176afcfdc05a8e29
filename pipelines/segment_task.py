"""What a process needs to segment; PyTorch is loaded where it starts."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kseg.pipelines.bundle_folder import find_bundle
from kseg.pipelines.bundle_input import read_contrasts
from kseg.pipelines.digest import file_sha256
from kseg.pipelines.items import Work
from kseg.pipelines.provenance import read_provenance
from kseg.pipelines.segment_settings import SegmentSettings
from kseg.transforms.errors import require_file

IDENTITY = ("weights_sha256", "configuration_sha256", "contrasts", "labels", "settings")
"""What a record has to agree with to count, see `SegmentTask.identity`."""


@dataclass(frozen=True)
class SegmentTask:
    """What every process loads to segment.

    Attributes:
        output: output folder.
        bundle: name or folder of the bundle.
        settings: see `SegmentSettings`.
        trust: take a bundle that `kseg bundle check` refuses, and run whatever code it names.
        device: see `choose_device`; of the machine where the process starts.
        stage: what is done.
    """

    output: Path
    bundle: str
    settings: SegmentSettings
    trust: bool = False
    device: str = "auto"
    stage: str = "segment"

    def start(self) -> Work:
        """Load the bundle.

        Raises:
            InputError: the bundle or its weights cannot be used.
            ValueError: the machine has no such device.
        """
        from kseg.pipelines.device import choose_device
        from kseg.pipelines.segment_work import start_segmenting

        device = choose_device(self.device)
        return start_segmenting(self.output, self.bundle, self.settings, device, trust=self.trust)

    def identity(self) -> dict[str, Any]:
        """What a record has to agree with to count for this task.

        Raises:
            InputError: there is no such bundle, a file of it is missing, or its metadata name no contrasts or labels.
        """
        provenance = read_provenance(self.bundle)
        configuration = find_bundle(self.bundle) / "configs" / "inference.json"
        require_file(configuration, "read bundle")
        return {
            "weights_sha256": provenance.weights_sha256,
            "configuration_sha256": file_sha256(configuration),
            # Of the metadata what results depend on: the order of channels, and what is said of the labels.
            "contrasts": list(read_contrasts(self.bundle)),
            "labels": list(provenance.labels),
            "settings": asdict(self.settings),
        }
