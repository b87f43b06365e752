"""Folders, futures, loops, masks, contact sheets and long videos of `modeling animate`."""

from __future__ import annotations

import json
import shutil
import weakref
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from modeling import presets
from modeling.animating.animate import AnimationOptions, animate, ping_pong
from modeling.config import apply_overrides
from modeling.errors import ModelingError, UsageError
from modeling.inference import Trained, load_trained, roll_out, stream_clip
from modeling.media.contact_sheet import ContactSheet, chosen_frames, thumbnail
from modeling.media.find_images import find_images
from modeling.media.images import ImageError
from modeling.media.mask_files import mask_of, read_labels
from modeling.media.spool import Spool
from modeling.media.video import FORMATS, VideoError, VideoFormat, output_path, write_video
from modeling.networks import build_generator
from tests.modeling.conftest import Run
from tests.modeling.test_animate import decoded, moving, picture

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def noisy(trained_run: Path) -> Trained:
    """A run whose noise is seen."""
    trained = load_trained(trained_run, CPU)
    with torch.no_grad():
        for name, parameter in trained.generator.named_parameters():
            if name.endswith("noise_strength"):
                parameter.fill_(0.3)
    return trained


def made(*overrides: str) -> Trained:
    """An untrained generator of another kind."""
    config = apply_overrides(presets.get("tiny"), ["generator.ch=2", *overrides])
    return Trained(generator=build_generator(config).eval(), config=config, step=0, source=Path("made"))


@pytest.mark.parametrize("form", FORMATS)
def test_pieces_are_written_as_they_come(tmp_path: Path, form: VideoFormat) -> None:
    freed: list[int] = []
    most = 0

    def pieces() -> Iterator[NDArray[np.uint8]]:
        nonlocal most
        freed.clear()
        for index in range(20):
            piece = moving(index + 2, 16, 24)[-2:].copy()
            weakref.finalize(piece, freed.append, index)
            yield piece
            del piece
            most = max(most, index + 1 - len(freed))

    path = output_path(tmp_path, "a", form)
    assert write_video(path, pieces(), fps=25, form=form) == 40
    assert most <= 3, "frames pile up"
    write_video(other := output_path(tmp_path, "b", form), np.concatenate(list(pieces())), fps=25, form=form)
    np.testing.assert_array_equal(decoded(path)[0], decoded(other)[0])
    assert sorted(tmp_path.iterdir()) == [path, other]


@pytest.mark.parametrize("form", FORMATS)
def test_what_breaks_in_the_middle_leaves_nothing(tmp_path: Path, form: VideoFormat) -> None:
    def pieces(error: bool) -> Iterator[NDArray[np.uint8]]:
        yield moving(3, 16, 16)
        if error:
            raise ModelingError("no more")
        yield moving(3, 16, 18)

    path = output_path(tmp_path, "a", form)
    with pytest.raises(ModelingError, match="no more"):
        write_video(path, pieces(True), fps=25, form=form)
    with pytest.raises(VideoError, match="change their size from 16x16 to 18x16"):
        write_video(path, pieces(False), fps=25, form=form)
    with pytest.raises(VideoError, match="needs 1 frame or more"):
        write_video(path, iter([]), fps=25, form=form)
    assert list(tmp_path.iterdir()) == []


def test_png_frames_sort_by_name_past_a_thousand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modeling.files.sync", lambda path: None)  # seconds for a thousand files
    frames = np.arange(1003 * 12, dtype=np.uint32).astype(np.uint8).reshape(1003, 2, 2, 3)
    write_video(tmp_path / "a", (frames[i : i + 10] for i in range(0, 1003, 10)), fps=25, form="png")
    np.testing.assert_array_equal(decoded(tmp_path / "a")[0], frames)


def test_ping_pong_shows_no_frame_twice_in_a_row(tmp_path: Path) -> None:
    clip = moving(7, 8, 8)
    with Spool(tmp_path) as spool:
        played = np.concatenate(list(ping_pong(iter([clip[:3], clip[3:4], clip[4:]]), spool)))
    np.testing.assert_array_equal(played, clip[[0, 1, 2, 3, 4, 5, 6, 5, 4, 3, 2, 1]])
    assert list(tmp_path.iterdir()) == []
    twice = np.concatenate([played, played])
    assert (np.abs(np.diff(twice.astype(int), axis=0)).max(axis=(1, 2, 3)) > 0).all()


