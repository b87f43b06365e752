"""What a generator goes on from: one frame, several, or nothing at all; and passes that mix styles or take masks."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from modeling import presets
from modeling.config import Config, apply_overrides
from modeling.data.conditions import NOTHING, Conditions
from modeling.data.examples import example
from modeling.data.windows import ClipSet, open_clips
from modeling.errors import UsageError
from modeling.evaluation.pipeline import EvaluationRequest, evaluate
from modeling.inference import load_trained, roll_out
from modeling.networks import build_generator
from modeling.training.draws import draws_for
from modeling.training.samples import write_sample
from modeling.training.step import build_networks, build_optimisers, discriminator_pass, generator_pass
from tests.modeling.conftest import QUICK, Run

CPU = torch.device("cpu")
SMALL = [
    "resolution=16",
    "frames=6",
    "generator.widths=[2,1]",
    "generator.ch=4",
    "d_s.widths=[1,2,2]",
    "d_t.widths=[1,2,2]",
    "d_s.frames=3",
    "training.batch=4",
    "clip.mode=off",
]
UNCONDITIONAL = ["context_frames=0", "latent=6", "conditional=off"]


def _config(*overrides: str) -> Config:
    return apply_overrides(presets.get("tiny"), [*SMALL, *overrides])


# -- the training passes -------------------------------------------------------------------------------------------


def _given(config: Config) -> tuple[Tensor, Conditions]:
    source = torch.Generator().manual_seed(3)
    B, k, R, M = config.training.batch, config.generator.context_frames, 16, config.generator.mask_classes

    def video(T: int) -> Tensor:
        return torch.rand(B, T, 3, R, R, generator=source).double() * 2 - 1

    def mask() -> Tensor | None:
        return torch.rand(B, M, R, R, generator=source).double().round() if M else None

    mixes = config.generator.style_mixing > 0 and k > 0
    clips = video(config.frames)
    return clips, Conditions(
        mask=mask(), other_context=video(k) if mixes else None, other_mask=mask() if mixes else None
    )


@pytest.mark.parametrize(
    "overrides",
    [
        ["context_frames=3"],
        UNCONDITIONAL,
        [*UNCONDITIONAL, "style_mixing=0.7"],
        ["mask_classes=2", "style_mixing=0.7", "latent=3"],
        ["block=adain", "blur=on", "context_frames=2", "mask_classes=1", "mask_mode=hard", "style_mixing=1"],
    ],
    ids=lambda overrides: " ".join(overrides),
)
def test_micro_batches_change_nothing(overrides: list[str]) -> None:
    """Eq. 3.16 with whatever the generator is given: noise, latents, masks and mixed styles go with their samples."""
    results = []
    for micro_batch in (4, 1, 3):
        config = _config(*overrides, f"micro_batch={micro_batch}")
        clips, given = _given(config)
        networks = build_networks(config)
        for _, network in networks:
            network.double()
        with torch.no_grad():
            for name, parameter in networks.generator.named_parameters():
                if name.endswith("noise_strength"):
                    parameter.fill_(0.3)
        optimisers = build_optimisers(networks, config)
        d_stats = discriminator_pass(
            networks, optimisers, clips, draws_for(config, step=2, pass_index=0), config, given
        )
        g_stats = generator_pass(networks, optimisers, clips, draws_for(config, step=2, pass_index=1), config, given)
        gradients = {
            f"{label}.{name}": parameter.grad
            for label, network in networks
            for name, parameter in network.named_parameters()
            if parameter.grad is not None
        }
        results.append((gradients, {**d_stats, **g_stats}))
    (whole, whole_stats), *others = results
    assert any(name.startswith("generator.") for name in whole)
    for parts, stats in others:
        assert stats == pytest.approx(whole_stats, rel=1e-8, abs=1e-9)
        for name, gradient in whole.items():
            size = max(1.0, float(gradient.abs().max()))
            torch.testing.assert_close(parts[name], gradient, rtol=1e-7, atol=1e-9 * size, msg=name)


def test_passes_without_the_other_clips_that_mixing_needs_are_refused() -> None:
    config = _config("style_mixing=1")
    networks = build_networks(config)
    with pytest.raises(ValueError, match="needs another clip for each"):
        generator_pass(
            networks,
            build_optimisers(networks, config),
            torch.zeros(4, 6, 3, 16, 16),
            draws_for(config, step=0, pass_index=2),
            config,
            NOTHING,
        )


def test_discriminators_see_generated_frames_alone() -> None:
    """D_S's frames come from k on, real and generated; D_T sees the whole clip."""
    config = _config("context_frames=3", "training.batch=64")
    draws = draws_for(config, step=0, pass_index=0)
    for frames in (draws.real_frames, draws.fake_frames):
        assert set(frames.flatten().tolist()) == {3, 4, 5}
    free = draws_for(_config(*UNCONDITIONAL, "training.batch=64"), step=0, pass_index=0)
    assert set(free.real_frames.flatten().tolist()) == {0, 1, 2, 3, 4, 5}


# -- several frames ------------------------------------------------------------------------------------------------


def test_every_context_frame_counts_and_comes_back() -> None:
    generator = build_generator(_config("context_frames=3"))
    context = torch.rand(1, 3, 3, 16, 16) * 2 - 1
    video = generator(context, 6, [1])
    assert video.shape == (1, 6, 3, 16, 16)
    assert torch.equal(video[:, :3], context)
    for frame in range(3):
        changed = context.clone()
        changed[:, frame] += 0.1
        assert (generator(changed, 6, [1])[:, 3:] - video[:, 3:]).abs().max() > 1e-6
    swapped = generator(context.flip(1), 6, [1])
    assert (swapped[:, 3:] - video[:, 3:]).abs().max() > 1e-6


