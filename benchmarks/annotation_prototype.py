"""Drives the throw-away prototype of the grid in Chromium, for `annotation.py` to compare with in the same run."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser

FOLDER = Path(__file__).parents[2] / "shared" / "prototypes" / "annotation"
BATCHES = 3  # it has no more
PREPARED_SECONDS = 12.0  # it renders and encodes the next batch's clips meanwhile
PROBE = """() => {
    window.lat = []; window.frames = []; window.enters = [];
    document.addEventListener('mousedown', (event) => {
        const cell = event.target.closest('.c');
        if (!cell) return;
        const began = performance.now(), was = getComputedStyle(cell, '::after').content;
        let frames = 0;
        const look = () => {
            frames += 1;
            if (getComputedStyle(cell, '::after').content !== was) {
                lat.push(performance.now() - began); window.frames.push(frames);
            } else if (performance.now() - began < 5000) requestAnimationFrame(look);
        };
        requestAnimationFrame(look);
    }, true);
    window.addEventListener('keydown', (event) => {
        if (event.key !== 'Enter') return;
        const began = performance.now(), old = document.querySelector('.vg').dataset.token;
        const look = () => {
            const grid = document.querySelector('.vg'), video = grid?.querySelector('video');
            if (video && grid.dataset.token !== old && !video.paused && video.readyState >= 3) {
                enters.push(performance.now() - began);
            } else if (performance.now() - began < 20000) requestAnimationFrame(look);
        };
        requestAnimationFrame(look);
    }, true);
}"""
PLAYING = """(token) => {
    const grid = document.querySelector('.vg'), video = grid?.querySelector('video');
    return grid && grid.dataset.token === token && video.readyState >= 3 && !video.paused;
}"""


def measure(browser: Browser, folder: Path = FOLDER, *, clicks: int = 10, runs: int = 2) -> dict[str, float]:
    """The prototype's medians: frames and ms from a click to the visible mark, ms from Enter to the next batch."""
    marks: list[float] = []
    frames: list[float] = []
    enters: list[float] = []
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / "prototype"
        shutil.copytree(folder, copy)
        install = [sys.executable, "install_assets.py", "--dest", "vendor_assets", "--minimal"]
        subprocess.run(install, cwd=copy, check=True, capture_output=True)
        for _ in range(runs):
            process = subprocess.Popen(
                [sys.executable, "-u", "proto_annotate.py"],
                cwd=copy,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            assert process.stdout is not None
            address = process.stdout.readline().split()[1]
            page = browser.new_page(viewport={"width": 1400, "height": 900})
            page.goto(address)
            page.wait_for_function(PLAYING, arg="b0", timeout=60_000)
            page.evaluate(PROBE)
            for batch in range(BATCHES - 1):
                page.wait_for_timeout(PREPARED_SECONDS * 1000)
                for cell in range(clicks):
                    count = page.evaluate("lat.length")
                    page.locator(f"#c{cell * 2}").click()
                    page.wait_for_function("(count) => lat.length > count", arg=count, timeout=30_000)
                page.keyboard.press("Enter")
                page.wait_for_function(PLAYING, arg=f"b{batch + 1}", timeout=60_000)
                page.wait_for_function("(count) => enters.length > count", arg=batch, timeout=30_000)
            marks += page.evaluate("lat")
            frames += page.evaluate("window.frames")
            enters += page.evaluate("enters")
            process.kill()
            process.wait()
            page.close()
    return {
        "click to visible mark, frames": statistics.median(frames),
        "click to visible mark, ms": statistics.median(marks),
        "Enter to next batch playing, ms": statistics.median(enters),
    }
