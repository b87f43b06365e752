"""What is kept of clips is found again for the same clips, and for nothing that differs from them in any respect."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from modeling.data.windows import open_clips
from modeling.evaluation import names, sources
from modeling.evaluation.measures import Features, Span, WindowFeatures
from modeling.evaluation.pipeline import EvaluationRequest, evaluate
from modeling.inference import load_trained
from modeling.media.video import write_video
from modeling.metrics.extractors.proxy import ProxyExtractor
from tests.modeling.moving_textures import texture_clip, write_textures

CPU = torch.device("cpu")
FRAMES = 8
SPLITS = {"train": [[9, 9]], "test": [[11, 10, 12]]}


class Means:
    """An extractor of a frame's mean colours; `gain` stands for all that its facts say of what it does with a frame."""

    name, unit, shortest = "inception", "frame", 1
    widths = {"pool3": 3, "logits": 3}  # noqa: RUF012

    def __init__(self, digest: str, gain: float = 1.0, offset: float = 0.0) -> None:
        self.digest, self._gain, self._offset = digest, gain, offset
        self.facts = {"resize": f"{gain} times", "range": f"from {offset} on"}

    def __call__(self, clips_NTHW3: Tensor) -> dict[str, Tensor]:
        means = clips_NTHW3.float().mean(dim=(2, 3)) * self._gain + self._offset
        # Another digest stands for other weights.
        means = means.square() if self.digest == "other" else means
        return {"pool3": means, "logits": means}


