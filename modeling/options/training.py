"""How the networks are trained."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from modeling.options.checks import not_negative, positive
from modeling.parsing import require

Loss = Literal["wgan-gp", "wgan-clip", "vanilla", "hinge", "rpgan-r1r2"]
Penalty = Literal["gp", "r1", "r1r2", "none"]
AUGMENTATIONS = ("color", "translation", "cutout")  # DiffAugment's (Zhao 2020)
PENALTY_OF: dict[str, Penalty] = {
    "wgan-gp": "gp",
    "wgan-clip": "none",
    "vanilla": "r1",
    "hinge": "r1",
    "rpgan-r1r2": "r1r2",
}


@dataclass(frozen=True, kw_only=True)
class ClipConfig:
    """Gradient clipping of each network: `norm` as the thesis's code, `value` as its text reads."""

    mode: Literal["norm", "value", "off"] = "norm"
    threshold: float = 2.5

    def __post_init__(self) -> None:
        positive("training.clip", threshold=self.threshold)


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How the networks are trained (sections 3.1 and 3.8). A step is one update of the generator."""

    loss: Loss = "wgan-gp"
    penalty: Penalty | Literal["auto"] = "auto"  # of the discriminators' gradient; auto: the one that belongs to `loss`
    lambda_gp: float = 1.0  #                   weight of the gradient penalty (Eq. 3.6); of R1 and R2 for other losses
    weight_clip: float = 0.01  #                wgan-clip: discriminator weights stay in [-c, c] (Arjovsky 2017)
    lambda_s: float = 1.0  #                    weight of D_S in the generator's loss (Eq. 3.15)
    lambda_t: float = 5.0  #                    weight of D_T in the generator's loss (Eq. 3.15)
    lambda_v: float = 1.0  #                    weight of trivdgan-strong's third discriminator, on the whole small clip
    penalty_every: int = 1  #                   k > 1: lazy penalty, every k-th D pass with k times the weight
    lr: float = 3e-4
    betas: tuple[float, float] = (0.5, 0.999)
    d_passes: int = 2  #                        discriminator passes before a generator pass, each on a fresh batch
    clip: ClipConfig = field(default_factory=ClipConfig)
    schedule: Literal["cosine", "constant"] = "cosine"
    constant_epochs: int = 10  #                epochs at full learning rate before the cosine begins
    schedule_steps: int  #                      the step at which the cosine reaches 0
    steps: int  #                               the run's length
    batch: int = 8  #                           clips an update
    micro_batch: int | Literal["auto"] = "auto"  # clips a backward pass (Eq. 3.16); auto: what fits a GPU, 1 on a CPU
    ema_decay: float | None = 0.999  #          moving average of the generator's weights; off is the thesis
    ema_warmup: bool = True  #                  a shorter average in the first 9,000 steps (networks/ema.py)
    flip: bool = True  #                        one horizontal flip drawn a clip
    augment: tuple[str, ...] = ()  #            DiffAugment, one draw a clip: any of color, translation, cutout
    precision: Literal["fp32", "tf32", "bf16", "fp64"] = "fp32"  # of the passes (precision.py); fp64 is for checks
    compile: bool = False  #                    torch.compile of the passes
    activation_checkpointing: bool = False  #   recompute a level's activations in the backward pass: less memory
    seed: int = 0

    def __post_init__(self) -> None:
        positive("training", lr=self.lr, batch=self.batch, d_passes=self.d_passes, penalty_every=self.penalty_every)
        positive("training", steps=self.steps, schedule_steps=self.schedule_steps, weight_clip=self.weight_clip)
        not_negative("training", lambda_gp=self.lambda_gp, lambda_s=self.lambda_s, lambda_t=self.lambda_t)
        not_negative("training", lambda_v=self.lambda_v, constant_epochs=self.constant_epochs, seed=self.seed)
        require(all(0 <= beta < 1 for beta in self.betas), f"training.betas must lie in [0, 1), not {self.betas}")
        if self.micro_batch != "auto":
            require(
                1 <= self.micro_batch <= self.batch,
                f"training.micro_batch must be auto or 1 to training.batch ({self.batch}), not {self.micro_batch}",
            )
        if self.ema_decay is not None:
            require(0 < self.ema_decay < 1, f"training.ema_decay must be off or in (0, 1), not {self.ema_decay}")
        require(
            self.schedule == "constant" or self.steps <= self.schedule_steps,
            f"training.steps={self.steps} goes beyond the cosine's end: "
            f"raise training.schedule_steps (now {self.schedule_steps}) or set training.schedule=constant",
        )
        for name in self.augment:
            require(name in AUGMENTATIONS, f"training.augment knows {', '.join(AUGMENTATIONS)}, not {name!r}")

    @property
    def gradient_penalty(self) -> Penalty:
        """The penalty that is taken, with `auto` resolved; none where its weight is 0."""
        if self.lambda_gp == 0:
            return "none"
        return PENALTY_OF[self.loss] if self.penalty == "auto" else self.penalty
