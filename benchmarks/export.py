"""Export against its floor: decoding and resizing the same frames with the output thrown away.

Both sides run in one process with one worker, interleaved; target: a ratio of medians of at most 1.15.

    python benchmarks/export.py [--videos 4] [--seconds 60] [--rounds 5] [--codec raw|jpeg] [--format hdf5|webdataset]
                                [--folder DIR]

The footage is 640x360 H.264 at 25 fps, drifting coloured noise; the export makes 128x128 frames. The target is for raw
HDF5 shards, the default; encoding runs beside the decoder and needs a core of its own to cost little.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import shutil
import statistics
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

from sqlalchemy import select

from curation.cutting.plan import CutRecipe
from curation.decode import resized
from curation.exporting.export import export_clips
from curation.exporting.recipe import ExportRecipe
from curation.sources import locate
from db.engine import Catalogue, create, open_catalogue
from db.models import Clip, Video
from db.shards import Codec

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.curation.export_cases import add_video, moving_frames, write_video

TARGET = 1.15
SIZE, FPS = 128, Fraction(25)


def prepare(folder: Path, videos: int, seconds: int) -> None:
    """A dataset of videos that are clips of 10 s from end to end."""
    with create(folder) as catalogue:
        for number in range(videos):
            path = folder / "videos" / f"v{number}.mp4"
            # In a process of its own, so that its memory does not count.
            rendered = multiprocessing.get_context("spawn").Process(target=render, args=(path, seconds, number))
            rendered.start()
            rendered.join()
            add_video(catalogue, path, recipe=CutRecipe(margin=0, spacing=0))


def render(path: Path, seconds: int, seed: int) -> None:
    """One video."""
    write_video(path, moving_frames(25 * seconds, 360, 640, seed), crf=23, preset="veryfast", gop=125)


def floor(catalogue: Catalogue) -> tuple[float, int]:
    """Seconds to decode and resize every clip, and the frames."""
    with catalogue.reading() as session:
        jobs = [
            (locate(catalogue, session.get_one(Video, clip.video_id)), clip.start_pts, clip.end_pts)
            for clip in session.scalars(select(Clip).order_by(Clip.video_id, Clip.start_pts))
        ]
    started = time.perf_counter()
    frames = 0
    for path, start_pts, end_pts in jobs:
        for _ in resized(path, start_pts, end_pts, height=SIZE, width=SIZE, fit="crop"):
            frames += 1
    return time.perf_counter() - started, frames


def export(template: Path, folder: Path, recipe: ExportRecipe) -> tuple[float, int]:
    """Seconds for a whole export of a fresh copy of the dataset, synced to the disk, and the frames."""
    shutil.copytree(template, folder)
    with open_catalogue(folder) as catalogue:
        started = time.perf_counter()
        result = export_clips(catalogue, recipe, workers=1)
        seconds = time.perf_counter() - started
    shutil.rmtree(folder)
    return seconds, result.frames


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=int, default=4)
    parser.add_argument("--seconds", type=int, default=60, help="of each video")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--codec", choices=["raw", "jpeg"], default="raw")
    parser.add_argument("--format", choices=["hdf5", "webdataset"], default="hdf5")
    parser.add_argument("--folder", type=Path, help="where to work; the disk matters (default: the temporary folder)")
    options = parser.parse_args()
    recipe = ExportRecipe(size=SIZE, fps=FPS, codec=Codec(name=options.codec), format=options.format)
    with tempfile.TemporaryDirectory(dir=options.folder) as work:
        template = Path(work) / "template"
        prepare(template, options.videos, options.seconds)
        floors, exports = [], []
        with open_catalogue(template) as catalogue:
            for number in range(options.rounds + 1):
                bare, frames = floor(catalogue)
                whole, exported = export(template, Path(work) / f"copy-{number}", recipe)
                assert exported == frames, (exported, frames)
                if number:  # the first round warms up
                    floors.append(bare)
                    exports.append(whole)
    ratio = statistics.median(exports) / statistics.median(floors)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{frames} frames of 640x360 to {SIZE}x{SIZE}, medians of {options.rounds} rounds")
    for name, times in (("decode + resize, thrown away", floors), ("export, checked and synced", exports)):
        seconds = statistics.median(times)
        print(f"{name:30} {seconds:6.2f} s {frames / seconds:8.0f} frames/s")
    print(f"ratio {ratio:.3f} (target: at most {TARGET}); largest resident memory {memory:.0f} MB")


if __name__ == "__main__":
    main()
