"""The report in a real Chromium: loads by itself, asks nobody for anything, sorts, shows its pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from curation.report.page import gather, render, write
from db.engine import Catalogue, create
from tests.browser.review_dataset import write_preview
from tests.curation.report_dataset import fill

pytestmark = pytest.mark.browser


class ReportPage:
    """The report in a tab of its own."""

    def __init__(self, tab: object) -> None:
        self.tab = tab
        self.said: list[str] = []
        self.asked: list[str] = []
        tab.on("pageerror", lambda error: self.said.append(str(error)))  # type: ignore[attr-defined]
        tab.on("console", lambda message: self.said.append(message.text))  # type: ignore[attr-defined]
        tab.on("request", lambda request: self.asked.append(request.url))  # type: ignore[attr-defined]

    def ask(self, expression: str, argument: object = None) -> object:
        return self.tab.evaluate(expression, argument)  # type: ignore[attr-defined]

    def column(self, table: str, title: str) -> list[str]:
        """A column's cells from top to bottom."""
        return list(
            self.ask(
                """([table, title]) => {
                    const found = [...document.querySelectorAll('table')]
                        .find(one => one.caption.firstChild.textContent.trim() === table);
                    const column = [...found.tHead.rows[0].cells].findIndex(cell => cell.textContent.trim() === title);
                    return [...found.tBodies[0].rows].map(row => row.cells[column].querySelector('bdi').textContent);
                }""",
                [table, title],
            )  # type: ignore[call-overload]
        )

    def sort(self, table: str, title: str) -> None:
        caption = self.tab.locator("table", has=self.tab.locator("caption", has_text=table))  # type: ignore[attr-defined]
        caption.get_by_role("button", name=title, exact=True).click()


@pytest.fixture
def full(tmp_path: Path, make_video: Callable[..., Path]) -> Iterator[Catalogue]:
    with create(tmp_path / "rivers") as catalogue:
        write_preview(catalogue.path("previews/wave.mp4"))
        fill(catalogue, make_video(tmp_path / "a.mp4", frames=50), "previews/wave.mp4")
        yield catalogue


@pytest.fixture
def open_page(chromium: object, tmp_path: Path) -> Iterator[Callable[..., ReportPage]]:
    """Opens a page's text from a file; nothing may have been said on the console, nor asked of anybody."""
    contexts: list[object] = []
    pages: list[ReportPage] = []

    def make(text: str, width: int = 1280, scheme: str = "light") -> ReportPage:
        path = tmp_path / f"report-{len(pages)}.html"
        write(path, text)
        context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)  # type: ignore[attr-defined]
        contexts.append(context)
        pages.append(ReportPage(context.new_page()))
        pages[-1].tab.goto(path.as_uri())  # type: ignore[attr-defined]
        return pages[-1]

    yield make
    for context in contexts:
        context.close()  # type: ignore[attr-defined]
    for page in pages:
        assert page.said == []
        assert [url for url in page.asked if not url.startswith("data:")] == [page.asked[0]]


def test_the_report_stands_alone_and_shows_its_pictures(full: Catalogue, open_page: Callable[..., ReportPage]) -> None:
    page = open_page(render(gather(full, pictures=24), "curate run"))
    assert page.ask("document.title") == "rivers: data set report"
    sizes = page.ask("[...document.images].map(one => [one.complete, one.naturalWidth, one.naturalHeight])")
    assert sizes == [[True, 160, 90]] * 12
    assert page.ask("document.querySelectorAll('svg .bar').length > 3")
    assert page.ask("[...document.querySelectorAll('svg .bound')].length") == 2
    assert page.ask("document.querySelectorAll('[onerror], [onload], main script').length") == 0
    assert page.ask("document.querySelector('header code').textContent") == "curate run"


def test_tables_sort_by_what_numbers_mean_and_back(full: Catalogue, open_page: Callable[..., ReportPage]) -> None:
    page = open_page(render(gather(full, pictures=0)))
    before = page.column("Videos", "video")
    page.sort("Videos", "length")  # numbers: the largest first
    assert page.column("Videos", "length") == ["4 min", "3 min", "2 min", "1 min", "0 s"]
    page.sort("Videos", "length")
    assert page.column("Videos", "length") == ["0 s", "1 min", "2 min", "3 min", "4 min"]
    assert page.column("Videos", "video") == before
    page.sort("Videos", "state")
    assert page.column("Videos", "state") == ["downloaded", "downloaded", "failed", "queued", "taken-down"]
    page.sort("Videos", "state")
    assert page.column("Videos", "state") == ["taken-down", "queued", "failed", "downloaded", "downloaded"]
    assert page.ask("document.querySelector('th[aria-sort]').getAttribute('aria-sort')") == "descending"
    assert page.column("Licences", "videos") == ["2", "2", "1"]  # the other tables stay as they are


@pytest.mark.parametrize(("width", "scheme"), [(1280, "dark"), (700, "light"), (380, "light")])
def test_nothing_hangs_out_of_the_page(
    full: Catalogue, open_page: Callable[..., ReportPage], width: int, scheme: str
) -> None:
    page = open_page(render(gather(full, pictures=3)), width, scheme)
    assert page.ask("document.documentElement.scrollWidth") == width
    dark = page.ask("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).every(one => one < 60)")
    assert dark == (scheme == "dark")


def test_an_empty_catalogue_opens_too(tmp_path: Path, open_page: Callable[..., ReportPage]) -> None:
    with create(tmp_path / "empty") as catalogue:
        page = open_page(render(gather(catalogue, pictures=24), "curate add URL_OR_FILE..."))
    assert "Nothing is here yet" in str(page.ask("document.body.textContent"))
    assert page.ask("document.querySelectorAll('section').length") == 0
