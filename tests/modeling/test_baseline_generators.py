"""The generators of MoCoGAN and TGAN against their slow twins, and what every generator owes its input."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modeling import presets
from modeling.config import Config, ConfigError, apply_overrides
from modeling.networks import Generator, build_generator
from modeling.networks.batch_norm import BatchNorm
from modeling.networks.encoder import ClipCode
from modeling.networks.mocogan import MOTION_DIM, MoCoGAN
from modeling.networks.noise import LATENT, MOTION, MOTION_START, NoiseStream
from modeling.networks.tgan import TGAN
from modeling.training.step import build_networks, build_optimisers, discriminator_pass, draws_for, generator_pass
from tests.modeling.literal_networks import gresnet_block
from tests.modeling.moving_digits import moving_digits

KINDS = ("mocogan", "tgan")
CONDITIONS = {
    "one frame": (),
    "three frames": ("context_frames=3",),
    "latent": ("latent=5",),
    "nothing": ("context_frames=0", "latent=5", "d_s.conditional=off"),
}
EVERY = [pytest.param(kind, overrides, id=f"{kind}-{name}") for kind in KINDS for name, overrides in CONDITIONS.items()]


def _config(kind: str, *overrides: str) -> Config:
    sizes = ("generator.ch=4", "style_dim=12", "frames=9", "d_s.frames=3")
    return apply_overrides(presets.get("tiny"), [f"generator.kind={kind}", *sizes, *overrides])


def _generator(kind: str, *overrides: str) -> Generator:
    """In float64, with statistics and scales away from their initial values."""
    generator = build_generator(_config(kind, *overrides)).double()
    rng = torch.Generator().manual_seed(5)
    for module in generator.modules():
        if isinstance(module, BatchNorm):
            for values in (module.weight.data, module.bias.data, module.running_mean):
                values += 0.2 * torch.randn(values.shape, generator=rng)
            module.running_var *= 0.05 + 0.1 * torch.rand(module.running_var.shape, generator=rng)
    return generator


def _context(generator: Generator, batch: int = 2) -> Tensor:
    side, rng = generator.resolution, torch.Generator().manual_seed(7)
    return torch.rand(batch, generator.context_frames, 3, side, side, generator=rng).double() * 2 - 1


# -- twins ---------------------------------------------------------------------------------------------------------


def transposed(x: Tensor, conv: nn.Module) -> Tensor:
    """A transposed convolution as its definition reads: each input adds the kernel, times itself, around its place."""
    dims, kernel = x.dim() - 2, conv.weight.shape[-1]
    stride, padding = conv.stride[0], conv.padding[0]
    sides = [(side - 1) * stride + kernel for side in x.shape[2:]]
    out = x.new_zeros(x.shape[0], conv.weight.shape[1], *sides)
    positions = [[]]
    for side in x.shape[2:]:
        positions = [[*place, index] for place in positions for index in range(side)]
    for place in positions:
        values = x[(slice(None), slice(None), *place)]
        window = tuple(slice(index * stride, index * stride + kernel) for index in place)
        patch = (values @ conv.weight.flatten(1)).reshape(len(x), conv.weight.shape[1], *[kernel] * dims)
        out[(slice(None), slice(None), *window)] += patch
    inner = tuple(slice(padding, side - padding) for side in sides)
    out = out[(slice(None), slice(None), *inner)]
    return out if conv.bias is None else out + conv.bias.reshape(-1, *[1] * dims)


def normalised(x: Tensor, norm: BatchNorm) -> Tensor:
    """ReLU of batch norm by running statistics."""
    shape = (-1, *[1] * (x.dim() - 2))
    y = (x - norm.running_mean.reshape(shape)) / torch.sqrt(norm.running_var.reshape(shape) + 1e-5)
    return F.relu(norm.weight.reshape(shape) * y + norm.bias.reshape(shape))


def clip_code(code: ClipCode, context: Tensor, noise: NoiseStream) -> Tensor:
    total = torch.zeros((), dtype=torch.float64)
    if code.encoder is not None:
        x = F.conv2d(context.flatten(1, 2), code.encoder.stem.weight, code.encoder.stem.bias, padding=1)
        for block in code.encoder.blocks:
            x = gresnet_block(block, x)
        total = total + x.flatten(1) @ code.linear.weight.T + code.linear.bias
    if code.latent:
        z = noise.next_values(LATENT, (code.latent,), context)
        total = total + z @ code.latent_linear.weight.T + code.latent_linear.bias
    return total


def mocogan(generator: MoCoGAN, context: Tensor, seeds: list[int], steps: int) -> Tensor:
    """Frame by frame, the recurrent network's gates written out."""
    noise, cell = NoiseStream(seeds), generator.motion
    content = clip_code(generator.content, context, noise)
    h = noise.next_values(MOTION_START, (MOTION_DIM,), context)
    frames = []
    for _ in range(steps):
        e = noise.next_values(MOTION, (MOTION_DIM,), context)
        x_r, x_u, x_c = (e @ cell.weight_ih.T + cell.bias_ih).chunk(3, dim=1)
        h_r, h_u, h_c = (h @ cell.weight_hh.T + cell.bias_hh).chunk(3, dim=1)
        r, u = torch.sigmoid(x_r + h_r), torch.sigmoid(x_u + h_u)
        h = u * h + (1 - u) * torch.tanh(x_c + r * h_c)
        x = transposed(torch.cat((content, h), dim=1)[:, :, None, None], generator.image.first)
        for norm, conv in zip(generator.image.norms, generator.image.convs, strict=True):
            x = transposed(normalised(x, norm), conv)
        frames.append(torch.tanh(x))
    return torch.stack(frames, dim=1)


