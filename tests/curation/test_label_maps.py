"""Label maps: read exactly, and cut and scaled as the frames they belong to."""

from __future__ import annotations

import zlib
from fractions import Fraction
from pathlib import Path
from typing import Literal

import av
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from curation.decode import resized
from curation.errors import StageError
from curation.masks.label_maps import Geometry, decode_png, fit_labels, geometry, png_bytes, read_png, turned

COLOURS = np.array([[16, 16, 16], [200, 30, 30], [30, 200, 30], [40, 40, 220], [235, 235, 235]], np.uint8)


def block_labels(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Blocks of 16 pixels."""
    coarse = np.random.default_rng(seed).integers(0, len(COLOURS), (height // 16 + 1, width // 16 + 1), dtype=np.uint8)
    return coarse.repeat(16, 0).repeat(16, 1)[:height, :width]


def write_still(path: Path, labels: np.ndarray, *, aspect: Fraction = Fraction(1), rotation: int = 0) -> Path:
    """A one-second video whose stored frames show the labels' colours."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"crf": "4", "preset": "ultrafast"})
        stream.height, stream.width, stream.pix_fmt = *labels.shape, "yuv420p"
        stream.codec_context.sample_aspect_ratio = aspect
        for _ in range(10):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(COLOURS[labels], format="rgb24")))
        container.mux(stream.encode())
    if rotation:
        turn(path, rotation)
    return path


def turn(path: Path, rotation: int) -> None:
    """Write a display matrix into an MP4's track header, as phones do."""
    matrices = {90: (0, -1, 1, 0), 180: (-1, 0, 0, -1), 270: (0, 1, -1, 0)}
    data = bytearray(path.read_bytes())
    place = data.index(b"tkhd") + 4 + 40
    a, b, c, d = matrices[rotation]
    for offset, value in ((0, a), (4, b), (12, c), (16, d)):
        data[place + offset : place + offset + 4] = (value * 65536).to_bytes(4, "big", signed=True)
    path.write_bytes(data)


@pytest.mark.parametrize("fit", ["crop", "squash"])
@pytest.mark.parametrize(
    ("height", "width", "aspect", "rotation"),
    [
        (96, 170, Fraction(1), 0),
        (170, 96, Fraction(1), 0),
        (96, 96, Fraction(4, 3), 0),
        (98, 150, Fraction(8, 9), 0),
        (96, 170, Fraction(1), 90),
        (96, 170, Fraction(1), 180),
        (96, 150, Fraction(4, 3), 270),
    ],
)
def test_a_map_is_cut_and_turned_as_its_frame(
    tmp_path: Path, height: int, width: int, aspect: Fraction, rotation: int, fit: Literal["crop", "squash"]
) -> None:
    """The frames show each label's colour: what is exported of them tells where each label belongs."""
    stored = block_labels(height, width)
    path = write_still(tmp_path / "a.mp4", stored, aspect=aspect, rotation=rotation)
    looks = geometry(path)
    assert (looks.rotation, looks.pixel_aspect, looks.chroma) == (rotation, aspect, (2, 2))
    upright = turned(stored, rotation)
    assert upright.shape == (looks.height, looks.width)
    _, frame = next(resized(path, 0, 1 << 40, height=64, width=64, fit=fit))
    labels = fit_labels(upright, looks, size=64, fit=fit)
    far = np.abs(frame[:, :, None].astype(int) - COLOURS[None, None]).sum(-1)
    told = far.argmin(-1)
    # Within blocks all agree; on their edges two colours mix.
    clear = far.min(-1) < 30
    assert clear.mean() > 0.6
    assert (told == labels)[clear].mean() > 0.995


@settings(deadline=None, max_examples=50)
@given(arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40))))
def test_what_is_written_is_read(labels: np.ndarray) -> None:
    content = png_bytes(labels)
    assert content == png_bytes(labels.copy())
    np.testing.assert_array_equal(decode_png(content, "a"), labels)


@settings(deadline=None, max_examples=30)
@given(arrays(np.uint8, st.tuples(st.integers(1, 30), st.integers(1, 30))), st.sampled_from([0, 90, 180, 270]))
def test_a_fitted_map_has_no_value_of_its_own(labels: np.ndarray, rotation: int) -> None:
    looks = Geometry(
        height=labels.shape[0], width=labels.shape[1], rotation=rotation, pixel_aspect=Fraction(1), chroma=(1, 1)
    )
    for fit in ("crop", "squash"):
        fitted = fit_labels(labels, looks, size=16, fit=fit)  # type: ignore[arg-type]
        assert fitted.shape == (16, 16)
        assert set(np.unique(fitted)) <= set(np.unique(labels))


@pytest.mark.parametrize("colours", [2, 4, 16, 200])
def test_a_palette_gives_its_numbers_and_not_its_colours(tmp_path: Path, colours: int) -> None:
    labels = np.random.default_rng(0).integers(0, colours, (21, 33), dtype=np.uint8)
    image = Image.fromarray(labels).convert("P")
    image.putdata(labels.ravel().tolist())
    image.putpalette(np.random.default_rng(1).integers(0, 256, 3 * colours, dtype=np.uint8).tobytes())
    image.save(tmp_path / "p.png", bits={2: 1, 4: 2, 16: 4, 200: 8}[colours])
    np.testing.assert_array_equal(read_png(tmp_path / "p.png"), labels)


def test_what_is_no_label_map_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.png"
    labels = block_labels(32, 48)
    for content, said in (
        (cv2.imencode(".png", COLOURS[labels])[1].tobytes(), "one 8-bit channel, or a palette"),
        (cv2.imencode(".png", labels.astype(np.uint16))[1].tobytes(), "one 8-bit channel, or a palette"),
        (cv2.imencode(".jpg", labels)[1].tobytes(), "not a PNG"),
        (b"", "not a PNG"),
        (png_bytes(np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8))[:900], "does not decode"),
        (_with_bad_data(png_bytes(labels)), "does not decode"),
    ):
        path.write_bytes(content)
        with pytest.raises(StageError, match=r"m\.png: .*" + said):
            read_png(path)
    path.unlink()
    with pytest.raises(StageError, match="No such file"):
        read_png(path)


def _with_bad_data(png: bytes) -> bytes:
    """A PNG whose picture is no deflated stream, with a right checksum."""
    start = png.index(b"IDAT")
    length = int.from_bytes(png[start - 4 : start])
    junk = b"IDAT" + bytes(length)
    return png[:start] + junk + zlib.crc32(junk).to_bytes(4) + png[start + 8 + length :]
