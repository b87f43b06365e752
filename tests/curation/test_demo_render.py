"""The dozen: what is planted, what is skipped the second time, and that nothing half-written stays."""

from __future__ import annotations

import json
import math

import av
import pytest

from curation.demo import encode, render
from curation.demo.faults import FAULTS
from curation.demo.render import PLANS, render_all, render_clip

SMALL = {"size": (64, 48), "fps": 10, "seconds": (2, 3), "workers": 1}


def clips_of(seconds, *, length=10.0, margin=5.0, spacing=2.0, most=20):
    """(start, end) of the clips that the demo's recipe cuts from a video (the plan of curation.md)."""
    usable = seconds - 2 * margin
    step = max(length + spacing, usable / most)
    count = min(most, math.floor((usable - length) / step) + 1)
    return [(margin + i * step, margin + i * step + length) for i in range(count)]


def test_default_dozen_has_every_fault_and_enough_clips():
    jobs = render._jobs(12, (640, 360), 25, (55, 60), 80)
    assert {f.name for job in jobs for f in job.faults} == set(FAULTS)
    decodable = [job for job in jobs if not job.has("broken")]
    clips = [(job, *span) for job in decodable for span in clips_of(job.seconds)]
    assert all(55 <= job.seconds <= 60 for job in jobs) and len(clips) >= 35
    harmless = {"variable-frame-rate"}
    good = [
        (job, start, end)
        for job, start, end in clips
        if not any(f.name not in harmless and f.start < end and f.end >= start for f in job.faults)
    ]
    assert len(good) >= 26 and len(good) < len(clips)
    for job in decodable:  # what is planted meets a clip, not a gap
        for fault in job.faults:
            assert any(
                (fault.start < end and fault.end > start) or start < fault.start < end
                for start, end in clips_of(job.seconds)
            )


def test_frozen_stretch_covers_a_whole_clip():
    (job,) = [j for j in render._jobs(12, (640, 360), 25, (55, 60), 80) if j.has("frozen")]
    (fault,) = job.faults
    assert any(fault.start < start and end < fault.end for start, end in clips_of(job.seconds))


@pytest.fixture(scope="module")
def dozen(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dozen")
    told = []
    videos = render_all(
        folder, videos=12, seed=4, progress=lambda video, done, total: told.append((video.name, done, total)), **SMALL
    )
    return folder, videos, told


def test_all_videos_and_their_record(dozen):
    folder, videos, told = dozen
    record = json.loads((folder / "footage.json").read_text())
    assert [entry["file"] for entry in record["videos"]] == [video.path.name for video in videos]
    assert sorted(p.name for p in folder.iterdir()) == sorted([video.path.name for video in videos] + ["footage.json"])
    assert [done for _, done, _ in told] == list(range(1, 13)) and {total for *_, total in told} == {12}
    for video, entry in zip(videos, record["videos"], strict=True):
        assert entry["bytes"] == video.path.stat().st_size
        with av.open(str(video.path)) as container:
            stream = container.streams.video[0]
            assert stream.codec_context.name == "h264" and stream.codec_context.pix_fmt == "yuv420p"
            assert float(stream.duration * stream.time_base) == pytest.approx(video.seconds, abs=0.31)


def test_second_run_renders_nothing(dozen):
    folder, videos, _ = dozen
    before = {p.name: p.stat().st_mtime_ns for p in folder.iterdir()}
    again = render_all(
        folder, videos=12, seed=4, progress=lambda *_: pytest.fail("nothing was left to render"), **SMALL
    )
    assert again == videos
    assert {p.name: p.stat().st_mtime_ns for p in folder.iterdir()} == before


def test_same_seed_gives_the_same_bytes_and_another_settings_other_ones(tmp_path):
    a = render_all(tmp_path / "a", videos=2, seed=9, **SMALL)
    b = render_all(tmp_path / "b", videos=2, seed=9, **SMALL)
    assert [v.path.read_bytes() for v in a] == [v.path.read_bytes() for v in b]
    drawn = []
    c = render_all(tmp_path / "a", videos=2, seed=10, progress=lambda video, *_: drawn.append(video.name), **SMALL)
    assert len(drawn) == 2 and [v.path.read_bytes() for v in c] != [v.path.read_bytes() for v in b]


def test_missing_or_cut_file_alone_is_rendered_again(tmp_path):
    videos = render_all(tmp_path, videos=3, seed=9, **SMALL)
    whole = videos[1].path.read_bytes()
    videos[1].path.write_bytes(whole[:100])
    videos[2].path.unlink()
    drawn = []
    render_all(tmp_path, videos=3, seed=9, progress=lambda video, *_: drawn.append(video.name), **SMALL)
    assert drawn == [videos[1].name, videos[2].name]
    assert videos[1].path.read_bytes() == whole


def test_two_workers_give_the_bytes_of_one(tmp_path):
    one = render_all(tmp_path / "one", videos=2, seed=3, **SMALL)
    two = render_all(tmp_path / "two", videos=2, seed=3, **{**SMALL, "workers": 2})
    assert [v.path.read_bytes() for v in one] == [v.path.read_bytes() for v in two]


def test_interrupted_encoding_leaves_nothing(tmp_path, monkeypatch):
    def stop_at_five(*args, **kwargs):
        for i, pair in enumerate(frames(*args, **kwargs)):
            if i == 5:
                raise OSError(28, "No space left on device")
            yield pair

    frames = render._frames
    monkeypatch.setattr(render, "_frames", stop_at_five)
    with pytest.raises(OSError, match="No space"):
        render_all(tmp_path, videos=1, seed=1, **SMALL)
    assert list(tmp_path.iterdir()) == []


def test_record_that_is_none_is_named(tmp_path):
    (tmp_path / "footage.json").write_text("[1, 2")
    with pytest.raises(ValueError, match=r"footage\.json is not a footage record"):
        render_all(tmp_path, videos=1, **SMALL)


@pytest.mark.parametrize("wrong", [{"videos": 0}, {"fps": 0}, {"workers": 0}, {"seconds": (5, 4)}])
def test_settings_that_cannot_be_are_refused(tmp_path, wrong):
    with pytest.raises(ValueError, match="render_all needs"):
        render_all(tmp_path, **{**SMALL, **wrong})


def test_render_clip_makes_its_folder_and_keeps_time(tmp_path):
    video = render_clip("clouds", 1, 0.4, (64, 48), 10, tmp_path / "deep" / "clip.mp4")
    assert video.path.exists() and video.seconds == pytest.approx(0.4)
    with av.open(str(video.path)) as container:
        assert [frame.time for frame in container.decode(video=0)] == pytest.approx([0.0, 0.1, 0.2, 0.3])


def test_every_plan_of_a_re_upload_has_an_earlier_source():
    for i, plan in enumerate(PLANS):
        assert plan.source is None or plan.source < i
    assert encode.CLOCK % 25 == 0
