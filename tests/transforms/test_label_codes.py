import numpy as np
import pytest

from kseg.transforms.label_codes import load_label_codes
from kseg.transforms.tissues import load_tissue_table

TABLES = ("freesurfer", "brainweb_20", "brainweb_normal")


@pytest.mark.parametrize("name", TABLES)
def test_tables_start_with_air_at_code_0_and_give_each_code_one_tissue(name):
    codes = load_label_codes(name)
    assert codes.name == name
    assert codes.tissues[0] == "air"
    assert codes.tissue_of_code[0] == 0
    assert len(set(codes.tissues)) == len(codes.tissues)
    assert set(codes.tissue_of_code.values()) == set(range(len(codes.tissues)))


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("field", ["1.5T", "3T"])
def test_every_tissue_has_relaxation_times(name, field):
    assert set(load_label_codes(name).tissues) <= set(load_tissue_table(field))


@pytest.mark.parametrize(
    ("name", "code", "tissue"),
    [
        ("freesurfer", 3, "gm"),
        ("freesurfer", 42, "gm"),
        ("freesurfer", 53, "gm"),
        ("freesurfer", 2, "wm"),
        ("freesurfer", 16, "wm"),
        ("freesurfer", 24, "csf"),
        ("freesurfer", 137, "csf"),
        ("freesurfer", 57, "lesion"),
        ("freesurfer", 515, "bone"),
        ("brainweb_20", 8, "vessel"),
        ("brainweb_normal", 8, "gm"),
        ("brainweb_20", 10, "dura"),
        ("brainweb_normal", 10, "lesion"),
    ],
)
def test_codes_mean_what_their_source_says(name, code, tissue):
    codes = load_label_codes(name)
    assert codes.tissues[codes.tissue_of_code[code]] == tissue


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.int64])
def test_maps_of_any_integer_type_are_translated(dtype):
    codes = load_label_codes("freesurfer")
    values = np.array([[[0, 24, 3], [42, 41, 58]]], dtype=dtype)
    indices = codes.tissue_indices(values)
    assert indices.dtype == np.uint8
    assert [codes.tissues[index] for index in indices.flat] == ["air", "csf", "gm", "gm", "wm", "gm"]


def test_unknown_codes_are_named():
    codes = load_label_codes("brainweb_20")
    message = r"^label codes: expected codes of the table brainweb_20, received -1, 12, 300$"
    with pytest.raises(ValueError, match=message):
        codes.tissue_indices(np.array([12, 0, 300, -1]))
    with pytest.raises(ValueError, match=r"received 20, 21, 22, 23, 24, 25, 26, 27, 28, 29 \.\.\.$"):
        codes.tissue_indices(np.arange(20, 40))


def test_an_unknown_table_is_named_with_those_there_are():
    message = r"^label codes: expected one of brainweb_20, brainweb_normal, freesurfer, received 'aseg'$"
    with pytest.raises(ValueError, match=message):
        load_label_codes("aseg")
