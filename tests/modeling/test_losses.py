"""The losses and the gradient penalties against hand computation, numerical gradients and loops."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from modeling import presets
from modeling.config import apply_overrides
from modeling.networks import build_discriminators
from modeling.training.losses import LOSSES, gradient_penalty, zero_centred_penalty
from tests.modeling import literal_networks as literal

SMALL = ["resolution=16", "generator.widths=[2,1]", "d_s.widths=[1,2,2]", "d_t.widths=[1,2,2]", "d_s.frames=3"]


def _rand(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


def _discriminators():
    networks = build_discriminators(apply_overrides(presets.get("tiny"), SMALL)).values()
    for network in networks:
        network.double()
        network.attention.gamma.data.fill_(0.7)
    return networks


def gradient_penalty_spatial(d_s: nn.Module, real: Tensor, fake: Tensor, condition: Tensor, alpha: Tensor) -> Tensor:
    return gradient_penalty(lambda frames: d_s(frames, condition), real, fake, alpha)


def gradient_penalty_temporal(d_t: nn.Module, real: Tensor, fake: Tensor, alpha: Tensor) -> Tensor:
    return gradient_penalty(lambda clips: d_t(clips).mean(dim=1), real, fake, alpha)


def _log1pexp(x: float) -> float:
    return math.log(1 + math.exp(x))


# Each loss as a sum over a list of pairs of numbers, written from the papers.
BY_HAND = {
    "wgan-gp": (lambda r, f: f - r, lambda r, f: -f),
    "wgan-clip": (lambda r, f: f - r, lambda r, f: -f),
    "vanilla": (
        lambda r, f: -math.log(1 / (1 + math.exp(-r))) - math.log(1 - 1 / (1 + math.exp(-f))),
        lambda r, f: -math.log(1 / (1 + math.exp(-f))),
    ),
    "hinge": (lambda r, f: max(0.0, 1 - r) + max(0.0, 1 + f), lambda r, f: -f),
    "rpgan-r1r2": (lambda r, f: _log1pexp(-(r - f)), lambda r, f: _log1pexp(-(f - r))),
}


@pytest.mark.parametrize("name", LOSSES)
def test_losses_by_hand(name: str) -> None:
    real, fake = torch.tensor([[1.0, 2.0], [-3.0, 0.6]]).double(), torch.tensor([[0.5, 0.5], [-1.5, 2.0]]).double()
    pairs = list(zip(real.flatten().tolist(), fake.flatten().tolist(), strict=True))
    for ours, by_hand in zip(
        (LOSSES[name].discriminator(real, fake), LOSSES[name].generator(fake, real)), BY_HAND[name], strict=True
    ):
        assert float(ours) == pytest.approx(sum(by_hand(r, f) for r, f in pairs) / 4, rel=1e-9)


def test_a_loss_of_pairs_wants_real_scores() -> None:
    with pytest.raises(ValueError, match="real scores"):
        LOSSES["rpgan-r1r2"].generator(torch.zeros(1, 1))


def test_zero_centred_penalty_against_numerical_gradients() -> None:
    """R1 of the true D_S, a norm a frame, and of the true D_T, a norm a clip, on its mean score."""
    d_s, d_t = _discriminators()
    frames, condition = _rand(1, 2, 3, 8, 8), _rand(1, 3, 8, 8, seed=2)
    norms = [_numerical_norm(lambda moved: d_s(moved[None], condition)[0], frames[0, k]) for k in range(2)]
    penalty = zero_centred_penalty(lambda x: d_s(x, condition), frames, 2)
    assert float(penalty.detach()) == pytest.approx(sum(norm**2 for norm in norms) / 2 / 2, rel=1e-5)
    clip = _rand(1, 4, 3, 8, 8)
    norm = _numerical_norm(lambda clips: d_t(clips).mean(dim=1), clip[0])
    penalty = zero_centred_penalty(lambda x: d_t(x).mean(dim=1), clip, 1)
    assert float(penalty.detach()) == pytest.approx(norm**2 / 2, rel=1e-5)


class _LinearFrames(nn.Module):
    """A known gradient: score k is <w, frame>, so each frame's norm is ||w||; the condition's weight is larger."""

    def __init__(self, w: Tensor) -> None:
        super().__init__()
        self.w = nn.Parameter(w)

    def forward(self, frames: Tensor, condition: Tensor) -> Tensor:
        return (frames * self.w).sum(dim=(2, 3, 4)) + 100 * (condition**2).sum(dim=(1, 2, 3))[:, None]


class _QuadraticClips(nn.Module):
    """Score of slice t is |frame t|^2 / 2, so a clip's gradient is its frames over the number of slices."""

    def forward(self, video: Tensor) -> Tensor:
        return video.square().sum(dim=(2, 3, 4)) / 2


