"""The overview shows what the status says: frames by state, stills of the clips' middles, curves, samples."""

from __future__ import annotations

import json

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from curation.demo import overview as page
from curation.demo.encode import write_video
from curation.demo.overview import overview, read_metrics
from curation.demo.render import render_clip
from curation.demo.stills import SAMPLE_GAP, read_sample, spread, still

SIDE = 32


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """A dataset folder with one good and one broken video."""
    folder = tmp_path_factory.mktemp("dataset")
    render_clip("clouds", 1, 2.0, (64, 48), 10, folder / "videos" / "1.mp4")
    render_clip("clouds", 1, 2.0, (64, 48), 10, folder / "videos" / "2.mp4", faults=["broken"])
    (folder / "videos" / "1.json").write_text("{}")
    (folder / "videos" / "3.mp4.part").write_bytes(b"unfinished")
    return folder


def clip(number, state, *, start=0.0, end=1.0, variance=0.004, reason=None):
    scores = {"variance": variance} if variance is not None else {}
    return {
        "id": number, "video": 1, "source": "x.mp4", "start": start, "end": end, "state": state, "reason": reason,
        "scores": scores, "split": "train" if state == "accepted" else None, "shard": None,
    }  # fmt: skip


def status(*clips):
    base = {"provider": "yt-dlp", "state": "cut", "error": None}
    return {
        "videos": [
            {**base, "id": 1, "provider_id": "a", "source": "http://127.0.0.1/a.mp4"},
            {**base, "id": 2, "provider_id": "b", "source": "http://127.0.0.1/b.mp4", "error": "corrupt"},
            {**base, "id": 3, "provider_id": "c", "source": "http://127.0.0.1/c.mp4"},
        ],
        "clips": list(clips),
    }


