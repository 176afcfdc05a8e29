import math
from pathlib import Path

import numpy as np
import pytest

from kseg.transforms.errors import InputError
from kseg.transforms.label_codes import load_label_codes
from kseg.transforms.sequences import InversionRecovery, SpinEcho
from kseg.transforms.tissues import Tissue, load_tissue_table, require_tissue_jitter, tissue_list

ENTRY = "{pd: 1.0, t1: 1.0, t2: 0.1, t2_star: 0.05}"


def table(folder: Path, entry: str) -> Path:
    path = folder / "own.yaml"
    path.write_text(f"tissues:\n  gm: {entry}\n", encoding="utf-8")
    return path


def test_brainweb_values_are_in_the_table():
    tissues = load_tissue_table("1.5T")
    assert tissues["csf"] == Tissue(pd=1.0, t1=2.569, t2=0.329, t2_star=0.058)
    assert tissues["gm"] == Tissue(pd=0.86, t1=0.833, t2=0.083, t2_star=0.069)
    assert tissues["wm"] == Tissue(pd=0.77, t1=0.5, t2=0.07, t2_star=0.061)
    assert tissues["fat"].off_resonance == -220.0


def test_both_tables_have_the_same_tissues_and_t1_grows_with_the_field():
    low, high = load_tissue_table("1.5T"), load_tissue_table("3T")
    assert list(low) == list(high)
    assert all(high[name].t1 > low[name].t1 for name in ("csf", "gm", "wm", "muscle", "fat", "lesion"))
    assert all(high[name].t2_star < low[name].t2_star for name in ("csf", "gm", "wm", "muscle", "fat"))


@pytest.mark.parametrize("field", ["1.5T", "3T"])
@pytest.mark.parametrize("codes", ["freesurfer", "brainweb_normal", "brainweb_20"])
def test_every_tissue_of_the_label_tables_has_an_entry(field: str, codes: str):
    names = load_label_codes(codes).tissues
    assert len(tissue_list(load_tissue_table(field), names)) == len(names)


def test_water_and_fat_separate_in_proportion_to_the_field():
    ratio = load_tissue_table("3T")["fat"].off_resonance / load_tissue_table("1.5T")["fat"].off_resonance
    assert ratio == pytest.approx(2.0)


def test_static_dephasing_adds_to_the_rate_of_t2():
    tissue = Tissue(pd=1.0, t1=1.0, t2=0.1, t2_star=0.04)
    assert tissue.dephasing_rate == pytest.approx(15.0)
    assert Tissue(pd=1.0, t1=1.0, t2=0.1, t2_star=0.1).dephasing_rate == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"pd": -0.1},
        {"pd": math.nan},
        {"t1": 0.0},
        {"t1": math.nan},
        {"t2": 0.0},
        {"t2_star": 0.0},
        {"t2_star": 0.2},
    ],
)
def test_impossible_relaxation_is_refused(wrong: dict[str, float]):
    values = {"pd": 1.0, "t1": 1.0, "t2": 0.1, "t2_star": 0.05, **wrong}
    with pytest.raises(
        ValueError, match=r"tissue: expected pd >= 0, t1 > 0, 0 < t2_star <= t2, received Tis"
    ):
        Tissue(**values)


def test_a_users_table_is_read_from_its_path(tmp_path: Path):
    own = load_tissue_table(str(table(tmp_path, ENTRY)))
    assert own == {"gm": Tissue(pd=1.0, t1=1.0, t2=0.1, t2_star=0.05)}


def test_an_unknown_table_names_the_known_ones():
    with pytest.raises(InputError, match=r"7T: read tissue table: expected one of 1\.5T, 3T or the path"):
        load_tissue_table("7T")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tissues: [", "expected YAML, received while parsing"),
        ("- gm\n", "expected a mapping with the key 'tissues', received list"),
        ("gm: 1\n", "expected a mapping with the key 'tissues', received dict"),
        ("tissues: gm\n", "expected a mapping with the key 'tissues', received dict"),
    ],
)
def test_a_file_that_is_no_table_is_refused(tmp_path: Path, text: str, message: str):
    path = tmp_path / "own.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        load_tissue_table(str(path))


