"""Inception and I3D against the published names and shapes, against twins layer by layer, and batch by batch."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from modeling.metrics.extractors.i3d import I3D, I3DExtractor, pooled, same_padding
from modeling.metrics.extractors.inception import Inception, InceptionExtractor
from modeling.metrics.extractors.resize import resize
from tests.modeling.published_networks import (
    i3d_table,
    i3d_twin,
    inception_table,
    inception_twin,
    published_shapes,
    randomised,
    same_window,
)

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def inception() -> Inception:
    network = randomised(Inception(), 1)
    assert isinstance(network, Inception)
    return network


@pytest.fixture(scope="module")
def i3d() -> I3D:
    network = randomised(I3D(), 2)
    assert isinstance(network, I3D)
    return network


def clips(N: int, T: int, side: int, seed: int = 0) -> Tensor:
    return torch.randint(
        0, 256, (N, T, side, side, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed)
    )


def shapes_of(network: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    state = network.state_dict()
    return {name: tuple(value.shape) for name, value in state.items() if not name.endswith("num_batches_tracked")}


def close(x: Tensor, y: Tensor, tolerance: float) -> bool:
    """Largest difference against the largest value."""
    return float((x - y).abs().max()) <= tolerance * float(y.abs().max())


def test_inception_has_the_published_names_and_shapes(inception: Inception) -> None:
    published = published_shapes(inception_table(), "conv")
    published |= {"fc.weight": (1008, 2048), "fc.bias": (1008,)}
    assert shapes_of(inception) == published
    # The published file has 95 628 359 bytes: these numbers, and 87 kB for their names.
    values = sum(math.prod(shape) for shape in published.values())
    assert values * 4 == 95_541_568


def test_i3d_has_the_published_names_and_shapes(i3d: I3D) -> None:
    published = published_shapes(i3d_table(), "conv3d")
    published |= {"logits.conv3d.weight": (400, 1024, 1, 1, 1), "logits.conv3d.bias": (400,)}
    assert shapes_of(i3d) == published
    assert len(published) == 57 * 5 + 2


def test_inception_equals_its_twin(inception: Inception) -> None:
    x = torch.rand(1, 3, 139, 147, generator=torch.Generator().manual_seed(3)) * 2 - 1
    with torch.no_grad():
        made, twin = inception(x), inception_twin(inception.state_dict(), x)
    for ours, theirs in zip(made, twin, strict=True):
        assert close(ours, theirs, 1e-5)


def test_i3d_equals_its_twin_at_odd_sizes_whatever_else_is_in_the_batch(i3d: I3D) -> None:
    x = torch.rand(2, 3, 9, 193, 195, generator=torch.Generator().manual_seed(4)) * 2 - 1
    with torch.no_grad():
        made = i3d(x)
        assert made.shape == (2, 400) and not close(made[0], made[1], 1e-4)
        assert close(made[1:], i3d_twin(i3d.state_dict(), x[1:], 1e-5), 1e-4)


def test_i3d_follows_the_epsilon_that_its_file_says(i3d: I3D) -> None:
    x = torch.rand(1, 3, 9, 193, 193, generator=torch.Generator().manual_seed(5)) * 2 - 1
    state = dict(i3d.state_dict())
    small = {name: value * 1e-3 if name.endswith("running_var") else value for name, value in state.items()}
    other = I3D().eval()
    other.load_state_dict(small)
    other.set_epsilon(1e-3)
    with torch.no_grad():
        made = other.Conv3d_1a_7x7(x)
        weight = small["Conv3d_1a_7x7.conv3d.weight"]
        raw = torch.nn.functional.conv3d(torch.nn.functional.pad(x, (3, 3, 3, 3, 3, 3)), weight, stride=2)
        mean, variance, gain, bias = (
            small[f"Conv3d_1a_7x7.bn.{name}"].view(1, -1, 1, 1, 1)
            for name in ("running_mean", "running_var", "weight", "bias")
        )
        assert close(made, ((raw - mean) / (variance + 1e-3).sqrt() * gain + bias).clamp(min=0), 1e-5)
    assert "0.001" in I3DExtractor(other, "digest", CPU).facts["batch normalisation"]


@pytest.mark.parametrize("size", range(1, 16))
@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (3, 1), (3, 2), (2, 2), (7, 2)])
def test_same_padding_and_pooling_at_every_size(size: int, kernel: int, stride: int) -> None:
    before, after = same_padding(size, kernel, stride)
    assert (before, after) == same_window(size, kernel, stride)
    x = torch.rand(1, 1, 1, 1, size, generator=torch.Generator().manual_seed(size))
    made = pooled(x, (1, 1, kernel), (1, 1, stride)).flatten().tolist()
    row = x.flatten().tolist()
    starts = [number * stride - before for number in range(math.ceil(size / stride))]
    assert made == [max(row[max(start, 0) : start + kernel], default=0.0) for start in starts]


@pytest.mark.parametrize(("before", "after"), [(5, 13), (13, 5), (7, 7), (8, 16)])
def test_tensorflows_resize_anchors_samples_at_the_corner(before: int, after: int) -> None:
    x = torch.rand(1, 1, before, before, generator=torch.Generator().manual_seed(before)) * 255
    made = resize(x, after, "tensorflow")[0, 0]
    for i in range(after):
        for j in range(after):
            y, z = i * before / after, j * before / after
            a, b = math.floor(y), math.floor(z)
            c, d = min(a + 1, before - 1), min(b + 1, before - 1)
            top = x[0, 0, a, b] + (x[0, 0, a, d] - x[0, 0, a, b]) * (z - b)
            bottom = x[0, 0, c, b] + (x[0, 0, c, d] - x[0, 0, c, b]) * (z - b)
            assert abs(float(made[i, j] - (top + (bottom - top) * (y - a)))) < 1e-3


def test_the_two_resizes_differ_and_say_so(inception: Inception) -> None:
    frames = clips(1, 1, 32)
    ours, other = (InceptionExtractor(inception, "d", CPU, how=how) for how in ("tensorflow", "torch"))
    assert ours.facts["resize"] != other.facts["resize"]
    x, y = ours.prepared(frames[0]), other.prepared(frames[0])
    assert x.shape == y.shape == (1, 3, 299, 299)
    assert float(x.min()) >= -1 and float(x.max()) <= 127 / 128 and float(y.max()) <= 1
    assert float((x - y).abs().max()) > 0.05


def test_inception_does_not_depend_on_the_batch(inception: Inception) -> None:
    extractor = InceptionExtractor(inception, "digest", CPU)
    both = extractor(clips(1, 2, 24))
    assert {name: tuple(value.shape) for name, value in both.items()} == {"pool3": (1, 2, 2048), "logits": (1, 2, 1008)}
    alone = extractor(clips(1, 2, 24)[:, 1:])
    for name, value in both.items():
        assert value.dtype == torch.float32 and close(value[0, 1], alone[name][0, 0], 1e-5)
    assert not close(both["pool3"][0, 0], both["pool3"][0, 1], 1e-4)


class Colours(torch.nn.Module):
    """In place of I3D: what it was given, and the mean colour of each frame as 400 values."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[tuple[int, ...]] = []

    def forward(self, x_B3THW: Tensor) -> Tensor:
        self.batches.append(tuple(x_B3THW.shape))
        means = x_B3THW.mean(dim=(3, 4)).flatten(1)
        return torch.nn.functional.pad(means, (0, 400 - means.shape[1]))


