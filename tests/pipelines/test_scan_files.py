from kseg.pipelines.scan_files import IMAGE_SUFFIXES, KSPACE_SUFFIXES


def test_an_ending_tells_what_a_file_is():
    names = ("scan.h5", "scan.mrd", "scan.nii", "scan.nii.gz")
    assert [name.endswith(KSPACE_SUFFIXES) for name in names] == [True, True, False, False]
    assert [name.endswith(IMAGE_SUFFIXES) for name in names] == [False, False, True, True]
