"""`curate masks`: label maps matched by name, and those of what moves."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from sqlalchemy import event, select

import curation.masks.given
from curation.commands import main
from curation.commands.masks import read_classes
from curation.masks.given import import_masks
from curation.masks.label_maps import png_bytes, read_png
from curation.masks.motion import pixel_variance
from db.engine import open_catalogue
from db.files import sha256_of
from db.models import Clip, Mask, Recipe, Section, Video
from db.shards import ShardReader
from db.states import ClipState, move_clips
from tests.curation.export_cases import add_video, make_dataset, write_video


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two videos of two one-second clips, 48x64; the right half of `still` stands."""
    folder = tmp_path_factory.mktemp("prepared") / "set"
    with make_dataset(folder, {"a": "train"}) as catalogue:
        rng = np.random.default_rng(0)
        frames = np.full((50, 48, 64, 3), 90, np.uint8)
        frames[:, :, :32] = rng.integers(0, 256, (50, 3, 2, 3), dtype=np.uint8).repeat(16, 1).repeat(16, 2)
        add_video(catalogue, write_video(folder / "videos" / "still.mp4", frames, crf=10))
    return folder


@pytest.fixture
def dataset(prepared: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(prepared, tmp_path / "set"))


@pytest.fixture
def maps(tmp_path: Path) -> Path:
    folder = tmp_path / "maps"
    folder.mkdir()
    return folder


def masks(dataset: Path, *arguments: object, status: int = 0) -> dict[str, Any]:
    options = ["masks", "--dataset", dataset, "--workers", 1, "--json", *arguments]
    result = CliRunner().invoke(main, [str(option) for option in options])
    assert result.exit_code == status, result.output
    if not result.stdout:
        assert len(result.stderr.strip().splitlines()) == 1
        return {"error": result.stderr.strip()}
    told: dict[str, Any] = json.loads(result.stdout)
    return told


def draw(path: Path, value: int, size: tuple[int, int] = (48, 64)) -> None:
    path.write_bytes(png_bytes(np.full(size, value, np.uint8)))


def clips(dataset: Path, video: str = "a") -> list[Clip]:
    with open_catalogue(dataset) as catalogue, catalogue.reading() as session:
        return list(session.scalars(select(Clip).where(Clip.video_id == f"file-{video}").order_by(Clip.index)))


def rows(dataset: Path) -> dict[tuple[str, int, str], Mask]:
    with open_catalogue(dataset) as catalogue, catalogue.reading() as session:
        return {(mask.video_id, mask.pts, mask.origin): mask for mask in session.scalars(select(Mask))}


def test_names_tell_clips_frames_and_times(dataset: Path, maps: Path) -> None:
    first, second = clips(dataset)
    step = first.time_base_den // 25
    draw(maps / f"{first.id}.png", 1)
    draw(maps / f"{second.id}-7.png", 2)
    draw(maps / "file-still@1.2.png", 3)
    draw(maps / "file-still@1.52.png", 4)  # between two frames: the nearer one
    told = masks(dataset, "--from", maps)
    assert (told["stored"], told["unchanged"], told["failed"]) == (4, 0, 0)
    found = {key: read_png(dataset / mask.path).max() for key, mask in rows(dataset).items()}
    assert found == {
        ("file-a", 0, "given"): 1,
        ("file-a", second.start_pts + 7 * step, "given"): 2,
        ("file-still", 30 * step, "given"): 3,
        ("file-still", 38 * step, "given"): 4,
    }
    assert all(sha256_of(dataset / mask.path) == mask.sha256 for mask in rows(dataset).values())
    again = masks(dataset, "--from", maps)
    assert (again["stored"], again["unchanged"]) == (0, 4)
    assert masks(dataset, "--list")["remarks"] == ["given: 4 masks of 2 videos"]


def test_a_repainted_map_takes_the_place_of_the_old_one(dataset: Path, maps: Path) -> None:
    clip = clips(dataset)[0]
    draw(maps / f"{clip.id}.png", 1)
    masks(dataset, "--from", maps)
    (old,) = rows(dataset).values()
    draw(maps / f"{clip.id}.png", 2)
    assert masks(dataset, "--from", maps)["stored"] == 1
    (new,) = rows(dataset).values()
    assert read_png(dataset / new.path).max() == 2
    assert not (dataset / old.path).exists()
    assert len(list((dataset / "masks").rglob("*.png"))) == 1