def test_spatial_penalty_of_a_linear_score() -> None:
    w = _rand(3, 4, 4)
    d_s = _LinearFrames(w)
    real, fake, condition = _rand(2, 5, 3, 4, 4), _rand(2, 5, 3, 4, 4, seed=1), _rand(2, 3, 4, 4)
    penalty = gradient_penalty_spatial(d_s, real, fake, condition, torch.rand(2, 5))
    norm = float(w.norm())
    assert penalty.item() == pytest.approx((norm - 1) ** 2, rel=1e-9)  # neither K, B nor the condition in the norm
    (gradient,) = torch.autograd.grad(penalty, d_s.parameters())
    torch.testing.assert_close(gradient, 2 * (norm - 1) * w / norm, rtol=1e-9, atol=1e-12)


def test_temporal_penalty_is_a_mean_of_norms_of_whole_clips() -> None:
    real, fake, alpha = _rand(2, 4, 3, 2, 2), 3 * _rand(2, 4, 3, 2, 2, seed=1), torch.tensor([0.25, 0.75])
    penalty = gradient_penalty_temporal(_QuadraticClips(), real, fake, alpha)
    expected = []
    for b in range(2):
        x = alpha[b].double() * real[b] + (1 - alpha[b].double()) * fake[b]
        expected.append((float((x / 4).norm()) - 1) ** 2)  # the mean over 4 slices divides by 4
    assert penalty.item() == pytest.approx(sum(expected) / 2, rel=1e-9)
    whole = (float((torch.stack([real[0], real[1]]) / 4).norm()) - 1) ** 2
    assert penalty.item() != pytest.approx(whole, rel=1e-2)  # the mistake of one norm for the batch


def test_each_frame_and_clip_has_its_own_alpha() -> None:
    """With alpha 1 on one sample and 0 on another, x is real there and fake here."""
    real, fake = torch.full((2, 4, 3, 2, 2), 1.0).double(), torch.full((2, 4, 3, 2, 2), 2.0).double()
    penalty = gradient_penalty_temporal(_QuadraticClips(), real, fake, torch.tensor([1.0, 0.0]))
    expected = [(float((clip / 4).norm()) - 1) ** 2 for clip in (real[0], fake[1])]
    assert penalty.item() == pytest.approx(sum(expected) / 2, rel=1e-9)

    class QuadraticFrames(nn.Module):
        def forward(self, frames: Tensor, condition: Tensor) -> Tensor:
            return frames.square().sum(dim=(2, 3, 4)) / 2

    alpha = torch.tensor([[1.0, 0.0, 1.0, 0.0], [0.0, 0.0, 1.0, 1.0]])
    penalty = gradient_penalty_spatial(QuadraticFrames(), real, fake, real[:, 0], alpha)
    norms = {1.0: float(real[0, 0].norm()), 0.0: float(fake[0, 0].norm())}
    expected = [(norms[float(a)] - 1) ** 2 for a in alpha.flatten()]
    assert penalty.item() == pytest.approx(sum(expected) / 8, rel=1e-9)


def _numerical_norm(scores, x: Tensor, step: float = 1e-6) -> float:
    """Norm of the gradient at `x` by central differences; `scores` takes a batch of moved copies, a value each."""
    moves = step * torch.eye(x.numel(), dtype=x.dtype).reshape(-1, *x.shape)
    with torch.no_grad():
        return float(((scores(x + moves) - scores(x - moves)) / (2 * step)).norm())


