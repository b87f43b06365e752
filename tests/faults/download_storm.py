"""Downloads in bad weather: a server with every fault, several processes of `curate download`, and kill -9 at random.

Workers are threads of their process, so a kill takes a process with all of its workers; some take all processes at
once, as a power cut does. Used by a test (small) and by benchmarks/download_faults.py (300 videos, 20 kills).
"""

from __future__ import annotations

import hashlib
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from sqlalchemy import select, text

from curation.finding.adding import add_found
from curation.providers.urls import identify_url
from db.engine import Catalogue, create
from db.models import Attempt, Lease, Video, now
from db.states import VideoState
from tests.curation.fault_server import FaultServer, Page, serving

TIMEOUT = 2.0  # s without a byte
SECONDS = 600.0  # after which something hangs


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A fault: how often of a hundred, the page of a body, and how the video ends: downloaded, or with which error."""

    name: str
    share: int
    ends: str
    page: Callable[[bytes], Page]


def _always(status: int) -> Callable[[bytes], Page]:
    return lambda body: Page(statuses=[status] * 1000)


HTML = b"<!doctype html><html><head><title>Not here</title></head><body>This is no video.</body></html>"
KINDS = (
    Kind(name="fine", share=46, ends="downloaded", page=lambda body: Page(body=body, rate=len(body) / 0.4)),
    Kind(name="slow", share=8, ends="downloaded", page=lambda body: Page(body=body, rate=len(body) / 2)),
    Kind(
        name="429 with Retry-After, then fine",
        share=6,
        ends="downloaded",
        page=lambda body: Page(body=body, statuses=[429], retry_after="1"),
    ),
    Kind(name="503 once", share=6, ends="downloaded", page=lambda body: Page(body=body, statuses=[503])),
    Kind(
        name="connection drops once",
        share=6,
        ends="downloaded",
        page=lambda body: Page(body=body, cut_at=len(body) // 2, cuts=2),
    ),
    Kind(
        name="stalls once",
        share=4,
        ends="downloaded",
        page=lambda body: Page(body=body, stall_at=len(body) // 3, stalls=2),
    ),
    Kind(name="404", share=4, ends="gone", page=_always(404)),
    Kind(name="410", share=3, ends="gone", page=_always(410)),
    Kind(name="403", share=3, ends="private", page=_always(403)),
    Kind(name="451", share=2, ends="geo", page=_always(451)),
    Kind(
        name="HTML instead of a video",
        share=3,
        ends="unsupported",
        page=lambda body: Page(body=HTML, content_type="text/html"),
    ),
    Kind(name="corrupt bytes", share=3, ends="corrupt", page=lambda body: Page(body=b"\0\1\2\3" * (len(body) // 4))),
    Kind(
        name="ends early, length not stated",
        share=2,
        ends="corrupt",
        page=lambda body: Page(body=body[: len(body) // 2], length=False),
    ),
    Kind(
        name="connection always drops",
        share=2,
        ends="network",
        page=lambda body: Page(body=body, cut_at=len(body) // 2, cuts=10**6),
    ),
    Kind(
        name="always stalls",
        share=2,
        ends="network",
        page=lambda body: Page(body=body, stall_at=len(body) // 3, stalls=10**6),
    ),
)


@dataclass(kw_only=True)
class Storm:
    """What happened. `wrong` is empty if every promise was kept."""

    videos: int
    kills: int = 0
    kills_of_all: int = 0
    kills_at_work: int = 0  # that took a process with a video in hand
    starts: int = 0
    seconds: float = 0.0
    rows: list[tuple[str, int, str, int, int, int, float]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def table(self) -> str:
        """A row a fault."""
        head = ("fault", "videos", "must end", "did", "tries", "claims", "requests, median")
        lines = [head, *((n, f"{v}", e, f"{d}", f"{t}", f"{c}", f"{r:g}") for n, v, e, d, t, c, r in self.rows)]
        sums = [sum(row[column] for row in self.rows) for column in (1, 3, 4, 5)]  # type: ignore[misc]
        lines.append(("all", f"{sums[0]}", "", f"{sums[1]}", f"{sums[2]}", f"{sums[3]}", ""))
        widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
        shown = []
        for line in lines:
            cells = [
                cell.ljust(width) if column in (0, 2) else cell.rjust(width)
                for column, (cell, width) in enumerate(zip(line, widths, strict=True))
            ]
            shown.append("  ".join(cells).rstrip())
        return "\n".join(shown)


def storm(
    folder: Path, movie: bytes, *, videos: int, processes: int, workers: int, kills: int, seed: int = 0,
    between: tuple[float, float] = (0.3, 1.5),
) -> Storm:  # fmt: skip
    """Let it rage in a new dataset at `folder`, then look at what is left."""
    rng = random.Random(seed)
    result = Storm(videos=videos)
    begun = time.monotonic()
    with serving() as server, create(folder) as catalogue, tempfile.TemporaryFile("w+") as said:
        kinds, bodies = _serve(server, catalogue, movie, videos, rng)
        running = [_start(catalogue, workers, said, result) for _ in range(processes)]
        try:
            for number in range(kills):
                _wait(rng.uniform(*between), running, catalogue)
                _kill(number, running, catalogue, rng, result)
                running = [
                    process if process.poll() is None else _start(catalogue, workers, said, result)
                    for process in running
                ]
            _finish(running, catalogue, workers, said, result, begun)
        finally:
            for process in running:
                process.kill()
                process.wait()
        result.seconds = time.monotonic() - begun
        said.seek(0)
        _judge(server, catalogue, kinds, bodies, said.read(), result)
    return result


def _serve(
    server: FaultServer, catalogue: Catalogue, movie: bytes, videos: int, rng: random.Random
) -> tuple[dict[str, Kind], dict[str, bytes]]:
    """Put the videos up and add them: the kind and the body of each, by its id."""
    names = [kind for kind in KINDS for _ in range(max(1, round(kind.share * videos / 100)))]
    names = (names + [KINDS[0]] * videos)[:videos] if len(names) < videos else names[-videos:]
    rng.shuffle(names)
    kinds: dict[str, Kind] = {}
    bodies: dict[str, bytes] = {}
    found = []
    for number, kind in enumerate(names):
        # No two files are the same: each ends with an MP4 box that nobody reads.
        body = movie + (16).to_bytes(4, "big") + b"free" + number.to_bytes(8, "big")
        one = identify_url(server.put(f"{number:03d}.mp4", kind.page(body)))
        kinds[one.id], bodies[one.id] = kind, body
        found.append(one)
    add_found(catalogue, found, provider="add", phrase="storm", settings={})
    return kinds, bodies


def _start(catalogue: Catalogue, workers: int, said: IO[str], result: Storm) -> subprocess.Popen[str]:
    result.starts += 1
    code = "from curation.commands import main; main()"
    options = ["--workers", str(workers), "--timeout", str(TIMEOUT), "--network-retries", "1", "--keep-free", "0"]
    command = [sys.executable, "-c", code, "download", "--dataset", str(catalogue.folder), *options]
    return subprocess.Popen(command, stdout=said, stderr=said, text=True)


def _wait(seconds: float, running: list[subprocess.Popen[str]], catalogue: Catalogue) -> None:
    """Some time, and then on until anybody has a video in hand, or nobody will."""
    time.sleep(seconds)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        alive = {process.pid for process in running if process.poll() is None}
        if not alive or _holders(catalogue) & alive:  # leases of the killed stand until the next start
            return
        time.sleep(0.02)


def _holders(catalogue: Catalogue) -> set[int]:
    """The processes that have a video in hand."""
    with catalogue.reading() as session:
        owners = session.scalars(select(Lease.owner).where(Lease.owner.is_not(None), Lease.expires_at > now())).all()
    return {int(owner.split(":")[-2]) for owner in owners if owner is not None}


def _kill(
    number: int, running: list[subprocess.Popen[str]], catalogue: Catalogue, rng: random.Random, result: Storm
) -> None:
    everything = number % 4 == 3
    holders = _holders(catalogue)
    alive = [process for process in running if process.poll() is None]
    busy = [process for process in alive if process.pid in holders]
    victims = alive if everything else [rng.choice(busy or alive)] if alive else []
    for process in victims:
        os.kill(process.pid, signal.SIGKILL)
    for process in victims:
        process.wait()
    result.kills += 1
    result.kills_of_all += everything
    result.kills_at_work += any(process.pid in holders for process in victims)


def _finish(
    running: list[subprocess.Popen[str]],
    catalogue: Catalogue,
    workers: int,
    said: IO[str],
    result: Storm,
    begun: float,
) -> None:
    """The same command until nothing is queued; then broken connections are given another try, as a person would."""
    for again in (True, False):
        while True:
            for process in running:
                process.wait(max(1.0, SECONDS - (time.monotonic() - begun)))
            with catalogue.reading() as session:
                left = session.scalars(select(Video.id).where(Video.state == VideoState.QUEUED)).all()
            if not left:
                break
            running[:] = [_start(catalogue, workers, said, result)]
        if again:
            code = "from curation.commands import main; main()"
            retry = [sys.executable, "-c", code, "retry", "--dataset", str(catalogue.folder), "--error", "network"]
            subprocess.run(retry, stdout=said, stderr=said, check=True)


def _judge(
    server: FaultServer,
    catalogue: Catalogue,
    kinds: dict[str, Kind],
    bodies: dict[str, bytes],
    said: str,
    result: Storm,
) -> None:
    with catalogue.reading() as session:
        videos = {video.id: video for video in session.scalars(select(Video))}
        tries = session.scalars(select(Attempt)).all()
        claims = {lease.item_id: lease.token for lease in session.scalars(select(Lease))}
        held = session.scalars(select(Lease.item_id).where(Lease.owner.is_not(None))).all()
        integrity = session.execute(text("PRAGMA integrity_check")).scalar()
    wrong = result.wrong
    ended = {
        id_: str(video.error_class) if video.state == VideoState.FAILED else str(video.state)
        for id_, video in videos.items()
    }
    for id_, kind in kinds.items():
        if ended[id_] != kind.ends:
            wrong.append(f"{videos[id_].source} ({kind.name}) ended {ended[id_]}: {videos[id_].error}")
    done = Counter(each.item_id for each in tries if each.outcome == "done")
    downloaded = {id_ for id_, end in ended.items() if end == "downloaded"}
    wrong += [f"{id_} was done {number} times" for id_, number in done.items() if number != 1]
    wrong += [f"{id_} is {ended[id_]} and was done" for id_ in set(done) - downloaded]
    wrong += [f"{id_} is downloaded and no try says so" for id_ in downloaded - set(done)]
    for id_ in downloaded:
        path = catalogue.path(str(videos[id_].path))
        whole = hashlib.sha256(bodies[id_]).hexdigest()
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != whole or videos[id_].sha256 != whole:
            wrong.append(f"{path} is not what was served")
    folder = catalogue.folder / "videos"
    orphans = {path.name for path in folder.iterdir() if path.is_file()} - {f"{id_}.mp4" for id_ in downloaded}
    wrong += [f"{name} in videos/ is nobody's" for name in sorted(orphans)]
    partial = folder / ".partial"
    # A broken connection leaves its first half, to be continued.
    begun = {path.name for path in partial.iterdir()} if partial.is_dir() else set()
    wrong += [f".partial/{name} is nobody's" for name in begun if ended.get(name) != "network"]
    wrong += [f"{id_} is still held" for id_ in held]
    requests = Counter(asked.path for asked in server.asked)
    per_video = {id_: requests[f"/{video.source.rpartition('/')[2]}"] for id_, video in videos.items()}
    for id_, kind in kinds.items():
        # A look and a fetch for each time that it was taken up: nothing behind the catalogue's back.
        if kind.name in ("fine", "slow") and per_video[id_] > 2 * claims.get(id_, 0):
            wrong.append(f"{id_} was taken up {claims.get(id_, 0)} times and asked for {per_video[id_]} times")
    for word in ("locked", "Traceback", "database disk image", "busy"):
        if word in said:
            wrong.append(f"the output says {word!r}: {said[max(0, said.index(word) - 200) :][:400]}")
    if integrity != "ok":
        wrong.append(f"the catalogue is damaged: {integrity}")
    tried = Counter(each.item_id for each in tries)
    for kind in KINDS:
        ids = [id_ for id_, its in kinds.items() if its is kind]
        if ids:
            result.rows.append(
                (
                    kind.name,
                    len(ids),
                    kind.ends,
                    sum(ended[id_] == kind.ends for id_ in ids),
                    sum(tried[id_] for id_ in ids),
                    sum(claims.get(id_, 0) for id_ in ids),
                    statistics.median(per_video[id_] for id_ in ids),
                )
            )