def test_clips_reach_i3d_stretched_in_range_and_in_batches_of_bounded_size(i3d: I3D) -> None:
    extractor, colours = I3DExtractor(i3d, "digest", CPU), Colours()
    extractor.network = colours  # type: ignore[assignment]
    shown = clips(5, 30, 6)
    shown[3] = 255
    made = extractor(shown)["logits"]
    assert colours.batches == [(2, 3, 30, 224, 224), (2, 3, 30, 224, 224), (1, 3, 30, 224, 224)]
    assert made.shape == (5, 400) and made.dtype == torch.float32
    assert torch.allclose(made[3, :90], torch.ones(90))
    # Half-pixel samples are evenly spread, so that a mean over a frame hardly changes; channel first, then time.
    expected = (shown.float().mean(dim=(2, 3)) / 127.5 - 1).movedim(-1, 1).flatten(1)
    assert float((made[:, :90] - expected).abs().max()) < 0.1
    assert torch.equal(made[1:2], extractor(shown[1:2])["logits"])


def test_what_the_networks_refuse(inception: Inception, i3d: I3D) -> None:
    frames, videos = InceptionExtractor(inception, "d", CPU), I3DExtractor(i3d, "d", CPU)
    with pytest.raises(ValueError, match="at least 9 frames; these have 8"):
        videos(clips(1, 8, 20))
    for extractor in (frames, videos):
        with pytest.raises(ValueError, match="takes uint8 clips"):
            extractor(clips(1, 9, 20).float())
        with pytest.raises(ValueError, match="takes uint8 clips"):
            extractor(clips(1, 9, 20)[..., :2])
    assert frames(clips(0, 3, 20))["pool3"].shape == (0, 3, 2048)
    assert videos(clips(0, 9, 20))["logits"].shape == (0, 400)


def test_inception_equals_torch_fidelitys(inception: Inception, tmp_path_factory: pytest.TempPathFactory) -> None:
    oracle = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3", exc_type=ImportError)
    file = tmp_path_factory.mktemp("weights") / "inception.pth"
    torch.save(inception.state_dict(), file)
    theirs = oracle.FeatureExtractorInceptionV3(
        "i", ["2048", "logits_unbiased"], feature_extractor_weights_path=str(file)
    )
    made = InceptionExtractor(inception, "digest", CPU)(clips(1, 2, 64))
    for ours, value in zip(made.values(), theirs(clips(1, 2, 64)[0].movedim(-1, 1)), strict=True):
        assert close(ours[0], value, 1e-4)
