"""`modeling evaluate`: one pass, kept features, baselines, other models' videos, and what is refused."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from modeling.data.windows import open_clips
from modeling.evaluation import names, sources
from modeling.evaluation.filling import FeatureError, min_max
from modeling.evaluation.pipeline import EvaluationRequest, evaluate
from modeling.inference import load_trained, roll_out
from modeling.media.video import write_video
from modeling.metrics.extractors import WeightsError
from modeling.metrics.extractors.proxy import ProxyExtractor
from modeling.metrics.frechet import frechet_distance
from tests.modeling.conftest import Run
from tests.modeling.moving_textures import texture_clip, write_textures

CPU = torch.device("cpu")
FRAMES = 8


class Small:
    """An extractor of a frame's means and deviations of colour, in the place of a large network."""

    name, digest, unit, shortest = "inception", "small", "frame", 1
    widths = {"pool3": 6, "logits": 3}  # noqa: RUF012
    facts = {"resize": "none"}  # noqa: RUF012

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, clips_NTHW3: Tensor) -> dict[str, Tensor]:
        self.calls += 1
        frames = clips_NTHW3.float() / 255
        means = frames.mean(dim=(2, 3))
        return {"pool3": torch.cat((means, frames.std(dim=(2, 3))), dim=-1), "logits": means}


class Broken(ProxyExtractor):
    """Gives no number for the second clip."""

    def __call__(self, clips_NTHW3: Tensor) -> dict[str, Tensor]:
        features = super().__call__(clips_NTHW3)["features"]
        features[1, 3] = torch.nan
        return {"features": features}


@pytest.fixture(autouse=True)
def no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STILLFLOW_WEIGHTS", raising=False)


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    return write_textures(
        tmp_path / "shards", {"train": [[20, 18, 22]], "val": [[16, 16]], "test": [[16, 20, 18, 4, 17, 16]]}
    )


@pytest.fixture
def run(trained_run: Path, tmp_path: Path) -> Path:
    """The shared run in a folder of this test's own."""
    folder = tmp_path / "run"
    shutil.copytree(trained_run, folder, ignore=shutil.ignore_patterns("evaluation"))
    return folder


def asked(run: Path, shards: Path, **options: Any) -> EvaluationRequest:
    clips = open_clips(shards, "test", resolution=32, frames=FRAMES)
    return EvaluationRequest(**{"trained": load_trained(run, CPU), "clips": clips, "frames": FRAMES, **options})


def test_proxy_fd_equals_a_slow_twin_and_stands_beside_the_baselines(run: Path, shards: Path) -> None:
    request = asked(run, shards, seed=3)
    report = evaluate(request)
    trained, clips = request.trained, request.clips
    assert trained is not None
    extract = ProxyExtractor(CPU)

    def features(videos: list[np.ndarray]) -> Tensor:
        return torch.cat([extract(torch.from_numpy(video[None, 1:].copy()))["features"] for video in videos])

    real = [clips.window(index, 0, FRAMES) for index in range(5)]
    made = [roll_out(trained.generator, clip[:1], frames=FRAMES, seed=3 + index) for index, clip in enumerate(real)]
    still = [np.repeat(clip[:1], FRAMES, axis=0) for clip in real]
    rows = report["metrics"]
    for row, videos in (("model", made), ("copied_frame", still)):
        value = frechet_distance(features(real), features(videos))
        assert rows[row]["proxy-fd"]["value"] == pytest.approx(value, rel=1e-9)
        assert rows[row]["proxy-fd"]["n"] == [5, 5]
        assert rows[row]["proxy-fd"]["few"] is True
    assert set(rows) == {"model", "copied_frame", "blend_of_training", "real_against_real"}
    assert rows["real_against_real"]["proxy-fd"]["n"] == [3, 2]
    low, high = rows["model"]["psnr"]["low"], rows["model"]["psnr"]["high"]
    assert low <= rows["model"]["psnr"]["value"] <= high
    assert report["format"] == 2
    assert report["protocol"]["left_out_shorter"] == 1
    json.dumps(report, allow_nan=False)


