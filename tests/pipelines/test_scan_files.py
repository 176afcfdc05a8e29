from pathlib import Path

from kseg.pipelines.scan_files import find_scans


def test_scans_are_kspace_files_and_images(tmp_path: Path) -> None:
    for name in ("a.h5", "b.mrd", "c.nii", "site/d.nii.gz", "notes.txt", "out/a_seg.nii.gz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert list(find_scans(tmp_path, tmp_path / "out")) == ["a", "b", "c", "site/d"]
