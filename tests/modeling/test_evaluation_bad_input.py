"""What cannot be scored, or scored with a remark only: through the command, one line, nothing written where refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import Result
from numpy.typing import NDArray

from modeling.data.windows import open_clips
from modeling.evaluation import names
from modeling.evaluation.points import is_point
from modeling.media.video import write_video
from modeling.metrics.extractors import weights
from modeling.metrics.extractors.proxy import ProxyExtractor
from tests.modeling.conftest import Run
from tests.modeling.moving_textures import texture_clip, write_textures
from tests.modeling.published_files import ARCHIVE, NAMES, alexnet, heads, published
from tests.modeling.test_extractors_weights import Runs

U8 = NDArray[np.uint8]
CHEAP = "psnr,ssim,proxy,prdc,motion"


@pytest.fixture(autouse=True)
def no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(weights.VARIABLE, raising=False)


@pytest.fixture
def run(trained_run: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    shutil.copytree(trained_run, folder, ignore=shutil.ignore_patterns("evaluation"))
    return folder


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_textures(tmp_path_factory.mktemp("data") / "shards", {"train": [[9, 10, 9]], "test": [[9, 8, 10, 4]]})


def black(seed: int, length: int, side: int) -> U8:
    return np.zeros((length, side, side, 3), np.uint8)


def one_colour(seed: int, length: int, side: int) -> U8:
    return np.full((length, side, side, 3), 17 * seed % 256, np.uint8)


def still(seed: int, length: int, side: int) -> U8:
    return np.repeat(texture_clip(seed, 1, side), length, axis=0)


def refused(result: Result, status: int, *words: str) -> None:
    """Of what is said, remarks aside, one line."""
    assert result.exit_code == status, result.output
    lines = [line for line in result.stderr.splitlines() if line and not line.startswith("left out")]
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("Error: ")
    for word in words:
        assert word in lines[0]
    assert not result.stdout.strip()


def test_clips_that_are_all_one_are_scored_and_told(tmp_path: Path, run: Path, modeling: Run) -> None:
    data = write_textures(tmp_path / "black", {"train": [[8, 8, 8]], "test": [[8] * 6]}, clip=black)
    result = modeling("evaluate", "--run", run, "--data", data, "--metrics", CHEAP, "--json")
    assert result.exit_code == 0, result.output
    told = [line for line in result.stderr.splitlines() if line.startswith("warning: all features of ")]
    assert len(told) == 3  # once for each set, whatever is computed of it
    for line, whose in zip(told, ("the real clips", "'input frame copied'", "'blend of training clips'"), strict=True):
        assert whose in line and "(6 of proxy features)" in line and "a covariance of zero is no distribution" in line
    assert "warning: the real clips do not move" in result.stderr
    rows = json.loads(result.stdout)["metrics"]
    assert rows["model"]["proxy-fd"]["note"] == "all features of the real clips are equal: no distribution"
    for metric in ("proxy-fd", "precision", "coverage"):
        assert "of the real clips and of the row 'input frame copied' are equal" in rows["copied_frame"][metric]["note"]
    assert rows["copied_frame"]["proxy-fd"]["value"] == 0
    assert "of the real clips are equal: no distribution" in rows["real_against_real"]["proxy-fd"]["note"]
    assert rows["model"]["motion_amount"]["value"] is None
    assert "the real clips do not move" in rows["model"]["motion_amount"]["note"]
    page = (run / "evaluation" / "test-step-00000003.md").read_text()
    assert "- proxy-FD, model: all features of the real clips are equal: no distribution" in page


@pytest.mark.parametrize("clip", [one_colour, still])
def test_a_still_baseline_of_clips_that_differ_is_no_fault(tmp_path: Path, run: Path, modeling: Run, clip: Any) -> None:
    data = write_textures(tmp_path / "data", {"test": [[8] * 6]}, clip=clip)
    result = modeling("evaluate", "--run", run, "--data", data, "--metrics", CHEAP, "--json")
    assert result.exit_code == 0, result.output
    assert "are equal" not in result.output
    assert "warning: the real clips do not move" in result.stderr


def test_the_copied_frame_of_moving_clips_warns_of_nothing(run: Path, shards: Path, modeling: Run) -> None:
    result = modeling("evaluate", "--run", run, "--data", shards, "--metrics", "psnr,proxy,motion")
    assert result.exit_code == 0
    assert "warning" not in result.stderr


def test_what_a_point_is() -> None:
    rng = np.random.default_rng(0)
    row = rng.normal(size=5).astype(np.float32)
    same = np.tile(row, (130, 3, 1))
    assert is_point(same) and is_point(same[:, 0]) and is_point(np.zeros((2, 4)))
    rounded = same * (1 + 1e-7 * rng.normal(size=same.shape)).astype(np.float32)
    assert is_point(rounded)
    assert not is_point(same[:1])  # one clip that stands still
    other = same.copy()
    other[129, 2, 4] *= 1.001
    assert not is_point(other)


def test_too_few_clips_and_frames(tmp_path: Path, run: Path, shards: Path, modeling: Run) -> None:
    empty = write_textures(tmp_path / "empty", {"train": [[9]]})
    refused(modeling("evaluate", "--run", run, "--data", empty), 2, "split test holds no clip to evaluate on")
    refused(modeling("evaluate", "--samples", tmp_path, "--data", empty), 2, "split test", "is empty")
    for metric in ("proxy", "proxy-per-frame", "prdc"):
        result = modeling("evaluate", "--run", run, "--data", shards, "--limit", 1, "--metrics", metric)
        refused(result, 2, f"--metrics {metric}", "there is 1 clip: take 2 or more")
    refused(
        modeling("evaluate", "--run", run, "--data", shards, "--frames", 60),
        2,
        "all 4 clips of split test",
        "shorter than 60 frames",
        "`--frames`",
    )
    assert not (run / "evaluation").exists()
    some = modeling("evaluate", "--run", run, "--data", shards, "--frames", 9, "--metrics", "psnr", "--json")
    assert some.exit_code == 0
    assert "left out 2 clips shorter than 9 frames" in some.stderr
    assert json.loads(some.stdout)["metrics"]["model"]["psnr"]["n"] == [2, 2]
    alone = modeling("evaluate", "--run", run, "--data", shards, "--limit", 1, "--json")
    assert alone.exit_code == 0
    assert "left out proxy: it compares sets, and there is 1 clip" in alone.stderr
    number = json.loads(alone.stdout)["metrics"]["model"]["psnr"]
    assert (number["n"], number["low"]) == ([1, 1], None)


def test_mixed_resolutions(tmp_path: Path, run: Path, modeling: Run) -> None:
    data = write_textures(tmp_path / "data", {"train": [[9]], "test": [[9], [9]]}, side=48)
    other = write_textures(tmp_path / "other", {"train": [[9]], "test": [[9]]})
    manifest, small = (json.loads((folder / "manifest.json").read_text()) for folder in (data, other))
    shutil.copy(other / "test-00000.h5", data / "test-00000.h5")
    manifest["shards"] = [
        next((one for one in small["shards"] if one["file"] == entry["file"] == "test-00000.h5"), entry)
        for entry in manifest["shards"]
    ]
    (data / "manifest.json").write_text(json.dumps(manifest))
    refused(modeling("evaluate", "--run", run, "--data", data), 2, "test-00001.h5 holds 48x48 frames", "needs 32x32")
    videos = tmp_path / "videos"
    write_video(videos / "test-2.mp4", texture_clip(1, 9, 32), fps=25)
    result = modeling("evaluate", "--samples", videos, "--data", data)
    refused(result, 2, "mixes frames of 32x32 (test-00000.h5) and 48x48 (test-00001.h5)")
    assert not (videos / "evaluation").exists()


class Overflowing(ProxyExtractor):
    """Of the first clips that it is shown, the real ones, numbers; of the last of those after them, none."""

    calls = 0

    def __call__(self, clips_NTHW3: torch.Tensor) -> dict[str, torch.Tensor]:
        features = super().__call__(clips_NTHW3)["features"]
        if self.calls:
            features[-1, 0] = torch.inf
        self.calls += 1
        return {"features": features}


def test_features_that_are_no_numbers_name_their_row_and_clip(
    tmp_path: Path, run: Path, modeling: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    shards = write_textures(tmp_path / "shards", {"train": [[9, 10]], "test": [[9, 8, 10]]})  # nothing is kept of it
    extractor = Overflowing(torch.device("cpu"))
    monkeypatch.setattr(names, "load_extractor", lambda *_: extractor)
    result = modeling("evaluate", "--run", run, "--data", shards, "--metrics", "proxy")
    clips = open_clips(shards, "test", resolution=32, frames=8)
    refused(result, 1, f"clip {clips.clips[2].id} (model) gives proxy values that are not finite")
    assert not list((run / "evaluation").glob("*.json"))
    assert not list((run / "evaluation").glob("features/*/*.npy"))


def lpips_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder.mkdir()
    torch.save(alexnet(), folder / NAMES["lpips-backbone"])
    torch.save(heads(), folder / NAMES["lpips-heads"])
    monkeypatch.setattr(weights, "FILES", published(folder))
    return folder


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        (NAMES["inception"], b"short", "is cut short: 5 bytes"),
        (ARCHIVE, b"PK\x03\x04", "is cut short: 4 bytes"),
        (NAMES["i3d"], b"PK\x03\x04", "cannot be read"),
    ],
)
def test_a_broken_file_is_an_error_unless_its_metrics_were_not_asked_for(
    run: Path, shards: Path, tmp_path: Path, modeling: Run, monkeypatch: pytest.MonkeyPatch,
    name: str, content: bytes, words: str,
) -> None:  # fmt: skip
    folder = lpips_files(tmp_path / "weights", monkeypatch)
    (folder / name).write_bytes(content)
    needing = "fid, is, fid-per-frame" if name == NAMES["inception"] else "fvd"
    result = modeling("evaluate", "--run", run, "--data", shards, "--weights", folder)
    refused(
        result, 1, str(folder / name), words, "fetch it again from https://", f"or name --metrics without {needing}"
    )
    assert not (run / "evaluation").exists()
    doctor = modeling("doctor", "--weights", folder)
    assert doctor.exit_code == 1 and words in doctor.output
    others = modeling(
        "evaluate", "--run", run, "--data", shards, "--weights", folder, "--metrics", "psnr,lpips", "--json"
    )
    assert others.exit_code == 0, others.output
    assert json.loads(others.stdout)["metrics"]["model"]["lpips"]["value"] > 0


def test_files_that_are_not_there_are_left_out_with_a_remark(
    run: Path, shards: Path, tmp_path: Path, modeling: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = lpips_files(tmp_path / "weights", monkeypatch)
    result = modeling("evaluate", "--run", run, "--data", shards, "--weights", folder, "--limit", 2, "--json")
    assert result.exit_code == 0, result.output
    assert "left out fid, is, fid-per-frame: " in result.stderr and "left out fvd: " in result.stderr
    assert "lpips" in json.loads(result.stdout)["metrics"]["model"]
    refused(
        modeling("evaluate", "--run", run, "--data", shards, "--weights", tmp_path / "gone", "--metrics", "psnr"),
        2,
        "is not a folder of weights",
    )


def test_weights_with_code_in_them_are_refused_and_not_run(
    run: Path, shards: Path, tmp_path: Path, modeling: Run
) -> None:
    folder, mark = tmp_path / "weights", tmp_path / "mark"
    folder.mkdir()
    torch.save({"Conv3d_1a_7x7.conv3d.weight": Runs(mark)}, folder / NAMES["i3d"])
    for arguments in ([], ["--metrics", "fvd"]):
        result = modeling("evaluate", "--run", run, "--data", shards, "--weights", folder, *arguments)
        refused(result, 1, str(folder / NAMES["i3d"]), "nothing in it was run")
    assert not mark.exists()


def test_frames_too_small_for_a_network_are_said(
    tmp_path: Path, modeling: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = lpips_files(tmp_path / "weights", monkeypatch)
    data = write_textures(tmp_path / "data", {"test": [[9, 9]]}, side=16)
    clips = open_clips(data, "test", resolution=16, frames=9)
    for index, clip in enumerate(clips.clips):
        write_video(tmp_path / "videos" / f"{clip.id}.mp4", clips.window(index, 0, 9), fps=25)
    arguments = ["evaluate", "--samples", tmp_path / "videos", "--data", data, "--frames", 9, "--weights", folder]
    asked = modeling(*arguments, "--metrics", "lpips")
    refused(asked, 2, "--metrics lpips: it needs frames of 31x31 pixels, and these are 16x16")
    result = modeling(*arguments, "--json")
    assert result.exit_code == 0, result.output
    assert "left out lpips: it needs frames of 31x31 pixels" in result.stderr
    assert "lpips" not in json.loads(result.stdout)["metrics"]["samples"]
