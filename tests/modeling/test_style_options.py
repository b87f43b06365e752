"""Every option of the `style` generator against its slow twin, and what each of them promises."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from modeling import presets
from modeling.config import ConfigError, apply_overrides
from modeling.measuring.describe import describe
from modeling.networks import Mixing, StyleGenerator, build_generator
from modeling.networks.decoder import upsampled, upsampled_and_blurred
from modeling.networks.style import AdaINBlock
from modeling.training.draws import draws_for
from tests.modeling import literal_styles as literal

TINY = presets.get("tiny")
SMALL = ("generator.ch=2", "style_dim=8", "d_s.conditional=off")
UNCONDITIONAL = ("context_frames=0", "latent=6")


def _generator(*overrides: str) -> StyleGenerator:
    generator = build_generator(apply_overrides(TINY, [*SMALL, *overrides])).double()
    assert isinstance(generator, StyleGenerator)
    with torch.no_grad():  # noise strengths and biases begin at 0, where an error in them would not show
        for name, parameter in generator.named_parameters():
            if name.endswith(("noise_strength", "bias")):
                parameter += 0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(len(name)))
    return generator


def _rand(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


def _given(generator: StyleGenerator, batch: int, seed: int = 0) -> tuple[Tensor, Tensor | None]:
    """Context frames and a one-hot mask."""
    side, classes = generator.resolution, generator.mask_classes
    context = _rand(batch, generator.context_frames, 3, side, side, seed=seed).tanh()
    if not classes:
        return context, None
    labels = torch.randint(classes + 1, (batch, side, side), generator=torch.Generator().manual_seed(seed + 1))
    return context, torch.nn.functional.one_hot(labels, classes + 1)[..., 1:].movedim(-1, 1).double()


def _mixing(generator: StyleGenerator, first_level: list[int]) -> Mixing:
    context, mask = _given(generator, len(first_level), seed=50)
    return Mixing(torch.tensor(first_level), context, mask)


@pytest.mark.parametrize(
    ("overrides", "mixed"),
    [
        (("block=adain",), None),
        (("block=adain", "noise=off"), None),
        (("blur=on",), None),
        (("latent=6",), None),
        (("context_frames=3",), None),
        (UNCONDITIONAL, None),
        ((*UNCONDITIONAL, "style_activation=none", "noise=off"), None),
        (("encoder_norm=batch",), None),
        (("mask_classes=2",), None),
        (("mask_classes=1", "mask_mode=hard"), None),
        ((), [1, 2]),
        (("encoder_norm=batch", "mask_classes=1", "latent=3"), [2, 1]),
        (UNCONDITIONAL, [1, 2]),
        (("block=adain", "blur=on", "latent=5", "context_frames=2", "mask_classes=2", "mask_mode=hard"), [2, 3]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "mixed" if value else "",
)
def test_agrees_with_the_frame_by_frame_twin(overrides: tuple[str, ...], mixed: list[int] | None) -> None:
    generator = _generator(*overrides)
    context, mask = _given(generator, 2)
    frames = generator.context_frames + 3
    mixing = None if mixed is None else _mixing(generator, mixed)
    weight = _rand(2, frames, 3, 32, 32, seed=9)
    results = []
    for run in (generator, lambda *arguments: literal.generate(generator, *arguments)):
        generator.zero_grad()
        video = run(context, frames, [3, 4], mask, mixing)
        (video * weight).sum().backward()
        results.append((video.detach(), {name: p.grad.clone() for name, p in generator.named_parameters()}))
    (fast, fast_grads), (slow, slow_grads) = results
    torch.testing.assert_close(fast, slow, rtol=1e-9, atol=1e-10)
    largest = max(float(grad.abs().max()) for grad in slow_grads.values())
    for name, grad in slow_grads.items():
        size = float(grad.abs().max())
        assert size > 0, name
        # A bias that batch norm takes out again has rounding for a gradient.
        torch.testing.assert_close(fast_grads[name], grad, rtol=1e-7, atol=1e-8 * size + 1e-12 * largest, msg=name)


@pytest.mark.parametrize("overrides", [("latent=6",), ("block=adain", "blur=on"), UNCONDITIONAL])
def test_streams_in_any_pieces(overrides: tuple[str, ...]) -> None:
    generator = _generator(*overrides).eval()
    context, mask = _given(generator, 2)
    whole = generator(context, 9, [5, 6], mask).detach()
    torch.testing.assert_close(generator.generate(context, 9, [5, 6], 2, mask), whole, rtol=1e-9, atol=1e-10)


# -- blocks and up-sampling ----------------------------------------------------------------------------------------


def test_adain_gives_each_channel_of_each_frame_the_style_s_mean_and_deviation() -> None:
    torch.manual_seed(0)
    block = AdaINBlock(3, 4, 5, noise=True).double()
    style = _rand(2, 5)
    y = block(_rand(6, 3, 8, 8, seed=1), style, None).detach()
    scale, shift = (
        affine(style).detach().repeat_interleave(3, dim=0) for affine in (block.style_scale, block.style_shift)
    )
    torch.testing.assert_close(y.mean(dim=(2, 3)), shift, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(y.std(dim=(2, 3), correction=0), scale.abs(), rtol=1e-6, atol=1e-6)
    assert torch.equal(block.style_scale.bias, torch.ones(4).double())
    assert torch.equal(block.style_shift.bias, torch.zeros(4).double())


def test_adain_of_a_map_without_variance_is_the_style_s_shift() -> None:
    block = AdaINBlock(3, 4, 5, noise=False)
    with torch.no_grad():
        block.weight.zero_()
        block.bias.fill_(2.0)
    style = torch.randn(1, 5)
    y = block(torch.randn(2, 3, 8, 8), style, None)
    torch.testing.assert_close(y, block.style_shift(style)[:, :, None, None].expand(2, -1, 8, 8), rtol=1e-4, atol=1e-3)


def test_blur_is_the_centred_low_pass_of_the_up_sampling() -> None:
    x = _rand(2, 3, 5, 7)
    y = upsampled_and_blurred(x)
    torch.testing.assert_close(y, literal.blurred(x), rtol=1e-12, atol=1e-12)
    mirrored = upsampled_and_blurred(x.flip(-1).flip(-2))
    torch.testing.assert_close(mirrored, y.flip(-1).flip(-2), rtol=1e-12, atol=1e-12)  # nothing is shifted
    torch.testing.assert_close(upsampled_and_blurred(torch.ones(1, 1, 4, 4)), torch.ones(1, 1, 8, 8))
    checkerboard = torch.ones(1, 1, 8, 8).double()
    checkerboard[..., ::2] = -1
    inner = (..., slice(4, -4), slice(4, -4))
    assert upsampled_and_blurred(checkerboard)[inner].abs().max() < 0.6 * upsampled(checkerboard)[inner].abs().max()


# -- latent --------------------------------------------------------------------------------------------------------


def test_a_latent_is_drawn_once_a_clip_and_is_0_without_noise() -> None:
    generator = _generator("latent=6", "noise=off")
    context, _ = _given(generator, 1)
    one, again, two, off = (generator(context, 4, seeds) for seeds in ([1], [1], [2], None))
    assert torch.equal(one, again)
    assert (one - two).abs().max() > 1e-6
    with torch.no_grad():
        for linear in (generator.latent_maps.style, generator.latent_maps.constant):
            linear.weight.zero_()
    torch.testing.assert_close(generator(context, 4, [1]), off, rtol=0, atol=1e-12)


def test_without_its_options_a_generator_has_the_weights_that_it_always_had() -> None:
    plain = build_generator(TINY).state_dict()
    latent = build_generator(apply_overrides(TINY, ["latent=6"])).state_dict()
    assert all(torch.equal(latent[name], value) for name, value in plain.items())
    assert set(latent) - set(plain) == {"latent_maps.style.weight", "latent_maps.constant.weight"}
    for override in ("blur=on", "style_mixing=0.5", "activation_checkpointing=on"):
        other = build_generator(apply_overrides(TINY, [override])).state_dict()
        assert set(other) == set(plain)
        assert all(torch.equal(other[name], value) for name, value in plain.items())


@pytest.mark.parametrize(
    ("overrides", "parts", "added"),
    [
        (("latent=6",), {"latent_maps"}, 6 * (256 + 32 * 16)),
        (("context_frames=3",), set(), 6 * 8 * 9),
        (("mask_classes=4",), set(), 4 * 8 * 9),
    ],
)
def test_describe_counts_what_an_option_adds(overrides: tuple[str, ...], parts: set[str], added: int) -> None:
    plain, more = (describe(apply_overrides(TINY, options))["generator"] for options in ((), overrides))
    assert more["total"] - plain["total"] == added
    assert set(more) - set(plain) == parts


def test_describe_knows_a_generator_without_an_encoder() -> None:
    generator = describe(apply_overrides(TINY, ["context_frames=0", "latent=120", "conditional=off"]))["generator"]
    parts = {name: count for name, count in generator.items() if isinstance(count, int) and name != "total"}
    assert set(parts) == {"latent_features", "latent_maps", "decoder"}
    assert sum(parts.values()) == generator["total"]


# -- mixed styles --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("overrides", [(), ("latent=4",), UNCONDITIONAL])
def test_styles_change_exactly_at_the_level_that_was_drawn(overrides: tuple[str, ...]) -> None:
    generator = _generator(*overrides)
    context, _ = _given(generator, 3)
    mixing = _mixing(generator, [1, 2, 3])
    seen: list[Tensor] = []
    hooks = [
        level.register_forward_pre_hook(lambda _, given: seen.append(given[2])) for level in generator.decoder.levels
    ]
    rgb = generator.decoder.to_rgb.register_forward_pre_hook(lambda _, given: seen.append(given[1]))
    plain = generator(context, generator.context_frames + 2, [1, 2, 3])
    own = seen.copy()
    seen.clear()
    mixed = generator(context, generator.context_frames + 2, [1, 2, 3], mixing=mixing)
    for hook in (*hooks, rgb):
        hook.remove()
    assert len(own) == len(seen) == 4
    for sample, first_level in enumerate((1, 2, 3)):
        for level in range(4):
            same = torch.allclose(seen[level][sample], own[level][sample], rtol=1e-12, atol=1e-14)
            assert same == (min(level, 2) < first_level), (sample, level)  # RGB goes with the last level
    torch.testing.assert_close(mixed[2], plain[2], rtol=1e-9, atol=1e-10)
    assert (mixed[:2] - plain[:2]).abs().amax(dim=(1, 2, 3, 4)).min() > 1e-6


def test_the_other_style_is_the_other_sample_s() -> None:
    generator = _generator()
    context, _ = _given(generator, 2)
    swapped = Mixing(torch.tensor([1, 1]), context.flip(0))
    seen: list[Tensor] = []
    hook = generator.decoder.levels[2].register_forward_pre_hook(lambda _, given: seen.append(given[2]))
    generator(context, 2, [1, 2])
    generator(context, 2, [1, 2], mixing=swapped)
    hook.remove()
    torch.testing.assert_close(seen[1], seen[0].flip(0), rtol=1e-12, atol=1e-14)


def test_levels_are_drawn_a_sample_and_split_with_the_batch() -> None:
    config = apply_overrides(presets.get("bair-64"), ["style_mixing=0.75"])
    drawn = torch.cat([draws_for(config, step=step, pass_index=0).mix_from for step in range(100)])
    assert set(drawn.tolist()) == {1, 2, 3, 4}
    assert abs(float((drawn < 4).double().mean()) - 0.75) < 0.06
    whole = draws_for(config, step=7, pass_index=1)
    assert torch.equal(whole.part(2, 5).mix_from, whole.mix_from[2:5])
    assert torch.equal(draws_for(config, step=7, pass_index=1, samples=range(2, 5)).mix_from, whole.mix_from[2:5])
    plain = draws_for(presets.get("bair-64"), step=7, pass_index=1)
    assert plain.mix_from.tolist() == [4] * 8
    assert plain.noise == whole.noise  # the option moves no other draw
    assert torch.equal(plain.fake_frames, whole.fake_frames)


# -- activation checkpointing --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "overrides", [(), ("block=adain", "blur=on", "latent=4"), ("encoder_norm=batch", "mask_classes=1"), UNCONDITIONAL]
)
def test_levels_computed_again_give_the_same_bits(overrides: tuple[str, ...]) -> None:
    results = []
    for option in ("off", "on"):
        generator = _generator(*overrides, f"activation_checkpointing={option}").float()
        context, mask = (None if x is None else x.float() for x in _given(generator, 2))
        calls = [0]
        hook = generator.decoder.levels[1].register_forward_pre_hook(
            lambda *_, calls=calls: calls.__setitem__(0, calls[0] + 1)
        )
        video = generator(context, generator.context_frames + 4, [3, 4], mask)
        video.square().sum().backward()
        hook.remove()
        assert calls[0] == (2 if option == "on" else 1)
        results.append([video.detach(), *(p.grad for p in generator.parameters()), *generator.buffers()])
    for one, two in zip(*results, strict=True):
        assert torch.equal(one, two)


def test_levels_computed_again_keep_less_for_the_backward_pass() -> None:
    kept = {}
    for option in ("off", "on"):
        generator = _generator(f"activation_checkpointing={option}")
        context, _ = _given(generator, 1)
        held: dict[int, int] = {}

        def hold(tensor: Tensor, held: dict[int, int] = held) -> Tensor:
            held[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        for level in generator.decoder.levels:  # a level's input is kept as it is, where the rest is computed again
            level.register_forward_pre_hook(lambda _, given, hold=hold: [None, hold(given[0])][0])
        with torch.autograd.graph.saved_tensors_hooks(hold, lambda tensor: tensor):
            video = generator(context, 12, [1])
        for parameter in generator.parameters():
            held.pop(parameter.untyped_storage().data_ptr(), None)
        kept[option] = sum(held.values())
        assert video.requires_grad
    assert kept["on"] < 0.4 * kept["off"], kept


# -- what does not go together -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["context_frames=0"], "set generator.latent, such as 120"),
        (["context_frames=0", "latent=8"], "set d_s.conditional=off"),
        ([*UNCONDITIONAL, "conditional=off", "encoder_norm=batch"], "there is no encoder"),
        ([*UNCONDITIONAL, "conditional=off", "mask_classes=1"], "the mask is of an input frame"),
        (["mask_mode=hard"], "set generator.mask_classes"),
        (["mask_classes=3", "moving_classes=[1]"], "set generator.mask_mode=hard"),
        (["mask_classes=3", "mask_mode=hard", "moving_classes=[4]"], "labels of 1 to mask_classes (3), not 4"),
        (["style_mixing=1.5"], "generator.style_mixing must lie in [0, 1]"),
        (["kind=dvdgan-s", "style_mixing=0.5"], "generator.style_mixing is an option of generator.kind=style alone"),
        (["kind=dvdgan-s", "block=adain"], "generator.block is an option of generator.kind=style alone"),
        (["kind=dvdgan-s", "activation_checkpointing=on"], "an option of generator.kind=style"),
        (
            ["resolution=8", "generator.widths=[1]", "d_s.widths=[1,1]", "d_t.widths=[1,1,1]", "style_mixing=0.5"],
            "needs two levels or more",
        ),
        (["context_frames=25"], "leaves nothing to generate"),
        (["context_frames=20"], "d_s.frames=8 is more than the 5 frames of a clip that are generated"),
    ],
)
def test_what_does_not_go_together_is_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        apply_overrides(TINY, overrides)
    assert message in str(caught.value)


def test_wrong_shapes_are_named() -> None:
    generator = _generator("context_frames=2", "mask_classes=1")
    context, mask = _given(generator, 2)
    with pytest.raises(ValueError, match=r"\(B, 2, 3, 32, 32\), not \(2, 1, 3, 32, 32\)"):
        generator(context[:, :1], 4, [1, 2], mask)
    with pytest.raises(ValueError, match=r"the mask must be \(2, 1, 32, 32\), not None"):
        generator(context, 4, [1, 2])
    with pytest.raises(ValueError, match="counts the 2 context frames and must be more, not 2"):
        generator(context, 2, [1, 2], mask)
    with pytest.raises(ValueError, match=r"the mask must be \(2, 1, 32, 32\), not None"):
        generator(context, 4, [1, 2], mask, Mixing(torch.tensor([1, 1]), context))
    baseline = build_generator(apply_overrides(TINY, ["kind=dvdgan-s"]))
    still = torch.zeros(1, 1, 3, 32, 32)
    with pytest.raises(ValueError, match="no styles to mix"):
        baseline(still, 3, [1], None, Mixing(torch.tensor([1]), still))
