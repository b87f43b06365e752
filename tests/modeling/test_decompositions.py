"""Which discriminator sees what (Fig. 3.8), the baselines' discriminators, and that every loss splits exactly."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from modeling import presets
from modeling.config import Config, ConfigError, apply_overrides
from modeling.measuring.describe import describe
from modeling.networks import build_discriminators
from modeling.networks.discriminators import Picks
from modeling.options.training import PENALTY_OF
from modeling.training.build import Networks, build_networks, build_optimisers
from modeling.training.draws import draws_for
from modeling.training.losses import zero_centred_penalty
from modeling.training.step import discriminator_pass, generator_pass

SMALL = [
    "resolution=16",
    "frames=9",
    "generator.widths=[2,1]",
    "generator.ch=2",
    "d_s.widths=[1,2,2]",
    "d_t.widths=[1,2,2]",
    "d_s.frames=3",
    "d_s.ch=4",
    "d_t.ch=4",
]
DECOMPOSITIONS = ["dvdgan", "trivdgan-fast", "trivdgan-strong", "mocogan", "tgan"]


def _config(*overrides: str) -> Config:
    return apply_overrides(presets.get("tiny"), [*SMALL, *overrides])


def _clips(config: Config, count: int, seed: int = 0) -> Tensor:
    shape = (count, config.frames, 3, config.resolution, config.resolution)
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2 - 1


def _picks(config: Config, count: int) -> Picks:
    return Picks(torch.tensor([[1, 4, 7]] * count), torch.tensor([2, 5][:count]))


def test_trivdgan_sees_half_sizes_and_half_lengths() -> None:
    config = _config("decomposition=trivdgan-strong")
    video = _clips(config, 2)
    networks = build_discriminators(config)
    assert list(networks) == ["d_s", "d_t", "d_v"]
    small = torch.stack([video[..., y::2, x::2] for y in (0, 1) for x in (0, 1)]).mean(dim=0)
    frames = networks["d_s"].view(video, _picks(config, 2))
    torch.testing.assert_close(frames, small[:, [1, 4, 7]])
    crop = networks["d_t"].view(video, _picks(config, 2))
    torch.testing.assert_close(crop, torch.stack([small[0, 2:6], small[1, 5:9]]))
    torch.testing.assert_close(networks["d_v"].view(video, _picks(config, 2)), small)
    assert list(build_discriminators(_config("decomposition=trivdgan-fast"))) == ["d_s", "d_t"]
    d_s = networks["d_s"].double()
    assert d_s(frames, video[:, 0]).shape == (2, 3)  # the input frame comes whole and is halved inside
    full = copy.deepcopy(d_s)
    full.halved = False
    torch.testing.assert_close(d_s(frames, video[:, 0]), full(frames, small[:, 0]))


def test_the_default_sees_everything() -> None:
    config = _config()
    video, networks = _clips(config, 2), build_discriminators(config)
    assert torch.equal(networks["d_s"].view(video, _picks(config, 2)), video[:, [1, 4, 7]])
    assert torch.equal(networks["d_t"].view(video, _picks(config, 2)), video)


def test_crops_lie_inside_the_clip_and_differ_between_real_and_fake() -> None:
    config = _config("decomposition=trivdgan-fast", "training.batch=64")
    draws = draws_for(config, step=0, pass_index=0)
    for start in (draws.real_start, draws.fake_start):
        assert start.min() == 0
        assert start.max() == config.frames - config.crop_frames
    assert not torch.equal(draws.real_start, draws.fake_start)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["decomposition=trivdgan-fast", "d_t.pool=2"], "d_t.pool must be 1"),
        (["decomposition=trivdgan-fast", "frames=7"], "needs frames of 8 or more"),
        (["decomposition=trivdgan-fast", "d_s.widths=[1,2,2,2,2]"], "d_s.widths halves 8 pixels 4 times"),
        (["decomposition=triv"], "decomposition must be one of dvdgan, trivdgan-fast, trivdgan-strong, mocogan, tgan"),
    ],
)
def test_what_does_not_fit_is_named(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        _config(*overrides)
    assert message in str(caught.value)


# Written out: k.k.in.out + out for each convolution; widths 4 8 8.
IMAGE = (16 * 6 * 4 + 4) + (16 * 4 * 8 + 8) + (9 * 8 * 8 + 8) + (8 + 1)
VIDEO_CONVS = (64 * 3 * 4 + 4) + (64 * 4 * 8 + 8) + (27 * 8 * 8 + 8)


@pytest.mark.parametrize(
    ("decomposition", "totals"),
    [("mocogan", {"d_s": IMAGE, "d_t": VIDEO_CONVS + 8 + 1}), ("tgan", {"d_t": VIDEO_CONVS + 8 + 1})],
)
def test_parameters_of_the_baselines_discriminators(decomposition: str, totals: dict[str, int]) -> None:
    about = describe(_config(f"decomposition={decomposition}"))
    assert {name: about[name]["total"] for name in about if name.startswith("d_")} == totals


def test_a_patch_score_is_a_mean_and_reaches_every_pixel() -> None:
    for decomposition in ("mocogan", "tgan"):
        config = _config(f"decomposition={decomposition}")
        for network in build_discriminators(config).values():
            network.double()
            view = network.view(_clips(config, 2), _picks(config, 2)).requires_grad_()
            scores = network(view, _clips(config, 2)[:, 0])
            assert scores.shape[0] == 2
            (gradient,) = torch.autograd.grad(scores.sum(), view)
            assert (gradient.abs().amax(dim=(0, 1, 2)) > 0).all()


@pytest.mark.parametrize("decomposition", DECOMPOSITIONS)
def test_a_batch_equals_its_parts_under_every_decomposition(decomposition: str) -> None:
    _equal_parts(f"decomposition={decomposition}")


@pytest.mark.parametrize("loss", list(PENALTY_OF))
def test_a_batch_equals_its_parts_under_every_loss(loss: str) -> None:
    """Eq. 3.16 for the discriminators with their penalty and for the generator, DiffAugment included."""
    _equal_parts(f"training.loss={loss}", "training.augment=[color,translation,cutout]")


def _equal_parts(*overrides: str) -> None:
    results = []
    for micro in (1, 2, 4):
        config = _config("training.batch=4", f"micro_batch={micro}", "clip.mode=off", *overrides)
        networks = build_networks(config)
        for _, network in networks:
            network.double()
        optimisers = build_optimisers(networks, config)
        clips = _clips(config, 4)
        stats = discriminator_pass(networks, optimisers, clips, draws_for(config, step=0, pass_index=0), config)
        gradients = {
            f"{name}.{key}": p.grad.clone()
            for name, network in networks.discriminators.items()
            for key, p in network.named_parameters()
            if p.grad is not None
        }
        stats |= generator_pass(networks, optimisers, clips, draws_for(config, step=0, pass_index=1), config)
        gradients |= {f"g.{key}": p.grad.clone() for key, p in networks.generator.named_parameters()}
        results.append((stats, gradients))
    (stats, gradients), *others = results
    assert any(name.endswith("_penalty") for name in stats) == ("training.loss=wgan-clip" not in overrides)
    for other_stats, other_gradients in others:
        assert other_stats == pytest.approx(stats, rel=1e-9, abs=1e-12)
        assert set(other_gradients) == set(gradients)
        for name, gradient in gradients.items():
            torch.testing.assert_close(other_gradients[name], gradient, rtol=1e-9, atol=1e-12, msg=name)


def test_clipped_weights_stay_within_their_bound() -> None:
    config = _config("training.loss=wgan-clip", "weight_clip=0.02", "d_s.spectral_norm=off", "d_t.spectral_norm=off")
    networks = build_networks(config)
    optimisers = build_optimisers(networks, config)
    clips = _clips(config, config.training.batch).float()
    discriminator_pass(networks, optimisers, clips, draws_for(config, step=0, pass_index=0), config)
    for network in networks.discriminators.values():
        values = torch.cat([p.detach().flatten() for p in network.parameters()])
        assert values.abs().max() == pytest.approx(0.02)
        assert values.abs().min() < 0.02
    assert _config("training.loss=wgan-clip").warnings()[-1].startswith("training.loss=wgan-clip bounds weights")


class _Copy(nn.Module):
    """A generator that shows its input again and again: fake clips equal still real ones."""

    def forward(self, context: Tensor, frames: int, *unused: object) -> Tensor:
        return context[:, :1].expand(-1, frames, -1, -1, -1)


@pytest.mark.parametrize(("penalty", "times"), [("r1", 1), ("r1r2", 2)])
def test_r1_is_of_real_samples_and_r2_of_generated_ones(penalty: str, times: int) -> None:
    config = _config("training.loss=hinge", f"training.penalty={penalty}", "decomposition=tgan")
    networks = build_networks(config)
    still = _clips(config, config.training.batch).float()[:, :1].expand(-1, config.frames, -1, -1, -1)
    d_t = copy.deepcopy(networks.discriminators["d_t"])
    one = zero_centred_penalty(lambda clips: d_t(clips).mean(dim=1), still, 1)
    copying = Networks(generator=_Copy(), discriminators=networks.discriminators)  # type: ignore[arg-type]
    draws, optimisers = draws_for(config, step=0, pass_index=0), build_optimisers(networks, config)
    stats = discriminator_pass(copying, optimisers, still, draws, config)
    assert stats["d_t_penalty"] == pytest.approx(times * float(one.detach()), rel=1e-4)
