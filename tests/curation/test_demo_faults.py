"""Each planted fault is in the file, where the record says, and clean footage has none of it."""

from __future__ import annotations

import itertools

import av
import cv2
import numpy as np
import pytest

from curation.demo.faults import BAR, FAULTS, Fault, FaultyScene
from curation.demo.render import render_clip

SIZE, FPS, SECONDS = (160, 90), 25, 3.0


def decode(path):
    """(times, frames): seconds, (T, H, W, 3) uint8."""
    times, frames = [], []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            times.append(frame.time)
            frames.append(frame.to_ndarray(format="rgb24"))
    return np.array(times), np.stack(frames)


def steps(frames):
    """Mean absolute difference of each frame to the one before: (T - 1,)."""
    return np.array([cv2.absdiff(a, b).mean() for a, b in itertools.pairwise(frames)])


@pytest.fixture(scope="module")
def footage(tmp_path_factory):
    """Renders a clip once a kind and fault: `footage(fault, kind)` gives (video, times, frames)."""
    folder, known = tmp_path_factory.mktemp("footage"), {}

    def get(fault=None, kind="sea"):
        if (fault, kind) not in known:
            path = folder / f"{kind}-{fault}.mp4"
            video = render_clip(kind, 3, SECONDS, SIZE, FPS, path, faults=[fault] if fault else [])
            known[fault, kind] = (video, *decode(path))
        return known[fault, kind]

    return get


def test_clean_clip_is_clean(footage):
    _, times, frames = footage()
    assert len(frames) == SECONDS * FPS
    np.testing.assert_allclose(np.diff(times), 1 / FPS, atol=1e-6)
    change = steps(frames)
    assert change.max() < 2.5 * np.median(change)
    assert frames[:, :8].mean() > 20


def test_frozen(footage):
    video, times, frames = footage("frozen")
    (fault,) = video.faults
    inside = frames[(times >= fault.start + 0.1) & (times < fault.end)] / 255.0
    assert inside.var(axis=0).mean() < 1e-4
    before = frames[times < fault.start] / 255.0
    assert before.var(axis=0).mean() > 0.001
    resumed = steps(frames[times >= fault.end - 0.5 / FPS])
    assert resumed.mean() > 1.0  # it moves again, and without a jump
    assert steps(frames).max() < 4 * np.median(steps(frames[times < fault.start]))


def test_hard_cut(footage):
    video, times, frames = footage("hard-cut")
    (fault,) = video.faults
    change = steps(frames)
    spike = int(change.argmax())
    assert times[spike + 1] == pytest.approx(fault.start, abs=0.5 / FPS)
    assert change[spike] > 6 * np.median(change)


def test_dissolve(footage):
    video, times, frames = footage("dissolve")
    (fault,) = video.faults
    assert steps(frames).max() < 4 * np.median(steps(frames))  # no cut anywhere
    at = [int(np.abs(times - t).argmin()) for t in (fault.start, (fault.start + fault.end) / 2, fault.end)]
    first, middle, last = (frames[i].astype(float) for i in at)
    blend = (first + last) / 2
    assert np.abs(middle - blend).mean() < 0.5 * np.abs(first - last).mean()
    assert np.abs(first - last).mean() > 15


def test_fade_to_black(footage):
    video, times, frames = footage("fade-to-black")
    (fault,) = video.faults
    light = frames.mean(axis=(1, 2, 3))
    assert light[int(np.abs(times - (fault.start + fault.end) / 2).argmin())] < 3
    assert light[times < fault.start].min() > 40 and light[times > fault.end].min() > 40


def test_letterbox(footage):
    video, times, frames = footage("letterbox")
    (fault,) = video.faults
    bar = round(BAR * SIZE[1])
    inside = frames[(times >= fault.start) & (times < fault.end - 0.02)]
    assert inside[:, : bar - 1].max() < 12 and inside[:, -bar + 1 :].max() < 12
    assert inside[:, bar + 2 : -bar - 2].mean() > 40
    assert frames[times < fault.start][:, : bar - 1].mean() > 40


