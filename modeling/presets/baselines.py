"""What the thesis compares itself with: DVD-GAN-S of the same `ch` (section 3.10); and MoCoGAN and TGAN.

DVD-GAN-S takes batches of 128, the smallest that trained without collapse, in micro-batches of 4, and as many clips in
all as the `style` run: 1/16 of its steps. Micro-batches are fixed, not what fits, because batch norm depends on them.
"""

from __future__ import annotations

from dataclasses import replace

from modeling.config import (
    Config,
    GeneratorConfig,
    SpatialDiscriminatorConfig,
    TemporalDiscriminatorConfig,
    TrainingConfig,
)
from modeling.presets import thesis
from modeling.presets.registry import preset

DVDGAN_BATCH, DVDGAN_MICRO_BATCH = 128, 4


def _dvdgan_s(config: Config, micro_batch: int = DVDGAN_MICRO_BATCH) -> Config:
    training = config.training
    steps = training.steps * training.batch // DVDGAN_BATCH
    return replace(
        config,
        generator=replace(config.generator, kind="dvdgan-s"),
        training=replace(training, batch=DVDGAN_BATCH, micro_batch=micro_batch, steps=steps, schedule_steps=steps),
    )


@preset("bair-64-dvdgan-s")
def bair_64_dvdgan_s() -> Config:
    """DVD-GAN-S on BAIR at 64x64 (Table 4.1).

    Command: modeling train --data DIR/shards --preset bair-64-dvdgan-s --run runs/bair-64-dvdgan-s
    Parameters: generator 3,853,923; d_s 9,863,746; d_t 10,381,378.
    Memory: 1.6 GiB at micro_batch 4 (estimated, modeling/measuring/memory.py).
    Published: FID 81.02, IS 29.27 (its protocol counted the copied frame 0).
    Measured: not measured.
    """
    return _dvdgan_s(thesis.bair_64())


@preset("landscape-128-dvdgan-s")
def landscape_128_dvdgan_s() -> Config:
    """DVD-GAN-S on flowing water at 128x128 (Table 4.1).

    Command: modeling train --data DIR/shards --preset landscape-128-dvdgan-s --run runs/landscape-128-dvdgan-s
    Parameters: generator 22,679,235; d_s 2,470,802; d_t 40,008,770.
    Memory: 8.5 GiB at micro_batch 4 (estimated, modeling/measuring/memory.py).
    Published: FID 194.30, IS 10.68 (same reservation).
    Measured: not measured.
    """
    return _dvdgan_s(thesis.landscape_128())


@preset("landscape-256-dvdgan-s")
def landscape_256_dvdgan_s() -> Config:
    """DVD-GAN-S on flowing water at 256x256, beside section 4.5's run; one clip a micro-batch, which fits 11 GB.

    Command: modeling train --data DIR/shards --preset landscape-256-dvdgan-s --run runs/landscape-256-dvdgan-s
    Parameters: generator 1,878,003; d_s 618,570; d_t 10,006,050.
    Memory: 5.8 GiB at micro_batch 1 (estimated, modeling/measuring/memory.py).
    Published: nothing.
    Measured: not measured.
    """
    return _dvdgan_s(thesis.landscape_256(), micro_batch=1)


@preset("sky-128-dvdgan-s")
def sky_128_dvdgan_s() -> Config:
    """DVD-GAN-S on time-lapse of skies at 128x128.

    Command: modeling train --data DIR/shards --preset sky-128-dvdgan-s --run runs/sky-128-dvdgan-s
    Parameters: generator 22,679,235; d_s 2,470,802; d_t 40,008,770.
    Memory: 8.5 GiB at micro_batch 4 (estimated, modeling/measuring/memory.py).
    Published: nothing.
    Measured: not measured.
    """
    return _dvdgan_s(thesis.sky_128())


@preset("mocogan-64")
def mocogan_64() -> Config:
    """MoCoGAN (Tulyakov 2018) at 64x64, given an image through our encoder.

    Published: DCGAN widths of 64, a content code of 50 and motion codes of 10, clips of 16 frames, the image
    discriminator on one of them, vanilla loss, Adam 2e-4, batches of 32. Ours: the encoder, the input frame beside
    the one that is scored, spectral norm for batch norm in both discriminators, and the number of steps.

    Command: modeling train --data DIR/shards --preset mocogan-64 --run runs/mocogan-64
    Parameters: generator 13,462,985; d_s 1,252,289; d_t 4,404,161.
    Memory: 621 MiB at micro_batch 8 (estimated, modeling/measuring/memory.py).
    Measured: not measured.
    """
    return Config(
        resolution=64,
        frames=16,
        decomposition="mocogan",
        generator=GeneratorConfig(kind="mocogan", ch=64, widths=(8, 4, 2, 1), style_dim=50),
        d_s=SpatialDiscriminatorConfig(ch=64, widths=(1, 2, 4, 4), frames=1),
        d_t=TemporalDiscriminatorConfig(ch=64, widths=(1, 2, 4, 4)),
        training=TrainingConfig(
            loss="vanilla",
            penalty="none",
            lambda_t=1.0,
            lr=2e-4,
            d_passes=1,
            batch=32,
            micro_batch=8,
            schedule="constant",
            steps=40_000,
            schedule_steps=40_000,
        ),
    )


@preset("tgan-64")
def tgan_64() -> Config:
    """TGAN (Saito 2017) at 64x64, given an image through our encoder.

    Published: a latent of 100 a frame, 16 frames, transposed convolutions of 512 to 32 channels, one 3-D discriminator,
    Wasserstein loss with singular values clipped at 1, five D passes a step. Ours: the encoder, spectral norm in the
    place of the clipping and of D's batch norm, Adam for RMSProp, batch and number of steps.

    Command: modeling train --data DIR/shards --preset tgan-64 --run runs/tgan-64
    Parameters: generator 7,345,579; d_t 16,005,057.
    Memory: 852 MiB at micro_batch 8 (estimated, modeling/measuring/memory.py).
    Measured: not measured.
    """
    return Config(
        resolution=64,
        frames=17,
        decomposition="tgan",
        generator=GeneratorConfig(kind="tgan", ch=32, widths=(8, 4, 2, 1), style_dim=100),
        d_s=SpatialDiscriminatorConfig(ch=64, widths=(1, 2, 4, 8)),
        d_t=TemporalDiscriminatorConfig(ch=64, widths=(1, 2, 4, 8, 8)),
        training=TrainingConfig(
            penalty="none",
            lambda_t=1.0,
            lr=5e-5,
            d_passes=5,
            batch=32,
            micro_batch=8,
            schedule="constant",
            steps=40_000,
            schedule_steps=40_000,
        ),
    )
