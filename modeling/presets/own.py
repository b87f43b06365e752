"""Presets that are not the thesis's: the demo's, and our own recipe."""

from __future__ import annotations

from modeling.config import (
    Config,
    GeneratorConfig,
    SpatialDiscriminatorConfig,
    TemporalDiscriminatorConfig,
    TrainingConfig,
)
from modeling.presets.registry import preset


@preset("tiny")
def tiny() -> Config:
    """Demo and tests: the published code paths at 32x32, nothing left out.

    Command: modeling train --data DIR/shards --preset tiny --run runs/tiny
    Parameters: generator 337,841; d_s 154,642; d_t 187,282.
    Memory: 35 MiB at micro_batch 1 (estimated, modeling/measuring/memory.py).
    Measured: 0.6 s of one CPU core's time a clip and step (benchmarks/train_step.py, two-core machine).
    """
    return Config(
        resolution=32,
        generator=GeneratorConfig(ch=8, widths=(4, 2, 1)),
        d_s=SpatialDiscriminatorConfig(ch=8, widths=(2, 4, 8, 8)),
        d_t=TemporalDiscriminatorConfig(ch=8, widths=(2, 4, 8, 8)),
        training=TrainingConfig(batch=2, steps=10_000, schedule_steps=10_000),
    )


@preset("fast-128")
def fast_128() -> Config:
    """Our own recipe at 128x128; each choice tried on one budget at 16x16 (docs/results.md).

    The networks of landscape-128 with a relativistic loss and zero-centred penalties on both sides (R1 and R2, every
    fourth pass), one D pass a step, DiffAugment, D_T's input pooled 2x2, noise, and cells that begin by keeping state.

    Command: modeling train --data DIR/shards --preset fast-128 --run runs/fast-128
    Parameters: generator 21,206,573; d_s 2,470,802; d_t 40,008,770.
    Memory: 2.6 GiB at micro_batch 1 (estimated, modeling/measuring/memory.py).
    Measured: not measured at this size.
    """
    return Config(
        resolution=128,
        generator=GeneratorConfig(ch=32, widths=(8, 8, 4, 2, 1), keep_bias=3.0),
        d_s=SpatialDiscriminatorConfig(ch=16, widths=(1, 2, 4, 8, 16, 16)),
        d_t=TemporalDiscriminatorConfig(ch=64, widths=(1, 2, 4, 8, 16, 16), pool=2),
        training=TrainingConfig(
            loss="rpgan-r1r2",
            penalty_every=4,
            d_passes=1,
            augment=("color", "translation", "cutout"),
            steps=42_000,
            schedule_steps=42_000,
        ),
    )
