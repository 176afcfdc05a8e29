"""The `kseg` command: thin wrappers around the functions of this package.

The functions are imported where they are used: PyTorch and MONAI take seconds, which neither `--help` nor a
mistyped option should.
"""

import logging
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal, NoReturn

import typer

from kseg import __version__
from kseg.pipelines.batch import BatchResult
from kseg.pipelines.bundle_command import bundle_app
from kseg.pipelines.command_options import (
    DEFAULT_BUNDLE,
    Bundle,
    CenterLines,
    ScanOptions,
    Seed,
    with_scan_options,
)
from kseg.pipelines.evaluate_command import evaluate, report

app = typer.Typer(
    name="kseg",
    help="Segment MR images straight from under-sampled k-space.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(bundle_app)

Trust = Annotated[
    bool, typer.Option("--trust", help="Use a bundle that `kseg bundle check` refuses; it may run code.")
]
Labels = Annotated[Path, typer.Argument(metavar="LABELS", help="Label map, or a folder of them.")]
Output = Annotated[Path, typer.Argument(metavar="OUT", file_okay=False, help="Output folder.")]


def main() -> None:
    """Run the command line; the entry point of the package."""
    logging.basicConfig(format="%(levelname)s %(message)s", stream=sys.stderr)
    logging.getLogger("kseg").setLevel(logging.INFO)
    # A scheduler's request to stop ends like Ctrl-C: what is half-written is removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        app()
    except (ValueError, OSError) as error:
        typer.echo(f"kseg: {' '.join(str(error).split())}", err=True)
        sys.exit(2)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"kseg {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it.")
    ] = False,
) -> None:
    pass


@app.command(epilog="Example: kseg simulate heads/ scans/ --fraction 0.3 --noise 0.1")
@with_scan_options
def simulate(
    labels: Labels,
    output: Output,
    noise: Annotated[float, typer.Option(help="Noise level relative to the reference.")] = 0.1,
    fraction: Annotated[float, typer.Option(help="Share of k-space that is measured, in (0, 1].")] = 0.3,
    *,
    scan: ScanOptions,
) -> None:
    """Simulate under-sampled k-space from label maps.

    Writes OUT/kspace/NAME.h5, OUT/labels/NAME.nii.gz, OUT/images/NAME.nii.gz and OUT/results.jsonl.

    A fuzzy model of BrainWeb is a file for each tissue; SUBJECT_csf_v.rawb.gz stands for SUBJECT_*.
    """
    from kseg.pipelines.simulate import simulate as simulate_files

    settings = replace(scan.settings(), noise=noise, fraction=fraction)
    _finish(simulate_files(labels, output, settings), "simulated", labels)


@app.command("simulate-lesions", epilog="Example: kseg simulate-lesions mni152 patients/ --count 10")
def simulate_lesions(
    heads: Annotated[
        Path,
        typer.Argument(
            metavar="HEADS",
            help="Label map with FreeSurfer's codes, a folder of them, or mni152 for the embedded head.",
        ),
    ],
    output: Output,
    count: Annotated[int, typer.Option(min=1, max=999, help="Patients of every head.")] = 1,
    own: Annotated[float, typer.Option(help="How often lesions that a head has are left, 0 to 1.")] = 0.1,
    seed: Seed = 0,
    resume: Annotated[
        bool, typer.Option("--resume/--no-resume", help="Leave what an earlier run has done.")
    ] = True,
) -> None:
    """Simulate patients with multiple sclerosis: co-registered T1w, T2w and FLAIR images and the mask of lesions.

    Writes OUT/images/NAME_T1w.nii.gz, NAME_T2w.nii.gz and NAME_FLAIR.nii.gz, OUT/labels/NAME.nii.gz and
    OUT/results.jsonl. A run that was stopped goes on where it was.
    """
    from kseg.pipelines.simulate_lesions import LesionSettings, mean_lesion_fraction
    from kseg.pipelines.simulate_lesions import simulate_lesions as simulate_patients

    result = simulate_patients(heads, output, LesionSettings(count=count, seed=seed, own=own), resumed=resume)
    if result.done or result.before:
        typer.echo(f"mean lesion fraction of all patients in {output}: {mean_lesion_fraction(output):.3g}")
    _finish(result, "simulated", heads)


