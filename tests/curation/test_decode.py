"""Probing and decoding: exactly the frames of a range, upright, whatever the file is like."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curation.decode import decode, resized, rgb, shape_within
from curation.errors import ErrorClass, StageError
from curation.probe import check_decodes, probe

MakeVideo = Callable[..., Path]


def all_frames(path: Path) -> dict[int, np.ndarray]:
    """The obvious way: decode everything."""
    with av.open(str(path)) as container:
        return {frame.pts: frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)}


def test_probe_tells_what_the_decoder_gives(make_video: MakeVideo, tmp_path: Path) -> None:
    info = probe(make_video(tmp_path / "a.mp4", frames=60, height=50, width=66, fps=30))
    assert info.pts.tolist() == sorted(all_frames(info.path))
    assert (info.frames, info.width, info.height, info.rotation, info.codec) == (60, 66, 50, 0, "h264")
    assert info.duration == 2
    assert info.fps == 30


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_range_gives_exactly_its_frames(data: st.DataObject, make_video: MakeVideo, tmp_path: Path) -> None:
    gop, bframes = data.draw(st.sampled_from([(1, 0), (12, 2), (250, 3)]))
    path = tmp_path / f"{gop}-{bframes}.mp4"
    if not path.exists():
        make_video(path, frames=70, gop=gop, bframes=bframes)
    info = probe(path)
    reference = all_frames(path)
    first = data.draw(st.integers(-3, 72))
    last = data.draw(st.integers(first, 75))
    step = int(info.pts[1] - info.pts[0])
    start, end = int(info.pts[0]) + first * step, int(info.pts[0]) + last * step
    wanted = [t for t in sorted(reference) if start <= t < end]
    assert [frame.pts for frame in decode(path, start, end)] == wanted
    for pixels, time in zip(rgb(path, start, end), wanted, strict=True):
        assert np.array_equal(pixels, reference[time])


def test_variable_frame_rate_keeps_each_frames_time(make_video: MakeVideo, tmp_path: Path) -> None:
    pts = np.cumsum([0, *np.random.default_rng(1).integers(15, 90, 49)]).tolist()
    info = probe(make_video(tmp_path / "vfr.mp4", frames=50, pts=pts))
    assert [float(info.seconds(int(t))) for t in info.pts] == pytest.approx([t / 1000 for t in pts], abs=1e-3)
    start, end = int(info.pts[10]), int(info.pts[40])
    assert [frame.pts for frame in decode(info.path, start, end)] == info.pts[10:40].tolist()


def test_one_frame_and_ten_bits(make_video: MakeVideo, tmp_path: Path) -> None:
    single = probe(make_video(tmp_path / "one.mp4", frames=1))
    check_decodes(single)
    assert single.frames == 1
    deep = probe(make_video(tmp_path / "deep.mp4", frames=5, pix_fmt="yuv420p10le"))
    assert [pixels.dtype for pixels in rgb(deep.path, int(deep.pts[0]), deep.end_pts)] == [np.uint8] * 5


@pytest.mark.parametrize("rotate", [90, 180, 270])
def test_rotated_video_is_shown_upright(rotate: int, make_video: MakeVideo, tmp_path: Path) -> None:
    plain = make_video(tmp_path / "plain.mp4", frames=4, height=48, width=96)
    turned = tmp_path / "turned.mp4"
    try:
        subprocess.run(
            ["ffmpeg", "-v", "error", "-i", plain, "-c", "copy", "-metadata:s:v", f"rotate={rotate}", turned],
            check=True,
        )
    except FileNotFoundError:
        pytest.skip("no ffmpeg to write a rotation with")
    info = probe(turned)
    # ffmpeg turns by itself what it decodes: an oracle for the direction.
    raw = subprocess.run(
        ["ffmpeg", "-v", "error", "-i", turned, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"],
        check=True,
        capture_output=True,
    ).stdout
    assert (info.height, info.width) == ((48, 96) if rotate == 180 else (96, 48))
    upright = np.frombuffer(raw, np.uint8).reshape(-1, info.height, info.width, 3)
    shown = [out for _, out in resized(turned, int(info.pts[0]), info.end_pts, height=info.height, width=info.width)]
    for out, wanted in zip(shown, upright, strict=True):
        assert np.abs(out.astype(int) - wanted).mean() < 3


def test_resizing_crops_squashes_and_pads(make_video: MakeVideo, tmp_path: Path) -> None:
    info = probe(make_video(tmp_path / "a.mp4", frames=3, height=64, width=128))
    source = next(iter(all_frames(info.path).values())).astype(float)
    whole = (int(info.pts[0]), info.end_pts)

    def first(fit: str, height: int, width: int) -> np.ndarray:
        pixels: np.ndarray = next(resized(info.path, *whole, height=height, width=width, fit=fit))[1]  # type: ignore[arg-type]
        return pixels

    def box(image: np.ndarray, by_y: int, by_x: int) -> np.ndarray:
        height, width = image.shape[0] // by_y, image.shape[1] // by_x
        return image.reshape(height, by_y, width, by_x, 3).mean((1, 3))

    assert np.abs(first("crop", 32, 32) - box(source[:, 32:96], 2, 2)).mean() < 2
    assert np.abs(first("squash", 32, 32) - box(source, 2, 4)).mean() < 2
    padded = first("pad", 64, 64)
    assert np.abs(padded[16:48] - box(source, 2, 2)).mean() < 2
    assert np.ptp(padded[:15].astype(int)) <= 2


@given(st.integers(2, 500), st.integers(2, 500), st.fractions(min_value="1/4", max_value=4))
def test_shape_within_is_inside_and_touches(height: int, width: int, aspect: object) -> None:
    inner = shape_within(height, width, aspect)  # type: ignore[arg-type]
    assert inner[0] <= height
    assert inner[1] <= width
    assert inner[0] == height or inner[1] == width


@pytest.mark.parametrize(
    ("content", "error_class"),
    [(b"", ErrorClass.CORRUPT), (b"<html>no video</html>" * 50, ErrorClass.CORRUPT), (None, ErrorClass.MISSING)],
)
def test_what_is_no_video_is_an_error_that_names_it(content: bytes | None, error_class: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(StageError, match=r"bad\.mp4") as caught:
        probe(path)
    assert caught.value.error_class == error_class


def test_audio_only_is_unsupported(tmp_path: Path) -> None:
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(StageError) as caught:
        probe(path)
    assert caught.value.error_class == ErrorClass.UNSUPPORTED


def test_a_truncated_file_fails_the_check(make_video: MakeVideo, tmp_path: Path) -> None:
    path = tmp_path / "cut.mkv"  # Matroska: the front of the file still opens
    make_video(path, frames=200)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    data = bytearray(path.read_bytes())
    data[-2000:] = bytes(2000)
    path.write_bytes(data)
    with pytest.raises(StageError) as caught:
        info = probe(path)
        check_decodes(info)
        assert info.frames == 200
        raise AssertionError("a file cut in half was accepted whole")
    assert caught.value.error_class == ErrorClass.CORRUPT


def test_real_footage(footage: Path) -> None:
    for name in ("ocean.mp4", "stream-of-water.mp4", "bad-container.mp4", "crosswalk.mp4"):
        info = probe(footage / name)
        check_decodes(info)
        assert sum(1 for _ in decode(info.path, int(info.pts[0]), info.end_pts)) == info.frames
    with pytest.raises(StageError, match="corrupt"):
        check_decodes(probe(footage / "corrupted.mp4"))
