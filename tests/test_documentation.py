"""Documentation that can be checked without building it: links, and examples in Markdown."""

import doctest
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FENCED = re.compile(r"^```.*?^```\s*?$", re.MULTILINE | re.DOTALL)
PYTHON_BLOCK = re.compile(r"^```python\n(.*?)^```\s*?$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\)")
HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*$", re.MULTILINE)


def anchors(text: str) -> set[str]:
    """Anchors that a forge gives to the headings."""
    headings = HEADING.findall(FENCED.sub("", text))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def dead_links(page: Path) -> list[str]:
    """Relative links of a page whose file or heading does not exist."""
    dead = []
    for link in LINK.findall(FENCED.sub("", page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        known = target.exists() and target.is_relative_to(ROOT if page.is_relative_to(ROOT) else page.parent)
        if known and anchor and target.suffix == ".md":
            known = anchor in anchors(target.read_text(encoding="utf-8"))
        if not known:
            dead.append(link)
    return dead


@pytest.fixture(scope="session")
def pages(project_files: list[Path]) -> list[Path]:
    return [path for path in project_files if path.suffix == ".md"]


def test_dead_links_are_seen(tmp_path: Path) -> None:
    (tmp_path / "there.md").write_text("# A heading, with (signs)\n")
    page = tmp_path / "page.md"
    page.write_text(
        "[a](there.md) [b](there.md#a-heading-with-signs) [c](https://example.org/x) [d](#top)\n# Top\n"
        "[gone](gone.md) [no](there.md#nowhere)\n```\n[code](is-not-a-link.md)\n```\n"
    )
    assert dead_links(page) == ["gone.md", "there.md#nowhere"]


def test_relative_links_resolve(pages: list[Path]) -> None:
    dead = {str(page.relative_to(ROOT)): dead_links(page) for page in pages}
    assert {page: links for page, links in dead.items() if links} == {}


@pytest.mark.usefixtures("seeded")
def test_examples_in_markdown_show_what_they_say(pages: list[Path], tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    for page in pages:
        source = "\n".join(PYTHON_BLOCK.findall(page.read_text(encoding="utf-8")))
        name = str(page.relative_to(ROOT))
        runner.run(doctest.DocTestParser().get_doctest(source, {}, name, name, 0))
    assert runner.summarize(verbose=False).failed == 0


def test_conventions_examples_are_found() -> None:
    assert ">>> " in "".join(PYTHON_BLOCK.findall((ROOT / "docs/conventions.md").read_text(encoding="utf-8")))
