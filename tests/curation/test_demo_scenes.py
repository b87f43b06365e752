"""Scenes: a pure function of seed and time, lively where they should be, still elsewhere."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from curation.demo.fields import Camera, PlaneSampler, WaveField, line_noise, pyramid, spectral_noise
from curation.demo.scenes import SCENES, make_scene

SIZE = (192, 108)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    yield
    cv2.setNumThreads(before)


@pytest.fixture(scope="module", params=sorted(SCENES))
def clip(request):
    """(kind, scene, frames): 10 s at 2.5 frames a second, (25, H, W, 3) uint8."""
    scene = make_scene(request.param, SIZE, 11)
    return request.param, scene, np.stack([scene.render(6 + 0.4 * i) for i in range(25)])


def test_temporal_variance_is_that_of_moving_footage(clip):
    kind, _, frames = clip
    variance = (frames / 255.0).var(axis=0).mean()  # Eq. 3.19
    assert 0.0011 < variance < 0.03, kind


def test_what_stands_still_changes_by_grain_alone(clip):
    kind, scene, frames = clip
    deviation = (frames / 255.0).std(axis=0).mean(axis=-1)
    if kind == "rain":
        assert scene.moving.all()
        return
    assert 0.05 < scene.moving.mean() < 0.98
    assert deviation[~scene.moving].max() < 3 / 255
    assert deviation[scene.moving].mean() > 3 * deviation[~scene.moving].mean()


def test_motion_is_smooth_from_frame_to_frame(clip):
    """Footage, not noise: a frame resembles the next one far more than one seconds away."""
    kind, scene, frames = clip
    following = scene.render(6 + 0.04).astype(float)
    moving = scene.moving
    near = np.abs(following - frames[0])[moving].mean()
    far = np.mean([np.abs(frames[i].astype(float) - frames[0])[moving].mean() for i in range(8, 25)])
    assert near < (0.95 if kind in ("waterfall", "rain") else 0.75) * far, kind


def test_same_seed_same_pictures_in_any_order(clip):
    kind, _, frames = clip
    again = make_scene(kind, SIZE, 11)
    again.render(50.0)
    np.testing.assert_array_equal(again.render(6 + 0.4 * 3), frames[3])
    assert np.abs(make_scene(kind, SIZE, 12).render(6.0).astype(int) - frames[0]).mean() > 4


def test_pictures_use_the_whole_scale(clip):
    _, _, frames = clip
    assert frames.dtype == np.uint8 and frames.shape[1:] == (SIZE[1], SIZE[0], 3)
    low, high = np.percentile(frames[0], [2, 98])
    assert high - low > 70


@pytest.mark.parametrize("size", [(48, 64), (64, 48), (322, 90)])
@pytest.mark.parametrize("kind", sorted(SCENES))
def test_odd_shapes_render(kind, size):
    assert make_scene(kind, size, 1).render(0.0).shape == (size[1], size[0], 3)


@pytest.mark.parametrize("size", [(40, 40), (161, 90)])
def test_sizes_that_cannot_be_are_refused(size):
    with pytest.raises(ValueError, match="even size"):
        make_scene("sea", size, 1)


def test_unknown_kind_names_the_known_ones():
    with pytest.raises(ValueError, match="choose one of river"):
        make_scene("volcano", SIZE, 1)


def test_noise_is_periodic_and_normalised():
    rng = np.random.default_rng(0)
    field = spectral_noise((64, 128), rng, beta=2.0)
    assert field.dtype == np.float32 and abs(field.mean()) < 1e-5 and abs(field.std() - 1) < 1e-4
    seam = np.abs(field[:, 0] - field[:, -1]).mean()
    assert seam < 3 * np.abs(np.diff(field, axis=1)).mean()
    assert line_noise(100, rng).shape == (100,)


def test_waves_travel_at_the_speed_of_deep_water():
    """One wave alone repeats after 2 pi / sqrt(g k): the dispersion relation of deep water."""
    waves = WaveField(np.random.default_rng(3), texels=64, patch=16.0, wind=5.0)
    at_rest = np.fft.fft2(waves.slopes(0.0)[..., 0])
    for ky, kx in ((0, 2), (3, 1)):
        k = 2 * np.pi * np.hypot(kx, ky) / 16.0
        period = 2 * np.pi / np.sqrt(9.81 * k)
        assert np.fft.fft2(waves.slopes(period)[..., 0])[ky, kx] == pytest.approx(at_rest[ky, kx], rel=1e-3)
        assert abs(np.fft.fft2(waves.slopes(period / 3)[..., 0])[ky, kx] - at_rest[ky, kx]) > 0.1 * abs(at_rest[ky, kx])


def test_wave_slopes_are_the_gradient_of_a_surface():
    """A gradient has no curl: d/dy of the slope along x is d/dx of the slope along y."""
    slopes = WaveField(np.random.default_rng(5), texels=64, patch=16.0, wind=6.0, slope=0.1).slopes(1.3)
    k = 2 * np.pi * np.fft.fftfreq(64, d=16.0 / 64)
    along_x, along_y = np.fft.fft2(slopes[..., 0]), np.fft.fft2(slopes[..., 1])
    one, other = (np.fft.ifft2(1j * wave * part).real for wave, part in ((k[:, None], along_x), (k[None, :], along_y)))
    assert np.abs(one - other).max() < 1e-3 * np.abs(one).max()
    assert slopes.std() == pytest.approx(0.1, rel=0.3)


def test_plane_sampler_reads_the_texture_where_it_stands():
    rng = np.random.default_rng(1)
    texture = spectral_noise((64, 64), rng, beta=2.0)
    y, x = np.mgrid[0:32, 0:64].astype(np.float32)
    sample = PlaneSampler(x / 64, y / 64, 64, 4)
    np.testing.assert_allclose(sample(pyramid(texture, 4)), texture[:32], atol=1e-5)
    np.testing.assert_allclose(sample(pyramid(texture, 4), du=0.25), np.roll(texture, -16, axis=1)[:32], atol=1e-5)


def test_carried_texture_keeps_its_energy_through_a_reset():
    rng = np.random.default_rng(2)
    texture = pyramid(spectral_noise((64, 64), rng, beta=1.5, low=6), 3)
    y, x = np.mgrid[0:48, 0:64].astype(np.float32)
    flow = (np.full_like(x, 0.11), np.zeros_like(x))
    sample = PlaneSampler(x / 64, y / 64, 64, 3, flow=flow)
    deviations = [sample.carried(texture, t, 2.0).std() for t in np.linspace(0, 4, 21)]
    assert min(deviations) > 0.75 * max(deviations)


def test_ground_of_the_camera_is_the_plane_below_it():
    camera = Camera(width=64, height=48, horizon=20.0, focal=1.0, eye=2.0)
    right, ahead = camera.ground((camera.first_row, 48))
    down = (np.arange(camera.first_row, 48) + 0.5 - 20.0) / 48
    np.testing.assert_allclose(ahead[:, 0], 2.0 / down, rtol=1e-5)
    np.testing.assert_allclose(right[:, 0], -right[:, -1], rtol=1e-5)
