"""How fast the grid answers: click to visible mark, to Python, to Python's confirmation; Enter to the next batch.

    python benchmarks/annotation.py [--batches 12] [--clicks 10] [--after 0] [--prototype DIR] [--json]

Drives a real review in headless Chromium, on a throw-away data set. Medians. `--after 1000` begins with the 1,001st
batch: as many are confirmed before. The prototype of the grid, where its folder is there, is driven in the same run.
What the browser's memory does over many batches, `benchmarks/annotation_memory.py` tells.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import os
import shutil

from playwright.sync_api import Page, sync_playwright

from annotation_server import app
from annotation_server.batches import BatchStore
from annotation_server.events import Event, SetMark
from annotation_server.records import Verdict
from annotation_server.session import Outcome, Review
from benchmarks import annotation_prototype
from db.engine import open_catalogue
from tests.browser.review_dataset import make_dataset

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
ROWS = {  # name, unit -> target
    "click to visible mark, frames": 2.0,
    "click to visible mark, ms": 33.0,
    "click to saved by Python, ms": 50.0,
    "click to Python's confirmation shown, ms": 150.0,
    "Enter to next batch playing, ms": 250.0,
}
# Notes, in the page, when things are first seen: a mark and its confirmation after a click, a video after Enter.
PROBE = """() => {
    window.probe = { marks: [], confirmed: [], enters: [] };
    const wall = () => performance.timeOrigin + performance.now();
    const crossed = (cell) => getComputedStyle(cell, '::after').opacity;
    let was;  // before the page's own click handler, which may run before ours
    window.addEventListener('pointerdown', (event) => {
        const cell = event.target.closest('.sf-cell');
        if (cell) was = crossed(cell);
    }, true);
    window.addEventListener('click', (event) => {
        const cell = event.target.closest('.sf-cell');
        if (!cell) return;
        const began = performance.now(), at = wall();
        let frames = 0, seen = false;
        const look = () => {
            frames += 1;
            if (!seen && crossed(cell) !== was) {
                seen = true;
                probe.marks.push({ frames, ms: performance.now() - began, at });
            }
            const status = document.querySelector('.sf-status');
            const marked = status.dataset.marked.split(',').includes(`${cell.dataset.cell}:0`);
            if (marked === (was === '0')) probe.confirmed.push(performance.now() - began);
            else if (performance.now() - began < 5000) requestAnimationFrame(look);
        };
        requestAnimationFrame(look);
    }, true);
    window.addEventListener('keydown', (event) => {
        if (event.key !== 'Enter') return;
        const began = performance.now(), old = document.querySelector('.sf-grid').dataset.token;
        const look = () => {
            const grid = document.querySelector('.sf-grid'), video = grid?.querySelector('video');
            if (video && grid.dataset.token !== old && !video.paused && video.readyState >= 3) {
                probe.enters.push(performance.now() - began);
            } else if (performance.now() - began < 20000) requestAnimationFrame(look);
        };
        requestAnimationFrame(look);
    }, true);
}"""


def _spy(saved: list[float]) -> None:
    """Note the wall clock whenever a mark has been handled, which is after it was saved."""
    handle = Review.handle

    def timed(self: Review, event: Event) -> Outcome:
        outcome = handle(self, event)
        if isinstance(event, SetMark):
            saved.append(time.time() * 1000)
        return outcome

    Review.handle = timed  # type: ignore[method-assign]


def _wait(page: Page, condition: str, argument: object = None) -> None:
    page.wait_for_function(condition, arg=argument, timeout=30_000)


def _confirmed_before(folder: Path, batches: int, size: int = 25) -> None:
    """Judge that many batches without a page."""
    with open_catalogue(folder) as catalogue:
        store = BatchStore(catalogue, annotator="benchmark")
        for _ in range(batches):
            batch = store.take()
            assert batch is not None
            verdicts = {cell.position: Verdict(accepted=cell.position > 2, share_seen=1.0) for cell in batch.cells}
            store.confirm(batch.id, verdicts, 1.0)


def _review(page: Page, batches: int, clicks: int, watch: float) -> dict[str, list[Any]]:
    """Click through some batches; returns what the page noted."""
    for _ in range(batches):
        token = page.evaluate("document.querySelector('.sf-grid').dataset.token")
        for cell in range(clicks):
            count = page.evaluate("probe.confirmed.length")
            page.locator(f'.sf-cell[data-cell="{cell * 2}"]').click()
            _wait(page, "(count) => probe.confirmed.length > count", count)
        page.wait_for_timeout(watch * 1000)  # as a curator would, and so that the next batch is built
        count = page.evaluate("probe.enters.length")
        page.keyboard.press("Enter")
        _wait(page, "(count) => probe.enters.length > count", count)
        _wait(page, "(old) => document.querySelector('.sf-status').dataset.token !== old", token)
    probe: dict[str, list[Any]] = page.evaluate("probe")
    return probe


def measure(
    batches: int, clicks: int, watch: float, after: int, prototype: Path | None
) -> tuple[dict[str, float], dict[str, float]]:
    """Run the review; returns its medians, and the prototype's."""
    saved: list[float] = []
    _spy(saved)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        catalogue = make_dataset(Path(folder), 25 * (after + batches + 2), seconds=10.0)
        _confirmed_before(Path(folder), after)
        settings = app.Settings(annotator="benchmark", min_view=0.0)
        address: list[str] = []
        there = threading.Event()
        ready: Callable[[str], None] = lambda url: (address.append(url), there.set())[0]  # noqa: E731
        review = threading.Thread(target=app.run, args=(catalogue, settings), kwargs={"ready": ready})
        review.start()
        there.wait(60)
        chromium = os.environ.get("STILLFLOW_CHROMIUM") or shutil.which("chromium")
        browser = driver.chromium.launch(executable_path=chromium, headless=True, args=FLAGS)
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        page.goto(address[0])
        _wait(page, "() => { const v = document.querySelector('.sf-grid video'); return v && !v.paused; }")
        page.evaluate(PROBE)
        probe = _review(page, batches, clicks, watch)
        page.keyboard.press("Escape")
        review.join()
        page.close()
        before = annotation_prototype.measure(browser, prototype, clicks=clicks) if prototype else {}
        browser.close()
        catalogue.close()
    marks = probe["marks"]
    ours = {
        "click to visible mark, frames": statistics.median(mark["frames"] for mark in marks),
        "click to visible mark, ms": statistics.median(mark["ms"] for mark in marks),
        "click to saved by Python, ms": statistics.median(b - a["at"] for a, b in zip(marks, saved, strict=True)),
        "click to Python's confirmation shown, ms": statistics.median(probe["confirmed"]),
        "Enter to next batch playing, ms": statistics.median(probe["enters"]),
    }
    return ours, before


def main() -> None:
    """Print the table, or the medians as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batches", type=int, default=12)
    parser.add_argument("--clicks", type=int, default=10, help="clicks a batch, at most 13")
    parser.add_argument("--watch", type=float, default=2.0, help="seconds that each batch is looked at")
    parser.add_argument("--after", type=int, default=0, help="batches confirmed before the first one measured")
    parser.add_argument("--prototype", type=Path, help="folder of the prototype")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    prototype = options.prototype or (annotation_prototype.FOLDER if annotation_prototype.FOLDER.is_dir() else None)
    clicks = min(13, options.clicks)
    medians, before = measure(options.batches, clicks, options.watch, options.after, prototype)
    if options.json:
        print(json.dumps({"grid": medians, "prototype": before}))
        return
    print(f"{'':42}{'median':>8}{'target':>8}{'prototype':>11}{'ratio':>7}")
    for name, target in ROWS.items():
        peer = f"{before[name]:11.0f}{medians[name] / before[name]:7.2f}" if name in before else f"{'-':>11}{'-':>7}"
        verdict = "" if medians[name] <= target else "  missed"
        print(f"{name:42}{medians[name]:8.1f}{target:8.0f}{peer}{verdict}")


if __name__ == "__main__":
    main()