def test_a_looped_video(tmp_path: Path, noisy: Trained) -> None:
    image = picture(tmp_path / "a.png", 40, 40)
    options = AnimationOptions(frames=6, form="png", loop="ping-pong")
    [result], _ = animate(noisy, [image], tmp_path / "out", options)
    assert result.video is not None
    video, _ = decoded(result.video)
    assert result.frames == len(video) == 10
    np.testing.assert_array_equal(video[6:], video[4:0:-1])


def test_futures_have_their_own_seeds(tmp_path: Path, noisy: Trained) -> None:
    image = picture(tmp_path / "a.png", 40, 40)
    options = AnimationOptions(frames=6, form="png", seed=5, futures=3, contact_sheet=True)
    results, [sheet] = animate(noisy, [image], tmp_path / "out", options)
    assert [(r.video.name, r.seed) for r in results if r.video] == [(f"a-future-{n}", n + 4) for n in (1, 2, 3)]
    videos = [decoded(r.video)[0] for r in results if r.video]
    [alone], _ = animate(noisy, [image], tmp_path / "alone", AnimationOptions(frames=6, form="png", seed=6))
    assert alone.video is not None
    np.testing.assert_array_equal(videos[1], decoded(alone.video)[0])
    assert (videos[0][5] != videos[1][5]).any()
    assert [r.remark for r in results] == [None, None, None]
    assert cv2.imread(str(sheet)).shape[0] > 3 * 128


def test_futures_that_are_the_same_are_said_to_be(tmp_path: Path, trained_run: Path) -> None:
    image = picture(tmp_path / "a.png", 40, 40)
    options = AnimationOptions(frames=5, form="png", futures=2)
    results, _ = animate(load_trained(trained_run, CPU), [image], tmp_path / "out", options)
    assert "hardly differs from the first future" in str(results[1].remark)
    results, _ = animate(made("generator.noise=false"), [image], tmp_path / "one", options)
    assert [r.video.name for r in results if r.video] == ["a"], "a deterministic model has one future"


def test_chosen_frames() -> None:
    assert chosen_frames(25) == [0, 5, 10, 15, 20, 24]
    assert chosen_frames(150) == [0, 30, 60, 90, 120, 149]
    assert chosen_frames(2) == [0, 1]
    assert chosen_frames(1) == [0]
    for frames in range(1, 400):
        shown = chosen_frames(frames)
        assert shown[0] == 0
        assert shown[-1] == frames - 1
        assert shown == sorted(set(shown))
        assert len(shown) <= 9


def test_a_contact_sheet_shows_the_frames_in_their_places(tmp_path: Path) -> None:
    sheet = ContactSheet(tmp_path, [0, 5])
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)]
    cells = [thumbnail(np.full((32, 64, 3), colour, np.uint8)) for colour in colours]
    sheet.add("first.png", cells[:2])
    sheet.add("Füße 海.png", cells[2:])
    with pytest.raises(ValueError, match="needs 2 cells"):
        sheet.add("third", cells[:1])
    sheet.close()
    assert sheet.pages == [tmp_path / "contact-sheet.png"]
    page = cv2.imread(str(sheet.pages[0]))[..., ::-1]
    for index, colour in enumerate(colours):
        y, x = np.nonzero((page == colour).all(axis=-1))
        assert (y.max() - y.min() + 1, x.max() - x.min() + 1) == (64, 128)
        assert (x.min() > 128) == (index % 2 == 1)
        assert (y.min() > 128) == (index >= 2)
    label = page[28:56]
    assert (label.min(axis=-1) < 100).any(), "a label is written"


def test_many_rows_go_to_further_pages(tmp_path: Path) -> None:
    sheet = ContactSheet(tmp_path, [0])
    for index in range(50):
        sheet.add(f"image {index}", [np.zeros((4, 4, 3), np.uint8)])
    sheet.close()
    assert [page.name for page in sheet.pages] == ["contact-sheet.png", "contact-sheet-2.png", "contact-sheet-3.png"]


