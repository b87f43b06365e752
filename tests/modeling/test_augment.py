"""DiffAugment over clips: each transformation against a loop, one draw for all frames, and its gradient."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from modeling import presets
from modeling.config import ConfigError, apply_overrides
from modeling.training.augment import AUGMENT_NUMBERS, TRANSFORMATIONS, augmented


def _clips(count: int = 2, side: int = 8) -> Tensor:
    return torch.rand(count, 3, 3, side, side, generator=torch.Generator().manual_seed(1)).double() * 2 - 1


def _numbers(*values: float) -> Tensor:
    return torch.tensor([values, [0.5] * AUGMENT_NUMBERS], dtype=torch.float64)


@settings(max_examples=25, deadline=None)
@given(u=st.lists(st.floats(0, 0.999), min_size=AUGMENT_NUMBERS, max_size=AUGMENT_NUMBERS))
def test_every_transformation_against_loops(u: list[float]) -> None:
    video = _clips()
    x = video[0].numpy()  # (T, 3, H, W)
    side = x.shape[-1]
    x = x + u[0] - 0.5
    grey = x.mean(axis=1, keepdims=True)
    x = grey + (x - grey) * 2 * u[1]
    x = x.mean() + (x - x.mean()) * (u[2] + 0.5)
    shift = [int(number * 3) - 1 for number in u[3:5]]  # an eighth of 8 pixels: -1, 0, 1
    moved = np.zeros_like(x)
    for t in range(len(x)):
        for row in range(side):
            for column in range(side):
                source = row - shift[0], column - shift[1]
                if 0 <= source[0] < side and 0 <= source[1] < side:
                    moved[t, :, row, column] = x[t, :, source[0], source[1]]
    centre = [int(number * side) for number in u[5:7]]
    for row in range(side):
        for column in range(side):
            if -2 <= row - centre[0] < 2 and -2 <= column - centre[1] < 2:
                moved[:, :, row, column] = 0
    result = augmented(video, list(TRANSFORMATIONS), _numbers(*u))
    np.testing.assert_allclose(result[0].numpy(), moved, atol=1e-12)


def test_each_clip_has_its_own_draw_and_all_its_frames_the_same() -> None:
    still = _clips(2)[:, :1].expand(-1, 5, -1, -1, -1)
    result = augmented(still, list(TRANSFORMATIONS), _numbers(0.9, 0.1, 0.8, 0.99, 0.0, 0.3, 0.7))
    assert torch.equal(result, result[:, :1].expand_as(result))
    alone = augmented(still[:1], list(TRANSFORMATIONS), _numbers(0.9, 0.1, 0.8, 0.99, 0.0, 0.3, 0.7)[:1])
    assert torch.equal(alone, result[:1])


def test_no_policy_and_the_middle_of_every_draw_change_nothing() -> None:
    video = _clips()
    assert augmented(video, [], _numbers(*[0.1] * 7)) is video
    middle = augmented(video, ["color", "translation"], _numbers(*[0.5] * 7))
    torch.testing.assert_close(middle, video)


@pytest.mark.parametrize("name", TRANSFORMATIONS)
def test_gradients_pass_through(name: str) -> None:
    video = _clips(2, side=4).requires_grad_()
    numbers = _numbers(0.3, 0.6, 0.2, 0.9, 0.1, 0.2, 0.4)
    assert torch.autograd.gradcheck(lambda x: augmented(x, [name], numbers), (video,))


def test_an_unknown_transformation_is_refused() -> None:
    with pytest.raises(ConfigError, match="knows color, translation, cutout, not 'blur'"):
        apply_overrides(presets.get("tiny"), ["training.augment=[color,blur]"])
