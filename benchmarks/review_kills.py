"""kill -9 of a scripted review, again and again: are the decisions at the end exactly the script's?

    python benchmarks/review_kills.py [--clips 500] [--kills 50] [--seed 5]

Runs `curate annotate` in processes of its own, judges over the page's websocket, and kills at random moments.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.faults.test_annotate_kill import review_through_kills


def main() -> None:
    """Run, and print one line; an assertion fails where a decision was lost, doubled or changed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=500)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--size", type=int, default=5, help="clips a batch")
    parser.add_argument("--seed", type=int, default=5)
    options = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        hits = review_through_kills(
            Path(folder), clips=options.clips, kills=options.kills, size=options.size, seed=options.seed
        )
    print(
        f"{options.clips} clips judged through {options.kills} kills ({hits} hit a running review): decisions equal "
        f"the script's, none lost, none doubled; {time.monotonic() - began:.0f} s"
    )


if __name__ == "__main__":
    main()
