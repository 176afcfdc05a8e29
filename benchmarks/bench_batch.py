"""What a folder costs `kseg segment` beside the network: throughput, memory, lists of many files."""

import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

import torch
from noise_volumes import write_volume

from kseg.pipelines.digest import file_sha256
from kseg.pipelines.find_scans import find_scans
from kseg.pipelines.inference_options import read_inference_options
from kseg.pipelines.items import do_item, list_items
from kseg.pipelines.manifest import read_manifest, write_manifest
from kseg.pipelines.records import read_records
from kseg.pipelines.resume import resume
from kseg.pipelines.run_settings import RunSettings
from kseg.pipelines.segment import segment
from kseg.pipelines.segment_settings import SegmentSettings
from kseg.pipelines.segment_work import load_segmenter, start_segmenting
from kseg.pipelines.segmentation import segment_volume
from kseg.transforms.kspace_file import read_kspace

BUNDLE = "brain_kspace_segmentation"
SETTINGS = SegmentSettings()
N_FILES, N_ITEMS, N_VOLUMES = 100_000, 1000, 8


def throughput(folder: Path) -> None:
    """Volumes of the usual size: bare network, one worker, one and two workers of one thread."""
    source = folder / "in"
    source.mkdir()
    for seed in range(N_VOLUMES):
        write_volume(source / f"{seed}.h5", (57, 216, 180), seed)
    network = load_segmenter(BUNDLE)
    options = read_inference_options(BUNDLE)
    seconds = []
    for path in sorted(source.iterdir()):
        volume = read_kspace(path)
        began = time.perf_counter()
        segment_volume(network, volume.kspace, volume.mask, options)
        seconds.append(time.perf_counter() - began)
    bare = statistics.median(seconds[1:])
    n_threads = torch.get_num_threads()
    print(f"bare network, {n_threads} threads: {bare:.2f} s a volume of 57 x 216 x 180")
    one = seconds_per_volume(source, folder / "one", 1, n_threads)
    single = seconds_per_volume(source, folder / "single", 1, 1)
    pair = seconds_per_volume(source, folder / "pair", 2, 2)
    print(f"throughput of 1 worker / bare network: {bare / one:.2f}")
    print(f"throughput of 2 workers of 1 thread / 1 worker of 1 thread: {single / pair:.2f}")


def seconds_per_volume(source: Path, output: Path, n_workers: int, n_threads: int) -> float:
    """Run over a folder; from the first volume that is done to the last, since starting is not the folder's cost."""
    os.environ["OMP_NUM_THREADS"] = str(n_threads)
    segment(source, output, BUNDLE, SETTINGS, RunSettings(engine="processes", workers=n_workers))
    done = read_records([output / "results.jsonl"]).values()
    finished = sorted(datetime.fromisoformat(record["finished"]) for record in done)
    first = finished[n_workers - 1]
    value = (finished[-1] - first).total_seconds() / (len(finished) - n_workers)
    print(f"{n_workers} worker(s), {n_threads} thread(s) in all: {value:.2f} s a volume")
    return value


def memory(folder: Path) -> None:
    """Memory of a process over many small items."""
    path = folder / "small.h5"
    write_volume(path, (4, 108, 90), 0)
    work = start_segmenting(folder / "memory", BUNDLE, SETTINGS)
    used = []
    for number in range(N_ITEMS):
        (item,) = list_items({f"case{number}": [path]})
        assert do_item(item, work, "segment")["status"] == "ok"
        pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
        used.append(pages * os.sysconf("SC_PAGE_SIZE") / 2**20)
    second, last = statistics.mean(used[100:200]), statistics.mean(used[-100:])
    growth = f"second hundred {second:.1f} MB, last hundred {last:.1f} MB: {last / second:.3f}"
    print(f"memory over {N_ITEMS} items: {growth}")


def many_files(folder: Path) -> None:
    """List many files, and find all of them done."""
    source, output = folder / "many", folder / "done"
    for number in range(N_FILES):
        if number % 1000 == 0:
            (source / f"site{number // 1000}").mkdir(parents=True)
            (output / f"site{number // 1000}").mkdir(parents=True)
        name = f"site{number // 1000}/head{number}"
        (source / f"{name}.h5").touch()
        (output / f"{name}_seg.nii.gz").write_bytes(b"mask %d" % number)
    began = time.perf_counter()
    items = list_items(find_scans(source, output))
    write_manifest(output / "manifest.jsonl", items, source)
    listed = time.perf_counter() - began
    assert len(items) == N_FILES
    with (output / "results.jsonl").open("w") as file:
        for item in items:
            name = f"{item.case}_seg.nii.gz"
            record = {"case": item.case, "status": "ok", "size": item.size, "state": item.state}
            outputs = {name: file_sha256(output / name)}
            file.write(json.dumps({**record, "outputs": outputs, "finished": "2026"}) + "\n")
    began = time.perf_counter()
    items = list_items(find_scans(source, output))
    assert items == read_manifest(output / "manifest.jsonl", source)
    plan = resume(items, read_records([output / "results.jsonl"]), {}, output)
    assert len(plan.done) == N_FILES
    print(f"{N_FILES} files: listed in {listed:.1f} s, found done in {time.perf_counter() - began:.1f} s")


def main() -> None:
    """Print all figures."""
    with tempfile.TemporaryDirectory() as top:
        folder = Path(top)
        for part in (throughput, memory, many_files):
            part(folder)
            sys.stdout.flush()
            shutil.rmtree(folder / "in", ignore_errors=True)


if __name__ == "__main__":
    main()