@pytest.fixture(scope="module")
def three_frames(tmp_path_factory: pytest.TempPathFactory, textures: Path, modeling: Run) -> Path:
    """A run of 2 steps that goes on from three frames, with mixed styles and a latent."""
    run = tmp_path_factory.mktemp("runs") / "three"
    options = [*QUICK, "--set", "context_frames=3", "--set", "style_mixing=0.9", "--set", "latent=4"]
    result = modeling("train", "--data", textures, "--preset", "tiny", "--run", run, "--steps", 2, *options)
    assert result.exit_code == 0, result.output
    return run


def test_a_run_goes_on_from_three_frames(three_frames: Path, textures: Path, modeling: Run) -> None:
    lines = (three_frames / "metrics.jsonl").read_text().splitlines()
    assert len(lines) == 2
    assert all(np.isfinite(value) for value in json.loads(lines[-1]).values())
    assert len(list((three_frames / "samples").glob("*.mp4"))) == 1
    trained = load_trained(three_frames, CPU)
    clips = open_clips(textures, "test", resolution=32, frames=8)
    shown = example(clips, 1, trained.config.generator, 8)
    assert shown.context.shape == (3, 32, 32, 3)
    np.testing.assert_array_equal(shown.copied[:3], shown.real[:3])
    assert (shown.copied[3:] == shown.real[2]).all()
    clip = roll_out(trained.generator, shown.context, frames=8, seed=1)
    np.testing.assert_array_equal(clip[:3], shown.real[:3])
    assert not trained.deterministic

    result = modeling("evaluate", "--run", three_frames, "--data", textures, "--motion", "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["protocol"]["context_frames"] == 3
    assert report["protocol"]["scored_frames"] == 5
    assert len(report["model"]["psnr_per_frame"]) == 5
    assert report["copied_frame"]["identical_frames"] == 0


def test_a_length_that_leaves_nothing_to_score_is_refused(three_frames: Path, textures: Path, modeling: Run) -> None:
    result = modeling("evaluate", "--run", three_frames, "--data", textures, "--frames", 3)
    assert result.exit_code == 2
    assert "--frames 3 leaves nothing to score after the 3 frames" in result.output


def test_a_still_stands_for_all_context_frames(three_frames: Path, tmp_path: Path, modeling: Run) -> None:
    image = tmp_path / "still.png"
    cv2.imwrite(str(image), np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8))
    result = modeling(
        "animate", "--run", three_frames, "--out", tmp_path / "out", "--frames", 5, "--format", "png", image
    )
    assert result.exit_code == 0, result.output
    assert len(list((tmp_path / "out" / "still").glob("*.png"))) == 5


# -- nothing -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def free_run(tmp_path_factory: pytest.TempPathFactory, textures: Path, modeling: Run) -> Path:
    """A run of 2 steps whose generator is given nothing."""
    run = tmp_path_factory.mktemp("runs") / "free"
    options = [*QUICK, *(part for override in UNCONDITIONAL for part in ("--set", override))]
    result = modeling("train", "--data", textures, "--preset", "tiny", "--run", run, "--steps", 2, *options)
    assert result.exit_code == 0, result.output
    return run


def test_a_run_trains_with_nothing_given(free_run: Path) -> None:
    assert all(
        np.isfinite(value) for value in json.loads((free_run / "metrics.jsonl").read_text().splitlines()[-1]).values()
    )
    trained = load_trained(free_run, CPU)
    nothing = np.empty((0, 32, 32, 3), np.uint8)
    clip = roll_out(trained.generator, nothing, frames=8, seed=1)
    assert clip.shape == (8, 32, 32, 3)
    assert (roll_out(trained.generator, nothing, frames=8, seed=2) != clip).any()
    np.testing.assert_array_equal(roll_out(trained.generator, nothing, frames=8, seed=1), clip)


def test_its_samples_are_clips_of_one_seed_after_the_other(
    textures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = apply_overrides(presets.get("tiny"), ["frames=5", "d_s.frames=3", "generator.ch=2", *UNCONDITIONAL])
    shown: list[list[list[np.ndarray]]] = []
    monkeypatch.setattr("modeling.training.samples.tiled", lambda rows: shown.append(rows) or rows[0][0])
    generator = build_generator(config)
    clips: ClipSet = open_clips(textures, "val", resolution=32, frames=5)
    write_sample(tmp_path / "sample.mp4", generator, clips, config)
    made = [clip for row in shown[0] for clip in row]
    assert (len(shown[0]), len(made)) == (4, 12)
    assert all(clip.shape == (5, 32, 32, 3) for clip in made)
    assert len({clip.tobytes() for clip in made}) == 12
    assert generator.training  # as before


def test_it_animates_nothing_and_has_no_future_to_be_scored(
    free_run: Path, textures: Path, tmp_path: Path, modeling: Run
) -> None:
    image = tmp_path / "still.png"
    cv2.imwrite(str(image), np.zeros((40, 40, 3), np.uint8))
    result = modeling("animate", "--run", free_run, "--out", tmp_path / "out", image)
    assert result.exit_code == 2
    assert "unconditional" in result.output
    assert not (tmp_path / "out").exists()
    result = modeling("evaluate", "--run", free_run, "--data", textures)
    assert result.exit_code == 2
    assert "its clips have no true future to score" in result.output
    clips = open_clips(textures, "test", resolution=32, frames=8)
    with pytest.raises(UsageError, match=r"generator\.context_frames=0"):
        evaluate(EvaluationRequest(trained=load_trained(free_run, CPU), clips=clips, frames=8))