def test_each_bad_file_is_named_and_the_rest_goes_on(dataset: Path, maps: Path) -> None:
    first, second = clips(dataset)
    draw(maps / f"{first.id}.png", 1)
    draw(maps / f"{first.id}-0.png", 1)  # the same frame again
    draw(maps / f"{second.id}-25.png", 1)
    draw(maps / "file-a@99.png", 1)
    draw(maps / "someone.png", 1)
    draw(maps / "file-b@1.png", 1)
    draw(maps / f"{second.id}.png", 1, size=(47, 64))
    (maps / f"{second.id}-3.png").write_bytes(b"no image")
    (maps / "notes.txt").write_text("mine")
    (maps / ".hidden.png").write_text("")
    told = masks(dataset, "--from", maps, status=1)
    assert told["stored"] == 1
    said = {failure["item"]: failure["error"] for failure in told["failures"]}
    names = "names no clip or video of this dataset"
    assert said.keys() == {path.name for path in maps.glob("[!.]*.png")} - {f"{first.id}-0.png"}
    assert said.pop("someone.png").startswith(names)
    assert said.pop("file-b@1.png").startswith(names)
    assert said == {
        f"{first.id}.png": f"is of the same frame as {first.id}-0.png, which was taken",
        f"{second.id}-25.png": "the clip has 25 frames, counted from 0",
        "file-a@99.png": "video file-a has no frame at 99.0 s",
        f"{second.id}.png": "is 64x47, the video's frames are 64x48",
        f"{second.id}-3.png": f"{second.id}-3.png: not a PNG image",
    }
    assert told["remarks"] == ["no PNG, left alone: notes.txt"]


def test_classes_are_kept_and_unknown_values_refused(dataset: Path, maps: Path) -> None:
    first, second = clips(dataset)
    draw(maps / f"{first.id}.png", 3)
    draw(maps / f"{second.id}.png", 4)
    names = maps / "classes.txt"
    names.write_text("# of the painter\n0, sky\n3\twater, running\n3 lake\n256 none\nriver\n\n")
    told = masks(dataset, "--from", maps, "--classes", names, status=1)
    assert told["stored"] == 1
    assert told["remarks"] == []
    assert [(failure["source"], failure["error"]) for failure in told["failures"]] == [
        ("row 4", "value 3 has a name already: water, running"),
        ("row 5", "a row is a value from 0 to 255 and a name, such as: 3 water"),
        ("row 6", "a row is a value from 0 to 255 and a name, such as: 3 water"),
        (str(maps), "has values that no class names: 4"),
    ]
    with open_catalogue(dataset) as catalogue, catalogue.reading() as session:
        (mask,) = session.scalars(select(Mask))
        recipe = session.get_one(Recipe, mask.settings_hash)
    assert recipe.settings["classes"] == {"0": "sky", "3": "water, running"}
    assert read_classes(names)[0] == {0: "sky", 3: "water, running"}


def test_a_video_that_is_here_in_sections_only(dataset: Path, maps: Path) -> None:
    with open_catalogue(dataset) as catalogue, catalogue.writing() as session:
        video = session.get_one(Video, "file-a")
        assert video.path is not None
        session.add(
            Section(
                video_id=video.id,
                index=0,
                start=0.0,
                end=2.0,
                first_pts=0,
                path=video.path,
                sha256=video.sha256,
                bytes=video.bytes,
            )
        )
        for clip in video.clips:
            clip.section_index = 0
        video.path = None
    draw(maps / "file-a@0.4.png", 1)
    draw(maps / f"{clips(dataset)[1].id}-2.png", 1)
    draw(maps / "file-a@2.4.png", 1)
    told = masks(dataset, "--from", maps, status=1)
    assert told["stored"] == 2
    assert told["failures"][0]["error"] == "no file of video file-a holds this time"
    assert {pts for _, pts, _ in rows(dataset)} == {10 * 512, 27 * 512}


