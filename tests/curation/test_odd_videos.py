"""Videos that are not as most are, all the way from `curate add` to verified shards.

Each of the videos shows the same moving picture; what is odd is how it is stored.
"""

from __future__ import annotations

import json
import struct
import wave
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from click.testing import CliRunner, Result

from curation.commands import main
from db.shards import ShardReader, read_manifest

FRAMES = 40


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def turned(path: Path) -> Path:
    """Make an MP4 say that it is to be shown a quarter turn clockwise: the matrix of its track header."""
    content = bytearray(path.read_bytes())
    at = content.index(b"tkhd") + 4 + 4 + 20 + 16  # after version and flags, times and ids, layer and volume
    assert struct.unpack_from(">9i", content, at) == (1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    struct.pack_into(">9i", content, at, 0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)
    path.write_bytes(content)
    return path


def interlaced(path: Path) -> Path:
    """H.264 coded as interlaced, top field first, a dot further in each field."""
    with av.open(str(path), "w") as container:
        options = {"preset": "ultrafast", "x264-params": "interlaced=1:tff=1"}
        stream = container.add_stream("libx264", rate=25, options=options)
        stream.height, stream.width, stream.pix_fmt = 96, 128, "yuv420p"
        for index in range(FRAMES):
            pixels = np.full((96, 128, 3), 90, np.uint8)
            for field in range(2):
                left = 4 + 2 * index + field
                pixels[20 + field : 70 : 2, left : left + 24] = 200
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    with av.open(str(path)) as container:
        assert all(frame.interlaced_frame for frame in container.decode(video=0))
    return path


def audio_only(path: Path) -> Path:
    with wave.open(str(path.with_suffix(".wav")), "wb") as sound:
        sound.setparams((1, 2, 8000, 8000, "NONE", ""))
        sound.writeframes(bytes(16000))
    with av.open(str(path.with_suffix(".wav"))) as source, av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        for frame in source.decode(audio=0):
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def make(kind: str, path: Path, write: Callable[..., Path]) -> Path:
    size = {"frames": FRAMES, "height": 48, "width": 64}
    match kind:
        case "variable frame rate":
            steps = np.random.default_rng(3).integers(12, 90, FRAMES).cumsum()
            return write(path, **size, pts=[int(step - steps[0]) for step in steps])
        case "rotated":
            return turned(write(path, **{**size, "width": 96}))
        case "odd-sized":
            return write(path, frames=FRAMES, height=47, width=63, pix_fmt="yuv444p")
        case "one frame":
            return write(path, **{**size, "frames": 1})
        case "ten bits":
            return write(path, **size, pix_fmt="yuv420p10le")
        case "interlaced":
            return interlaced(path)
        case _:
            raise ValueError(kind)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    assert invoke("init", tmp_path / "data").exit_code == 0
    return tmp_path / "data"


@pytest.mark.parametrize("kind", ["variable frame rate", "rotated", "odd-sized", "one frame", "ten bits", "interlaced"])
def test_goes_all_the_way(kind: str, dataset: Path, tmp_path: Path, make_video: Callable[..., Path]) -> None:
    path = make(kind, tmp_path / f"{kind}.mp4", make_video)
    assert invoke("add", "--dataset", dataset, path).exit_code == 0
    done = invoke("run", "--dataset", dataset, "--accept-unreviewed", "--min-variance", 0, "--size", 32)
    assert done.exit_code == 0, done.output

    (clip,) = json.loads(invoke("status", "--dataset", dataset, "--json").stdout)["clips"]
    assert (clip["state"], clip["error"]) == ("accepted", None)
    assert all(np.isfinite(value) for value in clip["scores"].values())
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert clip["frames"] == len(frames)
    mean = sum(frame / 255.0 for frame in frames) / len(frames)
    variance = float(np.mean(sum((frame / 255.0 - mean) ** 2 for frame in frames) / len(frames)))
    assert clip["scores"]["variance"] == pytest.approx(variance, abs=1e-9)

    (preview,) = (dataset / "previews").glob("*.mp4")
    with av.open(str(preview)) as container:
        shown = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert shown
    assert {frame.shape for frame in shown} == {(90, 160, 3)}
    if kind == "rotated":  # upright: a tall picture between bars
        assert np.ptp(shown[0][:, :40].astype(int)) < 12 < np.ptp(shown[0][:, 60:100].astype(int))

    manifest = read_manifest(dataset / "shards")
    (entry,) = manifest.shards
    with ShardReader(dataset / "shards" / entry.file) as shard:
        (row,) = shard.rows
        seconds = clip["end"] - clip["start"]
        assert row.length == max(1, round(seconds * 25)) or abs(row.length - seconds * 25) <= 1
        window = shard.window(0, 0, row.length)
    assert window.shape == (row.length, 32, 32, 3)
    assert invoke("verify", "--dataset", dataset).exit_code == 0


def test_sound_without_a_picture_is_refused_by_name(dataset: Path, tmp_path: Path) -> None:
    path = audio_only(tmp_path / "song.m4a")
    assert invoke("add", "--dataset", dataset, path).exit_code == 0
    done = invoke("run", "--dataset", dataset, "--accept-unreviewed")
    assert done.exit_code == 1
    (video,) = json.loads(invoke("status", "--dataset", dataset, "--json").stdout)["videos"]
    assert video["state"] == "failed"
    assert video["error"].startswith("unsupported: ")
    assert "song.m4a" in video["error"]


def test_a_video_that_vanishes_between_stages(dataset: Path, tmp_path: Path, make_video: Callable[..., Path]) -> None:
    """At whatever stage it is missed, it is told by name; the other one goes on; once it is back, so does it."""
    kept, lost = (
        make_video(tmp_path / f"{name}.mp4", frames=FRAMES, seed=n) for n, name in enumerate(("kept", "lost"))
    )
    content = lost.read_bytes()
    assert invoke("add", "--dataset", dataset, kept, lost).exit_code == 0
    for stage in ("download", "cut", "score", "filter", "preview"):
        if stage != "download":
            assert invoke(stage, "--dataset", dataset).exit_code in (0, 1)
        else:
            assert invoke(stage, "--dataset", dataset).exit_code == 0
        if stage == "cut":
            lost.unlink()
    listed = json.loads(invoke("status", "--dataset", dataset, "--json").stdout)
    videos = {Path(video["source"]).name: video for video in listed["videos"]}
    clips = {Path(clip["source"]).name: clip for clip in listed["clips"]}
    assert (videos["kept.mp4"]["state"], clips["kept.mp4"]["state"]) == ("downloaded", "pending")
    assert videos["lost.mp4"]["state"] == "failed"
    assert videos["lost.mp4"]["error"].startswith("missing: ")
    assert clips["lost.mp4"]["state"] == "planned"

    lost.write_bytes(content)
    done = invoke("run", "--dataset", dataset)
    assert done.exit_code == 0, done.output
    listed = json.loads(invoke("status", "--dataset", dataset, "--json").stdout)
    assert {clip["state"] for clip in listed["clips"]} == {"pending"}