def test_pan(footage):
    video, times, frames = footage("pan", "lake")
    (fault,) = video.faults

    def moved(i, j):
        pair = [cv2.cvtColor(frames[k], cv2.COLOR_RGB2GRAY).astype(np.float32)[: SIZE[1] // 2] for k in (i, j)]
        return cv2.phaseCorrelate(*pair, cv2.createHanningWindow(pair[0].shape[::-1], cv2.CV_32F))[0][0]

    inside = np.flatnonzero((times > fault.start + 0.1) & (times < fault.end - 0.25))
    assert np.mean([moved(i, i + 4) for i in inside[::4]]) < -2.0  # the picture slides left by pixels
    still = np.flatnonzero(times < fault.start - 0.25)
    assert max(abs(moved(i, i + 4)) for i in still[::4]) < 0.3


def test_re_upload(footage):
    _, _, frames = footage()
    video, _, again = footage("re-upload")
    assert [f.name for f in video.faults] == ["re-upload"]
    assert again.shape[1:3] != frames.shape[1:3] and len(again) == len(frames)
    # The same moment through a crop of 2% a side and a smaller size: what a perceptual hash must see through.
    dy, dx = int(0.02 * SIZE[1]), int(0.02 * SIZE[0])
    size = (again.shape[2], again.shape[1])
    inner = cv2.resize(frames[30][dy : SIZE[1] - dy, dx : SIZE[0] - dx], size, interpolation=cv2.INTER_AREA).astype(
        float
    )
    assert np.corrcoef(again[30].ravel(), inner.ravel())[0, 1] > 0.98
    assert np.abs(again[30] - inner).mean() > 0.3  # another encoding, not a copy


def test_broken(tmp_path):
    path = tmp_path / "broken.mp4"
    render_clip("sea", 3, SECONDS, SIZE, FPS, path, faults=["broken"])
    with av.open(str(path)) as container:  # it opens, and promises all of its frames
        stream = container.streams.video[0]
        assert stream.frames == SECONDS * FPS
        first = next(container.decode(stream))
        assert first.to_ndarray(format="rgb24").mean() > 20
    with av.open(str(path)) as container, pytest.raises(av.FFmpegError):
        for _ in container.decode(video=0):
            pass
    with av.open(str(path)) as container:  # the last frame cannot be reached by seeking either
        stream = container.streams.video[0]
        container.seek(stream.duration - 1, stream=stream)
        with pytest.raises((av.FFmpegError, StopIteration)):
            last = [frame.time for frame in container.decode(stream)]
            if not last or last[-1] < SECONDS - 2 / FPS:
                raise StopIteration


def test_variable_frame_rate(footage):
    _, times, frames = footage("variable-frame-rate")
    gaps = np.diff(times)
    assert gaps.min() > 0 and gaps.max() / gaps.min() > 1.5 and len(np.unique(gaps.round(4))) >= 4
    assert times[-1] == pytest.approx(SECONDS, abs=0.2)
    assert steps(frames).max() < 3.5 * np.median(steps(frames))  # the pictures belong to their times


def test_several_faults_share_a_video(tmp_path):
    faults = [Fault(name="hard-cut", start=1.0, end=1.0), Fault(name="letterbox", start=2.0, end=3.0)]
    render_clip("meadow", 1, SECONDS, SIZE, FPS, tmp_path / "both.mp4", faults=faults, other=("clouds", 2))
    times, frames = decode(tmp_path / "both.mp4")
    assert times[int(steps(frames)[: int(1.9 * FPS)].argmax()) + 1] == pytest.approx(1.0, abs=0.02)
    assert frames[-5, :8].max() < 12 and frames[30, :8].mean() > 40


def test_second_cut_leads_back():
    cuts = [Fault(name="hard-cut", start=t, end=t) for t in (1.0, 2.0)]
    scene = FaultyScene(("sea", 1), SIZE, cuts, other=("meadow", 1))
    clean = FaultyScene(("sea", 1), SIZE)
    np.testing.assert_array_equal(scene.render(2.5), clean.render(2.5))
    assert np.abs(scene.render(1.5).astype(int) - clean.render(1.5)).mean() > 10


def test_faults_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="choose one of"):
        Fault(name="sepia", start=0, end=1)
    with pytest.raises(ValueError, match="start <= end"):
        Fault(name="frozen", start=2, end=1)
    with pytest.raises(ValueError, match="second scene"):
        FaultyScene(("sea", 1), SIZE, [Fault(name="dissolve", start=0, end=1)])


def test_nine_faults():
    assert len(FAULTS) == len(set(FAULTS)) == 9
