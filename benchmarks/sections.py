"""Bytes that `curate download --sections` fetches of a long video, against the share of its time that is wanted.

    python benchmarks/sections.py [--minutes 60] [--key-frames 2]

The floor are the wanted seconds' share of the file; target: at most 1.5 times that. Above it come the file's head (an
index of every frame) and the way from the key frame before each section. The video is served from this machine.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from curation.cutting.plan import CutRecipe
from curation.downloading.download import DownloadSettings, download
from db.engine import create
from tests.conftest import write_video
from tests.curation.download_cases import Quiet, add, lengthened
from tests.curation.fault_server import Page, serving

TARGET = 1.5
RECIPE = CutRecipe()
FPS = 25


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--key-frames", type=float, default=2.0, help="seconds between two")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, serving() as server:
        folder = Path(name)
        short = write_video(
            folder / "short.mp4", frames=10 * FPS, height=180, width=320, gop=round(FPS * options.key_frames)
        )
        long = lengthened(short, folder / "long.mp4", options.minutes * 6)
        body = long.read_bytes()
        seconds = {}
        for what, recipe in (("sections", RECIPE), ("whole", None)):
            with create(folder / what) as catalogue:
                add(catalogue, server.put(f"{what}.mp4", Page(body=body)))
                begun = time.perf_counter()
                report = download(catalogue, DownloadSettings(keep_free=0, sections=recipe), Quiet())
                seconds[what] = time.perf_counter() - begun
                assert not report.failed, report.failed
                assert report.sections == (RECIPE.max_clips if recipe else 0), report
        fetched = server.sent_in_ranges["/sections.mp4"]
    wanted = RECIPE.max_clips * RECIPE.length / (60 * options.minutes)
    head = body.index(b"mdat")
    print(f"file            {len(body) / 1e6:8.1f} MB, {options.minutes} min, head {head / 1e6:.2f} MB")
    print(f"wanted          {100 * wanted:8.2f} % of its time ({RECIPE.max_clips} x {RECIPE.length:g} s)")
    print(f"fetched         {100 * fetched / len(body):8.2f} % of its bytes ({fetched / 1e6:.1f} MB)")
    print(f"without head    {100 * (fetched - head) / len(body):8.2f} %")
    print(f"time            {seconds['sections']:8.2f} s, all frames of it decoded; whole {seconds['whole']:.2f} s")
    print(f"ratio           {fetched / len(body) / wanted:8.2f} (target: at most {TARGET})")


if __name__ == "__main__":
    main()
