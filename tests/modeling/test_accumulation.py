"""Eq. 3.16: however a batch is split, each network gets the whole batch's gradient, the penalty's included."""

from __future__ import annotations

from functools import cache

import pytest
import torch

from modeling import presets
from modeling.config import Config, apply_overrides
from modeling.training.draws import Draws, draws_for
from modeling.training.step import Networks, build_networks, build_optimisers, discriminator_pass, generator_pass

SMALL = [
    "resolution=16",
    "frames=5",
    "generator.widths=[2,1]",
    "d_s.widths=[1,2,2]",
    "d_t.widths=[1,2,2]",
    "d_s.frames=3",
    "training.batch=4",
    "clip.mode=off",
]


def _config(*overrides: str) -> Config:
    return apply_overrides(presets.get("tiny"), [*SMALL, *overrides])


def _networks(config: Config) -> Networks:
    networks = build_networks(config)
    for network in (networks.generator, networks.discriminators["d_s"], networks.discriminators["d_t"]):
        network.double()
        for name, parameter in network.named_parameters():
            if name.endswith(("noise_strength", "gamma")):
                parameter.data.fill_(0.3)
    return networks


def _clips(config: Config, seed: int = 0) -> torch.Tensor:
    shape = (config.training.batch, config.frames, 3, config.resolution, config.resolution)
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)).double() * 2 - 1


@cache
def _gradients(config: Config, *, generator: bool) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
    networks = _networks(config)
    optimisers = build_optimisers(networks, config)
    run = generator_pass if generator else discriminator_pass
    stats = run(networks, optimisers, _clips(config), draws_for(config, step=3, pass_index=1), config)
    updated = (
        {"g": networks.generator}
        if generator
        else {"d_s": networks.discriminators["d_s"], "d_t": networks.discriminators["d_t"]}
    )
    gradients = {
        f"{label}.{name}": parameter.grad.clone()
        for label, network in updated.items()
        for name, parameter in network.named_parameters()
        if parameter.grad is not None
    }
    return gradients, stats


@pytest.mark.parametrize("generator", [False, True], ids=["discriminators", "generator"])
@pytest.mark.parametrize("micro_batch", [1, 2, 3])
def test_micro_batches_give_the_whole_batch_s_gradient(generator: bool, micro_batch: int) -> None:
    """3 does not divide 4: the last micro-batch is smaller and weighs less."""
    whole, whole_stats = _gradients(_config("micro_batch=4"), generator=generator)
    parts, parts_stats = _gradients(_config(f"micro_batch={micro_batch}"), generator=generator)
    assert parts.keys() == whole.keys()
    for name, gradient in whole.items():
        torch.testing.assert_close(
            parts[name], gradient, rtol=1e-8, atol=1e-10 * max(1.0, float(gradient.abs().max())), msg=name
        )
    assert parts_stats == pytest.approx(whole_stats, rel=1e-9, abs=1e-9)


def test_the_accumulated_gradient_is_that_of_the_loss_written_out() -> None:
    """One graph over the whole batch: E[D(fake)] - E[D(real)] + lambda * GP, and Eq. 3.15 for the generator."""
    config = _config("lambda_gp=0.7", "lambda_s=0.5", "lambda_t=3")
    networks, clips, draws = _networks(config), _clips(config), draws_for(config, step=3, pass_index=1)
    d_s, d_t, image = networks.discriminators["d_s"], networks.discriminators["d_t"], clips[:, 0]
    fake = networks.generator(image, config.frames, draws.noise)

    def frames(video: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
        return torch.stack([torch.stack([clip[i] for i in row]) for clip, row in zip(video, indices, strict=True)])

    g_loss = -0.5 * d_s(frames(fake, draws.fake_frames), image).mean() - 3 * d_t(fake).mean()
    expected = {"g": torch.autograd.grad(g_loss, networks.generator.parameters())}
    fake = fake.detach()
    real_k, fake_k = frames(clips, draws.real_frames), frames(fake, draws.fake_frames)
    alpha = draws.alpha_s.double()[:, :, None, None, None]
    x = (alpha * real_k + (1 - alpha) * fake_k).requires_grad_()
    (gradient,) = torch.autograd.grad(d_s(x, image).sum(), x, create_graph=True)
    penalty = (gradient.square().sum(dim=(2, 3, 4)).sqrt() - 1).square().mean()
    loss = d_s(fake_k, image).mean() - d_s(real_k, image).mean() + 0.7 * penalty
    expected["d_s"] = torch.autograd.grad(loss, d_s.parameters())
    alpha = draws.alpha_t.double()[:, None, None, None, None]
    x = (alpha * clips + (1 - alpha) * fake).requires_grad_()
    (gradient,) = torch.autograd.grad(d_t(x).mean(dim=1).sum(), x, create_graph=True)
    penalty = (gradient.square().sum(dim=(1, 2, 3, 4)).sqrt() - 1).square().mean()
    loss = d_t(fake).mean() - d_t(clips).mean() + 0.7 * penalty
    expected["d_t"] = torch.autograd.grad(loss, d_t.parameters())

    got = _gradients(config, generator=False)[0] | _gradients(config, generator=True)[0]
    for label, network in (("g", networks.generator), ("d_s", d_s), ("d_t", d_t)):
        for (name, _), value in zip(network.named_parameters(), expected[label], strict=True):
            torch.testing.assert_close(
                got[f"{label}.{name}"], value, rtol=1e-7, atol=1e-10 * max(1.0, float(value.abs().max())), msg=name
            )


def test_draws_are_a_function_of_seed_step_pass_and_sample() -> None:
    config = _config()
    whole = draws_for(config, step=5, pass_index=1)
    apart = [draws_for(config, step=5, pass_index=1, samples=[index]) for index in range(4)]
    for index, one in enumerate(apart):
        _same_draws(one, whole.part(index, index + 1))
    for other in (
        draws_for(config, step=6, pass_index=1),
        draws_for(config, step=5, pass_index=0),
        draws_for(apply_overrides(config, ["seed=1"]), step=5, pass_index=1),
    ):
        assert not torch.equal(other.alpha_s, whole.alpha_s)
        assert set(other.noise).isdisjoint(whole.noise)
    assert len(set(whole.noise)) == 4
    assert len(whole) == 4


def _same_draws(one: Draws, two: Draws) -> None:
    assert one.noise == two.noise
    for name in ("real_frames", "fake_frames", "alpha_s", "alpha_t"):
        assert torch.equal(getattr(one, name), getattr(two, name)), name


def test_frames_are_drawn_without_replacement_past_the_input_frame() -> None:
    config = apply_overrides(presets.get("tiny"), ["training.batch=400"])
    draws = draws_for(config, step=0, pass_index=0)
    counts = torch.zeros(25)
    for frames in (draws.real_frames, draws.fake_frames):
        assert frames.shape == (400, 8)
        assert all(len(set(row.tolist())) == 8 for row in frames)
        counts += torch.bincount(frames.flatten(), minlength=25)
    assert counts[0] == 0
    mean = 2 * 400 * 8 / 24
    assert ((counts[1:] - mean).abs() < 6 * mean**0.5).all()
    assert not torch.equal(draws.real_frames, draws.fake_frames)
    for alpha in (draws.alpha_s, draws.alpha_t):
        assert 0 <= float(alpha.min()) < 0.1
        assert 0.9 < float(alpha.max()) < 1
