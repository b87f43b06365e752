"""The presets by name. Each says its command, its parameters, and what was measured with it."""

from __future__ import annotations

import difflib

from modeling.config import (
    Config,
    ConfigError,
    GeneratorConfig,
    SpatialDiscriminatorConfig,
    TemporalDiscriminatorConfig,
    TrainingConfig,
)

# modeling train --data DIR/shards --preset tiny --run runs/tiny
# Demo and tests: the published code paths at 32x32, nothing left out.
# Parameters: G 337,841; D_S 154,642; D_T 187,282.
# Measured: 0.6 s of one CPU core's time a clip and step (benchmarks/train_step.py).
TINY = Config(
    preset="tiny",
    resolution=32,
    generator=GeneratorConfig(ch=8, widths=(4, 2, 1)),
    d_s=SpatialDiscriminatorConfig(ch=8, widths=(2, 4, 8, 8)),
    d_t=TemporalDiscriminatorConfig(ch=8, widths=(2, 4, 8, 8)),
    training=TrainingConfig(batch=2, steps=10_000, schedule_steps=10_000),
)

# modeling train --data DIR/shards --preset bair-64 --run runs/bair-64
# Robot pushing (BAIR) as in Table 4.1.
# Parameters: G 3,881,115; D_S 9,863,746; D_T 10,381,378.
# Published: FID 41.47 against DVD-GAN-S's 81.02 (Table 4.1; its protocol counted the copied frame 0).
# Measured here: 14 s of one CPU core's time a clip and step (benchmarks/train_step.py); no full-length run yet.
BAIR_64 = Config(
    preset="bair-64",
    resolution=64,
    generator=GeneratorConfig(ch=16, widths=(8, 4, 2, 1)),
    d_s=SpatialDiscriminatorConfig(ch=32, widths=(2, 4, 8, 16, 16)),
    d_t=TemporalDiscriminatorConfig(ch=32, widths=(2, 4, 8, 16, 16)),
    training=TrainingConfig(steps=40_000, schedule_steps=40_000),
)

# modeling train --data DIR/shards --preset landscape-128 --run runs/landscape-128
# Flowing water, the thesis's own data set; 42,000 steps are its 1,000,000 micro-batches (3 passes of 8 clips a step).
# Parameters: G 21,206,573; D_S 2,470,802; D_T 40,008,770.
# Published: FID 108.96 against DVD-GAN-S's 194.30, IS 14.68 against 10.68 (Table 4.1, same reservation).
# Measured here: shapes, counts and single passes; no full-length run yet.
LANDSCAPE_128 = Config(
    preset="landscape-128",
    resolution=128,
    generator=GeneratorConfig(ch=32, widths=(8, 8, 4, 2, 1)),
    d_s=SpatialDiscriminatorConfig(ch=16, widths=(1, 2, 4, 8, 16, 16)),
    d_t=TemporalDiscriminatorConfig(ch=64, widths=(1, 2, 4, 8, 16, 16)),
    training=TrainingConfig(steps=42_000, schedule_steps=42_000),
)

PRESETS: dict[str, Config] = {config.preset: config for config in (TINY, BAIR_64, LANDSCAPE_128)}


def get(name: str) -> Config:
    """The preset called `name`; ConfigError naming all of them where there is none."""
    if name in PRESETS:
        return PRESETS[name]
    near = difflib.get_close_matches(name, PRESETS, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise ConfigError(f"unknown preset {name!r}: there are {', '.join(PRESETS)}{hint}")
