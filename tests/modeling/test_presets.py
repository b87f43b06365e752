"""The presets hold the published values."""

from __future__ import annotations

import pytest

from modeling import presets
from modeling.config import ConfigError


@pytest.mark.parametrize(
    ("name", "resolution", "widths", "d_widths", "channels", "batch", "steps"),
    [
        ("tiny", 32, (4, 2, 1), (2, 4, 8, 8), (8, 8, 8), 2, 10_000),
        ("bair-64", 64, (8, 4, 2, 1), (2, 4, 8, 16, 16), (16, 32, 32), 8, 40_000),
        ("landscape-128", 128, (8, 8, 4, 2, 1), (1, 2, 4, 8, 16, 16), (32, 16, 64), 8, 42_000),
    ],
)
def test_sizes(name, resolution, widths, d_widths, channels, batch, steps) -> None:
    config = presets.get(name)
    assert config.preset == name
    assert (config.resolution, config.frames) == (resolution, 25)
    assert config.generator.widths == widths
    assert config.d_s.widths == config.d_t.widths == d_widths
    assert (config.generator.ch, config.d_s.ch, config.d_t.ch) == channels
    assert (config.training.batch, config.training.steps, config.training.schedule_steps) == (batch, steps, steps)


@pytest.mark.parametrize("name", presets.PRESETS)
def test_what_all_share(name: str) -> None:
    config = presets.get(name)
    generator, training = config.generator, config.training
    assert (generator.style_dim, generator.style_activation, generator.noise) == (256, "sigmoid", True)
    assert (generator.cell, generator.layers) == ("convgru", 1)
    assert (config.d_s.frames, config.d_s.conditional, config.d_t.pool) == (8, True, 1)
    assert all((config.d_s.spectral_norm, config.d_t.spectral_norm, config.d_s.attention, config.d_t.attention))
    assert (training.lambda_gp, training.lambda_s, training.lambda_t) == (1, 1, 5)
    assert (training.lr, training.betas, training.d_passes) == (3e-4, (0.5, 0.999), 2)
    assert (training.clip.mode, training.clip.threshold) == ("norm", 2.5)
    assert (training.schedule, training.constant_epochs, training.penalty_every) == ("cosine", 10, 1)
    assert (training.ema_decay, training.flip, training.micro_batch, training.loss) == (0.999, True, "auto", "wgan-gp")
    assert config.warnings() == []


def test_an_unknown_name_lists_those_there_are() -> None:
    with pytest.raises(ConfigError, match="unknown preset 'bair64': there are tiny, bair-64, landscape-128; did you"):
        presets.get("bair64")