def tgan(generator: TGAN, context: Tensor, seeds: list[int], steps: int) -> Tensor:
    """Frame by frame; the latents of a block when its first frame is due."""
    noise, image = NoiseStream(seeds), generator.image
    code = clip_code(generator.code, context, noise)
    frames: list[Tensor] = []
    while len(frames) < steps:
        place = len(frames) % generator.block
        if place == 0:
            x = torch.cat((code, noise.next_values(MOTION, (generator.dim,), context)), dim=1)[:, :, None]
            x = transposed(x, generator.temporal.first)
            x = transposed(F.relu(x), generator.temporal.convs[0])
            for norm, conv in zip(generator.temporal.norms, generator.temporal.convs[1:], strict=True):
                x = transposed(normalised(x, norm), conv)
            latents = torch.tanh(x)
        still, moving = code @ image.from_code.weight.T, latents[:, :, place] @ image.from_latent.weight.T
        x = torch.cat((still.reshape(len(code), -1, 4, 4), moving.reshape(len(code), -1, 4, 4)), dim=1)
        for norm, conv in zip(image.norms, image.convs, strict=False):
            x = transposed(normalised(x, norm), conv)
        x = F.conv2d(normalised(x, image.norms[-1]), image.to_rgb.weight, image.to_rgb.bias, padding=1)
        frames.append(torch.tanh(x))
    return torch.stack(frames, dim=1)


TWINS = {"mocogan": mocogan, "tgan": tgan}


@pytest.mark.parametrize(("kind", "overrides"), EVERY)
def test_agrees_with_the_frame_by_frame_twin(kind: str, overrides: tuple[str, ...]) -> None:
    generator, k = _generator(kind, *overrides).eval(), _config(kind, *overrides).generator.context_frames
    context = _context(generator)
    with torch.no_grad():
        video, expected = generator(context, k + 4, [3, 4]), TWINS[kind](generator, context, [3, 4], 4)
    assert torch.equal(video[:, :k], context)
    assert (expected[0] - expected[1]).abs().max() > 1e-3
    torch.testing.assert_close(video[:, k:], expected, rtol=1e-9, atol=1e-10)


