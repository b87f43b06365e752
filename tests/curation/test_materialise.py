"""Clip files hold the frames, at the times, in the time base of their source; later stages read them."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from curation.commands import main
from curation.cutting.materialise import FileRecipe, Job, make_file
from curation.cutting.plan import CutRecipe, plan
from curation.decode import decode, rgb
from curation.errors import StageError
from curation.probe import probe
from db.engine import open_catalogue
from db.models import Clip, Preview, Recipe, Video
from db.shards import read_manifest
from db.states import ClipState
from tests.curation.export_cases import make_dataset, moving_frames


def encode(
    path: Path,
    frames: np.ndarray,
    *,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    rate: Fraction = Fraction(25),
    times: list[int] | None = None,
    base: Fraction | None = None,
    rotation: int = 0,
    aspect: Fraction | None = None,
    options: dict[str, str] | None = None,
) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options=options or {})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pix_fmt
        stream.codec_context.time_base = base or 1 / rate
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        if rotation:
            stream.set_display_rotation(rotation)
        for number, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format=pix_fmt)
            frame.pts, frame.time_base = (number if times is None else times[number]), base or 1 / rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


VARIABLE = np.cumsum([0, *([20, 60, 61, 33] * 20)])[:60].tolist()
SOURCES: dict[str, tuple[str, dict[str, Any]]] = {
    "h264": ("a.mp4", {}),
    "b-frames and a late first frame": ("a.mp4", {"options": {"bf": "3"}, "times": list(range(40, 100))}),
    "variable rate": ("a.mp4", {"times": VARIABLE, "base": Fraction(1, 1000)}),
    "matroska": ("a.mkv", {"rate": Fraction(30000, 1001)}),
    "avi": ("a.avi", {"codec": "mpeg4"}),
    "10 bits": ("a.mp4", {"pix_fmt": "yuv420p10le"}),
    "4:4:4": ("a.mp4", {"pix_fmt": "yuv444p"}),
    "full range": ("a.mp4", {"pix_fmt": "yuvj420p"}),
    "rgb": ("a.mkv", {"codec": "ffv1", "pix_fmt": "bgr0"}),
    "rotated": ("a.mp4", {"rotation": 90}),
    "wide pixels": ("a.mp4", {"aspect": Fraction(4, 3)}),
    "odd size": ("a.mkv", {"codec": "ffv1", "pix_fmt": "yuv444p"}),
}


@pytest.mark.parametrize("lossless", [False, True], ids=["lossy", "lossless"])
@pytest.mark.parametrize("name", SOURCES)
def test_frames_times_and_time_base_are_the_sources(tmp_path: Path, name: str, lossless: bool) -> None:
    file, options = SOURCES[name]
    height, width = (49, 65) if name == "odd size" else (48, 64)
    source = encode(tmp_path / file, moving_frames(60, height, width, 7), **options)
    info = probe(source)
    clip = plan(info, CutRecipe(length=1.0, margin=0.3, spacing=0.0, max_clips=1))[0]
    assert 0 < clip.frame_count < 60
    job = Job(
        source=source,
        target=tmp_path / "clip",
        start_pts=clip.start_pts,
        end_pts=clip.end_pts,
        frames=clip.frame_count,
        recipe=FileRecipe(lossless=lossless),
    )
    made = make_file(job)
    found = probe(made.path)
    assert (found.time_base, found.rotation) == (info.time_base, info.rotation)
    assert (found.width, found.height, found.frames) == (info.width, info.height, clip.frame_count)
    inside = (clip.start_pts, clip.end_pts)
    assert [frame.pts for frame in decode(made.path, *inside)] == [frame.pts for frame in decode(source, *inside)]
    before = np.stack([pixels.copy() for pixels in rgb(source, *inside)]).astype(int)
    after = np.stack([pixels.copy() for pixels in rgb(made.path, *inside)]).astype(int)
    assert np.abs(before - after).mean() < 5  # coloured noise, the hardest there is
    if lossless:
        assert np.array_equal(before, after)
    assert made.bytes == made.path.stat().st_size
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_what_no_file_can_hold_is_an_error_that_says_so(tmp_path: Path) -> None:
    frames = moving_frames(30, 48, 64, 7)
    ntsc = encode(tmp_path / "n.avi", frames, codec="mpeg4", rate=Fraction(30000, 1001))
    odd = encode(tmp_path / "o.mkv", moving_frames(30, 49, 65, 7), codec="ffv1")
    deep = encode(tmp_path / "d.mkv", frames, codec="ffv1", pix_fmt="yuv420p16le")
    for source, lossless, said in (
        (ntsc, False, "times in 1001/30000 s"),
        (odd, True, "yuv420p pictures of 65x49"),
        (deep, False, "yuv420p16le pictures"),
    ):
        info = probe(source)
        job = Job(
            source=source, target=tmp_path / "c", start_pts=int(info.pts[0]), end_pts=info.end_pts, frames=info.frames,
            recipe=FileRecipe(lossless=lossless),
        )  # fmt: skip
        with pytest.raises(StageError, match=said):
            make_file(job)
        assert not list(tmp_path.glob("*c.mp4*"))
    assert make_file(replace(job, source=odd, recipe=FileRecipe())).bytes


def test_real_footage_loses_little(footage: Path, tmp_path: Path) -> None:
    source = footage / "ocean.mp4"
    clip = plan(probe(source), CutRecipe(length=0.5, margin=2.0, max_clips=1))[0]
    inside = (clip.start_pts, clip.end_pts)
    job = Job(
        source=source, target=tmp_path / "c", start_pts=inside[0], end_pts=inside[1], frames=clip.frame_count,
        recipe=FileRecipe(),
    )  # fmt: skip
    made = make_file(job)
    pairs = zip(rgb(source, *inside), rgb(made.path, *inside), strict=True)
    error = np.mean([np.mean((one.astype(float) - other) ** 2) for one, other in pairs])
    assert 10 * np.log10(255**2 / error) > 42


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prepared") / "set"
    with make_dataset(folder, {"a": "train", "b": "train", "c": "test"}) as catalogue, catalogue.writing() as session:
        session.execute(sa.update(Video).values(cut_recipe=sa.select(Recipe.hash).scalar_subquery()))
    return folder


@pytest.fixture
def dataset(prepared: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(prepared, tmp_path / "set"))


def curate(folder: Path, *arguments: str, status: int = 0) -> dict[str, Any]:
    result = CliRunner().invoke(main, [arguments[0], "--dataset", str(folder), "--json", *arguments[1:]])
    assert result.exit_code == status, result.output
    return json.loads(result.stdout) if result.stdout else {"error": result.stderr.strip()}


def clips(folder: Path) -> dict[str, Clip]:
    with open_catalogue(folder) as catalogue, catalogue.reading() as session:
        return {clip.id: clip for clip in session.scalars(sa.select(Clip))}


def test_later_stages_read_the_files_and_what_is_exported_stays(dataset: Path) -> None:
    curate(dataset, "export", "--size", "16")
    before = {path.name: path.read_bytes() for path in (dataset / "shards").glob("*.h5")}
    unwanted = min(clips(dataset))
    with open_catalogue(dataset) as catalogue, catalogue.writing() as session:
        session.execute(sa.update(Clip).where(Clip.id == unwanted).values(state=ClipState.REJECTED))
    told = curate(dataset, "cut", "--materialise", "--lossless", "--workers", "1")
    assert (told["files"], told["failed"], told["new_clips"]) == (5, 0, 0)
    assert told["file_bytes"] == sum(path.stat().st_size for path in (dataset / "clips").iterdir())
    assert told["source_bytes"] == sum(path.stat().st_size for path in (dataset / "videos").glob("*.mp4"))
    rows = clips(dataset)
    assert rows[unwanted].path is None
    assert all(clip.path and clip.sha256 and clip.file_recipe for name, clip in rows.items() if name != unwanted)
    assert curate(dataset, "cut", "--materialise", "--workers", "1")["files"] == 0
    with open_catalogue(dataset) as catalogue, catalogue.writing() as session:
        session.execute(sa.update(Clip).where(Clip.id == unwanted).values(state=ClipState.ACCEPTED))
    assert curate(dataset, "export", "--size", "16")["new_version"] is False
    # Without the sources, all but the clip without a file can still be shown and exported, frame by frame the same.
    for path in (dataset / "videos").glob("*.mp4"):
        path.unlink()
    shutil.rmtree(dataset / "shards")
    told = curate(dataset, "export", "--size", "16", "--shard-size", "1B", status=1)
    assert [failure["item"] for failure in told["failures"]] == [unwanted]
    assert told["clips"] == 5
    assert before
    with open_catalogue(dataset) as catalogue, catalogue.reading() as session:
        hashes = session.execute(
            sa.text("SELECT clip_id, count(DISTINCT sha256), count(*) FROM shard_clips GROUP BY clip_id")
        )
        assert {clip: (different, number) for clip, different, number in hashes if clip != unwanted} == dict.fromkeys(
            sorted(set(rows) - {unwanted}), (1, 2)
        )
    curate(dataset, "preview", "--workers", "1")
    with open_catalogue(dataset) as catalogue, catalogue.reading() as session:
        shown = session.scalars(sa.select(Preview.clip_id).where(Preview.path.is_not(None))).all()
        assert len(shown) >= 4
    assert read_manifest(dataset / "shards").version == 2


def test_lossy_files_are_told(dataset: Path) -> None:
    told = curate(dataset, "cut", "--materialise", "--crf", "30", "--workers", "1")
    assert any("6 of them are encoded anew with loss" in said for said in told["remarks"])
    curate(dataset, "export", "--size", "16")
    # What is written anew of the same recipe says that it is not what it was.
    with open_catalogue(dataset) as catalogue, catalogue.reading() as session:
        first = min(session.scalars(sa.select(Clip.id).where(Clip.video_id == "file-a")))
    for path in (dataset / "clips").glob("*.mp4"):
        path.unlink()
    with open_catalogue(dataset) as catalogue, catalogue.writing() as session:
        session.execute(sa.update(Clip).values(path=None))
        session.execute(sa.update(Clip).where(Clip.id == first).values(state=ClipState.REJECTED))
    told = curate(dataset, "export", "--size", "16")
    assert any("3 clips have other frames here than in an earlier shard" in said for said in told["remarks"])
    with open_catalogue(dataset) as catalogue, catalogue.writing() as session:
        session.execute(sa.update(Clip).where(Clip.id == first).values(state=ClipState.ACCEPTED))
    curate(dataset, "cut", "--materialise", "--crf", "30", "--workers", "1")
    curate(dataset, "export", "--size", "16")
    told = curate(dataset, "manifest")
    assert any("6 clips have lossy files of their own" in said for said in told["remarks"])


def test_a_clip_that_does_not_decode_is_named(dataset: Path) -> None:
    path = dataset / "videos" / "b.mp4"
    whole = path.read_bytes()
    start = whole.index(b"mdat") + 4
    path.write_bytes(whole[: start + 200] + bytes(len(whole) - start - 3200) + whole[-3000:])
    told = curate(dataset, "cut", "--materialise", "--workers", "1", status=1)
    assert told["failed"] >= 1
    assert {failure["item"].partition("-0")[0].rsplit("-", 1)[0] for failure in told["failures"]} == {"file-b"}
    assert all(failure["error"].startswith("corrupt") for failure in told["failures"])
    assert not list((dataset / "clips").glob(".*"))


@pytest.mark.parametrize(
    ("options", "said"),
    [(["--lossless"], "add --materialise"), (["--materialise", "--lossless", "--crf", "3"], "have no --crf")],
)
def test_options_that_do_not_go_together(dataset: Path, options: list[str], said: str) -> None:
    assert said in curate(dataset, "cut", *options, status=2)["error"]
