"""The output grid against an obvious twin, and clips against a plain decode."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from curation.decode import resized
from curation.errors import ErrorClass, StageError
from curation.exporting.resample import Grid, fill, read_clip
from curation.probe import probe
from tests.curation.export_cases import moving_frames, write_video


def shown(pts: list[int], grid: Grid) -> list[int]:
    """Which source frames `fill` puts where; its input buffer is reused for every frame, as decoders do."""
    buffer = np.zeros((1, 1, 3), np.uint8)
    out = np.full((grid.length, 1, 1, 3), 255, np.uint8)

    def frames():  # type: ignore[no-untyped-def]
        for number, time in enumerate(pts):
            buffer[:] = number
            yield time, buffer
        buffer[:] = 254

    assert fill(frames(), grid, out) == len(pts)
    return [int(value) for value in out[:, 0, 0, 0]]


def obvious(pts: list[int], grid: Grid) -> list[int]:
    """The definition, frame by frame."""
    if grid.fps is None:
        return list(range(len(pts)))
    result: list[int] = []
    while Fraction(len(result)) / grid.fps < grid.duration - grid.tolerance or not result:
        time = Fraction(len(result)) / grid.fps
        begun = [n for n, one in enumerate(pts) if (one - pts[0]) * grid.time_base <= time + grid.tolerance]
        result.append(begun[-1])
    return result


@settings(deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(
    gaps=st.lists(st.integers(1, 400) | st.integers(1, 4), min_size=1, max_size=30),
    start=st.integers(-1000, 100_000),
    base=st.sampled_from([Fraction(1, 1000), Fraction(1, 90_000), Fraction(1, 25), Fraction(1001, 30_000)]),
    fps=st.sampled_from([None, *map(Fraction, ("1", "10", "24", "25", "30000/1001", "60"))]),
)
@example(gaps=[1], start=0, base=Fraction(1, 90_000), fps=Fraction(1))
def test_the_grid_is_as_defined(gaps: list[int], start: int, base: Fraction, fps: Fraction | None) -> None:
    times = np.cumsum([start, *gaps]).tolist()
    grid = Grid(start_pts=start, end_pts=times[-1], time_base=base, frame_count=len(times) - 1, fps=fps)
    assume(grid.length <= 300)
    expected = obvious(times[:-1], grid)
    assert shown(times[:-1], grid) == expected
    assert grid.length == len(expected)


@pytest.mark.parametrize(
    ("ticks", "source", "target", "length"),
    [
        (Fraction(1, 12_800), "25", "25", 250),
        (Fraction(1, 1000), "24", "24", 240),
        (Fraction(1, 1000), "30000/1001", "30000/1001", 300),
        (Fraction(1, 1000), "120", "120", 1200),
        (Fraction(1, 25), "25", "25", 250),
        (Fraction(1, 30), "30", "30", 300),
    ],
)
def test_the_same_rate_keeps_every_frame_once(ticks: Fraction, source: str, target: str, length: int) -> None:
    """Times rounded to ticks, as containers do, must not make a frame show twice and its neighbour never."""
    step = 1 / Fraction(source)
    for offset in range(7):
        pts = [round((n + offset) * step / ticks) for n in range(length)]
        grid = Grid(
            start_pts=pts[0],
            end_pts=pts[0] + round(length * step / ticks),
            time_base=ticks,
            frame_count=length,
            fps=Fraction(target),
        )
        assert grid.length == length
        out = np.zeros((length, 1, 1, 3), np.uint16)
        fill(((time, np.full((1, 1, 3), n)) for n, time in enumerate(pts)), grid, out)  # type: ignore[arg-type,misc]
        assert out[:, 0, 0, 0].tolist() == list(range(length))


def test_ten_seconds_at_25_are_250_frames_whatever_the_source() -> None:
    for fps, base in (("24000/1001", "1/24000"), ("30", "1/15360"), ("29.97", "1/1000"), ("50", "1/50")):
        ticks = round(10 / Fraction(base))
        grid = Grid(
            start_pts=7,
            end_pts=7 + ticks,
            time_base=Fraction(base),
            frame_count=round(10 * Fraction(fps)),
            fps=Fraction(25),
        )
        assert grid.length == 250


def test_half_and_double_rates() -> None:
    half = Grid(start_pts=0, end_pts=10, time_base=Fraction(1, 50), frame_count=10, fps=Fraction(25))
    assert shown(list(range(10)), half) == [0, 2, 4, 6, 8]
    double = Grid(start_pts=0, end_pts=4, time_base=Fraction(1, 25), frame_count=4, fps=Fraction(50))
    assert shown(list(range(4)), double) == [0, 0, 1, 1, 2, 2, 3, 3]


@pytest.mark.parametrize(
    "change", [{"end_pts": 0}, {"frame_count": 0}, {"time_base": Fraction(0)}, {"fps": Fraction(-1)}]
)
def test_an_empty_grid_is_refused(change: dict[str, object]) -> None:
    fields = {"start_pts": 0, "end_pts": 10, "time_base": Fraction(1, 25), "frame_count": 10, "fps": Fraction(25)}
    with pytest.raises(ValueError, match=r"empty|positive"):
        Grid(**{**fields, **change})  # type: ignore[arg-type]


def plain_decode(path: Path) -> list[tuple[int, np.ndarray]]:
    """Every frame of a file from its beginning: (pts, (H, W, 3) uint8)."""
    with av.open(str(path)) as container:
        return [(frame.pts, frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]


@pytest.mark.parametrize("fps", ["25", "10", "native"])
def test_a_clip_of_a_variable_rate_video(tmp_path: Path, fps: str) -> None:
    rng = np.random.default_rng(5)
    times = np.cumsum(rng.integers(10, 90, 60)).tolist()
    path = write_video(
        tmp_path / "vfr.mp4", moving_frames(60, 48, 64, 5), time_base=Fraction(1, 1000), pts=times, fps=25
    )
    info = probe(path)
    inside = [int(pts) for pts in info.pts[20:50]]
    grid = Grid(
        start_pts=inside[0],
        end_pts=int(info.pts[50]),
        time_base=info.time_base,
        frame_count=30,
        fps=None if fps == "native" else Fraction(fps),
    )
    clip = read_clip(path, grid, size=32, fit="squash")
    every = {
        pts: frame.copy()
        for pts, frame in resized(path, int(info.pts[0]), info.end_pts, height=32, width=32, fit="squash")
    }
    expected = np.stack([every[inside[number]] for number in obvious(inside, grid)])
    np.testing.assert_array_equal(clip, expected)
    assert clip.shape == (grid.length, 32, 32, 3)


def test_crop_takes_the_middle_and_squash_takes_all(tmp_path: Path) -> None:
    frames = np.zeros((5, 48, 96, 3), np.uint8)
    frames[:, :, :24] = 255  # a white quarter at the left, outside the middle square
    path = write_video(tmp_path / "a.mp4", frames, crf=1)
    info = probe(path)
    grid = Grid(
        start_pts=int(info.pts[0]), end_pts=info.end_pts, time_base=info.time_base, frame_count=5, fps=Fraction(25)
    )
    assert read_clip(path, grid, size=24, fit="crop").mean() < 8
    squashed = read_clip(path, grid, size=24, fit="squash")
    assert squashed[:, :, :5].mean() > 245
    assert squashed[:, :, 7:].mean() < 8


def test_a_file_that_lost_frames_is_corrupt(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", moving_frames(25, 48, 64, 1))
    info = probe(path)
    grid = Grid(
        start_pts=int(info.pts[0]),
        end_pts=info.end_pts + 10_000,
        time_base=info.time_base,
        frame_count=40,
        fps=Fraction(25),
    )
    with pytest.raises(StageError, match="25 of the 40 frames") as caught:
        read_clip(path, grid, size=32, fit="crop")
    assert caught.value.error_class is ErrorClass.CORRUPT