# -- what every generator owes its input ---------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "overrides"), EVERY)
def test_every_parameter_gets_a_gradient(kind: str, overrides: tuple[str, ...]) -> None:
    generator = _generator(kind, *overrides)
    generator(_context(generator), 8, [1, 2]).square().mean().backward()
    assert [name for name, p in generator.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize("group", [1, 5, 8, 100])
@pytest.mark.parametrize("kind", KINDS)
def test_streaming_gives_the_same_video_beyond_the_trained_length(kind: str, group: int) -> None:
    generator = _generator(kind).eval()
    context = _context(generator)
    whole = generator(context, 23, [5, 6]).detach()
    assert whole.shape == (2, 23, 3, 32, 32)
    torch.testing.assert_close(generator.generate(context, 23, [5, 6], group), whole, rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(generator(context, 7, [5, 6]).detach(), whole[:, :7], rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_a_sample_depends_on_its_own_image_and_seed_alone(kind: str) -> None:
    generator = _generator(kind).eval()
    context = _context(generator)
    together = generator(context, 6, [5, 6]).detach()
    for index, seed in enumerate((5, 6)):
        alone = generator(context[index : index + 1], 6, [seed]).detach()
        torch.testing.assert_close(together[index : index + 1], alone, rtol=1e-9, atol=1e-10)
    for other in (generator(context.flip(0), 6, [5, 6]), generator(context, 6, [7, 8]), generator(context, 6)):
        assert (other[:, 1:] - together[:, 1:]).abs().max() > 1e-3
    assert (together[:, 2:] - together[:, 1:-1]).abs().mean() > 1e-4  # it moves


@pytest.mark.parametrize(
    ("frames", "context_frames", "block"), [(25, 1, 32), (17, 1, 16), (18, 1, 32), (9, 3, 8), (30, 1, 32), (4, 3, 2)]
)
def test_tgan_makes_blocks_of_the_power_of_two_that_a_training_clip_fits_in(frames, context_frames, block) -> None:
    config = _config("tgan", f"frames={frames}", f"context_frames={context_frames}", "d_s.frames=1")
    generator = build_generator(config)
    assert isinstance(generator, TGAN)
    assert generator.block == block
    assert generator.temporal(torch.zeros(2, 24)).shape == (2, block, 12)


def test_tgan_begins_another_block_from_a_new_draw() -> None:
    generator = _generator("tgan").eval()
    assert isinstance(generator, TGAN)
    video = generator(_context(generator), 1 + 3 * generator.block, [1, 2]).detach()[:, 1:]
    first, second, third = video.chunk(3, dim=1)
    assert (first - second).abs().max() > 1e-3
    assert (second - third).abs().max() > 1e-3


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("resolution", "widths"), [(8, [2]), (16, [3, 1]), (64, [8, 4, 2, 1])])
def test_any_power_of_two(kind: str, resolution: int, widths: list[int]) -> None:
    sizes = (f"resolution={resolution}", f"generator.widths={widths}", "d_s.widths=[2,2]", "d_t.widths=[2,2,2]")
    generator = build_generator(_config(kind, *sizes))
    assert generator(torch.zeros(1, 3, resolution, resolution), 3, [1]).shape == (1, 3, 3, resolution, resolution)


@pytest.mark.parametrize("kind", KINDS)
def test_they_train_against_their_own_discriminators(kind: str) -> None:
    """Every weight moves in a step, the statistics move in the generator's pass alone, and nothing is left pending."""
    config = _config(kind, f"decomposition={kind}", "micro_batch=1", "d_passes=1")
    networks = build_networks(config)
    optimisers, generator = build_optimisers(networks, config), networks.generator
    clips = torch.rand(2, 9, 3, 32, 32, generator=torch.Generator().manual_seed(2)) * 2 - 1
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    discriminator_pass(networks, optimisers, clips, draws_for(config, step=0, pass_index=0), config)
    assert all(torch.equal(before[name], value) for name, value in generator.state_dict().items())
    generator_pass(networks, optimisers, clips, draws_for(config, step=0, pass_index=1), config)
    still = [name for name, value in generator.state_dict().items() if torch.equal(before[name], value)]
    assert still == []
    assert not any(module.pending_count for module in generator.modules() if isinstance(module, BatchNorm))


@pytest.mark.parametrize("kind", KINDS)
def test_they_learn_moving_digits(kind: str) -> None:
    """From grey noise towards a bright glyph on black, against clips that were not trained on, in 45 steps."""
    networks_of = (
        "generator.widths=[2,1]",
        "generator.ch=8",
        "style_dim=16",
        "d_s.widths=[1,2,2]",
        "d_t.widths=[1,2,2]",
    )
    training = ("resolution=16", "batch=8", "micro_batch=8", "d_passes=1", "lr=2e-3", "loss=hinge", "penalty=none")
    overrides = (f"decomposition={kind}", "frames=9", "d_s.frames=2", "lambda_t=1", *networks_of, *training)
    config = apply_overrides(presets.get("tiny"), [f"generator.kind={kind}", *overrides])
    networks = build_networks(config)
    optimisers = build_optimisers(networks, config)
    held_out = moving_digits(8, frames=9, side=16, seed=999)

    def errors() -> tuple[float, float]:
        """Of the mean brightness, and mean square of a pixel."""
        made, real = networks.generator.generate(held_out[:, 0], 9, list(range(8)))[:, 1:], held_out[:, 1:]
        return float((made.mean() - real.mean()).abs()), float((made - real).square().mean())

    before = errors()
    for step in range(45):
        for index, run_pass in enumerate((discriminator_pass, generator_pass)):
            clips = moving_digits(8, frames=9, side=16, seed=2 * step + index)
            run_pass(networks, optimisers, clips, draws_for(config, step=step, pass_index=index), config)
    brightness, pixels = errors()
    assert brightness < 0.5 * before[0]
    assert pixels < 0.5 * before[1]
    made = networks.generator.generate(held_out[:, 0], 9, list(range(8)))[:, 1:]
    assert (made[:, 1:] - made[:, :-1]).abs().mean() > 1e-4  # and not a still


@pytest.mark.parametrize("kind", KINDS)
def test_options_that_they_cannot_follow_are_refused(kind: str) -> None:
    for option in ("mask_classes=1", "layers=2", "cell=convlstm", "blur=on", "block=adain"):
        with pytest.raises(ConfigError, match=option.split("=")[0]):
            _config(kind, option)
