"""Segment folders of k-space files and of images; PyTorch is loaded where the work is done."""

import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kseg.pipelines.batch import BatchResult, run_batch
from kseg.pipelines.bundle_folder import find_bundle, weights_file
from kseg.pipelines.digest import file_sha256
from kseg.pipelines.engines import Engine, InProcess
from kseg.pipelines.items import Item, Work, list_items
from kseg.pipelines.manifest import manifest_changes, read_manifest, write_manifest
from kseg.pipelines.records import open_records, read_records
from kseg.pipelines.result_files import (
    MANIFEST,
    records_file,
    records_files,
    remove_leftovers,
    require_one_division,
)
from kseg.pipelines.resume import resume
from kseg.pipelines.run_settings import RunSettings
from kseg.pipelines.scan_files import find_scans
from kseg.pipelines.segment_settings import SegmentSettings
from kseg.pipelines.summary import write_summary
from kseg.pipelines.workers import Workers
from kseg.transforms.errors import require_file

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SegmentTask:
    """What every process loads to segment.

    Attributes:
        output: output folder.
        bundle: name or folder of the bundle.
        settings: see `SegmentSettings`.
        stage: what is done.
    """

    output: Path
    bundle: str
    settings: SegmentSettings
    stage: str = "segment"

    def start(self) -> Work:
        """Load the bundle.

        Raises:
            InputError: the bundle or its weights cannot be used.
        """
        from kseg.pipelines.segment_work import start_segmenting

        return start_segmenting(self.output, self.bundle, self.settings)

    def identity(self) -> dict[str, Any]:
        """What a record has to agree with to count for this task.

        Raises:
            InputError: there is no such bundle, or a file of it is missing.
        """
        root = find_bundle(self.bundle)
        weights, configuration = weights_file(root), root / "configs" / "inference.json"
        for path in (weights, configuration):
            require_file(path, "read bundle")
        return {
            "weights_sha256": file_sha256(weights),
            "configuration_sha256": file_sha256(configuration),
            "settings": asdict(self.settings),
        }


def segment(
    source: Path,
    output: Path,
    bundle: str,
    settings: SegmentSettings,
    run: RunSettings | None = None,
) -> BatchResult:
    """Segment a k-space file or image, or all below a folder.

    Writes `OUTPUT/<relative folder>/NAME_seg.nii.gz` on the grid and affine of the input, what the settings ask
    for beside it, the list of inputs `OUTPUT/manifest.jsonl`, and one line per input to `OUTPUT/results.jsonl`
    (`results-K-of-N.jsonl` for a shard). A run that was stopped goes on where it was.

    Args:
        source: k-space (`.h5`, `.mrd`) or image (`.nii`, `.nii.gz`), or a folder.
        output: output folder, made if missing.
        bundle: name or folder of the bundle.
        settings: what is written, and how images are treated.
        run: how it is run; the defaults of `RunSettings` if not given.

    Raises:
        InputError: the source or the output cannot be used; the bundle or its weights cannot.
    """
    run = run or RunSettings()
    items = _list(source, output, run)
    if not items:
        return BatchResult()
    task = SegmentTask(output, bundle, settings)
    identity = task.identity()
    mine = [item for item in items if run.shard.holds(item.case)]
    require_one_division(output, run.shard)
    with open_records(records_file(output, run.shard)) as records:
        known = read_records(records_files(output)) if run.resume else {}
        plan = resume(mine, known, identity, output, retry_failed=run.retry_failed)
        for why, count in plan.again.items():
            _logger.info("%d done again: %s", count, why)
        remove_leftovers(output, {item.case for item in items}, {item.case for item in plan.todo})
        result = BatchResult()
        if plan.todo:
            engine = _engine(task, run)
            result = run_batch(plan.todo, engine, stage=task.stage, records=records, common=identity)
    if run.shard.count == 1:
        write_summary(output)
    return BatchResult(result.done, plan.failed | result.failed, plan.done)


def _list(source: Path, output: Path, run: RunSettings) -> list[Item]:
    """List what is to be segmented, or read the list that another shard made."""
    path = output / MANIFEST
    folder = source.parent if source.is_file() else source
    known = read_manifest(path, folder) if path.is_file() else None
    if known and run.shard.count > 1 and not run.relist:
        return known
    items = list_items(find_scans(source, output))
    if items and items != known:
        write_manifest(path, items, folder)
    if known and (changes := manifest_changes(known, items)):
        _logger.info("%s since the last list: %s", source, changes)
    return items


def _engine(task: SegmentTask, run: RunSettings) -> Engine:
    if run.engine == "here":
        return InProcess(task.start(), task.stage)
    return Workers(task, run.workers, run.timeout)