@app.command(epilog="Example: kseg segment scans/kspace segmented/ --probabilities")
def segment(
    source: Annotated[
        Path | None,
        typer.Argument(
            metavar="INPUT",
            help="k-space (.h5, .mrd), image (.nii, .nii.gz), DICOM, or a folder of them.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Argument(metavar="OUT", file_okay=False, help="Output folder.", show_default=False),
    ] = None,
    bundle: Bundle = DEFAULT_BUNDLE,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Also write class probabilities.")
    ] = False,
    reconstruction: Annotated[
        bool, typer.Option("--reconstruction", help="Also write the network's image.")
    ] = False,
    recurrences: Annotated[
        bool, typer.Option("--recurrences", help="Also write every pass's probabilities.")
    ] = False,
    uncertainty: Annotated[
        bool, typer.Option("--uncertainty", help="Also write how unsure each voxel is, 0 to 1.")
    ] = False,
    flip: Annotated[
        bool | None,
        typer.Option(
            "--flip/--no-flip",
            help="Average with the mirrored scan; twice the time.",
            show_default="as the bundle says",
        ),
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            help="auto, float32 or bfloat16; auto is bfloat16 on GPUs and processors with units for it (AMX).",
            show_default="as the bundle says",
        ),
    ] = None,
    device: Annotated[
        str, typer.Option(help="cpu, cuda, cuda:1 ...; auto is the first GPU, or the processor without one.")
    ] = "auto",
    bids: Annotated[
        bool, typer.Option("--bids", help="INPUT is a BIDS dataset; write BIDS derivatives.")
    ] = False,
    dicom_seg: Annotated[
        bool, typer.Option("--dicom-seg", help="Also write a DICOM segmentation of DICOM series.")
    ] = False,
    fraction: Annotated[
        float, typer.Option(help="Share of an image's lines that is used; k-space files are as they are.")
    ] = 1.0,
    center_lines: CenterLines = 16,
    seed: Seed = 0,
    workers: Annotated[
        int, typer.Option(min=1, help="Processes that segment side by side and share the threads.")
    ] = 1,
    timeout: Annotated[
        float | None, typer.Option(help="Seconds after which a file is given up.", show_default="none")
    ] = None,
    shard: Annotated[
        str, typer.Option(metavar="K/N", help="Do the K-th of N shares of the files; then --merge OUT.")
    ] = "1/1",
    resume: Annotated[
        bool, typer.Option("--resume/--no-resume", help="Leave what an earlier run has done.")
    ] = True,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Do again what failed in an earlier run.")
    ] = False,
    relist: Annotated[
        bool, typer.Option("--relist", help="List INPUT anew for a shard; otherwise shards share one list.")
    ] = False,
    trust: Trust = False,
    engine: Annotated[
        Literal["processes", "ray"], typer.Option(help="Worker processes, or actors of Ray.")
    ] = "processes",
    address: Annotated[
        str | None,
        typer.Option(help="Of a Ray cluster.", show_default="none: Ray is started on this machine"),
    ] = None,
    merge: Annotated[
        Path | None,
        typer.Option(metavar="OUT", help="Segment nothing; make one summary of the shards in OUT."),
    ] = None,
) -> None:
    """Segment k-space files or images.

    Writes OUT/<relative folder>/NAME_seg.nii.gz on the input's own grid, one line per file to OUT/results.jsonl, and
    OUT/summary.json. A run that was stopped goes on where it was; a file that fails, crashes or hangs costs itself.

    k-space that is made from a magnitude image is Hermitian, and results on it are optimistic.
    """
    from kseg.pipelines.manifest import parse_shard
    from kseg.pipelines.run_settings import RunSettings
    from kseg.pipelines.segment import segment as segment_files
    from kseg.pipelines.segment_settings import SegmentSettings
    from kseg.pipelines.summary import write_summary

    if merge is not None:
        if source is not None:
            raise ValueError("--merge: expected no INPUT beside it, received one")
        _finish(write_summary(merge), "segmented", merge)
    if source is None or output is None:
        raise ValueError("segment: expected INPUT and OUT, or --merge OUT, received less")
    settings = SegmentSettings(
        probabilities=probabilities,
        reconstruction=reconstruction,
        recurrences=recurrences,
        uncertainty=uncertainty,
        flip=flip,
        precision=precision,
        bids=bids,
        dicom_seg=dicom_seg,
        fraction=fraction,
        center_lines=center_lines,
        seed=seed,
    )
    run = RunSettings(
        engine=engine,
        workers=workers,
        timeout=timeout,
        address=address,
        shard=parse_shard(shard),
        resume=resume,
        retry_failed=retry_failed,
        relist=relist,
        trust=trust,
        device=device,
    )
    share = "" if run.shard.count == 1 else f", share {shard}"
    _finish(segment_files(source, output, bundle, settings, run), "segmented", f"{source}{share}")