def test_folders_give_their_images_sorted(tmp_path: Path) -> None:
    for name in ("b.JPG", "a.png", "C.webp", "notes.txt", "raw.heic", ".hidden.png", "README", "own.png"):
        (tmp_path / name).touch()
    (tmp_path / "nested").mkdir()
    (tmp_path / "nested" / "x.png").touch()
    odd = tmp_path / "raw.heic"
    found = find_images([odd, tmp_path], leave_out=[tmp_path / "own.png"])
    assert [image.name for image in found.images] == ["raw.heic", "a.png", "b.JPG", "C.webp"]
    assert found.remarks() == [
        "skipped 3 files that are no images (1 .heic, 1 .txt, 1 without ending)",
        "1 folders inside the given ones were not looked into: name them too",
    ]
    (empty := tmp_path / "empty").mkdir()
    (empty / "notes.txt").touch()
    with pytest.raises(UsageError, match=r"no image in .*empty \(skipped 1 files"):
        find_images([empty])


def test_animate_a_folder_from_the_command_line(trained_run: Path, tmp_path: Path, modeling: Run) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    picture(photos / "b.png", 48, 90)
    picture(photos / "a.jpg", 90, 48)
    (photos / "bad.png").write_text("words")
    (photos / "notes.txt").touch()
    arguments = ["animate", "--run", trained_run, photos, "--out", photos, "--frames", 4, "--fit", "tiles"]
    for _ in range(2):  # a second time its own contact sheet is not animated
        result = modeling(*arguments, "--height", 40, "--contact-sheet", "--loop", "ping-pong", "--json")
        assert result.exit_code == 1
        said = json.loads(result.stdout)
        assert [(Path(v["video"]).name, v["width"], v["height"], v["frames"]) for v in said["videos"]] == [
            ("a.mp4", 22, 40, 6),
            ("b.mp4", 76, 40, 6),
        ]
        assert [Path(failure["image"]).name for failure in said["failures"]] == ["bad.png"]
        assert said["contact_sheets"] == [str(photos / "contact-sheet.png")]
    assert said["skipped"] == {".txt": 1, ".mp4": 2}
    for words, more in (
        ("--height is for --fit tiles", ["--fit", "pad", "--height", 64]),
        ("tiles are 32 px high", ["--height", 16]),
        ("trained without masks", ["--mask", photos / "b.png"]),
    ):
        result = modeling(*arguments, *more)
        assert result.exit_code == 2, words
        assert words in result.stderr


def test_a_small_picture_is_not_enlarged_and_that_is_said(tmp_path: Path, noisy: Trained) -> None:
    image = picture(tmp_path / "a.png", 40, 60)
    options = AnimationOptions(frames=3, fit="tiles", height=200)
    [result], _ = animate(noisy, [image], tmp_path, options)
    assert (result.height, result.width) == (40, 60)
    assert "is smaller than --height 200" in str(result.remark)


