"""The mosaic: each clip in its cell, moving, and a broken one told apart."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from annotation_server.mosaic import CELL_HEIGHT, CELL_WIDTH, FPS, Geometry, MosaicError, build


def _write(path: Path, colours: list[int], *, size: tuple[int, int] = (160, 90), rate: int = FPS) -> Path:
    """One grey frame for each luma value."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": "1", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for luma in colours:
            planes = np.full((size[1] * 3 // 2, size[0]), 128, np.uint8)
            planes[: size[1]] = luma
            container.mux(stream.encode(av.VideoFrame.from_ndarray(planes, format="yuv420p")))
        container.mux(stream.encode())
    return path


def _luma(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([np.asarray(frame.to_ndarray(format="gray")) for frame in container.decode(video=0)])


def _cell(frames: np.ndarray, geometry: Geometry, position: int) -> np.ndarray:
    left, top = geometry.corner(position)
    return frames[:, top : top + CELL_HEIGHT, left : left + CELL_WIDTH]


def test_geometry_of_full_and_short_batches() -> None:
    full = Geometry.of(25, 25)
    assert (full.columns, full.rows, full.width, full.height) == (5, 5, 824, 474)
    tail = Geometry.of(25, 7)
    assert (tail.columns, tail.rows, tail.width) == (5, 2, 824)
    assert full.corner(0) == (4, 4) and full.corner(6) == (168, 98)
    assert Geometry.of(1, 1).columns == 1 and Geometry.of(26, 26).columns == 6


def test_each_clip_moves_in_its_own_cell_and_a_short_one_starts_again(tmp_path: Path) -> None:
    geometry = Geometry.of(25, 7)
    ramp = [40 + 8 * number for number in range(20)]
    built = build(
        {
            0: _write(tmp_path / "long.mp4", ramp),
            3: _write(tmp_path / "short.mp4", [60, 120, 180, 220]),
            6: _write(tmp_path / "twice.mp4", [100] * 10 + [200] * 10, rate=20),
        },
        geometry,
        tmp_path / "mosaic.mp4",
    )
    assert built.errors == {}
    assert built.seconds == {0: 2.0, 3: 0.4, 6: 1.0}
    frames = _luma(tmp_path / "mosaic.mp4").astype(float)
    assert frames.shape == (20, geometry.height, geometry.width)

    def levels(position: int) -> np.ndarray:
        return _cell(frames, geometry, position)[:, 10:-10, 10:-10].mean((1, 2))

    def shown(luma: list[int]) -> np.ndarray:
        return (np.array(luma) - 16) * 255 / 219  # the decoder's grey has full range

    assert np.abs(levels(0) - shown(ramp)).max() < 8
    assert np.abs(levels(3) - shown([60, 120, 180, 220] * 5)).max() < 8
    assert np.abs(levels(6) - shown([100] * 5 + [200] * 5 + [100] * 5 + [200] * 5)).max() < 8
    assert levels(4).max() < 16, "an empty cell stays dark"


def test_a_portrait_preview_keeps_its_shape(tmp_path: Path) -> None:
    geometry = Geometry.of(1, 1)
    build({0: _write(tmp_path / "tall.mp4", [200] * 5, size=(90, 160))}, geometry, tmp_path / "mosaic.mp4")
    cell = _cell(_luma(tmp_path / "mosaic.mp4"), geometry, 0)[2]
    lit = np.flatnonzero(cell[45] > 120)
    assert len(lit) == pytest.approx(90 * 90 / 160, abs=4)
    assert lit.mean() == pytest.approx(80, abs=2)


def test_broken_previews_are_errors_of_their_cells(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    noise = tmp_path / "noise.mp4"
    noise.write_bytes(b"not a video" * 100)
    whole = _write(tmp_path / "whole.mp4", [50, 100, 150] * 20)
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole.read_bytes()[:600])
    built = build({0: tmp_path / "gone.mp4", 1: noise, 2: cut, 3: whole}, Geometry.of(25, 4), tmp_path / "m.mp4")
    assert sorted(built.errors) == [0, 1, 2]
    assert built.errors[0] == "the preview file is gone; make it again with: curate preview"
    assert all("\n" not in error for error in built.errors.values())
    assert built.video is not None and list(built.seconds) == [3]


def test_without_a_preview_that_plays_there_is_no_video(tmp_path: Path) -> None:
    built = build({2: tmp_path / "gone.mp4"}, Geometry.of(25, 3), tmp_path / "m.mp4")
    assert built.video is None and not (tmp_path / "m.mp4").exists()


def test_a_folder_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    clip = _write(tmp_path / "clip.mp4", [50] * 3)
    with pytest.raises(MosaicError, match="could not be made in"):
        build({0: clip}, Geometry.of(25, 1), tmp_path / "nowhere" / "m.mp4")