@dataclasses.dataclass
class Place:
    """A run, a data set, videos, and what is asked of them."""

    run: Path
    shards: Path
    videos: Path
    options: dict[str, Any]
    inception: Means
    split: str = "test"

    def scores(self, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
        load = names.load_extractor
        with monkeypatch.context() as patch:
            patch.setattr(
                names,
                "load_extractor",
                lambda name, *rest: self.inception if name == "inception" else load(name, *rest),
            )
            options = {"frames": FRAMES, "metrics": ("fid", "fid-per-frame", "psnr", "proxy"), **self.options}
            clips = open_clips(self.shards, self.split, resolution=32, frames=options["frames"])
            if "samples" not in options:
                options["trained"] = load_trained(self.run, CPU)
            keep = self.run / "evaluation" / "features"
            report = evaluate(EvaluationRequest(clips=clips, keep=keep, draws=0, **options))
        return {"metrics": report["metrics"], "curves": report["curves"]}

    def copied(self, to: Path) -> Place:
        """Elsewhere, without anything that is kept."""
        paths = {name: to / name for name in ("run", "shards", "videos")}
        for name, path in paths.items():
            shutil.copytree(getattr(self, name), path, ignore=shutil.ignore_patterns("features"))
        return dataclasses.replace(self, **paths)


Change = Callable[[Place], Any]


def other_weights(place: Place) -> None:
    file = place.run / "model.safetensors"
    save_file({name: tensor * 0.9 for name, tensor in load_file(file).items()}, file)


def other_frames(place: Place) -> None:
    """The same clips by name and length, of other pictures."""
    write_textures(place.shards, SPLITS, clip=lambda seed, length, side: texture_clip(seed + 50, length, side))


def other_training_frames(place: Place) -> None:
    write_textures(
        place.shards, SPLITS, clip=lambda seed, length, side: texture_clip(seed + 50 * (seed < 3), length, side)
    )


def other_video(place: Place) -> None:
    write_video(place.videos / "test-3.mp4", texture_clip(77, FRAMES, 32), fps=25)


MODEL: dict[str, Change] = {
    "weights of the model": other_weights,
    "pictures": other_frames,
    "pictures of training": other_training_frames,
    "seed": lambda place: place.options.update(seed=1),
    "futures": lambda place: place.options.update(futures=2),
    "frames": lambda place: place.options.update(frames=FRAMES + 1),
    "frames of curves": lambda place: place.options.update(curve_frames=FRAMES + 2),
    "clips": lambda place: place.options.update(limit=2),
    "split": lambda place: setattr(place, "split", "train"),
    "stretched frames, the input counted": lambda place: place.options.update(protocol="as-published"),
    "weights of the extractor": lambda place: setattr(place, "inception", Means("other")),
    "resize": lambda place: setattr(place, "inception", Means("small", gain=0.5)),
    "range": lambda place: setattr(place, "inception", Means("small", offset=3.0)),
}
SAMPLES: dict[str, Change] = {
    "a video": other_video,
    "frames given": lambda place: place.options.update(given=2),
}


@pytest.fixture
def place(trained_run: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Place:
    run, videos = tmp_path / "run", tmp_path / "videos"
    shutil.copytree(trained_run, run, ignore=shutil.ignore_patterns("evaluation", "checkpoints", "samples"))
    shards = write_textures(tmp_path / "shards", SPLITS)
    for number in (3, 4, 5):
        write_video(videos / f"test-{number}.mp4", texture_clip(30 + number, FRAMES, 32), fps=25)
    return Place(run=run, shards=shards, videos=videos, options={}, inception=Means("small"))


def has_no_stale_hit(place: Place, change: Change, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = place.scores(monkeypatch)
    assert list(place.run.glob("evaluation/features/*/*.npy")) and list(place.shards.glob("features/*/*.npy"))
    change(place)
    if "samples" in place.options:
        place.options["samples"] = place.videos
    found = place.scores(monkeypatch)
    elsewhere = place.copied(tmp_path / "elsewhere")
    if "samples" in place.options:
        elsewhere.options = {**place.options, "samples": elsewhere.videos}
    assert found == elsewhere.scores(monkeypatch)
    assert found != before


@pytest.mark.parametrize("what", MODEL)
def test_what_is_kept_of_a_model_is_not_taken_for_another(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    has_no_stale_hit(place, MODEL[what], tmp_path, monkeypatch)


@pytest.mark.parametrize("what", SAMPLES)
def test_what_is_kept_of_videos_is_not_taken_for_others(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    place.options.update(samples=place.videos)
    has_no_stale_hit(place, SAMPLES[what], tmp_path, monkeypatch)


def test_the_same_is_found_again(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    before = place.scores(monkeypatch)

    def never(*_: object, **__: object) -> None:
        raise AssertionError("a clip was generated again")

    monkeypatch.setattr(sources, "roll_out", never)
    assert place.scores(monkeypatch) == before


def test_names_tell_spans_outputs_and_windows_apart() -> None:
    means: Any = Means("small")
    made = [
        Features(means, Span(1, 8), ("pool3", "logits")).name("pool3"),
        Features(means, Span(1, 8), ("pool3", "logits")).name("logits"),
        Features(means, Span(0, 8), ("pool3",)).name("pool3"),
        Features(means, Span(1, 9), ("pool3",)).name("pool3"),
    ]
    proxy, longer = ProxyExtractor(CPU), ProxyExtractor(CPU)
    longer.shortest = 5
    made += [WindowFeatures(one, Span(1, 8), "features").name for one in (proxy, longer)]
    made += [Features(proxy, Span(1, 8), ("features",)).name("features")]
    assert len(set(made)) == len(made)


def test_a_frame_that_stands_still_is_looked_at_once() -> None:
    means: Any = Means("small")
    seen = []

    class Counted(Means):
        def __call__(self, clips_NTHW3: Tensor) -> dict[str, Tensor]:
            seen.append(len(clips_NTHW3))
            return super().__call__(clips_NTHW3)

    counted: Any = Counted("small")
    clips = np.stack([texture_clip(1, 6, 16), np.repeat(texture_clip(2, 1, 16), 6, axis=0)])
    clips[0, 3] = clips[0, 2]
    measure = Features(counted, Span(1, 6), ("pool3",))
    made = measure(clips, clips)[measure.name("pool3")]
    assert seen == [4 + 1]
    np.testing.assert_array_equal(made, means(torch.from_numpy(clips[:, 1:]))["pool3"].numpy())
