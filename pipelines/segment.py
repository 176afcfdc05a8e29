"""Segment folders of scans; PyTorch is loaded where the work is done."""

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from kseg.pipelines.batch import BatchResult, run_batch
from kseg.pipelines.bids_outputs import write_dataset_files
from kseg.pipelines.bundle_check import require_trusted
from kseg.pipelines.bundle_folder import find_bundle
from kseg.pipelines.bundle_input import read_contrasts
from kseg.pipelines.contrast_files import find_contrasts
from kseg.pipelines.engines import Engine, InProcess
from kseg.pipelines.find_scans import find_scans
from kseg.pipelines.items import Item, list_items, look_again
from kseg.pipelines.list_lock import alone_at_list
from kseg.pipelines.manifest import manifest_changes, read_manifest, write_manifest
from kseg.pipelines.provenance import read_provenance
from kseg.pipelines.ray_workers import RayWorkers
from kseg.pipelines.records import open_records, read_records
from kseg.pipelines.result_files import (
    MANIFEST,
    has_begun,
    records_file,
    records_files,
    remove_leftovers,
    require_one_division,
)
from kseg.pipelines.resume import resume
from kseg.pipelines.run_settings import RunSettings
from kseg.pipelines.segment_settings import SegmentSettings
from kseg.pipelines.segment_task import SegmentTask
from kseg.pipelines.stale_outputs import StaleOutputs
from kseg.pipelines.summary import write_summary
from kseg.pipelines.workers import Workers

_logger = logging.getLogger(__name__)


def segment(
    source: Path,
    output: Path,
    bundle: str,
    settings: SegmentSettings,
    run: RunSettings | None = None,
) -> BatchResult:
    """Segment a scan, or all below a folder: k-space, or what the bundle takes.

    Writes `OUTPUT/<relative folder>/NAME_seg.nii.gz` on the grid and affine of the input, what the settings ask
    for beside it, the list of inputs `OUTPUT/manifest.jsonl`, and one line per input to `OUTPUT/results.jsonl`
    (`results-K-of-N.jsonl` for a shard). A run that was stopped goes on where it was.

    Args:
        source: k-space (`.h5`, `.mrd`), image (`.nii`, `.nii.gz`) or DICOM file, or a folder, see `find_scans`;
            for a bundle of several contrasts one of the images of a case, or a folder, see `find_contrasts`.
        output: output folder, made if missing.
        bundle: name or folder of the bundle.
        settings: what is written, and how images are treated.
        run: how it is run; the defaults of `RunSettings` if not given.

    Raises:
        InputError: the source or the output cannot be used; the bundle is refused, or it or its weights cannot be
            used.
        ValueError: settings for k-space with a bundle that takes images, a device that this machine does not have.
    """
    run = run or RunSettings()
    contrasts = read_contrasts(bundle)
    if contrasts:
        settings.require_for_images(bundle)
    path = output / MANIFEST
    folder = source.parent if source.is_file() else source
    with ExitStack() as stack:
        with alone_at_list(output, run.shard):
            known = read_manifest(path, folder) if path.is_file() else []
            # The first shard lists what the others do.
            if known and run.shard.count > 1 and not run.relist and has_begun(output, run.shard.count):
                items = [look_again(item) if run.shard.holds(item.case) else item for item in known]
            else:
                items = _list(source, output, contrasts, bids=settings.bids)
            if not items:
                return BatchResult()
            # Here already: of a bundle that is refused nothing is left behind.
            if not run.trust:
                require_trusted(find_bundle(bundle))
            _require_device(run)
            task = SegmentTask(output, bundle, settings, run.trust, run.device)
            identity = task.identity()
            # Once so that a run that is refused leaves nothing, and once more when others see this one.
            require_one_division(output, run.shard)
            records = stack.enter_context(open_records(records_file(output, run.shard)))
            require_one_division(output, run.shard)
            if items != known:
                write_manifest(path, items, folder)
                if known:
                    _logger.info("%s since the last list: %s", source, manifest_changes(known, items))
        mine = [item for item in items if run.shard.holds(item.case)]
        if settings.bids:
            write_dataset_files(output, source, read_provenance(bundle))
        earlier = read_records(records_files(output)) if run.resume else {}
        plan = resume(mine, earlier, identity, output, retry_failed=run.retry_failed)
        for record in plan.renewed:
            records.append(record)
        for why, count in plan.again.items():
            _logger.info("%d done again: %s", count, why)
        cases = {item.case for item in items}
        remove_leftovers(output, cases, {item.case for item in mine}, alone=run.shard.count == 1)
        result = BatchResult()
        if plan.todo:
            engine = _engine(task, run)
            stale = StaleOutputs(output, records_files(output))
            result = run_batch(
                plan.todo, engine, stage=task.stage, records=records, common=identity, settle=stale.settle
            )
        if run.shard.count == 1:
            write_summary(output)
    return BatchResult(result.done, plan.failed | result.failed, plan.done)


def _list(source: Path, output: Path, contrasts: Sequence[str], *, bids: bool) -> list[Item]:
    if contrasts:
        return find_contrasts(source, output, contrasts, bids=bids)
    return list_items(find_scans(source, output, bids=bids))


def _require_device(run: RunSettings) -> None:
    if run.device not in ("auto", "cpu") and run.engine != "ray":
        # PyTorch is loaded here for those alone who name a GPU; a cluster may have one where this machine has none.
        from kseg.pipelines.device import choose_device

        choose_device(run.device)


def _engine(task: SegmentTask, run: RunSettings) -> Engine:
    if run.engine == "here":
        return InProcess(task.start(), task.stage)
    if run.engine == "ray":
        return RayWorkers(task, run.workers, run.timeout, run.address)
    return Workers(task, run.workers, run.timeout)
