"""`dvdgan-s` against its slow twin in both modes, and what training does to its statistics and estimates."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn.utils import parametrize
from torch.optim.swa_utils import AveragedModel

from modeling import presets
from modeling.config import Config, apply_overrides
from modeling.networks import build_generator
from modeling.networks.batch_norm import BatchNorm
from modeling.networks.dvdgan import DVDGANSmall
from modeling.networks.ema import averaged
from modeling.networks.noise import FIRST_INPUT, LATENT, NoiseStream
from modeling.networks.spectral_norm import power_iteration
from modeling.runs.checkpoint import load_checkpoint, save_checkpoint
from modeling.training.state import restore, snapshot
from modeling.training.step import (
    Networks,
    Optimisers,
    build_networks,
    build_optimisers,
    discriminator_pass,
    draws_for,
    generator_pass,
)
from tests.modeling import literal_dvdgan as literal

SIZES = ("generator.kind=dvdgan-s", "generator.ch=4")
CONDITIONS = {
    "one frame": (),
    "two layers": ("layers=2",),
    "three frames": ("context_frames=3",),
    "mask": ("mask_classes=2",),
    "latent": ("latent=5",),
    "nothing": ("context_frames=0", "latent=5", "d_s.conditional=off"),
}
Sample = tuple[Tensor, Tensor | None]  # context and mask


def _config(*overrides: str) -> Config:
    return apply_overrides(presets.get("tiny"), [*SIZES, *overrides])


def _generator(*overrides: str) -> DVDGANSmall:
    """In float64, away from its initial values, where an error in a scale or a shift would not show.

    The running statistics are those of one pass: with the initial ones the last ReLU lets nothing through.
    """
    generator = build_generator(_config(*overrides)).double()
    assert isinstance(generator, DVDGANSmall)
    rng = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, values in generator.named_parameters():
            if name.endswith(("bias", "norm1.weight", "norm2.weight")):
                values += 0.3 * torch.randn(values.shape, generator=rng)
    context, mask = _sample(generator, 2)
    generator(context, context.shape[1] + 4, [8, 9], mask)
    for module in generator.modules():
        if isinstance(module, BatchNorm):
            module.running_mean.copy_(module.pending_mean / module.pending_count)
            module.running_var.copy_(module.pending_var / module.pending_count)
            for pending in (module.pending_mean, module.pending_var, module.pending_count):
                pending.zero_()
    return generator


def _sample(generator: DVDGANSmall, batch: int) -> Sample:
    rng, k, M = torch.Generator().manual_seed(7), generator.context_frames, generator.mask_classes
    context = torch.rand(batch, k, 3, 32, 32, generator=rng).double() * 2 - 1
    return context, torch.rand(batch, M, 32, 32, generator=rng).round() if M else None


def _twin(generator: DVDGANSmall, sample: Sample, steps: int, seeds: list[int]) -> Tensor:
    """The generated frames by the twin, with what it is given and what is drawn put together by hand."""
    context, mask = sample
    noise = NoiseStream(seeds)
    given = context.flatten(1, 2)
    given = given if mask is None else torch.cat((given, mask.double()), dim=1)
    first = noise.next_values(FIRST_INPUT, generator.first_shape, context)
    if generator.latent:
        z = noise.next_values(LATENT, (generator.latent,), context)
        first = first + (z @ generator.latent_input.weight.T + generator.latent_input.bias).reshape(first.shape)
    return literal.generate(generator, given, first, steps)


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("overrides", [pytest.param(o, id=n) for n, o in CONDITIONS.items() if n != "nothing"])
def test_agrees_with_the_twin_forward_and_backward(overrides: tuple[str, ...], mode: str) -> None:
    generator = _generator(*overrides).train(mode == "train")
    sample, seeds, k = _sample(generator, 2), [3, 4], generator.context_frames
    weight = torch.randn(2, 3, 3, 32, 32, generator=torch.Generator().manual_seed(1)).double()
    results = []
    for fast in (True, False):
        generator.zero_grad()
        if fast:
            video = generator(sample[0], k + 3, seeds, sample[1])
            assert torch.equal(video[:, :k], sample[0])
            video = video[:, k:]
        else:
            video = _twin(generator, sample, 3, seeds)
        (video * weight).sum().backward()
        results.append((video.detach(), {name: p.grad.clone() for name, p in generator.named_parameters()}))
    (fast_video, fast_grads), (slow_video, slow_grads) = results
    torch.testing.assert_close(fast_video, slow_video, rtol=1e-9, atol=1e-10)
    largest = max(float(grad.abs().max()) for grad in slow_grads.values())
    for name, grad in slow_grads.items():
        torch.testing.assert_close(fast_grads[name], grad, rtol=1e-7, atol=1e-10 * largest, msg=name)


@pytest.mark.parametrize("overrides", [pytest.param(o, id=n) for n, o in CONDITIONS.items()])
def test_every_parameter_gets_a_gradient(overrides: tuple[str, ...]) -> None:
    generator = _generator(*overrides)
    context, mask = _sample(generator, 2)
    generator(context, 7, [1, 2], mask).square().mean().backward()
    assert [name for name, p in generator.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize("overrides", [pytest.param(o, id=n) for n, o in CONDITIONS.items()])
def test_streaming_gives_the_same_video_and_a_sample_depends_on_itself_alone(overrides: tuple[str, ...]) -> None:
    generator = _generator(*overrides).eval()
    context, mask = _sample(generator, 2)
    whole = generator(context, 11, [5, 6], mask).detach()
    assert whole.shape == (2, 11, 3, 32, 32)
    torch.testing.assert_close(generator.generate(context, 11, [5, 6], 3, mask), whole, rtol=1e-9, atol=1e-10)
    for index, seed in enumerate((5, 6)):
        rows = slice(index, index + 1)
        alone = generator(context[rows], 11, [seed], None if mask is None else mask[rows])
        torch.testing.assert_close(alone.detach(), whole[rows], rtol=1e-9, atol=1e-10)
    other = generator(context, 11, [5, 7], mask)
    assert torch.equal(other[0], whole[0])
    assert (other[1] - whole[1]).abs().max() > 1e-3


def test_streaming_evaluates_while_training_and_leaves_the_mode() -> None:
    generator = _generator()
    context, _ = _sample(generator, 1)
    before = copy.deepcopy(generator.state_dict())
    streamed = generator.generate(context, 6, [1])
    assert generator.training
    assert all(torch.equal(before[name], value) for name, value in generator.state_dict().items())
    torch.testing.assert_close(streamed, generator.eval()(context, 6, [1]).detach(), rtol=1e-9, atol=1e-10)


def test_a_discriminator_pass_leaves_the_generator_as_it_is_and_a_generator_pass_moves_all_of_it() -> None:
    config = _config("frames=8", "d_s.frames=2", "batch=3", "micro_batch=2")
    networks = build_networks(config)
    optimisers, generator = build_optimisers(networks, config), networks.generator
    clips = torch.rand(3, 8, 3, 32, 32, generator=torch.Generator().manual_seed(2)) * 2 - 1
    before = copy.deepcopy(generator.state_dict())
    discriminator_pass(networks, optimisers, clips, draws_for(config, step=0, pass_index=0), config)
    assert all(torch.equal(before[name], value) for name, value in generator.state_dict().items())

    draws = draws_for(config, step=0, pass_index=2)
    stem = torch.nn.functional.conv2d(
        clips[:, 0], before["encoder.stem.weight"], before["encoder.stem.bias"], padding=1
    )
    generator_pass(networks, optimisers, clips, draws, config)
    after = generator.state_dict()
    moved = {name for name, value in after.items() if not torch.equal(before[name], value)}
    assert {name for name in after if name.endswith(("running_mean", "running_var", "_u", "original"))} <= moved
    # The first batch norm sees the stem's output: two micro-batches, of two clips and of one.
    parts = [stem[:2].transpose(0, 1).flatten(1), stem[2:].transpose(0, 1).flatten(1)]
    mean = (2 * parts[0].mean(dim=1) + parts[1].mean(dim=1)) / 3
    variance = (2 * parts[0].var(dim=1) + parts[1].var(dim=1)) / 3
    torch.testing.assert_close(after["encoder.blocks.0.norm1.running_mean"], 0.1 * mean, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(after["encoder.blocks.0.norm1.running_var"], 0.9 + 0.1 * variance, rtol=1e-4, atol=1e-6)


def test_spectral_norm_is_the_decoder_blocks_alone_and_rests_between_updates() -> None:
    generator = _generator()
    normalised = {name for name, module in generator.named_modules() if parametrize.is_parametrized(module)}
    assert normalised == {
        f"decoder.levels.{level}.{block}.{conv}"
        for level in range(3)
        for block in ("block1", "block2")
        for conv in ("conv1", "conv2", "skip")
    }
    context, _ = _sample(generator, 1)
    before = {name: value.clone() for name, value in generator.named_buffers() if name.endswith(("_u", "_v"))}
    generator.train()(context, 4, [1])
    assert all(torch.equal(before[name], value) for name, value in generator.named_buffers() if name in before)
    generator.after_update()
    assert any(not torch.equal(before[name], value) for name, value in generator.named_buffers() if name in before)
    for _ in range(300):
        power_iteration(generator)
    for name in normalised:
        singular = torch.linalg.svdvals(generator.get_submodule(name).weight.detach().flatten(1))
        assert float(singular[0]) == pytest.approx(1, abs=1e-3), name


def test_the_moving_average_evaluates_with_the_statistics_and_estimates_of_training() -> None:
    config = _config("frames=8", "d_s.frames=2", "batch=2", "micro_batch=1", "lr=1e-3")
    networks = build_networks(config)
    optimisers, generator = build_optimisers(networks, config), networks.generator
    average = averaged(generator, 0.999)
    clips = torch.rand(2, 8, 3, 32, 32, generator=torch.Generator().manual_seed(3)) * 2 - 1
    for step in range(3):
        generator_pass(networks, optimisers, clips, draws_for(config, step=step, pass_index=2), config)
        average.update_parameters(generator)
    live, shadow = dict(generator.named_buffers()), dict(average.module.named_buffers())
    assert len(live) > 0
    assert all(torch.equal(live[name], shadow[name]) for name in live)
    weights = [(p, q) for p, q in zip(generator.parameters(), average.module.parameters(), strict=True)]
    assert all(not torch.equal(p, q) for p, q in weights)

    video = average.module.generate(clips[:, 0], 8, [1, 2])
    rebuilt = build_generator(config).eval()
    rebuilt.load_state_dict(average.module.state_dict())  # what model.safetensors holds
    torch.testing.assert_close(rebuilt(clips[:, 0], 8, [1, 2]).detach(), video, rtol=1e-5, atol=1e-6)
    close = generator.generate(clips[:, 0], 8, [1, 2])
    assert torch.isfinite(video).all()
    assert 0 < float((video - close)[:, 1:].abs().mean()) < float(close[:, 1:].abs().mean())


def test_initial_weights_come_from_the_seed_alone() -> None:
    torch.manual_seed(0)
    first = build_generator(_config()).state_dict()
    torch.manual_seed(1)
    second = build_generator(_config()).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    third = build_generator(_config("seed=1")).state_dict()
    assert not torch.equal(first["encoder.stem.weight"], third["encoder.stem.weight"])


def test_without_a_seed_its_first_input_is_zero() -> None:
    generator = _generator("latent=5").eval()
    context, _ = _sample(generator, 1)
    given = context.flatten(1, 2)
    first = generator.latent_input.bias.reshape(1, *generator.first_shape)
    expected = literal.generate(generator, given, first, 3)
    torch.testing.assert_close(generator(context, 4)[:, 1:], expected, rtol=1e-9, atol=1e-10)


def test_a_restored_state_goes_on_bit_for_bit(tmp_path: Path) -> None:
    """Two steps, a checkpoint, two steps against four: weights, statistics, estimates and average alike."""
    config = _config("frames=6", "d_s.frames=2", "batch=2", "micro_batch=1", "d_passes=1")
    clips = torch.rand(2, 6, 3, 32, 32, generator=torch.Generator().manual_seed(2)) * 2 - 1

    def begun() -> tuple[Networks, Optimisers, AveragedModel]:
        networks = build_networks(config)
        return networks, build_optimisers(networks, config), averaged(networks.generator, 0.999)

    def steps(networks: Networks, optimisers: Optimisers, average: AveragedModel, first: int, last: int) -> None:
        for step in range(first, last):
            discriminator_pass(networks, optimisers, clips, draws_for(config, step=step, pass_index=0), config)
            generator_pass(networks, optimisers, clips, draws_for(config, step=step, pass_index=1), config)
            average.update_parameters(networks.generator)

    whole, before, after = begun(), begun(), begun()
    steps(*whole, 0, 4)
    steps(*before, 0, 2)
    save_checkpoint(tmp_path / "state.pt", snapshot(2, config, *before))
    assert restore(tmp_path, load_checkpoint(tmp_path / "state.pt", torch.device("cpu")), *after) == 2
    steps(*after, 2, 4)
    for (name, one), (_, other) in zip(whole[0], after[0], strict=True):
        for key, value in one.state_dict().items():
            assert torch.equal(value, other.state_dict()[key]), f"{name}.{key}"
    for key, value in whole[2].state_dict().items():
        assert torch.equal(value, after[2].state_dict()[key]), key


def test_micro_batches_that_depend_on_the_machine_are_warned_of() -> None:
    (warning,) = _config("micro_batch=auto").warnings()
    assert "training.micro_batch=auto: the generator's batch norm" in warning
    assert _config("micro_batch=2").warnings() == []
    assert len(apply_overrides(presets.get("tiny"), ["encoder_norm=batch"]).warnings()) == 1
    assert presets.get("tiny").warnings() == []
