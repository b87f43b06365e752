"""Videos that decode to what the generator gave, of the right length, rate, size and name."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from modeling.animating.animate import AnimationOptions, animate, name_outputs
from modeling.errors import ModelingError
from modeling.inference import Trained, load_trained, roll_out
from modeling.media.images import fit_square
from modeling.media.video import FORMATS, VideoError, VideoFormat, output_path, write_video

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def trained(trained_run: Path) -> Trained:
    return load_trained(trained_run, CPU)


def picture(path: Path, height: int, width: int) -> Path:
    y, x = np.mgrid[0:height, 0:width]
    pixels = np.stack([200 * y / height, 120 + 100 * np.sin(x / 9), 200 * x / width], axis=-1)
    cv2.imwrite(str(path), pixels.astype(np.uint8))
    return path


def decoded(path: Path) -> tuple[NDArray[np.uint8], Fraction | None]:
    """(T, H, W, 3) and the rate; of a folder of PNGs the rate is None."""
    if path.is_dir():
        files = sorted(path.iterdir())
        return np.stack([cv2.imread(str(file))[..., ::-1] for file in files]), None
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]), stream.average_rate


def moving(frames: int, height: int, width: int) -> NDArray[np.uint8]:
    y, x = np.mgrid[0:height, 0:width]
    return np.stack(
        [
            np.stack([128 + 90 * np.sin((x + 3 * t) / 9), 128 + 90 * np.cos((y + t) / 7), 2 * x], -1)
            for t in range(frames)
        ]
    ).astype(np.uint8)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(("frames", "fps"), [(1, 25.0), (31, 30.0), (12, 12.5)])
def test_every_format_gives_the_frames_back(tmp_path: Path, form: VideoFormat, frames: int, fps: float) -> None:
    pixels = moving(frames, 32, 48)
    path = output_path(tmp_path / "new", "clip.v2", form)
    write_video(path, pixels, fps=fps, form=form)
    read, rate = decoded(path)
    assert read.shape == pixels.shape
    if form == "png":
        np.testing.assert_array_equal(read, pixels)
        assert sorted(file.name for file in path.iterdir())[0] == "000.png"
    else:
        assert path.name == f"clip.v2.{form}"
        assert np.abs(read.astype(int) - pixels).mean() < (14 if form == "gif" else 5)
        if frames > 1 and form != "gif":  # GIF counts in hundredths of a second
            assert rate == Fraction(fps)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_longer_earlier_png_folder_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "clip"
    write_video(path, moving(9, 8, 8), fps=25, form="png")
    write_video(path, moving(4, 8, 8), fps=25, form="png")
    assert len(list(path.iterdir())) == 4


@pytest.mark.parametrize("shape", [(0, 8, 8, 3), (3, 8, 8, 1), (3, 8, 8), (2, 7, 8, 3), (2, 8, 9, 3)])
def test_frames_that_no_video_can_hold(tmp_path: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(VideoError):
        write_video(tmp_path / "a.mp4", np.zeros(shape, np.uint8), fps=25)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_earlier_video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.mp4"
    write_video(path, moving(5, 16, 16), fps=25)
    before = path.read_bytes()

    def full(*arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(av, "open", full)
    with pytest.raises(ModelingError, match=r"a\.mp4 could not be written: No space left"):
        write_video(path, moving(6, 16, 16), fps=25)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_video_is_the_generators_clip_and_begins_with_the_image(tmp_path: Path, trained: Trained) -> None:
    image = picture(tmp_path / "river.png", 64, 64)
    [result], _ = animate(trained, [image], tmp_path / "out", AnimationOptions(frames=12, form="png", seed=5))
    assert result.video == tmp_path / "out" / "river"
    video, _ = decoded(result.video)
    square = fit_square(cv2.imread(str(image))[..., ::-1], 32, "crop").square
    np.testing.assert_array_equal(video, roll_out(trained.generator, square[None], frames=12, seed=5))
    np.testing.assert_array_equal(video[0], square)
    assert len(video) == 12


@pytest.mark.parametrize(
    ("size", "fit", "expected"),
    [
        ((60, 90), "crop", (32, 32)),
        ((60, 90), "pad", (22, 32)),
        ((300, 20), "pad", (32, 2)),
        ((20, 20), "pad", (32, 32)),
    ],
)
def test_the_aspect_is_kept_by_crop_or_pad(
    tmp_path: Path, trained: Trained, size: tuple[int, int], fit: str, expected: tuple[int, int]
) -> None:
    image = picture(tmp_path / "a.png", *size)
    options = AnimationOptions(frames=4, fit="pad" if fit == "pad" else "crop")
    [result], _ = animate(trained, [image], tmp_path / "out", options)
    assert (result.height, result.width) == expected
    assert result.video is not None
    video, rate = decoded(result.video)
    assert video.shape == (4, *expected, 3)
    assert rate == 25


def test_a_bad_image_does_not_stop_the_others(tmp_path: Path, trained: Trained) -> None:
    good, bad, last = picture(tmp_path / "a.png", 40, 40), tmp_path / "b.png", picture(tmp_path / "c.jpg", 20, 50)
    bad.write_text("words")
    told: list[Path] = []
    results, _ = animate(
        trained, [good, bad, last], tmp_path / "out", AnimationOptions(frames=3), lambda done: told.append(done.image)
    )
    assert [result.error is None for result in results] == [True, False, True]
    assert "b.png is not an image" in str(results[1].error)
    assert told == [good, bad, last]
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["a.mp4", "c.mp4"]


def test_images_of_one_name_get_numbers() -> None:
    images = [Path("a/1.jpg"), Path("b/1.png"), Path("1-2.jpg"), Path("c/1.JPG"), Path("x.tar.png")]
    outputs = [video.name for _, [video] in name_outputs(images, Path("out"), "mp4")]
    assert outputs == ["1.mp4", "1-2.mp4", "1-2-2.mp4", "1-3.mp4", "x.tar.mp4"]
    assert len(set(outputs)) == len(images)


def test_futures_of_one_name_get_numbers_too() -> None:
    images = [Path("a.jpg"), Path("a.png"), Path("a-2.jpg")]
    outputs = [[video.name for video in videos] for _, videos in name_outputs(images, Path("out"), "png", futures=2)]
    assert outputs == [
        ["a-future-1", "a-future-2"],
        ["a-2-future-1", "a-2-future-2"],
        ["a-2-2-future-1", "a-2-2-future-2"],
    ]


def test_nobodys_files_are_replaced(tmp_path: Path, trained: Trained) -> None:
    image = picture(tmp_path / "a.gif", 32, 32)
    before = image.read_bytes()
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "notes.txt").write_text("mine")
    [result], _ = animate(trained, [image], tmp_path, AnimationOptions(frames=3, form="gif"))
    assert "an image to animate and would be overwritten" in str(result.error)
    [result], _ = animate(trained, [image], tmp_path, AnimationOptions(frames=3, form="png"))
    assert "holds other files than numbered PNGs" in str(result.error)
    assert image.read_bytes() == before
    assert [file.name for file in (tmp_path / "a").iterdir()] == ["notes.txt"]


def test_the_seed_is_the_noise(trained_run: Path) -> None:
    trained = load_trained(trained_run, CPU)
    with torch.no_grad():
        for name, parameter in trained.generator.named_parameters():
            if name.endswith("noise_strength"):
                parameter.fill_(0.3)
    square = fit_square(np.full((32, 32, 3), 90, np.uint8), 32, "crop").square
    first, again, other = (roll_out(trained.generator, square[None], frames=5, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    still = roll_out(trained.generator, square[None], frames=5, seed=None)
    assert (still != first).any()
    longer = roll_out(trained.generator, square[None], frames=20, seed=1)
    assert np.abs(longer[:5].astype(int) - first).max() <= 1  # a longer video goes on, it does not change
