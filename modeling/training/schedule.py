"""The learning rate: constant for some epochs, then one cosine down to 0 (section 3.8; Loshchilov and Hutter 2017)."""

from __future__ import annotations

import math

from modeling.config import TrainingConfig
from modeling.data.windows import steps_of_epochs


def cosine_begins(training: TrainingConfig, clips: int) -> int:
    """The first step of the cosine. An epoch is each of `clips` clips drawn once by D."""
    return steps_of_epochs(training.constant_epochs, clips=clips, d_passes=training.d_passes, batch=training.batch)


def learning_rate(training: TrainingConfig, step: int, clips: int) -> float:
    """The rate of step `step` (0 is the first): it would be 0 at `schedule_steps`."""
    begin = cosine_begins(training, clips)
    if training.schedule == "constant" or step < begin:
        return training.lr
    share = (step - begin) / (training.schedule_steps - begin) if training.schedule_steps > begin else 1.0
    return training.lr * 0.5 * (1 + math.cos(math.pi * min(share, 1.0)))
