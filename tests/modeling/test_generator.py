"""The generator against its slow twin, forward and backward, and what a video owes its image."""

from __future__ import annotations

import pytest
import torch

from modeling import presets
from modeling.config import Config, apply_overrides
from modeling.networks import StyleGenerator, build_generator
from modeling.networks.noise import NoiseStream
from tests.modeling import literal_networks as literal

TINY = presets.get("tiny")


def _style(config: Config) -> StyleGenerator:
    generator = build_generator(config)
    assert isinstance(generator, StyleGenerator)
    return generator


def _generator(*overrides: str) -> StyleGenerator:
    generator = _style(apply_overrides(TINY, overrides)).double()
    with torch.no_grad():  # noise strengths and biases begin at 0, where an error in them would not show
        for name, parameter in generator.named_parameters():
            if name.endswith(("noise_strength", "bias")):
                parameter += 0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(len(name)))
    return generator


def _images(batch: int) -> torch.Tensor:
    return torch.rand(batch, 3, 32, 32, generator=torch.Generator().manual_seed(7)).double() * 2 - 1


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize(
    "overrides",
    [(), ("layers=2",), ("noise=off",), ("style_activation=none",), ("to_rgb_kernel=3",)],
    ids=lambda overrides: overrides[0] if overrides else "defaults",
)
def test_agrees_with_the_frame_by_frame_twin(batch: int, overrides: tuple[str, ...]) -> None:
    generator, images, seeds = _generator(*overrides), _images(batch), [3, 4][:batch]
    weight = torch.randn(batch, 5, 3, 32, 32, generator=torch.Generator().manual_seed(1)).double()
    results = []
    for run in (generator, lambda *arguments: literal.generate(generator, *arguments)):
        generator.zero_grad()
        video = run(images, 5, seeds)
        (video * weight).sum().backward()
        results.append((video.detach(), {name: p.grad.clone() for name, p in generator.named_parameters()}))
    (fast, fast_grads), (slow, slow_grads) = results
    torch.testing.assert_close(fast, slow, rtol=1e-9, atol=1e-10)
    for name, grad in slow_grads.items():
        assert grad.abs().max() > 0, name
        torch.testing.assert_close(fast_grads[name], grad, rtol=1e-7, atol=1e-8 * float(grad.abs().max()), msg=name)


