"""The thesis's own runs (sections 3.7, 3.8 and 4) with the `style` generator.

42,000 steps are its 1,000,000 micro-batches: 3 passes of 8 clips a step. Defaults of the options are model.md's: noise,
moving average and flips are on; `as_published` has the runs as they were.
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
from modeling.presets.registry import preset


@preset("bair-64")
def bair_64() -> Config:
    """Robot pushing (BAIR) at 64x64, as in Table 4.1.

    Command: modeling train --data DIR/shards --preset bair-64 --run runs/bair-64
    Parameters: generator 3,881,115; d_s 9,863,746; d_t 10,381,378.
    Memory: 765 MiB at micro_batch 1 (estimated, modeling/measuring/memory.py).
    Published: FID 41.47 against DVD-GAN-S's 81.02, IS 13.07 against 29.27 (its protocol counted the copied frame 0).
    Measured: 14 s of one CPU core's time a clip and step (benchmarks/train_step.py, two-core machine); no full-length
    run yet.
    """
    return Config(
        resolution=64,
        generator=GeneratorConfig(ch=16, widths=(8, 4, 2, 1)),
        d_s=SpatialDiscriminatorConfig(ch=32, widths=(2, 4, 8, 16, 16)),
        d_t=TemporalDiscriminatorConfig(ch=32, widths=(2, 4, 8, 16, 16)),
        training=TrainingConfig(steps=40_000, schedule_steps=40_000),
    )


@preset("bair-64-t30")
def bair_64_t30() -> Config:
    """BAIR at 64x64 with clips of 30 frames, the run that Fig. 4.3 rolls out to 150.

    Command: modeling train --data DIR/shards --preset bair-64-t30 --run runs/bair-64-t30
    Parameters: generator 3,881,115; d_s 9,863,746; d_t 10,381,378.
    Memory: 800 MiB at micro_batch 1 (estimated, modeling/measuring/memory.py).
    Measured: not measured.
    """
    return replace(bair_64(), frames=30)


@preset("landscape-128")
def landscape_128() -> Config:
    """Flowing water at 128x128, the thesis's own data set (Table 4.1).

    Command: modeling train --data DIR/shards --preset landscape-128 --run runs/landscape-128
    Parameters: generator 21,206,573; d_s 2,470,802; d_t 40,008,770.
    Memory: 2.6 GiB at micro_batch 1 (estimated, modeling/measuring/memory.py).
    Published: FID 108.96 against DVD-GAN-S's 194.30, IS 14.68 against 10.68 (same reservation as bair-64).
    Measured: shapes, counts and single passes; no full-length run yet.
    """
    return Config(
        resolution=128,
        generator=GeneratorConfig(ch=32, widths=(8, 8, 4, 2, 1)),
        d_s=SpatialDiscriminatorConfig(ch=16, widths=(1, 2, 4, 8, 16, 16)),
        d_t=TemporalDiscriminatorConfig(ch=64, widths=(1, 2, 4, 8, 16, 16)),
        training=TrainingConfig(steps=42_000, schedule_steps=42_000),
    )


@preset("landscape-256")
def landscape_256() -> Config:
    """Flowing water at 256x256 with few channels, 15 frames and D_T's input pooled 2x2 (section 4.5).

    Command: modeling train --data DIR/shards --preset landscape-256 --run runs/landscape-256
    Parameters: generator 1,834,583; d_s 618,570; d_t 10,006,050.
    Memory: 5.8 GiB at micro_batch 1 (estimated, modeling/measuring/memory.py).
    Published: samples alone; the thesis puts the generator at "about 1 million" parameters.
    Measured: not measured.
    """
    return Config(
        resolution=256,
        frames=15,
        generator=GeneratorConfig(ch=8, widths=(8, 8, 8, 4, 2, 1)),
        d_s=SpatialDiscriminatorConfig(ch=8, widths=(1, 2, 4, 8, 16, 16)),
        d_t=TemporalDiscriminatorConfig(ch=32, widths=(1, 2, 4, 8, 16, 16), pool=2),
        training=TrainingConfig(steps=42_000, schedule_steps=42_000),
    )


@preset("sky-128")
def sky_128() -> Config:
    """Time-lapse of skies at 128x128 (Fig. 4.4), the networks and the recipe of landscape-128.

    Command: modeling train --data DIR/shards --preset sky-128 --run runs/sky-128
    Parameters: generator 21,206,573; d_s 2,470,802; d_t 40,008,770.
    Memory: 2.6 GiB at micro_batch 1 (estimated, modeling/measuring/memory.py).
    Published: samples alone.
    Measured: not measured.
    """
    return landscape_128()