def test_a_file_that_is_no_text_is_refused(tmp_path: Path):
    path = tmp_path / "own.yaml"
    path.write_bytes(b"\xff\xfe\x00tissues")
    with pytest.raises(InputError, match="expected YAML, received 'utf-8' codec"):
        load_tissue_table(str(path))


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("3", "expected tissue gm with off_resonance, pd, t1, t2, t2_star, received 3"),
        ("{pd: 1.0, t1: 1.0, t2: 0.1}", "expected tissue gm with off_resonance, pd"),
        ("{pd: 1.0, t1: 1.0, t2: 0.1, t2_star: 0.05, T3: 1.0}", "expected tissue gm with off_resonance, pd"),
        (
            "{pd: high, t1: 1.0, t2: 0.1, t2_star: 0.05}",
            "expected tissue gm with valid numbers, received could",
        ),
        (
            "{pd: null, t1: 1.0, t2: 0.1, t2_star: 0.05}",
            "expected tissue gm with valid numbers, received float",
        ),
        (
            "{pd: 1.0, t1: 1.0, t2: 0.1, t2_star: 0.2}",
            "expected tissue gm with valid numbers, received tissue",
        ),
    ],
)
def test_an_entry_that_is_no_tissue_is_refused(tmp_path: Path, entry: str, message: str):
    with pytest.raises(InputError, match=message):
        load_tissue_table(str(table(tmp_path, entry)))


def test_tissues_come_in_the_order_asked_for():
    tissues = load_tissue_table()
    assert tissue_list(tissues, ["wm", "csf", "wm"]) == [tissues["wm"], tissues["csf"], tissues["wm"]]


def test_missing_tissues_are_named():
    with pytest.raises(
        ValueError, match="tissue table: expected entries for gm, ice, glass, received none for ice, glass"
    ):
        tissue_list(load_tissue_table(), ["gm", "ice", "glass"])


def test_jitter_changes_all_times_within_its_bound_and_keeps_t2_star_below_t2():
    tissue = Tissue(pd=0.8, t1=1.0, t2=0.08, t2_star=0.079, off_resonance=-220.0)
    drawn = [tissue.jittered(np.random.RandomState(seed), 0.1) for seed in range(50)]
    for name in ("pd", "t1", "t2"):
        factors = np.array([getattr(each, name) / getattr(tissue, name) for each in drawn])
        assert factors.min() > 0.9 - 1e-9
        assert factors.max() < 1.1 + 1e-9
        assert factors.std() > 0.04
    assert all(each.t2_star / each.t2 == pytest.approx(0.079 / 0.08) for each in drawn)
    assert {each.off_resonance for each in drawn} == {-220.0}
    assert tissue.jittered(np.random.RandomState(0), 0.0) == tissue
    assert tissue.jittered(np.random.RandomState(3), 0.1) == drawn[3]


def test_lesions_are_seen_in_the_contrasts_of_3_tesla_as_radiologists_see_them():
    table = load_tissue_table("3T")
    csf, gm, wm, lesion = (table[name] for name in ("csf", "gm", "wm", "lesion"))

    def signal(sequence: SpinEcho | InversionRecovery, tissue: Tissue) -> float:
        return abs(float(sequence.signal([tissue])))

    t1w, t2w = SpinEcho(te=0.012, tr=0.57), SpinEcho(te=0.1, tr=5.0)
    flair = InversionRecovery(te=0.12, tr=9.0, ti=2.47)
    assert signal(t1w, csf) < signal(t1w, gm) < signal(t1w, lesion) < signal(t1w, wm)
    assert signal(t2w, wm) < signal(t2w, gm) < 0.8 * signal(t2w, lesion) < signal(t2w, csf)
    assert signal(flair, csf) < 0.1 * signal(flair, wm)
    assert 1.4 * max(signal(flair, gm), signal(flair, wm)) < signal(flair, lesion)


@pytest.mark.parametrize("relative", [-0.1, 1.0, float("nan")])
def test_a_change_of_a_tissue_leaves_something_of_it(relative: float):
    message = rf"^tissue jitter: expected 0 or more and below 1, received {relative}$"
    with pytest.raises(ValueError, match=message):
        require_tissue_jitter(relative)
    require_tissue_jitter(0.0)
