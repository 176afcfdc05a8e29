"""The page as a reader meets it: from folders to a file that a browser shows without a network."""

import json
import os
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from kseg.pipelines.evaluate import evaluate, summary_path
from kseg.pipelines.report import report
from kseg.transforms.errors import InputError
from kseg.transforms.nifti import write_nifti

AFFINE = np.diag([-1.0, 1.0, 3.0, 1.0])
ODD_NAME = 'sub <b>&"1"'


class Elements(HTMLParser):
    """Every tag with its attributes, and the text outside of style."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.words = ""
        self.open = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open = tag
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.words += "" if self.open == "style" else data


def head(radius: float) -> NDArray[np.uint8]:
    """Three nested ellipsoids: CSF around GM around WM."""
    x, y, z = np.meshgrid(
        np.linspace(-1, 1, 24), np.linspace(-1, 1, 28), np.linspace(-1, 1, 9), indexing="ij"
    )
    distance = np.sqrt(x**2 + y**2 + z**2) / radius
    labels: NDArray[np.uint8] = np.digitize(-distance, [-0.9, -0.75, -0.5]).astype(np.uint8)
    return labels


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four evaluated cases, the one with the odd name the worst; one reference without a prediction."""
    tmp_path = tmp_path_factory.mktemp("evaluated")
    for folder in ("seg/site", "references/site"):
        (tmp_path / folder).mkdir(parents=True)
    for case, radius in {ODD_NAME: 0.6, "site/a": 0.8, "site/b": 0.95, "site/c": 1.0}.items():
        write_nifti(tmp_path / f"seg/{case}_seg.nii.gz", head(radius), AFFINE)
        write_nifti(tmp_path / f"references/{case}.nii.gz", head(1.0), AFFINE)
    write_nifti(tmp_path / "references/site/lost.nii.gz", head(1.0), AFFINE)
    maps = np.stack([255 * (head(radius)[..., None] == np.arange(4)) for radius in (0.7, 0.8)], -1)
    write_nifti(tmp_path / "seg/site/a_recurrences.nii.gz", maps.astype(np.uint8), AFFINE, slope=1 / 255)
    image = np.asarray([0, 1, 0.6, 0.4], np.float32)[head(1.0)]
    write_nifti(tmp_path / "seg/site/a_recon.nii.gz", image, AFFINE)
    evaluate(tmp_path / "seg", tmp_path / "references", tmp_path / "metrics.csv")
    return tmp_path


@pytest.fixture
def work(evaluated: Path, tmp_path: Path) -> Path:
    """A copy to work on."""
    return Path(shutil.copytree(evaluated, tmp_path / "work"))


@pytest.fixture(scope="module")
def text(evaluated: Path) -> str:
    """The page of all cases."""
    return write_report(evaluated)


def write_report(work: Path, max_figures: int = 20) -> str:
    output = work / "pages" / "report.html"
    report(
        work / "seg", work / "metrics.csv", output, references=work / "references", max_figures=max_figures
    )
    return output.read_text(encoding="utf-8")


def test_the_page_needs_nothing_but_itself(text: str) -> None:
    page = Elements(text)
    assert "script" not in dict(page.tags)
    assert not re.search(r"https?:|url\(|@import|//\w+\.", re.sub(r"base64,[^\"]+", "", text))
    sources = [
        attributes[name] for _, attributes in page.tags for name in ("src", "href") if name in attributes
    ]
    assert all(source.startswith(("data:image/", "#")) for source in sources)
    policy = [attributes.get("content", "") for tag, attributes in page.tags if tag == "meta"]
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in policy


def test_every_picture_has_a_text(text: str) -> None:
    pictures = [attributes for tag, attributes in Elements(text).tags if tag == "img"]
    # The box plots, four cases, and the recurrences of one.
    assert len(pictures) == 6
    assert all(len(attributes["alt"]) > 40 for attributes in pictures)
    assert pictures[1]["alt"].startswith(f"Axial slice 5 of {ODD_NAME} with the outlines of CSF, GM, WM")


def test_the_numbers_are_those_of_the_evaluation(text: str, evaluated: Path) -> None:
    words = " ".join(Elements(text).words.split())
    summary = json.loads(summary_path(evaluated / "metrics.csv").read_text())
    assert f"Average {summary['average']['sample_dice']:.3f} mean Dice of 3 classes" in words
    for item in summary["classes"]:
        assert f"{item['class_name']} {item['sample_dice']:.3f} mean Dice of 4 cases" in words
    assert "4 cases compared with their references. 1 could not be evaluated." in words
    assert "site/lost could not be evaluated." in words


def test_links_lead_to_the_cases(text: str) -> None:
    tags = Elements(text).tags
    targets = {attributes["id"] for _, attributes in tags if "id" in attributes}
    links = [attributes["href"].removeprefix("#") for tag, attributes in tags if tag == "a"]
    assert len(links) == 5
    assert set(links) == targets == {"left-out", "case-1", "case-2", "case-3", "case-4"}


