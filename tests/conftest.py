"""Fixtures that all tests share: real footage where it is, small videos made on the spot, datasets."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import sqlalchemy as sa

from db.engine import Catalogue
from tests.fresh_dataset import fresh_dataset

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # in a script's background: children would ignore Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)


@sa.event.listens_for(sa.Engine, "connect")
def _without_waiting(connection: Any, _record: Any) -> None:
    """A commit of this process need not outlast a power cut, which no test brings about: SQLite waits for no disk."""
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous = OFF")


FOOTAGE = Path(os.environ.get("STILLFLOW_FOOTAGE", Path(__file__).parents[2] / "shared" / "videos"))


@pytest.fixture(scope="session")
def footage() -> Path:
    """The folder of real videos; the test is skipped where there is none."""
    if not (FOOTAGE / "ocean.mp4").is_file():
        pytest.skip(f"no real footage at {FOOTAGE} (set STILLFLOW_FOOTAGE)")
    return FOOTAGE


def noise_frames(count: int, height: int, width: int, *, seed: int = 0, still: bool = False) -> Iterator[np.ndarray]:
    """Smooth moving colour, (height, width, 3) uint8: compresses like footage, and differs from frame to frame."""
    rng = np.random.default_rng(seed)
    phase, speed = rng.uniform(0, 2 * np.pi, (2, 3)), rng.uniform(0.05, 0.3, 3)
    y, x = np.mgrid[0:height, 0:width] / 24.0
    for index in range(count):
        time = 0 if still else index
        waves = [
            np.sin(x * (1 + c) + phase[0, c] + speed[c] * time) + np.cos(y * (2 - c) + phase[1, c] - speed[c] * time)
            for c in range(3)
        ]
        yield np.clip(127 + 50 * np.stack(waves, -1), 0, 255).astype(np.uint8)


def write_video(
    path: Path,
    *,
    frames: int = 50,
    height: int = 48,
    width: int = 64,
    fps: int = 25,
    seed: int = 0,
    still: bool = False,
    pts: list[int] | None = None,
    pix_fmt: str = "yuv420p",
    gop: int = 12,
    bframes: int = 2,
) -> Path:
    """A small H.264 video. `pts` (in 1/1000 s) makes its frame rate variable."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options={"preset": "ultrafast", "bf": str(bframes)})
        stream.height, stream.width, stream.pix_fmt = height, width, pix_fmt
        stream.codec_context.gop_size = gop
        if pts is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for index, pixels in enumerate(noise_frames(frames, height, width, seed=seed, still=still)):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            if pts is not None:
                frame.pts, frame.time_base = pts[index], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="session")
def make_video() -> Callable[..., Path]:
    """`write_video` as a fixture."""
    return write_video


@pytest.fixture
def catalogue(tmp_path: Path) -> Iterator[Catalogue]:
    """A new dataset in a folder of its own."""
    with fresh_dataset(tmp_path / "dataset") as opened:
        yield opened
