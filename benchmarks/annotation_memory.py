"""How much memory the browser takes more after 200 batches than after twenty.

    python benchmarks/annotation_memory.py [--batches 200] [--clicks 2] [--watch 0.3] [--no-compositor] [--json]

Drives a real review in headless Chromium, on a throw-away data set, through the few DevTools calls that it needs. Not
through Playwright: that watches the network, for which Chromium keeps up to 100 MB of the bodies it has loaded (0.6 MB
a batch, seen in its `partition_alloc/partitions/buffer`), and no curator's browser does. Memory is the proportional
share (PSS) of all the browser's processes after a collection of garbage; growth is that of the last five batches'
median to that of the first five after a tenth of them, in which the page warms up.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import queue
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import websocket

from annotation_server import app
from tests.browser.review_dataset import make_dataset

FLAGS = ["--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking", "--mute-audio"]
# Pages are put together as with a graphics card, in software. Without, Chromium keeps frames that it has shown.
COMPOSITED = ["--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
NO_COMPOSITOR = ["--disable-gpu"]
TARGET = 0.10
WAIT_S = 30.0
# The batch on screen, once it plays and is another than the old one.
SHOWN = """(() => {{
    const grid = document.querySelector('.sf-grid'), video = grid?.querySelector('video');
    const status = document.querySelector('.sf-status');
    const playing = video && !video.paused && video.readyState >= 3;
    const token = grid?.dataset.token;
    return playing && token !== '{old}' && status?.dataset.token === token ? token : null;
}})()"""


class Tab:
    """One tab of Chromium, spoken to by DevTools messages."""

    def __init__(self, address: str) -> None:
        self._socket = websocket.create_connection(address, suppress_origin=True, timeout=WAIT_S)
        self._numbers = itertools.count(1)

    def call(self, method: str, **parameters: object) -> Any:
        """Send one command; returns its result."""
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self._socket.recv())
            if answer.get("id") == number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]

    def evaluate(self, expression: str) -> Any:
        """The value of an expression in the page, as JSON has it."""
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def wait(self, expression: str) -> Any:
        """Ask until the expression is true; returns its value."""
        end = time.monotonic() + WAIT_S
        while time.monotonic() < end:
            if value := self.evaluate(expression):
                return value
            time.sleep(0.02)
        raise TimeoutError(f"the page never said: {expression}")

    def click(self, selector: str) -> None:
        """Move the mouse to the middle of an element, and click."""
        box = f"document.querySelector({json.dumps(selector)}).getBoundingClientRect()"
        x, y = self.evaluate(f"(b => [b.x + b.width / 2, b.y + b.height / 2])({box})")
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            button = "none" if kind == "mouseMoved" else "left"
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button=button, clickCount=1)

    def press(self, key: str, code: int) -> None:
        """Press and release a key."""
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)


@contextlib.contextmanager
def chromium(url: str, flags: list[str]) -> Iterator[tuple[Tab, int]]:
    """Headless Chromium with one tab on the page, and the number of its first process; ended afterwards."""
    binary = os.environ.get("STILLFLOW_CHROMIUM") or shutil.which("chromium")
    if binary is None:
        raise SystemExit("there is no Chromium; install it, or name it in STILLFLOW_CHROMIUM")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = [
            "--headless=new",
            f"--user-data-dir={profile}",
            "--remote-debugging-port=0",
            "--window-size=1400,900",
        ]
        process = subprocess.Popen([binary, *options, *flags, url], stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        try:
            port = next(line for line in process.stderr if "DevTools listening on" in line).split(":")[-1].split("/")[0]
            threading.Thread(target=lambda: process.stderr and process.stderr.read(), daemon=True).start()
            yield Tab(_page_address(int(port))), process.pid
        finally:
            process.terminate()
            process.wait()


def _page_address(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=WAIT_S) as answer:
        return str(next(target for target in json.load(answer) if target["type"] == "page")["webSocketDebuggerUrl"])


def memory(first: int) -> float:
    """Bytes of a process and all that it started, shared pages counted once (PSS)."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    total = 0.0
    for pid in parents:
        ancestor = pid
        while ancestor > 1 and ancestor != first:
            ancestor = parents.get(ancestor, 0)
        if ancestor == first:
            with contextlib.suppress(OSError):
                lines = (Path("/proc") / str(pid) / "smaps_rollup").read_text().splitlines()
                total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return total


def measure(batches: int, clicks: int, watch: float, flags: list[str]) -> list[float]:
    """Judge that many batches; returns the browser's memory after each, in bytes."""
    sizes = []
    with tempfile.TemporaryDirectory() as folder:
        catalogue = make_dataset(Path(folder), 25 * (batches + 2), seconds=10.0)
        addresses: queue.Queue[str] = queue.Queue()
        clip = next(Path(folder).rglob("*.mp4"))

        def closeup(_: str, target: Path) -> None:
            shutil.copy(clip, target)

        settings = app.Settings(annotator="benchmark", min_view=0.0, closeup=closeup)
        review = threading.Thread(
            target=app.run, args=(catalogue, settings), kwargs={"ready": addresses.put}, daemon=True
        )
        review.start()
        with chromium(addresses.get(timeout=WAIT_S), [*FLAGS, *flags]) as (tab, pid):
            token = tab.wait(SHOWN.format(old=""))
            for _ in range(batches):
                tab.call("HeapProfiler.collectGarbage")
                sizes.append(memory(pid))
                for cell in range(0, 2 * clicks, 2):
                    tab.click(f'.sf-cell[data-cell="{cell}"]')
                    tab.wait(f"document.querySelector('.sf-status').dataset.marked.split(',').includes('{cell}:0')")
                time.sleep(watch)
                tab.press("Enter", 13)
                token = tab.wait(SHOWN.format(old=token))
            tab.press("Escape", 27)
            review.join(WAIT_S)
        catalogue.close()
    return sizes


def growth(sizes: list[float]) -> float:
    """Of the last five to the first five, after a tenth in which the page warms up."""
    settled = sizes[len(sizes) // 10 :]
    return statistics.median(settled[-5:]) / statistics.median(settled[:5]) - 1


def main() -> None:
    """Print the growth, and the memory on its way there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batches", type=int, default=200)
    parser.add_argument("--clicks", type=int, default=2, help="clicks a batch, at most 13")
    parser.add_argument("--watch", type=float, default=0.3, help="seconds that each batch is looked at")
    parser.add_argument("--no-compositor", action="store_true", help="put pages together without one (--disable-gpu)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    flags = NO_COMPOSITOR if options.no_compositor else COMPOSITED
    sizes = measure(options.batches, min(13, options.clicks), options.watch, flags)
    if options.json:
        print(json.dumps({"growth": growth(sizes), "bytes": sizes}))
        return
    marks = sorted({min(len(sizes), round(share * len(sizes))) - 1 for share in (0.05, 0.1, 0.25, 0.5, 0.75, 1)})
    print("MB after batch   " + "   ".join(f"{mark + 1}: {sizes[mark] / 1e6:.0f}" for mark in marks))
    verdict = "" if growth(sizes) < TARGET else "  missed"
    grown = f"growth over {len(sizes)} batches: {growth(sizes):+.1%}"
    print(f"memory of the browser, {grown} (target under {TARGET:.0%}){verdict}")


if __name__ == "__main__":
    main()
