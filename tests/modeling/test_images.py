"""Images of every kind come in upright, in RGB and 8 bits, and are made square without a change of aspect."""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from modeling.media.images import ImageError, fit_square, read_image


def scene(height: int = 40, width: int = 60) -> NDArray[np.uint8]:
    """(H, W, 3) RGB without any symmetry, smooth enough for JPEG."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([255 * y / height, 255 * x / width, 60 + 60 * (x > 2 * y)], axis=-1).astype(np.uint8)


def exif(orientation: int) -> bytes:
    return b"MM\x00*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)


# EXIF 2.32: what a viewer does with the stored pixels of each orientation, spelled out with numpy's own words.
UPRIGHT = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: np.flipud(np.rot90(a)),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.fliplr(np.rot90(a)),
    8: np.rot90,
}


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_orientation_with_and_without_transparency(tmp_path: Path, orientation: int) -> None:
    rgb = scene()
    alpha = np.where(np.mgrid[0:40, 0:60][1] < 20, 0, 255).astype(np.uint8)[..., None]
    metadata = [np.frombuffer(exif(orientation), np.uint8)]
    kinds = [cv2.IMAGE_METADATA_EXIF]
    plain, through = tmp_path / "plain.png", tmp_path / "through.png"
    done, data = cv2.imencodeWithMetadata(".png", rgb[..., ::-1].copy(), kinds, metadata)
    assert done
    plain.write_bytes(data.tobytes())
    done, data = cv2.imencodeWithMetadata(".png", np.concatenate([rgb[..., ::-1], alpha], -1), kinds, metadata)
    assert done
    through.write_bytes(data.tobytes())
    np.testing.assert_array_equal(read_image(plain), UPRIGHT[orientation](rgb))
    np.testing.assert_array_equal(read_image(through), UPRIGHT[orientation](np.where(alpha > 0, rgb, 255)))


def test_half_transparent_pixels_are_laid_over_white(tmp_path: Path) -> None:
    pixels = np.zeros((4, 5, 4), np.uint8)
    pixels[..., 3] = 51  # a fifth
    cv2.imwrite(str(tmp_path / "a.png"), pixels)
    assert (read_image(tmp_path / "a.png") == 204).all()


def test_grey_and_sixteen_bits(tmp_path: Path) -> None:
    rgb = scene()
    grey = rgb[..., 1]
    cv2.imwrite(str(tmp_path / "grey.png"), grey)
    cv2.imwrite(str(tmp_path / "grey16.png"), grey.astype(np.uint16) * 257)
    cv2.imwrite(str(tmp_path / "deep.png"), rgb[..., ::-1].astype(np.uint16) * 257)
    cv2.imwrite(str(tmp_path / "deep.tif"), rgb[..., ::-1].astype(np.uint16) * 257)
    for name in ("grey.png", "grey16.png"):
        np.testing.assert_array_equal(read_image(tmp_path / name), np.repeat(grey[..., None], 3, axis=2))
    for name in ("deep.png", "deep.tif"):
        np.testing.assert_array_equal(read_image(tmp_path / name), rgb)


@pytest.mark.parametrize("ending", [".jpg", ".webp", ".bmp", ".tif"])
def test_formats(tmp_path: Path, ending: str) -> None:
    cv2.imwrite(str(tmp_path / f"a{ending}"), scene()[..., ::-1])
    read = read_image(tmp_path / f"a{ending}")
    assert np.abs(read.astype(int) - scene()).mean() < 6


def test_what_is_no_image_is_said_in_a_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "text.jpg").write_text("no image")
    (tmp_path / "empty.png").touch()
    cv2.imwrite(str(tmp_path / "cut.jpg"), scene()[..., ::-1])
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "cut.jpg").read_bytes()[:-200])
    cv2.imwrite(str(tmp_path / "float.tif"), scene().astype(np.float32))
    for name, words in {
        "text.jpg": "is not an image",
        "empty.png": "is empty",
        "cut.jpg": "is not an image, or is damaged",
        "float.tif": "pixels of type float32",
        "missing.png": "No such file",
        ".": "Is a directory",
    }.items():
        with pytest.raises(ImageError, match=words) as caught:
            read_image(tmp_path / name)
        assert "\n" not in str(caught.value)
        assert name.strip(".") in str(caught.value)
    assert capfd.readouterr().err == ""


def test_crop_is_the_largest_centred_square() -> None:
    image = scene(40, 60)
    fitted = fit_square(image, 40, "crop")
    np.testing.assert_array_equal(fitted.square, image[:, 10:50])
    assert fitted.box == (0, 0, 40, 40)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 200), st.integers(1, 200), st.sampled_from([32, 64]), st.sampled_from(["crop", "pad"]))
def test_any_size_is_made_square_and_keeps_its_aspect(height: int, width: int, resolution: int, fit: str) -> None:
    fitted = fit_square(scene(height, width), resolution, "crop" if fit == "crop" else "pad")
    assert fitted.square.shape == (resolution, resolution, 3)
    assert fitted.square.dtype == np.uint8
    top, left, inner_height, inner_width = fitted.box
    assert top >= 0
    assert left >= 0
    assert top + inner_height <= resolution
    assert left + inner_width <= resolution
    assert inner_height % 2 == inner_width % 2 == 0
    if fit == "pad":
        scale = resolution / max(height, width)
        assert abs(inner_height - max(2, height * scale)) <= 1
        assert abs(inner_width - max(2, width * scale)) <= 1
        assert max(inner_height, inner_width) == resolution


def test_pad_holds_the_whole_picture() -> None:
    image = scene(32, 64)
    fitted = fit_square(image, 64, "pad")
    assert fitted.box == (16, 0, 32, 64)
    np.testing.assert_array_equal(fitted.square[16:48], image)
    np.testing.assert_array_equal(fitted.square[:16], image[:16][::-1])
