"""On real footage: what is worse scores worse, and faults in time move the video metric and not the frame metric."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from modeling.metrics.frechet import frechet_distance
from modeling.metrics.loops import looping
from modeling.metrics.motion import flicker, motion_amount, static_error
from modeling.metrics.proxy import ProxyFeatures
from modeling.metrics.sharpness import blur_spread
from tests.modeling import footage
from tests.modeling.footage import FAULTS, FOLDER, IN_SPACE, U8, faulty, faulty_frames, frame_features, video_features

FRAMES, SIDE = 8, 32
FEW = ("stream-of-water", "flower", "bad-container")  # the quick ones to decode

needs_footage = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no footage in {FOLDER}")


@pytest.fixture(scope="module")
def source() -> U8:
    return footage.windows(frames=FRAMES, side=SIDE, every=38, crops=1, names=FEW)


@needs_footage
@pytest.mark.parametrize("fault", FAULTS)
def test_faults_of_growing_strength_move_the_metrics_that_can_see_them(source: U8, fault: str) -> None:
    clean = video_features(source[:, :FRAMES])
    values = [frechet_distance(clean, video_features(faulty(fault, s, source))) for s in FAULTS[fault]]
    assert all(a < b for a, b in zip([1e-6, *values], values, strict=False)), values
    known = frame_features(source)
    still = known[:, :FRAMES].flatten(0, 1)
    of_frames = [frechet_distance(still, faulty_frames(fault, s, source, known)) for s in FAULTS[fault]]
    if fault in IN_SPACE:
        assert all(a < b for a, b in zip([1e-6, *of_frames], of_frames, strict=False)), of_frames
    else:
        assert of_frames[-1] < 0.1 * values[-1]
    if fault == "shuffle":
        assert max(of_frames) < 1e-9


@needs_footage
def test_scores_of_clips_tell_what_was_done_to_real_footage(source: U8) -> None:
    def of(clips: U8) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(clips))

    real = of(source[:, :FRAMES])
    frozen, fast, noisy, blurred = (
        of(faulty(fault, FAULTS[fault][-1], source)) for fault in ("frozen", "2x speed", "noise", "blur")
    )
    assert float(motion_amount(frozen).sum()) == 0.0
    assert float(motion_amount(fast).sum()) > 1.2 * float(motion_amount(real).sum())
    assert float(flicker(noisy).sum()) > 2 * float(flicker(real).sum())
    added = static_error(noisy, real)
    assert bool((added[added.isfinite()] > 10).all())
    assert int(added.isfinite().sum()) > len(source) // 4
    growing = real.clone()
    growing[:, FRAMES // 2 :] = blurred[:, FRAMES // 2 :]
    assert float(blur_spread(growing, real).nanmean()) > 0.3
    there_and_back = torch.cat([real, real.flip(1), real, real.flip(1)], dim=1)
    assert float(looping(there_and_back).nanmean()) > 0.95
    assert float(looping(there_and_back).nanmean()) > 1.5 * float(looping(real).nanmean())


PINNED_DISTANCES = {"faster": 24.763639, "brighter": 21.523593, "coarser": 13.461513}


def whole_number_clips(step: int = 11, plus: int = 0, scale: int = 7) -> torch.Tensor:
    """Twelve clips made of whole numbers alone: the same on every machine."""
    y, x, t = np.mgrid[0:16, 0:16, 0:6]
    clips = []
    for index in range(12):
        red, green = (x * scale + y * 3 + t * step + 17 * index) % 200, (x * y + 5 * t * index) % 200
        clips.append(np.stack([red, green, (x * (16 - index) + t * step) % 200], axis=-1) + plus)
    return torch.from_numpy(np.stack(clips)).permute(0, 3, 4, 1, 2).double() / 255


@pytest.mark.parametrize("name", PINNED_DISTANCES)
def test_proxy_distances_are_the_same_on_every_machine(name: str) -> None:
    """To 1e-4, of filters of version 1."""
    changed: dict[str, Callable[[], torch.Tensor]] = {
        "faster": lambda: whole_number_clips(step=23),
        "brighter": lambda: whole_number_clips(plus=40),
        "coarser": lambda: whole_number_clips(scale=3),
    }
    extract = ProxyFeatures()
    distance = frechet_distance(extract(whole_number_clips()), extract(changed[name]()))
    assert distance == pytest.approx(PINNED_DISTANCES[name], rel=1e-4)