def test_penalties_against_numerical_gradients() -> None:
    d_s, d_t = _discriminators()
    real, fake, condition = _rand(1, 2, 3, 8, 8), _rand(1, 2, 3, 8, 8, seed=1), _rand(1, 3, 8, 8, seed=2)
    alpha = torch.tensor([[0.3, 0.8]])
    expected = []
    for k in range(2):
        a = alpha[0, k].double()
        x = a * real[0, k] + (1 - a) * fake[0, k]
        expected.append((_numerical_norm(lambda frames: d_s(frames[None], condition)[0], x) - 1) ** 2)
    penalty = gradient_penalty_spatial(d_s, real, fake, condition, alpha)
    assert penalty.item() == pytest.approx(sum(expected) / 2, rel=1e-5)

    real, fake, alpha = _rand(1, 4, 3, 8, 8), _rand(1, 4, 3, 8, 8, seed=1), torch.tensor([0.3])
    x = alpha.double() * real[0] + (1 - alpha.double()) * fake[0]
    norm = _numerical_norm(lambda clips: d_t(clips).mean(dim=1), x)
    assert float(gradient_penalty_temporal(d_t, real, fake, alpha)) == pytest.approx((norm - 1) ** 2, rel=1e-5)


def test_penalties_and_their_gradients_against_a_loop_over_the_twins() -> None:
    """Second derivatives of the pooled and time-gathered convolutions, attention and spectral norm included."""
    d_s, d_t = _discriminators()
    frames, condition = [_rand(2, 3, 3, 16, 16, seed=seed) for seed in (0, 1)], _rand(2, 3, 16, 16, seed=2)
    alpha = torch.rand(2, 3, generator=torch.Generator().manual_seed(3))
    losses = []
    for b in range(2):
        for k in range(3):
            a = alpha[b, k].double()
            x = (a * frames[0][b, k] + (1 - a) * frames[1][b, k]).requires_grad_()
            score = literal.score_frames(d_s, x[None, None], condition[b : b + 1]).sum()
            (gradient,) = torch.autograd.grad(score, x, create_graph=True)
            losses.append((gradient.square().sum().sqrt() - 1) ** 2)
    fast = gradient_penalty_spatial(d_s, *frames, condition, alpha)
    _same_gradients(d_s, fast, torch.stack(losses).mean())

    clips, alpha = [_rand(2, 5, 3, 16, 16, seed=seed) for seed in (0, 1)], torch.tensor([0.2, 0.9])
    losses = []
    for b in range(2):
        a = alpha[b].double()
        x = (a * clips[0][b] + (1 - a) * clips[1][b]).requires_grad_()
        (gradient,) = torch.autograd.grad(literal.score_clips(d_t, x[None]).mean(), x, create_graph=True)
        losses.append((gradient.square().sum().sqrt() - 1) ** 2)
    _same_gradients(d_t, gradient_penalty_temporal(d_t, *clips, alpha), torch.stack(losses).mean())


def _same_gradients(network: nn.Module, fast: Tensor, slow: Tensor) -> None:
    assert float(fast) == pytest.approx(float(slow), rel=1e-8)
    names, parameters = zip(*network.named_parameters(), strict=True)
    one = torch.autograd.grad(fast, parameters, allow_unused=True)
    two = torch.autograd.grad(slow, parameters, allow_unused=True)
    compared = 0
    for name, a, b in zip(names, one, two, strict=True):
        if a is None or b is None:
            assert name.endswith("bias"), name  # biases past the last non-linearity drop out of an input gradient
            assert all(value is None or not value.any() for value in (a, b)), name
            continue
        compared += 1
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-9 * max(1.0, float(b.abs().max())), msg=name)
    assert compared > 10


def test_the_penalty_leaves_no_gradient_on_its_inputs_and_survives_a_zero_gradient() -> None:
    real = _rand(1, 4, 3, 2, 2).requires_grad_()
    zero = _LinearFrames(torch.zeros(3, 2, 2).double())
    penalty = gradient_penalty_spatial(zero, real, real.detach(), real[:, 0].detach(), torch.rand(1, 4))
    penalty.backward()
    assert real.grad is None
    assert penalty.item() == 1.0
    assert torch.isfinite(zero.w.grad).all()


def test_the_penalty_is_computed_in_full_precision_under_autocast() -> None:
    d_t = build_discriminators(apply_overrides(presets.get("tiny"), SMALL))["d_t"]
    real, fake = _rand(1, 4, 3, 16, 16).float(), _rand(1, 4, 3, 16, 16, seed=1).float()
    plain = gradient_penalty_temporal(d_t, real, fake, torch.tensor([0.5]))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert d_t(real).dtype == torch.bfloat16
        mixed = gradient_penalty_temporal(d_t, real, fake, torch.tensor([0.5]))
    assert mixed.dtype == torch.float32
    assert torch.equal(plain, mixed)
