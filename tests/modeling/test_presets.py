"""The presets hold the published values, and their docstrings what is true of them."""

from __future__ import annotations

import re

import pytest

from modeling import presets
from modeling.config import Config, ConfigError
from modeling.data.windows import BatchOrder
from modeling.measuring.describe import describe
from modeling.measuring.memory import estimate
from modeling.presets.registry import preset

STYLE = [name for name, config in presets.PRESETS.items() if config.generator.kind == "style"]
THESIS = [name for name in STYLE if name not in ("tiny", "fast-128")]
DVDGAN = [name for name, config in presets.PRESETS.items() if config.generator.kind == "dvdgan-s"]


def test_every_run_of_the_thesis_has_its_preset() -> None:
    runs = ("bair-64", "landscape-128", "landscape-256", "sky-128")
    wanted = {*runs, *(f"{run}-dvdgan-s" for run in runs), *(f"{run}-as-published" for run in runs)}
    assert set(presets.PRESETS) == wanted | {"bair-64-t30", "mocogan-64", "tgan-64", "tiny", "fast-128"}


@pytest.mark.parametrize(
    ("name", "resolution", "frames", "widths", "d_widths", "channels", "pool", "batch", "steps"),
    [
        ("tiny", 32, 25, (4, 2, 1), (2, 4, 8, 8), (8, 8, 8), 1, 2, 10_000),
        ("bair-64", 64, 25, (8, 4, 2, 1), (2, 4, 8, 16, 16), (16, 32, 32), 1, 8, 40_000),
        ("bair-64-t30", 64, 30, (8, 4, 2, 1), (2, 4, 8, 16, 16), (16, 32, 32), 1, 8, 40_000),
        ("landscape-128", 128, 25, (8, 8, 4, 2, 1), (1, 2, 4, 8, 16, 16), (32, 16, 64), 1, 8, 42_000),
        ("sky-128", 128, 25, (8, 8, 4, 2, 1), (1, 2, 4, 8, 16, 16), (32, 16, 64), 1, 8, 42_000),
        ("landscape-256", 256, 15, (8, 8, 8, 4, 2, 1), (1, 2, 4, 8, 16, 16), (8, 8, 32), 2, 8, 42_000),
    ],
)
def test_sizes(name, resolution, frames, widths, d_widths, channels, pool, batch, steps) -> None:
    config = presets.get(name)
    assert (config.resolution, config.frames, config.d_t.pool) == (resolution, frames, pool)
    assert config.generator.widths == widths
    assert config.d_s.widths == config.d_t.widths == d_widths
    assert (config.generator.ch, config.d_s.ch, config.d_t.ch) == channels
    assert (config.training.batch, config.training.steps, config.training.schedule_steps) == (batch, steps, steps)


@pytest.mark.parametrize("name", [*THESIS, *DVDGAN, "tiny"])
def test_what_the_thesis_s_runs_share(name: str) -> None:
    config = presets.get(name)
    generator, training = config.generator, config.training
    assert (generator.style_dim, generator.style_activation, generator.to_rgb_kernel) == (256, "sigmoid", 1)
    assert (generator.cell, generator.layers, generator.latent, generator.context_frames) == ("convgru", 1, 0, 1)
    assert config.decomposition == "dvdgan"
    assert (config.d_s.frames, config.d_s.conditional) == (8, True)
    assert all((config.d_s.spectral_norm, config.d_t.spectral_norm, config.d_s.attention, config.d_t.attention))
    assert (training.loss, training.lambda_gp, training.lambda_s, training.lambda_t) == ("wgan-gp", 1, 1, 5)
    assert (training.lr, training.betas, training.d_passes) == (3e-4, (0.5, 0.999), 2)
    assert (training.clip.mode, training.clip.threshold) == ("norm", 2.5)
    assert (training.schedule, training.constant_epochs, training.penalty_every) == ("cosine", 10, 1)
    quirks = (False, None, False) if name.endswith("as-published") else (True, 0.999, True)
    assert (generator.noise, training.ema_decay, training.flip) == quirks


@pytest.mark.parametrize("name", DVDGAN)
def test_dvdgan_s_sees_as_many_clips_in_batches_of_128(name: str) -> None:
    config, style = presets.get(name), presets.get(name.removesuffix("-dvdgan-s"))
    assert (config.generator.ch, config.generator.widths) == (style.generator.ch, style.generator.widths)
    assert (config.d_s, config.d_t) == (style.d_s, style.d_t)
    training = config.training
    assert (training.batch, training.micro_batch) == (128, 1 if config.resolution == 256 else 4)
    clips = [
        BatchOrder(first_step=0, end_step=t.steps, d_passes=t.d_passes, batch=t.batch)
        for t in (training, style.training)
    ]
    assert len({(order.end_step - order.first_step) * (order.d_passes + 1) * order.batch for order in clips}) == 1


@pytest.mark.parametrize("name", presets.PRESETS)
def test_every_preset_survives_its_file_and_needs_no_warning(name: str) -> None:
    config = presets.get(name)
    assert config.preset == name
    assert Config.from_dict(config.to_dict()) == config
    assert config.warnings() == []


@pytest.mark.parametrize("name", presets.PRESETS)
def test_the_docstring_says_command_parameters_memory_and_what_was_measured(name: str) -> None:
    about = presets.ABOUT[name]
    assert presets.summary(name) == about.splitlines()[0]
    assert 10 < len(presets.summary(name)) < 115
    assert f"Command: modeling train --data DIR/shards --preset {name} --run runs/" in about
    counts = describe(presets.get(name))
    networks = [(network, counts[network]["total"]) for network in ("generator", "d_s", "d_t") if network in counts]
    assert "Parameters: " + "; ".join(f"{network} {total:,}" for network, total in networks) + "." in about
    assert "\nMeasured: " in about
    assert "\nMemory: " in about


@pytest.mark.parametrize("name", ["tiny", "tgan-64", "mocogan-64"])
def test_the_docstring_s_memory_is_the_estimate(name: str) -> None:
    said = re.search(r"Memory: ([\d.]+) (MiB|GiB) at micro_batch (\d+)", presets.ABOUT[name])
    assert said is not None
    memory = estimate(presets.get(name))
    assert memory.micro_batch == int(said[3])
    assert memory.total == pytest.approx(float(said[1]) * 2 ** {"MiB": 20, "GiB": 30}[said[2]], rel=0.1)


def test_an_unknown_name_lists_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"unknown preset 'bair64': there are bair-64, bair-64-t30, .*; did you mean"):
        presets.get("bair64")


def test_two_presets_cannot_share_a_name() -> None:
    with pytest.raises(ValueError, match="two presets called tiny"):
        preset("tiny")(lambda: presets.get("tiny"))