def test_the_worst_cases_are_drawn_first_and_the_page_says_how_many(work: Path) -> None:
    text = write_report(work, max_figures=2)
    words = " ".join(Elements(text).words.split())
    assert "The 2 cases with the lowest mean Dice of 4, lowest first." in words
    assert re.findall(r"<h3>(.*?)</h3>", text) == ["sub &lt;b&gt;&amp;&#34;1&#34;", "site/a"]
    rows = re.findall(r'class="name case-name".*?(sub|site/.)', text)
    assert rows == ["site/a", "site/b", "site/c", "sub"]
    assert "Pictures" not in write_report(work, max_figures=0)


def test_the_same_folders_give_the_same_bytes(text: str, evaluated: Path) -> None:
    assert write_report(evaluated) == text


def test_a_picture_that_cannot_be_drawn_does_not_stop_the_others(work: Path) -> None:
    (work / "seg/site/a_seg.nii.gz").unlink()
    write_nifti(work / "references/site/b.nii.gz", head(1.0)[:, :, 1:], AFFINE)
    output = work / "report.html"
    result = report(work / "seg", work / "metrics.csv", output, references=work / "references")
    assert (result.n_cases, result.n_drawn, result.exit_code) == (4, 2, 1)
    reasons = {failure.case: failure.reason for failure in result.failures}
    assert reasons["site/a"].endswith("site/a: draw: expected one NIfTI file of this case, received none")
    assert "expected grid (x, y, slice) (24, 28, 9), received (24, 28, 8)" in reasons["site/b"]
    words = Elements(output.read_text(encoding="utf-8")).words
    assert all(f"No picture. {reason}" in words for reason in reasons.values())


def test_without_failures_the_exit_code_is_zero(work: Path) -> None:
    assert report(work / "seg", work / "metrics.csv", work / "report.html").exit_code == 0


def test_without_a_case_nothing_is_written(work: Path) -> None:
    table = work / "metrics.csv"
    table.write_text(table.read_text().splitlines()[0] + "\n")
    assert report(work / "seg", table, work / "report.html").exit_code == 3
    assert not (work / "report.html").exists()


def test_a_table_without_its_summary_is_said_to_be_so(work: Path) -> None:
    summary_path(work / "metrics.csv").unlink()
    words = Elements(write_report(work)).words
    assert (
        "metrics_summary.json is not beside metrics.csv: cases that could not be evaluated are not known."
        in words
    )


def test_what_else_was_left_out_is_said(work: Path) -> None:
    path = summary_path(work / "metrics.csv")
    summary = json.loads(path.read_text())
    path.write_text(json.dumps(summary | {"predictions_without_reference": ["x"], "ignored_labels": [7, 9]}))
    words = Elements(write_report(work)).words
    assert "x has no reference." in words
    assert "Labels that are no class: 7, 9." in words


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"failures": [1]}'])
def test_a_damaged_summary_is_refused(work: Path, content: str) -> None:
    summary_path(work / "metrics.csv").write_text(content)
    with pytest.raises(
        InputError, match=r"report: expected the summary of an evaluation, received \w+Error: "
    ):
        write_report(work)


def test_wrong_arguments_are_named(work: Path) -> None:
    page, table = work / "report.html", work / "metrics.csv"
    with pytest.raises(ValueError, match="max_figures: expected 0 or more, received -1"):
        report(work / "seg", table, page, max_figures=-1)
    with pytest.raises(InputError, match="nowhere: find NIfTI files: expected a folder, received nothing"):
        report(work / "nowhere", table, page)
    with pytest.raises(InputError, match="nowhere: report: expected a folder, received nothing"):
        report(work / "seg", table, page, images=work / "nowhere")
    with pytest.raises(InputError, match=r"metrics\.csv: report: expected a folder, received a file"):
        report(work / "seg", table, page, references=table)
    with pytest.raises(InputError, match=r"none\.csv: read metrics: expected a CSV file, received nothing"):
        report(work / "seg", work / "none.csv", page)
    assert not page.exists()


def test_a_browser_shows_the_page(text: str, tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no chromium on PATH: the page is not opened in a browser")
    page_file = tmp_path / "report.html"
    page_file.write_text(text, encoding="utf-8")
    # Chromium keeps its profile where HOME points, and refuses a sandbox to root.
    shown = subprocess.run(
        [
            browser,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            f"--user-data-dir={tmp_path / 'profile'}",
            "--virtual-time-budget=5000",
            "--dump-dom",
            page_file.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
        env={**os.environ, "HOME": str(tmp_path)},
    ).stdout
    page = Elements(shown)
    words = " ".join(page.words.split())
    for expected in (
        "Segmentation report",
        "mean Dice of 4 cases",
        ODD_NAME,
        "site/lost could not be evaluated.",
    ):
        assert expected in words
    assert sum(tag == "img" for tag, _ in page.tags) == 6
    assert not re.search(r"https?:", re.sub(r"base64,[^\"]+", "", shown))
