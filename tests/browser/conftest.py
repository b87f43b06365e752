"""A Chromium for the browser tests, and what they ask of the review's page."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (pip install playwright)")

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SIZE = {"width": 1400, "height": 900}


@pytest.fixture(scope="session")
def chromium() -> Iterator[object]:
    path = os.environ.get("STILLFLOW_CHROMIUM") or shutil.which("chromium")
    if path is None:
        pytest.skip("no Chromium: install one, or name it in STILLFLOW_CHROMIUM")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, headless=True, args=FLAGS)
        yield browser
        browser.close()


class GridPage:
    """The review's page in the browser."""

    def __init__(self, tab: object) -> None:
        self.tab = tab
        self.errors: list[str] = []
        tab.on("pageerror", lambda error: self.errors.append(str(error)))  # type: ignore[attr-defined]

    def open(self, address: str) -> GridPage:
        self.tab.goto(address)  # type: ignore[attr-defined]
        return self.wait_playing()

    def wait_playing(self, other_than: str = "") -> GridPage:
        """Until a batch (another than the given one) plays, its status is there, and the page's script has seen it."""
        self.wait(
            """(old) => {
                const grid = document.querySelector('.sf-grid'), status = document.querySelector('.sf-status');
                const video = grid?.querySelector('video');
                return grid && status && grid.dataset.token !== old && status.dataset.token === grid.dataset.token
                    && (!video || (!video.paused && video.readyState >= 3)) && window.stillflow?.seenMs() > 0;
            }""",
            other_than,
        )
        return self

    def wait(self, condition: str, argument: object = None) -> None:
        self.tab.wait_for_function(condition, arg=argument, timeout=20_000)  # type: ignore[attr-defined]

    def ask(self, expression: str, argument: object = None) -> object:
        return self.tab.evaluate(expression, argument)  # type: ignore[attr-defined]

    def press(self, key: str) -> None:
        self.tab.keyboard.press(key)  # type: ignore[attr-defined]

    def click(self, cell: int) -> None:
        self.tab.locator(f'.sf-cell[data-cell="{cell}"]').click()  # type: ignore[attr-defined]

    @property
    def token(self) -> str:
        return str(self.ask("document.querySelector('.sf-grid').dataset.token"))

    @property
    def crossed(self) -> set[int]:
        """The cells that look rejected: grey, and with a cross."""
        cells = self.ask(
            """() => [...document.querySelectorAll('.sf-cell')].filter(cell =>
                getComputedStyle(cell, '::after').opacity === '1'
                && getComputedStyle(cell).backdropFilter.includes('grayscale(1)')).map(cell => +cell.dataset.cell)"""
        )
        return set(cells)  # type: ignore[call-overload]

    def wait_confirmed(self, cells: set[int]) -> None:
        """Until Python has exactly these cells marked, the page shows them, and no mark is the page's own."""
        wanted = ",".join(str(cell) for cell in sorted(cells))
        self.wait(
            """(wanted) => document.querySelector('.sf-status').dataset.marked.replace(/:\\d/g, '') === wanted
                && !document.querySelector('.sf-on, .sf-off')""",
            wanted,
        )
        assert self.crossed == cells

    @property
    def message(self) -> str:
        return str(self.ask("document.querySelector('.sf-message').textContent"))

    def wait_message(self, part: str) -> None:
        self.wait("(part) => document.querySelector('.sf-message')?.textContent.includes(part)", part)

    def enter_and_wait(self) -> str:
        """Watch the batch for as long as is asked, press Enter, wait for the next; returns its token."""
        before = self.token
        self.wait("() => stillflow.seenMs() > 1050")
        self.press("Enter")
        self.wait_playing(before)
        return self.token

    def wait_ended(self) -> None:
        self.wait("() => document.querySelector('.sf-ended')")


@pytest.fixture
def new_page(chromium: object) -> Iterator[Callable[..., GridPage]]:
    """Opens pages (at an address, or empty), each in a profile of its own; none may have had a script error."""
    contexts: list[object] = []
    pages: list[GridPage] = []

    def make(address: str | None, size: dict[str, int] = SIZE) -> GridPage:
        context = chromium.new_context(viewport=size)  # type: ignore[attr-defined]
        contexts.append(context)
        pages.append(GridPage(context.new_page()))
        return pages[-1] if address is None else pages[-1].open(address)

    yield make
    for context in contexts:
        context.close()  # type: ignore[attr-defined]
    # Visdom's own complaint about its panes' close buttons.
    ours = [error for page in pages for error in page.errors if "onDragEnd called before onDragStart" not in error]
    assert ours == []
