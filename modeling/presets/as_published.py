"""The thesis's runs with the quirks of its code that are options here.

Set here, because the published numbers were made so:
- `generator.noise=off`: the noise of the style blocks was dead code;
- `training.ema_decay=off`: the weights were sampled as they were;
- `training.flip=off`: the text names no augmentation.

Defaults already, where code and text of the thesis differ and the code is followed: the sigmoid on the style, ToRGB's
1x1 convolution (`to_rgb_kernel=3` is the text's), clipping by norm (`clip.mode=value`), D_T without pooling for BAIR as
well (`d_t.pool=2`), spectral norm and attention in both D beside the penalty.

Bugs of its code that are not reproduced: the gradient penalty that was wrong for batches of more than one clip, the
learning rate that oscillated, resumes that did not go on from the same state, and metrics on images stretched to their
own minimum and maximum with the copied frame 0 among them.
"""

from __future__ import annotations

from dataclasses import replace

from modeling.config import Config
from modeling.presets import thesis
from modeling.presets.registry import preset


def _as_published(config: Config) -> Config:
    return replace(
        config,
        generator=replace(config.generator, noise=False),
        training=replace(config.training, ema_decay=None, flip=False),
    )


@preset("bair-64-as-published")
def bair_64_as_published() -> Config:
    """bair-64 as the published run was: without noise, moving average and flips.

    Command: modeling train --data DIR/shards --preset bair-64-as-published --run runs/bair-64-as-published
    Parameters: generator 3,881,107; d_s 9,863,746; d_t 10,381,378.
    Memory: 750 MiB at micro_batch 1 (estimated, modeling/measuring/memory.py).
    Published: FID 41.47, IS 13.07 (Table 4.1; its protocol counted the copied frame 0).
    Measured: not measured.
    """
    return _as_published(thesis.bair_64())


@preset("landscape-128-as-published")
def landscape_128_as_published() -> Config:
    """landscape-128 as the published run was: without noise, moving average and flips.

    Command: modeling train --data DIR/shards --preset landscape-128-as-published --run runs/landscape-as-published
    Parameters: generator 21,206,563; d_s 2,470,802; d_t 40,008,770.
    Memory: 2.5 GiB at micro_batch 1 (estimated, modeling/measuring/memory.py).
    Published: FID 108.96, IS 14.68 (Table 4.1; same reservation).
    Measured: not measured.
    """
    return _as_published(thesis.landscape_128())


@preset("landscape-256-as-published")
def landscape_256_as_published() -> Config:
    """landscape-256 as the published run was: without noise, moving average and flips.

    Command: modeling train --data DIR/shards --preset landscape-256-as-published --run runs/landscape-256-as-published
    Parameters: generator 1,834,571; d_s 618,570; d_t 10,006,050.
    Memory: 5.8 GiB at micro_batch 1 (estimated, modeling/measuring/memory.py).
    Published: samples alone (section 4.5).
    Measured: not measured.
    """
    return _as_published(thesis.landscape_256())


@preset("sky-128-as-published")
def sky_128_as_published() -> Config:
    """sky-128 as the published run was: without noise, moving average and flips.

    Command: modeling train --data DIR/shards --preset sky-128-as-published --run runs/sky-128-as-published
    Parameters: generator 21,206,563; d_s 2,470,802; d_t 40,008,770.
    Memory: 2.5 GiB at micro_batch 1 (estimated, modeling/measuring/memory.py).
    Published: samples alone (Fig. 4.4).
    Measured: not measured.
    """
    return _as_published(thesis.sky_128())