def test_agrees_with_the_twin_in_single_precision() -> None:
    generator, images = build_generator(TINY), _images(2).float()
    fast, slow = generator(images, 25, [1, 2]), literal.generate(generator, images, 25, [1, 2])
    torch.testing.assert_close(fast, slow, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("frames", [2, 9, 40])
def test_video_starts_with_its_image_and_has_the_frames_asked_for(frames: int) -> None:
    images = _images(2).float()
    video = build_generator(TINY)(images, frames, [1, 2])
    assert video.shape == (2, frames, 3, 32, 32)
    assert torch.equal(video[:, 0], images)
    assert video.abs().max() <= 1


def test_default_length_is_the_configuration_s() -> None:
    config = apply_overrides(TINY, ["frames=9"])
    assert build_generator(config)(_images(1).float()).shape[1] == 9


@pytest.mark.parametrize("group", [1, 7, 100])
def test_streaming_gives_the_same_video_without_a_graph(group: int) -> None:
    generator, images = _generator(), _images(2)
    whole = generator(images, 19, [5, 6])
    pieces = list(generator.stream(images, 19, [5, 6], group))
    assert max(piece.shape[1] for piece in pieces) <= group
    assert not any(piece.requires_grad for piece in pieces)
    torch.testing.assert_close(torch.cat(pieces, dim=1), whole.detach(), rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(generator.generate(images, 19, [5, 6], group), whole.detach(), rtol=1e-9, atol=1e-10)


def test_a_sample_depends_on_its_own_image_and_noise_alone() -> None:
    generator, images = _generator(), _images(2)
    together = generator(images, 6, [5, 6])
    for index, seed in enumerate((5, 6)):
        alone = generator(images[index : index + 1], 6, [seed])
        torch.testing.assert_close(together[index : index + 1], alone, rtol=1e-9, atol=1e-10)


def test_noise_matters_can_be_switched_off_and_takes_generators() -> None:
    generator, images = _generator(), _images(1)
    off, one, two = generator(images, 4), generator(images, 4, [1]), generator(images, 4, [2])
    assert torch.equal(off, generator(images, 4))
    assert (one - two).abs().max() > 1e-3
    assert (off - one).abs().max() > 1e-3
    drawn = [generator(images, 4, [torch.Generator().manual_seed(9)]) for _ in range(2)]
    assert torch.equal(drawn[0], drawn[1])


def test_noise_is_unit_gaussian_new_each_frame_and_independent_of_chunks() -> None:
    like = torch.zeros((), dtype=torch.float64)
    maps = NoiseStream([11, 12]).next_maps(3, 24, 16, 16, like)
    assert maps.shape == (2 * 24, 1, 16, 16)
    maps = maps.unflatten(0, (2, 24))
    assert abs(float(maps.mean())) < 0.03
    assert abs(float(maps.std()) - 1) < 0.03
    assert abs(float((maps[0, 0] * maps[0, 1]).mean())) < 0.25
    assert not torch.equal(maps[0], maps[1])
    chunked = NoiseStream([11, 12])
    chunks = [chunked.next_maps(3, frames, 16, 16, like).unflatten(0, (2, frames)) for frames in (1, 5, 18)]
    assert torch.equal(torch.cat(chunks, dim=1), maps)
    other = NoiseStream([11, 12]).next_maps(4, 24, 16, 16, like).unflatten(0, (2, 24))
    assert not torch.equal(other, maps)


def test_initial_weights_come_from_the_seed_alone() -> None:
    torch.manual_seed(0)
    first = build_generator(TINY).state_dict()
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    second = build_generator(TINY).state_dict()
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(first[name], second[name]) for name in first)
    third = build_generator(apply_overrides(TINY, ["seed=1"])).state_dict()
    assert not torch.equal(first["encoder.stem.weight"], third["encoder.stem.weight"])


def test_hidden_weights_begin_orthogonal_and_noise_strengths_at_zero() -> None:
    generator = _style(TINY)
    cell = generator.decoder.levels[0].cell.cells[0]
    for gate in (*cell.hidden_gates.chunk(2), cell.hidden_candidate):
        rows = gate.flatten(1)
        torch.testing.assert_close(rows @ rows.T, torch.eye(len(rows)), rtol=0, atol=1e-5)
    strengths = [p for name, p in generator.named_parameters() if name.endswith("noise_strength")]
    assert len(strengths) == 6
    assert not any(strengths)


@pytest.mark.parametrize(
    ("overrides", "levels"), [(["resolution=64", "generator.widths=[4,4,2,1]", "d_s.widths=[2,4,8,8,8]"], 4)]
)
def test_other_sizes_build_and_run(overrides: list[str], levels: int) -> None:
    config: Config = apply_overrides(TINY, overrides)
    generator = _style(config)
    assert len(generator.decoder.levels) == levels == config.depth
    assert generator(torch.zeros(1, 3, 64, 64), 3).shape == (1, 3, 3, 64, 64)


def test_bad_input_is_named() -> None:
    generator = _style(TINY)
    with pytest.raises(ValueError, match=r"\(B, 3, 32, 32\), not \(1, 3, 16, 16\)"):
        generator(torch.zeros(1, 3, 16, 16))
    with pytest.raises(ValueError, match="2 or more, not 1"):
        generator(torch.zeros(1, 3, 32, 32), 1)
    with pytest.raises(ValueError, match="one entry a sample: 2, not 1"):
        generator(torch.zeros(2, 3, 32, 32), 3, [1])