@pytest.fixture
def run(tmp_path):
    """A run folder with metrics and one sample video of two rows: grey input, red generated, blue real."""
    folder = tmp_path / "run"
    (folder / "samples").mkdir(parents=True)
    lines = [json.dumps({"step": s, "wasserstein_s": 1.0 / s, "wasserstein_t": 2.0 / s}) for s in range(1, 30)]
    (folder / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    pitch = SIDE + SAMPLE_GAP
    canvas = np.zeros((2 * pitch - SAMPLE_GAP, 3 * pitch - SAMPLE_GAP, 3), np.uint8)
    for row in range(2):
        for column, tint in enumerate(((128, 128, 128), (200, 40, 40), (40, 40, 200))):
            canvas[row * pitch : row * pitch + SIDE, column * pitch : column * pitch + SIDE] = tint
    size = (canvas.shape[1], canvas.shape[0])
    write_video(folder / "samples" / "step-00000029.mp4", [(i / 25, canvas) for i in range(8)], size=size, fps=25)
    return folder


def share(path, colour):
    """Share of the picture's pixels in this colour."""
    pixels = imread(path)[..., :3]
    return float((np.abs(pixels - np.array(to_rgb(colour))).max(axis=-1) < 0.02).mean())


def test_whole_picture(dataset, run, tmp_path):
    states = ["accepted", "rejected", "filtered", "pending"]
    clips = [clip(i, state, start=i % 2, end=i % 2 + 1) for i, state in enumerate(states * 5)]
    overview(status(*clips), dataset=dataset, run=run, animated=dataset / "videos" / "none", path=tmp_path / "o.png")
    pixels = imread(tmp_path / "o.png")
    assert pixels.shape[1] == 1600 and pixels.shape[0] > 1000
    for colour in (page.KEPT, page.REJECTED, page.FILTERED, page.WAITING):
        assert share(tmp_path / "o.png", colour) > 0.0005
    assert list(tmp_path.glob(".*")) == []


def test_frames_tell_the_states_apart(dataset, tmp_path):
    overview(status(clip(1, "accepted", variance=None)), dataset=dataset, path=tmp_path / "kept.png")
    overview(status(clip(1, "rejected", variance=None)), dataset=dataset, path=tmp_path / "rejected.png")
    assert share(tmp_path / "kept.png", page.KEPT) > 3 * share(tmp_path / "rejected.png", page.KEPT)
    assert share(tmp_path / "rejected.png", page.REJECTED) > share(tmp_path / "kept.png", page.REJECTED)


def test_generated_and_real_frames_are_shown(dataset, run, tmp_path):
    overview(status(clip(1, "accepted")), dataset=dataset, run=run, path=tmp_path / "o.png")
    row = read_sample(run / "samples" / "step-00000029.mp4")[0]
    for frames in (row.generated, row.real):
        tint = frames[3, SIDE // 2, SIDE // 2] / 255
        assert share(tmp_path / "o.png", tuple(tint)) > 0.02


def test_animated_stills_are_shown(dataset, tmp_path):
    tint = np.full((48, 48, 3), (30, 160, 90), np.uint8)
    (tmp_path / "animated").mkdir()
    write_video(tmp_path / "animated" / "a.mp4", [(i / 25, tint) for i in range(5)], size=(48, 48), fps=25)
    overview(status(), dataset=dataset, animated=tmp_path / "animated", path=tmp_path / "o.png")
    shown = page.read_frames(tmp_path / "animated" / "a.mp4")[0, 24, 24] / 255
    assert share(tmp_path / "o.png", tuple(shown)) > 0.02


def test_nothing_at_all_is_a_picture_too(tmp_path):
    overview({"videos": [], "clips": []}, dataset=tmp_path, path=tmp_path / "deep" / "o.png")
    assert imread(tmp_path / "deep" / "o.png").shape[1] == 1600


def test_metrics_errors_name_the_file(run):
    with pytest.raises(ValueError, match=r"metrics\.jsonl has no 'loss'; it has step, wasserstein_s"):
        read_metrics(run / "metrics.jsonl", ["loss"])
    (run / "metrics.jsonl").write_text('{"step": 1}\n{"st')
    with pytest.raises(ValueError, match="line 2: not a JSON record"):
        read_metrics(run / "metrics.jsonl", [])


def test_metrics_are_read_where_they_stand(tmp_path):
    (tmp_path / "m.jsonl").write_text('{"step": 1, "a": 2.5}\n{"step": 2}\n{"step": 3, "a": -1}\n')
    assert read_metrics(tmp_path / "m.jsonl", ["a"]) == {"a": ([1, 3], [2.5, -1.0])}


def test_still_is_the_frame_at_its_time(tmp_path):
    frames = [(i / 10, np.full((48, 64, 3), 10 * i, np.uint8)) for i in range(20)]
    write_video(tmp_path / "v.mp4", frames, size=(64, 48), fps=10)
    for seconds in (0.0, 0.7, 1.2):
        assert still(tmp_path / "v.mp4", seconds, width=32).mean() == pytest.approx(100 * seconds, abs=3)
    assert still(tmp_path / "v.mp4", 5.0) is None


def test_still_of_what_does_not_decode_is_none(dataset, tmp_path):
    assert still(dataset / "videos" / "2.mp4", 1.8) is None
    (tmp_path / "text.mp4").write_text("no video")
    assert still(tmp_path / "text.mp4", 0.0) is None


def test_sample_that_is_none_is_named(dataset, tmp_path):
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(ValueError, match=r"text\.mp4 is not a video"):
        read_sample(tmp_path / "text.mp4")


def test_unfinished_downloads_do_not_count(dataset):
    assert page.media_file(dataset, 1) == dataset / "videos" / "1.mp4"
    assert page.media_file(dataset, 3) is None


@pytest.mark.parametrize(("count", "most"), [(1, 12), (5, 12), (25, 12), (250, 7)])
def test_spread_keeps_both_ends(count, most):
    chosen = spread(count, most)
    assert chosen[0] == 0 and chosen[-1] == count - 1 and len(chosen) == min(count, most)
