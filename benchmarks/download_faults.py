"""Downloads from a server with every fault while processes are killed: what must hold, and whether it did.

    python benchmarks/download_faults.py [--videos 300] [--processes 4] [--workers 2] [--kills 20] [--seed 0]

Target: every video ends downloaded or with its true class of error, none is done twice, no file is nobody's, no lock
error is seen. Workers are threads, so a kill -9 takes a process with its workers; each fourth kill takes all of them.
Leaves with status 1, and says what was wrong, where a promise was broken.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.conftest import write_video
from tests.faults.download_storm import storm


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=300)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--workers", type=int, default=2, help="of each process")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        movie = write_video(Path(folder) / "movie.mp4", frames=50, height=96, width=128).read_bytes()
        result = storm(
            Path(folder) / "dataset",
            movie,
            videos=options.videos,
            processes=options.processes,
            workers=options.workers,
            kills=options.kills,
            seed=options.seed,
        )
    print(result.table())
    print(
        f"\n{result.videos} videos of {len(movie) / 1000:.0f} kB, {options.processes} x {options.workers} workers,"
        f" {result.kills} kills ({result.kills_of_all} of all processes at once, {result.kills_at_work} amid a video),"
        f" {result.starts} starts, {result.seconds:.0f} s"
    )
    for wrong in result.wrong:
        print(f"WRONG: {wrong}")
    print(f"promises broken: {len(result.wrong)} (target: 0)")
    raise SystemExit(bool(result.wrong))


if __name__ == "__main__":
    main()