def test_what_moves_is_1_and_what_stands_is_0(dataset: Path) -> None:
    told = masks(dataset, "--motion")
    assert (told["made"], told["failed"]) == (4, 0)
    found = rows(dataset)
    assert {origin for _, _, origin in found} == {"motion"}
    for clip in clips(dataset, "still"):
        labels = read_png(dataset / found["file-still", clip.start_pts, "motion"].path)
        assert labels.shape == (48, 64)
        assert labels[:, :28].min() == 1
        assert labels[:, 40:].max() == 0
    assert masks(dataset, "--motion")["made"] == 0
    # A threshold that all or nothing reaches.
    before = {mask.path for mask in found.values()}
    assert masks(dataset, "--motion", "--threshold", 0.25)["made"] == 4
    after = {mask.path for mask in rows(dataset).values()}
    assert all(read_png(dataset / path).max() == 0 for path in after)
    assert not any((dataset / path).exists() for path in before - after)
    assert masks(dataset, "--remove", "motion")["removed"] == 4
    assert list((dataset / "masks").rglob("*.png")) == []
    assert masks(dataset, "--list")["remarks"] == ["none yet"]


def test_only_accepted_clips_get_masks_and_bad_ones_are_told(dataset: Path) -> None:
    first, second = clips(dataset)
    with open_catalogue(dataset) as catalogue, catalogue.writing() as session:
        move_clips(session, [first.id], ClipState.REJECTED)
    (dataset / "videos" / "still.mp4").unlink()
    told = masks(dataset, "--motion", status=1)
    assert told["made"] == 1
    assert told["failures"][0]["error"].startswith("missing: ")
    assert [key[:2] for key in rows(dataset)] == [("file-a", second.start_pts)]


def test_variance_is_that_of_the_definition() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (300, 9, 7, 3), dtype=np.uint8)
    expected = (frames.astype(np.float64) / 255).var(axis=0).mean(axis=-1)
    np.testing.assert_allclose(pixel_variance(iter(frames), 300), expected, atol=1e-12)


def test_motion_masks_go_into_shards(dataset: Path) -> None:
    masks(dataset, "--motion")
    options = ["export", "--dataset", str(dataset), "--size", "24", "--masks", "motion", "--fit", "squash"]
    assert CliRunner().invoke(main, options).exit_code == 0
    reader = ShardReader(dataset / "shards" / "train-00000.h5")
    still = [number for number, row in enumerate(reader.rows) if row.video_id == "file-still"]
    for number in still:
        assert reader.masked_frames(number) == (0,)
        labels = reader.labels(number, 0)
        assert labels[:, :10].min() == 1
        assert labels[:, 15:].max() == 0


def test_a_kill_between_file_and_row_is_mended(dataset: Path, maps: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = clips(dataset)[0]
    draw(maps / f"{clip.id}.png", 1)
    with monkeypatch.context() as patch:

        def killed(*_: object) -> None:
            raise KeyboardInterrupt

        patch.setattr(curation.masks.given, "keep_recipe", killed)
        result = CliRunner().invoke(main, ["masks", "--dataset", str(dataset), "--from", str(maps)])
        assert result.exit_code == 1
    assert rows(dataset) == {}
    assert masks(dataset, "--from", maps)["stored"] == 1
    assert len(list((dataset / "masks").rglob("*.png"))) == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "one of --from DIR, --motion, --list and --remove is needed"),
        (["--motion", "--list"], "one of --from DIR"),
        (["--list", "--threshold", "0.1"], "--threshold belongs to --motion"),
        (["--motion", "--threshold", "0"], "above 0 and at most 0.25"),
        (["--motion", "--threshold", "nan"], "above 0 and at most 0.25"),
        (["--from", "/nowhere"], "does not exist"),
    ],
)
def test_bad_usage(dataset: Path, options: list[str], said: str) -> None:
    result = CliRunner().invoke(main, ["masks", "--dataset", str(dataset), *options])
    assert result.exit_code == 2
    assert said in result.stderr


def test_a_class_file_without_a_class(dataset: Path, maps: Path) -> None:
    empty = maps / "classes.txt"
    empty.write_text("\n")
    assert "names no class" in masks(dataset, "--from", maps, "--classes", empty, status=2)["error"]


def test_many_maps_are_matched_in_few_queries(dataset: Path, maps: Path) -> None:
    for number in range(200):
        draw(maps / f"nobody-{number}.png", 0)
    asked: list[str] = []
    with open_catalogue(dataset) as catalogue:
        event.listen(catalogue.engine, "before_cursor_execute", lambda *call: asked.append(call[2]))
        result = import_masks(catalogue, maps)
    assert len(result.failed) == 200
    assert len(asked) < 40