def test_each_step_against_all_real_frames_or_those_of_the_same_step(
    run: Path, shards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = Small()
    load = names.load_extractor
    monkeypatch.setattr(
        names, "load_extractor", lambda name, *rest: small if name == "inception" else load(name, *rest)
    )
    request = asked(run, shards, metrics=("fid", "is", "fid-per-frame", "loops"), limit=5, curve_frames=11)
    pooled = evaluate(request)
    same = evaluate(asked(run, shards, metrics=("fid", "fid-per-frame"), curve_frames=11, reference="same-step"))
    trained, clips = request.trained, request.clips
    assert trained is not None
    real = torch.from_numpy(np.stack([clips.window(index, 0, FRAMES) for index in range(5)]))
    made = torch.from_numpy(
        np.stack([roll_out(trained.generator, clip[:1].numpy(), frames=11, seed=n) for n, clip in enumerate(real)])
    )
    known, fake = small(real[:, 1:])["pool3"], small(made[:, 1:])["pool3"]
    wanted = [frechet_distance(known.flatten(0, 1), fake[:, step]) for step in range(10)]
    assert pooled["curves"]["model"]["fid_per_frame"] == pytest.approx(wanted, rel=1e-6)
    wanted = [frechet_distance(known[:, step], fake[:, step]) for step in range(7)]
    assert same["curves"]["model"]["fid_per_frame"][:7] == pytest.approx(wanted, rel=1e-6)
    assert same["curves"]["model"]["fid_per_frame"][7:] == [None] * 3
    assert len(pooled["curves"]["copied_frame"]["fid_per_frame"]) == 7
    fid = frechet_distance(known.flatten(0, 1), fake[:, :7].flatten(0, 1))
    assert pooled["metrics"]["model"]["fid"]["value"] == pytest.approx(fid, rel=1e-6)
    assert pooled["metrics"]["model"]["fid"]["n"] == [35, 35]
    assert 1 < pooled["metrics"]["model"]["is"]["value"] < 3
    assert pooled["metrics"]["real_against_real"]["is"]["note"] == "of all real clips"
    assert len(pooled["curves"]["model"]["self_similarity"]) == 10
    assert pooled["protocol"]["protocol_hash"] != same["protocol"]["protocol_hash"]


def test_a_second_call_takes_nothing_anew_and_says_the_same(
    run: Path, shards: Path, modeling: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["evaluate", "--run", run, "--data", shards, "--motion", "--futures", 2, "--json"]
    first = modeling(*arguments)
    assert first.exit_code == 0, first.output
    assert list((shards / "features").glob("*/proxy.features*.npy"))
    assert list((run / "evaluation" / "features").glob("*/proxy.features*.npy"))

    def never(*_: object, **__: object) -> None:
        raise AssertionError("a clip was generated again")

    monkeypatch.setattr(sources, "roll_out", never)
    again = modeling(*arguments)
    assert again.exit_code == 0, again.output
    assert again.stdout == first.stdout
    assert (run / "evaluation" / "test-step-00000003.png").stat().st_size > 10_000


def test_a_damaged_cache_is_made_anew_with_a_remark(run: Path, shards: Path, modeling: Run) -> None:
    arguments = ["evaluate", "--run", run, "--data", shards, "--json"]
    first = modeling(*arguments)
    files = sorted(shards.glob("features/*/*.npy")) + sorted(run.glob("evaluation/features/*/*.npy"))
    assert len(files) >= 6
    with files[0].open("r+b") as stream:
        stream.seek(-1, 2)
        last = stream.read(1)
        stream.seek(-1, 2)
        stream.write(bytes([last[0] ^ 1]))
    files[-1].write_bytes(files[-1].read_bytes()[:-8])
    files[1].with_suffix(".json").unlink()
    again = modeling(*arguments)
    assert again.exit_code == 0
    assert again.stdout == first.stdout
    remarks = again.stderr
    for file, words in ((files[0], "checksum differs"), (files[-1], "bytes of"), (files[1], "checksum is missing")):
        assert any(file.name in line and words in line for line in remarks.splitlines())
    assert not list(shards.glob("features/*/part-*"))


def test_an_interrupted_pass_leaves_nothing_behind(run: Path, shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sources, "roll_out", stop)
    keep = run / "evaluation" / "features"
    with pytest.raises(KeyboardInterrupt):
        evaluate(asked(run, shards, keep=keep))
    assert not list(keep.glob("*/*"))


def test_videos_of_any_model(run: Path, shards: Path, tmp_path: Path, modeling: Run) -> None:
    clips = open_clips(shards, "test", resolution=32, frames=FRAMES)
    folder = tmp_path / "videos"
    for index in range(3):
        length = FRAMES if index else FRAMES - 2
        write_video(folder / f"{clips.clips[index].id}.mp4", clips.window(index, 0, length), fps=25)
    arguments = ["evaluate", "--samples", folder, "--data", shards, "--frames", FRAMES]
    result = modeling(*arguments, "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["protocol"]["n"] == 2
    assert report["metrics"]["samples"]["psnr"]["value"] > 25  # the real clips, through a codec
    assert "model" not in report["metrics"]
    assert "left out 2 clips without a video" in result.stderr
    assert f"left out 1 clips whose videos are shorter than {FRAMES} frames" in result.stderr
    assert (folder / "evaluation" / "test.md").is_file()
    both = json.loads(modeling(*arguments, "--run", run, "--out", tmp_path / "out", "--json").stdout)
    assert both["metrics"]["samples"] == report["metrics"]["samples"]
    assert both["metrics"]["model"]["psnr"]["n"] == [2, 2]
    assert (tmp_path / "out" / "test-step-00000003.json").is_file()

    write_video(folder / f"{clips.clips[3].id}.mp4", texture_clip(1, FRAMES, 48), fps=25)
    mixed = modeling(*arguments)
    assert mixed.exit_code == 2
    assert "is 48x48 and the clips are 32x32" in mixed.stderr
    (folder / f"{clips.clips[3].id}.mp4").write_bytes(b"no video")
    assert "cannot be read as a video" in modeling(*arguments).stderr
    (tmp_path / "none").mkdir()
    none = modeling("evaluate", "--samples", tmp_path / "none", "--data", shards, "--frames", FRAMES)
    assert none.exit_code == 2
    assert "has no video of 8 frames" in none.stderr


def test_no_report_takes_the_place_of_another_kind(
    run: Path, shards: Path, textures: Path, tmp_path: Path, modeling: Run
) -> None:
    """Of other data it has a name of its own; of other samples it is refused."""
    quick = ["--metrics", "psnr", "--limit", 1, "--frames", 4, "--draws", 0]
    for data, name in (
        (shards, "test-step-00000003"),
        (textures, f"test-step-00000003-data-{sources.data_hash_of(textures, 'test')}"),
        (shards, "test-step-00000003"),
    ):
        result = modeling("evaluate", "--run", run, "--data", data, *quick, "--json")
        assert result.exit_code == 0, result.output
        report = json.loads(result.stdout)
        assert Path(report["report"]) == run / "evaluation" / f"{name}.json"
        assert report["protocol"]["data"] == str(data)
        assert ("has a report of other data" in result.stderr) == (data == textures)
    assert len(list((run / "evaluation").glob("*.json"))) == 2

    clips = open_clips(shards, "test", resolution=32, frames=4)
    for folder in ("a", "b"):
        write_video(tmp_path / folder / f"{clips.clips[0].id}.mp4", clips.window(0, 0, 4), fps=25)
    alone = ["evaluate", "--data", shards, *quick, "--out", tmp_path / "out", "--samples"]
    assert modeling(*alone, tmp_path / "a").exit_code == 0
    assert modeling(*alone, tmp_path / "a").exit_code == 0
    refused = modeling(*alone, tmp_path / "b")
    assert refused.exit_code == 2 and "is of other samples" in refused.stderr


def test_several_futures(run: Path, shards: Path) -> None:
    one, three = evaluate(asked(run, shards)), evaluate(asked(run, shards, futures=3))
    assert three["protocol"]["futures"] == 3
    assert three["metrics"]["model"]["psnr"]["n"] == [5, 15]
    assert three["metrics"]["model"]["proxy-fd"] == one["metrics"]["model"]["proxy-fd"]
    assert three["metrics"]["model"]["psnr"]["value"] != one["metrics"]["model"]["psnr"]["value"]
    assert three["protocol"]["protocol_hash"] == one["protocol"]["protocol_hash"]
    numbers = three["metrics"]["model"]
    assert numbers["best_of_k_psnr"]["value"] > numbers["psnr"]["value"]
    trained, clips = load_trained(run, CPU), open_clips(shards, "test", resolution=32, frames=FRAMES)
    apart = []
    for index in range(5):
        seeds = [sources.seed_of(0, future, index) for future in range(3)]
        context = clips.window(index, 0, 1)
        made = [roll_out(trained.generator, context, frames=FRAMES, seed=seed)[1:].astype(float) for seed in seeds]
        apart += [np.sqrt(np.mean((made[a] - made[b]) ** 2)) for a, b in ((0, 1), (0, 2), (1, 2))]
    assert numbers["diversity"]["value"] == pytest.approx(np.mean(apart), rel=1e-9)
    assert one["metrics"]["model"]["diversity"]["value"] is None
    assert "--futures K" in one["metrics"]["model"]["diversity"]["note"]


def test_a_deterministic_model_says_so(run: Path, shards: Path) -> None:
    trained, said = load_trained(run, CPU), []
    generator = dataclasses.replace(trained.config.generator, noise=False)
    quiet = dataclasses.replace(trained, config=dataclasses.replace(trained.config, generator=generator))
    metrics = ("psnr", "diversity")
    report = evaluate(asked(run, shards, trained=quiet, futures=3, metrics=metrics, limit=2), say=said.append)
    assert (report["protocol"]["futures"], report["protocol"]["noise"]) == (1, "off")
    assert any("the model is deterministic" in line for line in said)
    assert report["metrics"]["model"]["diversity"]["note"] == "deterministic: one image has one future"
    assert "best_of_k_psnr" not in report["metrics"]["model"]


def test_as_published_counts_frame_zero_and_stretches_each_frame(run: Path, shards: Path, modeling: Run) -> None:
    frames = np.stack([texture_clip(4, 3, 16)[0] // 2 + 20, np.full((16, 16, 3), 90, np.uint8)])
    stretched = min_max(frames)
    assert (stretched[0].min(), stretched[0].max()) == (0, 255)
    assert (stretched[1] == 0).all()
    twin = (frames[0] - float(frames[0].min())) / (float(frames[0].max()) - float(frames[0].min()))
    np.testing.assert_array_equal(stretched[0], np.floor(twin * 255 + 0.5).astype(np.uint8))

    result = modeling("evaluate", "--run", run, "--data", shards, "--protocol", "as-published", "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    protocol = report["protocol"]
    assert (protocol["name"], protocol["first_frame"], protocol["scored_frames"]) == ("as-published", 0, FRAMES)
    assert len(report["model"]["psnr_per_frame"]) == FRAMES
    assert report["model"]["psnr_per_frame"][0] is None  # the input itself
    assert len(report["curves"]["model"]["psnr_per_frame"]) == FRAMES - 1
    assert report["report"].endswith("test-step-00000003-as-published.json")


def test_features_that_are_no_numbers_name_their_clip(run: Path, shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "load_extractor", lambda *_: Broken(CPU))
    request = asked(run, shards)
    with pytest.raises(FeatureError, match=f"clip {request.clips.clips[1].id} .*not finite"):
        evaluate(request)


def test_what_is_refused_is_one_line(run: Path, shards: Path, tmp_path: Path, modeling: Run) -> None:
    for arguments, status, words in (
        (["--run", run, "--metrics", "psnr,sim"], 2, "--metrics knows no 'sim'; nearest: ssim"),
        (["--run", run, "--metrics", ","], 2, "--metrics takes a list"),
        (["--run", run, "--metrics", "fid", "--weights", tmp_path], 1, "inception"),
        (["--run", run, "--metrics", "proxy", "--limit", 1], 2, "there is 1 clip: take 2 or more"),
        (["--run", run, "--metrics", "proxy", "--frames", 4], 2, "proxy needs 4 frames, and 3 are scored"),
        (["--run", run, "--frames", 12, "--curve-frames", 10], 2, "--curve-frames takes --frames (12) to 150"),
        ([], 2, "give --run (a run folder), --samples (a folder of videos), or both"),
        (["--samples", tmp_path / "gone", "--frames", 8], 2, "is no folder"),
    ):
        result = modeling("evaluate", "--data", shards, *arguments)
        assert result.exit_code == status, result.output
        lines = [line for line in result.stderr.strip().splitlines() if line and not line.startswith("left out")]
        assert len(lines) == 1
        assert words in lines[0]
    assert not (run / "evaluation" / "test-step-00000003.json").exists()
    with pytest.raises(WeightsError):
        evaluate(asked(run, shards, metrics=("fid",), weights=tmp_path))


def test_the_default_says_what_it_leaves_out(run: Path, shards: Path) -> None:
    said: list[str] = []
    evaluate(asked(run, shards, limit=1, frames=4), say=said.append)
    assert any("left out for want of weights: fid" in line and "--weights DIR" in line for line in said)
    assert any(line.startswith("left out proxy:") for line in said)


def test_each_clip_is_generated_once(run: Path, shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generated = 0

    def counted(*arguments: Any, **options: Any) -> Any:
        nonlocal generated
        generated += 1
        return roll_out(*arguments, **options)

    monkeypatch.setattr(sources, "roll_out", counted)
    keep = run / "evaluation" / "features"
    first = evaluate(asked(run, shards, keep=keep, metrics=("psnr", "proxy", "proxy-per-frame")))
    assert generated == 5
    assert evaluate(asked(run, shards, keep=keep, metrics=("psnr", "proxy", "proxy-per-frame"))) == first
    assert generated == 5
    evaluate(asked(run, shards, keep=keep, metrics=("psnr",), seed=1))
    assert generated == 10  # another seed is another set