def test_masks_for_each_image(tmp_path: Path) -> None:
    mask = np.zeros((20, 30), np.uint8)
    mask[:, 15:] = 255
    cv2.imwrite(str(tmp_path / "a.png"), mask)
    assert mask_of(Path("photos/a.jpg"), tmp_path) == tmp_path / "a.png"
    assert mask_of(Path("photos/b.jpg"), tmp_path / "a.png") == tmp_path / "a.png"
    with pytest.raises(ImageError, match=r"b\.jpg has no mask"):
        mask_of(Path("photos/b.jpg"), tmp_path)
    labels = read_labels(tmp_path / "a.png", 40, 60, 1)
    np.testing.assert_array_equal(labels, np.repeat([np.arange(60) >= 30], 40, axis=0))
    cv2.imwrite(str(tmp_path / "one.png"), mask // 255)
    np.testing.assert_array_equal(read_labels(tmp_path / "one.png", 40, 60, 1), labels)
    cv2.imwrite(str(tmp_path / "none.png"), mask * 0)
    assert read_labels(tmp_path / "none.png", 20, 30, 1).max() == 0
    cv2.imwrite(str(tmp_path / "three.png"), np.stack([mask // 85] * 3, axis=-1))
    assert set(read_labels(tmp_path / "three.png", 20, 30, 3).flat) == {0, 3}
    with pytest.raises(ImageError, match="has label 3: this model takes 0"):
        read_labels(tmp_path / "three.png", 20, 30, 2)
    with pytest.raises(ImageError, match="not the aspect of its image"):
        read_labels(tmp_path / "a.png", 60, 40, 1)
    cv2.imwrite(str(tmp_path / "colour.png"), np.random.default_rng(0).integers(0, 9, (20, 30, 3), np.uint8))
    with pytest.raises(ImageError, match="is no mask"):
        read_labels(tmp_path / "colour.png", 20, 30, 3)


@pytest.mark.parametrize("fit", ["crop", "pad", "tiles"])
def test_a_hard_mask_keeps_still_what_it_says(tmp_path: Path, fit: str) -> None:
    trained = made("generator.mask_classes=1", "generator.mask_mode=hard")
    image = picture(tmp_path / "a.png", 64, 128)
    mask = np.zeros((64, 128), np.uint8)
    mask[:, 64:] = 255
    (masks := tmp_path / "masks").mkdir()
    cv2.imwrite(str(masks / "a.png"), mask)
    options = AnimationOptions(frames=4, fit=fit, form="png", masks=masks)  # type: ignore[arg-type]
    [result], _ = animate(trained, [image], tmp_path / "out", options)
    assert result.video is not None, result.error
    video, _ = decoded(result.video)
    middle = video.shape[2] // 2
    np.testing.assert_array_equal(
        video[1:, :, : middle - 1], np.broadcast_to(video[0], video.shape)[1:, :, : middle - 1]
    )
    assert (video[1:, :, middle + 1 :] != video[:1, :, middle + 1 :]).mean() > 0.5
    with pytest.raises(UsageError, match="needs a mask of each image"):
        animate(trained, [image], tmp_path, AnimationOptions(frames=4))
    other = picture(tmp_path / "b.png", 64, 64)
    [result], _ = animate(trained, [other], tmp_path / "out", options)
    assert "has no mask" in str(result.error)


@pytest.mark.parametrize("fit", ["crop", "tiles"])
def test_several_context_frames_are_one_still(tmp_path: Path, fit: str) -> None:
    trained = made("generator.context_frames=3")
    image = picture(tmp_path / "a.png", 32, 32)
    options = AnimationOptions(frames=5, form="png", fit=fit)  # type: ignore[arg-type]
    [result], _ = animate(trained, [image], tmp_path / "out", options)
    assert result.video is not None
    video, _ = decoded(result.video)
    still = np.repeat(video[:1], 3, axis=0)
    expected = roll_out(trained.generator, still, frames=7, seed=0)[2:]
    assert len(video) == 5
    assert np.abs(video.astype(int) - expected).max() <= 1


def test_an_unconditional_model_animates_nothing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unconditional model"):
        animate(
            made("generator.context_frames=0", "generator.latent=8", "d_s.conditional=off"),
            [Path("a.png")],
            tmp_path,
            AnimationOptions(),
        )


def test_bf16_stays_near(noisy: Trained) -> None:
    square = cv2.resize(moving(1, 32, 32)[0], (32, 32))[None]
    full, half = (
        np.concatenate(list(stream_clip(noisy.generator, square, frames=25, seed=1, precision=precision)))
        for precision in ("fp32", "bf16")
    )
    difference = np.abs(full.astype(int) - half)
    assert 0 < difference.mean() < 1.5
    assert torch.is_autocast_enabled("cpu") is False


def test_a_long_video_from_an_export(tmp_path: Path, trained_run: Path, modeling: Run) -> None:
    image = picture(tmp_path / "a.png", 40, 40)
    (exported := tmp_path / "exported").mkdir()
    for name in ("model.safetensors", "model.json"):
        shutil.copy(trained_run / name, exported / name)
    result = modeling("animate", "--run", exported, image, "--out", tmp_path, "--frames", 150, "--format", "webm")
    assert result.exit_code == 0, result.output
    assert len(decoded(tmp_path / "a.webm")[0]) == 150