app.command(epilog="Example: kseg evaluate segmented/ scans/labels --output metrics.csv")(evaluate)
app.command(
    epilog="Example: kseg report segmented/ metrics.csv --references scans/labels --output report.html"
)(report)


@app.command(epilog="Example: kseg study heads/ study/ --fractions 0.1,0.2,0.3,0.5,1 --target 0.85")
@with_scan_options
def study(
    labels: Labels,
    output: Output,
    bundle: Bundle = DEFAULT_BUNDLE,
    fractions: Annotated[
        str, typer.Option(help="Shares of k-space that are measured, each in (0, 1].")
    ] = "0.05,0.1,0.15,0.2,0.3,0.4,0.5,0.7,1",
    noise: Annotated[str, typer.Option(help="Noise levels relative to the reference.")] = "0.05,0.1,0.2",
    target: Annotated[float, typer.Option(help="Mean Dice that a scan has to reach.")] = 0.85,
    trust: Trust = False,
    *,
    scan: ScanOptions,
) -> None:
    """Find the cheapest scan with which a bundle still segments well.

    Scans every head at each noise level and share of k-space, segments it, compares it with its labels, and
    writes OUT/study.csv and OUT/study.png. A study that was stopped goes on where it was.

    The rest of the scan is chosen as for kseg simulate.
    """
    from kseg.pipelines.study import StudySettings
    from kseg.pipelines.study import study as run_study
    from kseg.pipelines.study_table import study_text

    settings = StudySettings(
        fractions=_numbers("fractions", fractions),
        noises=_numbers("noise", noise),
        target=target,
        scan=scan.settings(),
    )
    result = run_study(labels, output, bundle, settings, trust=trust)
    if result.results:
        typer.echo(study_text(result.results, target))
        typer.echo(f"written: {output / 'study.csv'}, {output / 'study.png'}")
    _finish(result.heads, "studied", labels)


@app.command(epilog="Example: kseg demo demo/")
def demo(
    output: Output = Path("kseg-demo"),
    seed: Seed = 0,
) -> None:
    """Show the whole way on an embedded head.

    Scans it, segments it with the shipped weights, evaluates, and writes OUT/report.html.
    """
    from kseg.pipelines.demo import run_demo
    from kseg.pipelines.simulate import SimulationSettings

    raise typer.Exit(run_demo(output, DEFAULT_BUNDLE, SimulationSettings(seed=seed), typer.echo))


def _numbers(name: str, text: str) -> tuple[float, ...]:
    try:
        return tuple(float(number) for number in text.split(","))
    except ValueError as error:
        raise ValueError(f"{name}: expected numbers with commas between them, received {text!r}") from error


def _finish(result: BatchResult, verb: str, source: str | Path) -> NoReturn:
    if result.exit_code == 3:
        typer.echo(f"kseg: nothing to do: no input files in {source}", err=True)
    else:
        before = f"done before: {len(result.before)}, " if result.before else ""
        typer.echo(f"{verb}: {len(result.done)}, {before}failed: {len(result.failed)}")
    raise typer.Exit(result.exit_code)


if __name__ == "__main__":
    main()
